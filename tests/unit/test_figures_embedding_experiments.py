import numpy as np
import pytest

from oracles import experiments as slow
from oracles import tiny_models
from oracles.rendering import notice, render
from strata.embedding import experiments
from strata.figures import embedding_experiments as figures
from strata.model.architecture import find_parts

OPTIONS = {"widths": [0, 1, 3], "draws": 3, "min_documents": 3, "resamples": 50, "interval": 0.9, "seed": 1}


@pytest.fixture(scope="module")
def found():
    model = slow.reads_position()
    upper = model.transformer.wpe.weight.numpy().std(0) > 0.5
    return experiments.disturb(find_parts(model), slow.DOCUMENTS, upper, **OPTIONS)


def test_smoothing_is_drawn_by_width_and_by_position(found):
    figure = figures.draw_smoothing(found)
    render(figure)
    overall, *panels = figure.axes
    at = found.isel(treatment=found["kind"].values == "smoothed")
    line = overall.lines[0]
    assert line.get_xdata().tolist() == [0, 1, 3]
    np.testing.assert_allclose(line.get_ydata(), at["change_overall"])
    segments = overall.collections[0].get_segments()
    np.testing.assert_allclose([s[0, 1] for s in segments], at["change_overall_low"])
    np.testing.assert_allclose([s[1, 1] for s in segments], at["change_overall_high"])
    shown = [axes for axes in panels if axes.lines]
    assert [axes.get_title() for axes in shown] == ["width 1", "width 3"]
    for axes, width in zip(shown, (1, 3), strict=True):
        one = found.sel(treatment=f"smoothed, width {width}")
        np.testing.assert_allclose(axes.lines[0].get_ydata(), one["change"])
    assert "16 held-out documents, 76 tokens" in figure.get_supxlabel()


def test_silencing_is_drawn_with_its_controls(found):
    figure = figures.draw_silencing(found)
    render(figure)
    names = ["all 48", "46 that move the least", "46 at random"]
    names += ["2 that move the least", "2 at random", "2 that move the most"]
    for row, kind in zip((0, 2), ("zeroed", "averaged"), strict=True):
        overall, by_position = figure.axes[row : row + 2]
        assert [label.get_text() for label in overall.get_yticklabels()] == names
        keys = ["all, 48", "lowest, 46", "random, 46", "lowest, 2", "random, 2", "highest, 2"]
        for place, key in enumerate(keys):
            at = found.sel(treatment=f"{kind}, {key}")
            point = next(
                line
                for line in overall.lines
                if list(line.get_ydata()) == [place] and len(line.get_xdata()) == 1
            )
            assert point.get_xdata()[0] == pytest.approx(float(at["change_overall"]))
            ends = (float(at[f"change_overall{end}"]) for end in ("", "_low", "_high"))
            assert overall.texts[place].get_text().startswith("{:+.3f} [{:+.3f}, {:+.3f}]".format(*ends))
            assert ("less random" in overall.texts[place].get_text()) == key.startswith(("low", "high"))
        lines = {line.get_label(): line.get_ydata() for line in by_position.lines}
        for key, name in zip(keys[3:], names[3:], strict=True):
            np.testing.assert_allclose(lines[name], found["change"].sel(treatment=f"{kind}, {key}"))
        assert not any(name in lines for name in names[:3])
    assert "3 draws" in figure.get_supxlabel()


def test_few_documents_are_drawn_without_intervals():
    model = slow.reads_position()
    upper = model.transformer.wpe.weight.numpy().std(0) > 0.5
    few = experiments.disturb(find_parts(model), slow.DOCUMENTS[:4], upper, **OPTIONS)
    render(figures.draw_smoothing(few))
    figure = figures.draw_silencing(few)
    render(figure)
    told = [text.get_text() for axes in figure.axes for text in axes.texts]
    values = (few["change_overall"].sel(treatment=f"{kind}, all, 48") for kind in ("zeroed", "averaged"))
    assert {f"{float(value):+.3f}" for value in values} <= set(told) and not any("nan" in t for t in told)
    assert sum("less random: " in text for text in told) == 2 * 3


def test_a_model_without_positions_is_a_line():
    parts = find_parts(tiny_models.build("llama"))
    nothing = experiments.disturb(parts, slow.DOCUMENTS, None, **OPTIONS)
    for draw in (figures.draw_smoothing, figures.draw_silencing):
        assert notice(draw(nothing)) == "position embedding absent: the model has no such matrix"
