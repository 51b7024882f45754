import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg

from strata.figures import trace as figures
from strata.figures.style import SITE_COLOURS
from strata.trace import restoration
from strata.trace.order import Resampling, curve_difference, regression

OPTIONS = {"min_gap": 0.5, "n_resamples": 20, "interval": 0.9, "seed": 0}
LEVELS = ["0.1", "0.5", "3x", "replaced"]
CATEGORIES = ["semantic", "plain_english", "c$o$py_ing"]


def render(figure):
    """Draw the whole figure; a warning (a letter the font lacks, say) is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()


def make_trace(n_prompts=12, n_depths=6, n_positions=6, axis="depth", levels=LEVELS, seed=0):
    """Subjects of one to three tokens from position 1 on, all noised; the answer moves at depth 3."""
    rng = np.random.default_rng(seed)
    last = 1 + np.arange(n_prompts) % 3
    p = rng.uniform(0.0, 0.1, (n_prompts, len(levels), 3, n_depths, n_positions))
    for i in range(n_prompts):
        p[i, ..., :3, last[i]] = 0.9
        p[i, ..., 3:, -1] = 0.9
    p[..., 0] = np.nan
    strings = np.array([["The", "Ġ$x$", "Ġb", "Ġc", "Ġis", "Ġĉ"]] * n_prompts, object)
    return xr.Dataset(
        {
            "p_target": (("prompt", "noise", "sample", axis, "position"), p),
            "p_corrupted": (
                ("prompt", "noise", "sample"),
                rng.uniform(0.0, 0.1, (n_prompts, len(levels), 3)),
            ),
            "p_clean": ("prompt", np.full(n_prompts, 0.95)),
        },
        coords={
            "prompt": [f"p{i}" for i in range(n_prompts)],
            "noise": levels,
            "noise_sd": ("noise", [np.nan if level == "replaced" else 0.3 for level in levels]),
            axis: np.arange(n_depths),
            "category": ("prompt", [CATEGORIES[i % 3] for i in range(n_prompts)]),
            "subject_start": ("prompt", np.ones(n_prompts, int)),
            "subject_position": ("prompt", last),
            "n_tokens": ("prompt", np.full(n_prompts, n_positions)),
            "target": ("prompt", [" Paris"] * n_prompts),
            "top_str": ("prompt", ["ĠLyon"] * n_prompts),
            "token_str": (("prompt", "position"), strings),
        },
    )


@pytest.fixture(scope="module")
def trace():
    return make_trace()


@pytest.fixture(scope="module")
def averages(trace):
    return restoration.average_by_category(trace, **OPTIONS)


def titled(figure, start):
    return next(axes for axes in figure.axes if axes.get_title().startswith(start))


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_title()]


# One prompt ----------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["depth", "layer"])
def test_trace_shows_probabilities_stars_and_what_the_clean_run_says(axis):
    one = make_trace(axis=axis).isel(prompt=2)  # a subject of three tokens
    figure = figures.draw_trace(one)
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
    one = trace.isel(prompt=2)
    one = one.assign(p_target=one["p_target"].where(one["p_target"].position != 1))
    axes = visible(figures.draw_trace(one))[0]
    corrupted = float(one["p_corrupted"].sel(noise="0.1").mean())
    np.testing.assert_allclose(axes.images[0].get_array()[0], corrupted)


def test_a_subject_that_no_other_can_replace_is_said(trace):
    one = trace.isel(prompt=0).copy(deep=True)
    for name in ("p_target", "p_corrupted"):
        one[name][{"noise": 3}] = np.nan
    figure = figures.draw_trace(one)
    render(figure)
    assert visible(figure)[3].get_title() == "subject replaced: no other subject"


def test_windows_stand_beside_the_state(trace):
    window = make_trace(axis="layer", seed=1)
    runs = {"state": trace.isel(prompt=0), "MLP $3$": window.isel(prompt=0)}
    figure = figures.draw_trace_windows(runs, "3x")
    render(figure)
    state, mlp = visible(figure)
    assert [state.get_title(), mlp.get_title()] == ["state", "MLP $3$"]
    expected = window["p_target"].isel(prompt=0).sel(noise="3x").mean("sample").transpose("position", "layer")
    np.testing.assert_allclose(mlp.images[0].get_array(), expected[1:])
    assert state.images[0].get_clim() == mlp.images[0].get_clim()
    assert "layer" in mlp.get_xlabel() and "depth" in state.get_xlabel()


# By category ---------------------------------------------------------------------------------


def test_heat_map_has_a_panel_for_each_category_and_noise(averages):
    figure = figures.draw_heatmap(averages)
    render(figure)
    assert len(visible(figure)) == 12
    axes = titled(figure, "plain english, subject replaced")
    expected = averages["restoration"].sel(category="plain_english", noise="replaced")
    np.testing.assert_allclose(axes.images[0].get_array(), expected.transpose("site", "depth"))
    assert "(n = 4)" in axes.get_title()


def test_lines_have_bands_and_the_other_rules_beside(trace, averages):
    options = {name: value for name, value in OPTIONS.items() if name != "min_gap"}
    by_gap = restoration.average_by_gap(trace, [0.25, 0.5, 0.99], **options)
    figure = figures.draw_lines(averages, by_gap)
    render(figure)
    axes = titled(figure, "semantic, noise sd 0.5")
    at = averages.sel(category="semantic", noise="0.5")
    curves = [line for line in axes.lines if len(line.get_xdata()) == 6]
    assert len(curves) == 6  # two sites, this rule and two others
    for site in ("subject", "final"):
        own = [line for line in curves if line.get_color() == SITE_COLOURS[site]]
        np.testing.assert_allclose(own[-1].get_ydata(), at["restoration"].sel(site=site))
        loose = by_gap["restoration"].sel(category="semantic", noise="0.5", site=site, min_gap=0.25)
        np.testing.assert_allclose(own[0].get_ydata(), loose)
        assert own[-1].get_linestyle() == "-" and own[0].get_linestyle() != own[1].get_linestyle()
    n = int(by_gap["n_prompts"].sel(category="semantic", noise="0.5", min_gap=0.99))
    assert axes.get_title().endswith(f"25%: n = 4; 99%: n = {n}")
    mean = float(at["transition_mean"])
    assert f"transition {mean:.1f}" in axes.get_title()
    assert any(np.allclose(line.get_xdata(), mean) for line in axes.lines)
    assert "50%" in figure.legends[0].get_title().get_text()


def test_categories_without_prompts_say_so():
    trace = make_trace()
    trace["p_corrupted"][trace["category"].values == "semantic"] = 0.94
    averages = restoration.average_by_category(trace, **OPTIONS)
    for figure in (figures.draw_lines(averages), figures.draw_heatmap(averages)):
        render(figure)
        assert [text.get_text() for text in titled(figure, "semantic").texts] == [
            "noise took too little from every prompt"
        ]
    render(figures.draw_transitions(averages))


def test_runs_stand_beside_each_other(averages):
    window = restoration.average_by_category(make_trace(axis="layer", seed=2), **OPTIONS)
    figure = figures.draw_beside({"state": averages, "MLP": window}, "3x")
    render(figure)
    panels = np.array(figure.axes).reshape(3, 2)
    for row, category in zip(panels, CATEGORIES, strict=True):
        assert row[0].get_ylabel() == category.replace("_", " ")
        for axes, run in zip(row, (averages, window), strict=True):
            for line, site in zip(axes.lines, ("subject", "final"), strict=True):
                expected = run["restoration"].sel(category=category, noise="3x", site=site)
                np.testing.assert_allclose(line.get_ydata(), expected)
    assert "layer" in panels[-1, 1].get_xlabel()


def test_severed_shares_at_the_subject(trace):
    severed = trace.assign(p_target=trace["p_corrupted"] + 0.3 * (trace["p_target"] - trace["p_corrupted"]))
    share = restoration.severed_share(trace, severed, **OPTIONS)
    whole = restoration.severed_share(trace, trace, **OPTIONS)
    figure = figures.draw_severed({"without MLPs": share, "without attention": whole})
    render(figure)
    axes = titled(figure, "semantic, noise sd 0.5")
    for line, expected in zip(axes.lines[:2], (0.3, 1.0), strict=True):
        np.testing.assert_allclose(line.get_ydata()[:3], expected, atol=1e-6)
        assert np.isnan(line.get_ydata()[3:]).all()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["without MLPs", "without attention"]


def test_a_line_for_every_subject_token(trace):
    tokens = restoration.average_subject_tokens(trace, **OPTIONS)
    figure = figures.draw_subject_tokens(tokens)
    render(figure)
    assert len(visible(figure)) == 2 * len(LEVELS)
    axes = titled(figure, "3 subject tokens, noise sd 0.5")
    assert len(axes.lines) == 3
    for k, line in enumerate(axes.lines):
        expected = tokens["restoration"].sel(subject_length=3, noise="0.5", subject_token=k)
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert line.get_label() == f"subject token {k + 1}"


def test_subjects_of_one_token_only_are_said(trace):
    single = trace.assign_coords(subject_position=trace["subject_start"])
    render(figures.draw_subject_tokens(restoration.average_subject_tokens(single, **OPTIONS)))


# Tests of the order --------------------------------------------------------------------------


def test_every_transition_is_a_dot(averages):
    one = averages.copy(deep=True)
    one["transition_depth"][0] = np.nan
    figure = figures.draw_transitions(one)
    render(figure)
    axes = visible(figure)[1]
    of_semantic = one["prompt_category"].values == "semantic"
    depths = one["transition_depth"].sel(noise="0.5").values[of_semantic]
    dots = axes.collections[0].get_offsets()
    np.testing.assert_allclose(dots[:, 1], np.sort(depths[~np.isnan(depths)]))
    assert (abs(dots[:, 0]) <= 0.3).all() and len(np.unique(dots[:, 0])) == len(dots)
    assert axes.texts[0].get_text() == "3\n1 w/o" and axes.texts[1].get_text() == "4\n"
    mean, interval = axes.lines[:2]
    np.testing.assert_allclose(mean.get_ydata(), one["transition_mean"].sel(noise="0.5")[0])
    ends = [float(one[f"transition_{end}"].sel(noise="0.5")[0]) for end in ("low", "high")]
    np.testing.assert_allclose(interval.get_ydata(), ends)


def test_coefficients_in_their_intervals():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 5)), columns=list(figures.TERMS)[:5])
    table["several_tokens"] = (np.arange(60) % 5 == 0).astype(float)
    table["category"] = np.resize(["non_english", "plain_english", "semantic"], 60)
    table = table.assign(noise="3x", transition_depth=rng.normal(8, 1, 60), transition_reason="")
    found = regression(table, 0.95)
    figure = figures.draw_regression(found)
    render(figure)
    axes = visible(figure)[0]
    assert axes.get_title() == "noise 3 × embedding sd, n = 60"
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:3] == ["non english", "plain english", "distance, subject to final token"]
    rows = found[(found["test"] == "regression") & (found["statistic"] == "coefficient")]
    dots, _, (bars,) = axes.containers[0]
    np.testing.assert_allclose(dots.get_xydata()[:, 0], rows["value"])
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, rows[["low", "high"]])
    assert len(axes.containers[1][0].get_xydata()) == 2  # category alone


def test_difference_of_curves_in_its_band(averages):
    how = Resampling(20, 49, 0.9, 0)
    table = curve_difference(averages, "semantic", "plain_english", how)
    figure = figures.draw_curve_difference(table)
    render(figure)
    axes = visible(figure)[1]
    at = table[(table["noise"] == "0.5") & (table["site"] == "final")]
    line = next(line for line in axes.lines if line.get_label() == "final token")
    np.testing.assert_allclose(line.get_ydata(), at["value"])
    edges = axes.collections[1].get_paths()[0].vertices
    for row in at.itertuples():
        there = edges[edges[:, 0] == row.depth, 1]
        assert there.min() == pytest.approx(row.low) and there.max() == pytest.approx(row.high)
    assert "semantic less plain english" in figure.legends[0].get_title().get_text()


def test_an_untraced_prompt_is_said():
    render(figures.draw_untraced("a$b$"))
