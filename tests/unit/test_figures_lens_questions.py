import subprocess
import sys

import numpy as np
import pytest

from oracles.lens_questions import join, make_prompts, make_run, make_text
from oracles.rendering import nans, render
from strata import io
from strata.figures.lens_questions import (
    draw_commas,
    draw_first_block,
    draw_input_kept,
    draw_repetition,
    draw_target_depth,
)
from strata.figures.style import DECODER_COLOURS
from strata.lens.questions import ask

OPTIONS = {"resamples": 50, "interval": 0.9, "seed": 3}


@pytest.fixture(scope="module")
def questions():
    return ask(*make_run(prompts_of_category=4), **OPTIONS)


@pytest.fixture(scope="module")
def little():
    """One decoder, one category of the user's own, nothing that most questions ask for."""
    lens = join(*(make_text(f"p${i}$", "my$x$", np.arange(3 + i), target=1) for i in range(2)))
    return ask({"mine": lens}, make_prompts(lens), None, **OPTIONS)


def texts(figure):
    """Every text of a figure and its parts."""
    return "\n".join(t.get_text() for t in figure.findobj(lambda artist: hasattr(artist, "get_text")))


@pytest.mark.parametrize(
    "draw", [draw_first_block, draw_input_kept, draw_commas, draw_target_depth, draw_repetition]
)
def test_figures_can_be_drawn(draw, questions, little, tmp_path):
    render(draw(questions))
    assert nans(draw(little)) == []
    assert "(nan" not in texts(draw(little))
    io.write_dataset(little, tmp_path / "questions.nc")
    render(draw(io.open_dataset(tmp_path / "questions.nc")))


def test_first_block_draws_every_share(questions):
    axes = draw_first_block(questions).axes
    for panel, name in zip(axes, ("kl_final_share", "kl_input_share"), strict=True):
        for line, decoder in zip(panel.lines, ("logit", "tuned"), strict=False):
            share = questions[name].sel(decoder=decoder, category="all")
            np.testing.assert_array_equal(line.get_ydata(), share)
            assert line.get_color() == DECODER_COLOURS[decoder]
        told = panel.get_legend().get_texts()[0].get_text()
        first = questions.sel(decoder="logit", category="all", layer=0)
        assert told.startswith(f"logit, block 0: {float(first[name]):.1%} [{float(first[name + '_low']):.1%}")
        assert np.isfinite(first[name + "_low"])
    assert "16 prompts" in texts(axes[0].figure) and "90% bootstrap intervals" in texts(axes[0].figure)


def test_input_kept_draws_bands_correlation_and_copied_words(questions):
    figure = draw_input_kept(questions)
    *panels, correlation, copied = figure.axes
    assert [panel.get_title() for panel in panels] == ["logit", "tuned"]
    for panel, decoder in zip(panels, ("logit", "tuned"), strict=True):
        assert len(panel.lines) == questions.sizes["band"]
        for line, band in zip(panel.lines, questions["band"].values, strict=True):
            at = questions.sel(decoder=decoder, band=band)
            np.testing.assert_array_equal(line.get_ydata(), at["band_log_rank"])
            assert line.get_label() == f"{band} ({int(at['band_log_rank_n'])})"
    for axes, name in ((correlation, "frequency_rho"), (copied, "copied_change")):
        for line, decoder in zip(axes.lines, ("logit", "tuned"), strict=False):
            np.testing.assert_array_equal(line.get_ydata(), questions[name].sel(decoder=decoder))
    words, controls = (int(questions[name][0]) for name in ("copied_words", "copied_controls"))
    assert words > 0 and f"({words} words, {controls} others)" in copied.get_title()


def test_commas_draws_a_panel_for_each_passage_and_decoder(questions):
    figure = draw_commas(questions)
    panels = np.array(figure.axes).reshape(4, 2)
    for row, passage in zip(panels, questions["passage"].values, strict=True):
        assert passage in row[0].get_ylabel()
        for axes, decoder in zip(row, ("logit", "tuned"), strict=True):
            ranks = questions["comma_rank"].sel(passage=passage, decoder=decoder)
            drawn = [line.get_ydata() for line in axes.lines]
            np.testing.assert_array_equal(drawn, ranks + 1)
            assert axes.get_yscale() == "log"
    assert [axes.get_title() for axes in panels[0]] == ["logit", "tuned"]


def test_commas_of_many_passages_says_what_is_left_out(questions):
    many = questions.isel(passage=[0, 1, 2] * 3)
    many = many.assign_coords(passage=[f"p{i}" for i in range(9)])
    figure = draw_commas(many)
    assert len(figure.axes) == 5 * 2 and "4 more passages not shown" in texts(figure)


def test_target_depth_draws_a_row_for_each_category(questions):
    figure = draw_target_depth(questions)
    for axes, names in zip(
        figure.axes,
        (("target_depth", "target_first_depth"), ("prediction_depth", "prediction_depth_last")),
        strict=True,
    ):
        points = [line for line in axes.lines if line.get_marker() not in ("None", "")]
        drawn = [(name, decoder) for name in names for decoder in ("logit", "tuned")]
        for line, (name, decoder) in zip(points, drawn, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), questions[name].sel(decoder=decoder))
            assert np.round(line.get_ydata()).tolist() == [0, 1, 2, 3, 4]
        labels = [label.get_text() for label in axes.get_yticklabels()]
        counts = questions[f"{names[0]}_n"].max("decoder").values
        expected = zip(questions["category"].values, counts, strict=True)
        assert labels == [f"{category} ({n or 'none'})" for category, n in expected]
        bottom, top = axes.get_ylim()
        assert bottom > top  # the first category is on top
    undefined = int(questions["target_undefined"].max())
    assert undefined == 0 or f"{undefined} prompts are left out" in texts(figure)


def test_repetition_draws_depth_and_share(questions):
    depth, share = draw_repetition(questions).axes
    for axes, name in ((depth, "repeat_depth"), (share, "repeat_share")):
        for line, decoder in zip(axes.lines, ("logit", "tuned"), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), questions[name].sel(decoder=decoder))
        labels = [label.get_text() for label in axes.get_xticklabels()]
        counts = questions["repeat_share_n"].max("decoder").values
        assert labels == [f"{repeat}\n({n})" for repeat, n in enumerate(counts)]


@pytest.mark.parametrize(
    "draw,told",
    [
        (draw_input_kept, "not known how often"),
        (draw_commas, "No passage has 3 commas"),
        (draw_repetition, "No prompt of this run repeats itself"),
    ],
)
def test_a_figure_of_nothing_says_so(draw, told, little):
    assert told in texts(draw(little))


def test_no_words_to_copy_is_said(questions):
    none = questions.assign(copied_words=questions["copied_words"] * 0)
    assert "no words to be copied" in draw_input_kept(none).axes[-1].get_title()


def test_neither_questions_nor_figures_need_torch():
    code = "import sys, strata.lens.questions, strata.figures.lens_questions as f; "
    code += "assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
