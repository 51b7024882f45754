import numpy as np
import pytest

from oracles.rendering import notice, overlaps, render
from oracles.trace_example import LEVELS, make_trace, visible
from strata.figures import trace as figures


@pytest.fixture(scope="module")
def trace():
    return make_trace()


@pytest.mark.parametrize("axis", ["depth", "layer"])
def test_trace_shows_probabilities_stars_and_what_the_clean_run_says(axis):
    trace = make_trace(axis=axis)
    one = trace.sel(prompt="p2")  # a subject of three tokens
    figure = figures.draw_trace(trace, "p2")
    render(figure)
    panels = visible(figure)
    assert len(panels) == len(LEVELS)
    assert panels[2].get_title().startswith("noise 3 × embedding sd = 0.3: corrupted 0.0")
    assert panels[3].get_title().startswith("subject replaced")
    assert "“·Lyon”" in figure.get_suptitle() and "0.95" in figure.get_suptitle()
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels == ["·$x$*", "·b*", "·c*", "·is", "·→"]
    for level, axes in zip(LEVELS, panels, strict=True):
        drawn = axes.images[0].get_array()
        expected = one["p_target"].sel(noise=level).mean("sample").transpose("position", axis)
        np.testing.assert_allclose(drawn, expected[1:])
        assert ("layer" in axes.get_xlabel()) == (axis == "layer")


def test_tokens_before_the_noise_stand_at_the_corrupted_value(trace):
    trace = trace.assign(p_target=trace["p_target"].where(trace["p_target"].position != 1))
    axes = visible(figures.draw_trace(trace, "p2"))[0]
    corrupted = float(trace["p_corrupted"].sel(prompt="p2", noise="0.1").mean())
    np.testing.assert_allclose(axes.images[0].get_array()[0], corrupted)


def test_a_subject_that_no_other_can_replace_is_said(trace):
    trace = trace.copy(deep=True)
    for name in ("p_target", "p_corrupted"):
        trace[name][{"noise": 3, "prompt": 0}] = np.nan
    figure = figures.draw_trace(trace, "p0")
    render(figure)
    assert visible(figure)[3].get_title() == "subject replaced: no other subject"


def test_windows_are_drawn_with_the_state(trace):
    windows = [make_trace(axis="layer", seed=seed) for seed in (1, 2)]
    figure = figures.draw_trace_windows(trace, *windows, "p0", "3x")
    render(figure)
    state, *parts = visible(figure)
    titles = [axes.get_title() for axes in (state, *parts)]
    assert titles == ["state", "MLP window", "attention window"]
    for axes, window in zip(parts, windows, strict=True):
        expected = window["p_target"].sel(prompt="p0", noise="3x").mean("sample")
        np.testing.assert_allclose(axes.images[0].get_array(), expected.transpose("position", "layer")[1:])
        assert state.images[0].get_clim() == axes.images[0].get_clim()
        assert "layer" in axes.get_xlabel() and "depth" in state.get_xlabel()


def test_an_untraced_prompt_is_said(trace):
    for figure in (
        figures.draw_trace(trace, "a$b$"),
        figures.draw_trace_windows(trace, trace, trace, "a$b$", "3x"),
    ):
        assert notice(figure) == "a$b$: not accepted on this model, see prompts.tsv for the reason."


def test_what_is_measured_is_named_with_the_target_that_it_begins(trace):
    names = {
        "ĠP": "“·P” (first token of “·Paris”)",
        "ĠParis": "“·Paris”",
        "ĠLyon": "the first token of “·Paris”",
    }
    for guess, name in names.items():
        one = trace.assign_coords(top_str=trace["top_str"].copy(data=np.full(12, guess, object)))
        figure = figures.draw_trace(one, "p0")
        assert f"clean probability of {name}: 0.95" in figure.get_suptitle()
        bar = figure.axes[-1].get_ylabel()
        assert bar.startswith(f"probability of {name.split(' (')[0]},")


@pytest.mark.parametrize("prompt", ["p0", "p2"])
def test_words_do_not_overlap(trace, prompt):
    window = make_trace(axis="layer", seed=1)
    assert not overlaps(figures.draw_trace(trace, prompt))
    assert not overlaps(figures.draw_trace_windows(trace, window, window, prompt, "3x"))
