import numpy as np
import pytest
import xarray as xr

from oracles.rendering import overlaps, render
from oracles.trace_example import AVERAGE, CATEGORIES, LEVELS, make_trace, visible
from strata.figures import restoration as figures
from strata.figures.order import draw_transitions
from strata.figures.style import SITE_COLOURS
from strata.trace.averages import average_by_category, average_by_gap
from strata.trace.severed import severed_share
from strata.trace.subject_tokens import average_subject_tokens


@pytest.fixture(scope="module")
def trace():
    return make_trace()


@pytest.fixture(scope="module")
def averages(trace):
    return average_by_category(trace, **AVERAGE)


def titled(figure, start):
    return next(axes for axes in figure.axes if axes.get_title().startswith(start))


def cells(figure, averages):
    """The category and level of each panel, by its column's heading and its row's label."""
    by_name = {str(c).replace("_", " "): c for c in averages["category"].values}
    found, rows = {}, {}
    for axes in visible(figure):
        spec = axes.get_subplotspec()
        row, column = spec.rowspan.start, spec.colspan.start
        block, step = divmod(row, averages.sizes["noise"])
        rows[row, column] = axes
        heading = rows[block * averages.sizes["noise"], column].get_title().split("\n")[0]
        assert rows[row, 0].get_ylabel().startswith(("noise", "subject"))
        found[axes] = by_name[heading], str(averages["noise"].values[step])
    return found


def test_the_main_categories_come_first():
    main = ["non_english", "plain_english", "semantic"]
    assert figures.main_categories(["copying", "semantic", *main[:2]], main) == main
    assert figures.main_categories(["a", "semantic", "b", "c"], main) == ["semantic", "a", "b"]
    assert figures.main_categories(np.array(["b", "a"]), []) == ["b", "a"]
    assert figures.main_categories("edcba", "abcd") == list("abcd")


def test_heat_map_has_a_panel_for_each_main_category(averages):
    figure = figures.draw_heatmap(averages, "replaced", ["plain_english", "semantic"])
    render(figure)
    titles = [axes.get_title().split(",")[0] for axes in visible(figure)]
    assert titles == ["plain english", "semantic", "c$o$py ing"]
    axes = titled(figure, "plain english, subject replaced")
    expected = averages["restoration"].sel(category="plain_english", noise="replaced")
    np.testing.assert_allclose(axes.images[0].get_array(), expected.transpose("site", "depth"))
    assert "(n = 4)" in axes.get_title()


def test_the_whole_heat_map_has_a_panel_for_each_category_and_noise(averages):
    figure = figures.draw_heatmap_all(averages)
    render(figure)
    assert len(visible(figure)) == 12
    for axes, (category, noise) in cells(figure, averages).items():
        expected = averages["restoration"].sel(category=category, noise=noise)
        np.testing.assert_allclose(axes.images[0].get_array(), expected.transpose("site", "depth"))
        assert axes.get_title().endswith("n = 4")


@pytest.mark.long
def test_whole_figures_stay_within_a_page(averages):
    seven = xr.concat(
        [averages.assign_coords(category=[f"{c}{i}" for c in CATEGORIES]) for i in range(3)],
        "category",
        data_vars="minimal",
    )
    seven = seven.isel(category=slice(7))
    for draw in (figures.draw_heatmap_all, figures.draw_lines_all):
        figure = draw(seven)
        render(figure)
        assert len(visible(figure)) == 28
        assert figure.get_size_inches()[0] <= 14
        assert set(cells(figure, seven).values()) == {
            (c, n) for c in seven["category"].values for n in LEVELS
        }


def test_lines_have_bands_and_the_other_rules_beside(trace, averages):
    options = {name: value for name, value in AVERAGE.items() if name != "min_gap"}
    by_gap = average_by_gap(trace, [0.25, 0.5, 0.99], **options)
    figure = figures.draw_lines(averages, by_gap, "0.5")
    render(figure)
    assert len(visible(figure)) == 3
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


def test_every_category_and_noise_has_its_lines(trace, averages):
    options = {name: value for name, value in AVERAGE.items() if name != "min_gap"}
    by_gap = average_by_gap(trace, [0.25, 0.5, 0.99], **options)
    figure = figures.draw_lines_all(averages, by_gap)
    render(figure)
    panels = cells(figure, averages)
    assert len(panels) == 12
    for axes, (category, noise) in panels.items():
        at = averages.sel(category=category, noise=noise)
        curves = [line for line in axes.lines if len(line.get_xdata()) == 6]
        assert len(curves) == 6
        for site in ("subject", "final"):
            own = [line for line in curves if line.get_color() == SITE_COLOURS[site]]
            np.testing.assert_allclose(own[-1].get_ydata(), at["restoration"].sel(site=site))
        assert f"transition {float(at['transition_mean']):.1f}" in axes.get_title()


def test_categories_without_prompts_say_so():
    trace = make_trace()
    trace["p_corrupted"][trace["category"].values == "semantic"] = 0.94
    averages = average_by_category(trace, **AVERAGE)
    for figure in (
        figures.draw_lines(averages, None, "0.5"),
        figures.draw_lines_all(averages),
        figures.draw_heatmap(averages, "0.5"),
        figures.draw_heatmap_all(averages),
    ):
        render(figure)
        assert [text.get_text() for text in titled(figure, "semantic").texts] == [
            "noise took too little\nfrom every prompt"
        ]
    render(draw_transitions(averages))


def test_states_and_windows_are_columns(averages):
    mlp, attn = (average_by_category(make_trace(axis="layer", seed=seed), **AVERAGE) for seed in (2, 3))
    figure = figures.draw_windows(averages, mlp, attn, "3x")
    render(figure)
    check_columns(figure, {"state": averages, "MLP window": mlp, "attention window": attn})


def test_measures_are_columns(averages):
    others = [average_by_category(make_trace(seed=seed), **AVERAGE) for seed in (2, 3, 4, 5)]
    figure = figures.draw_measures(averages, *others, "3x")
    render(figure)
    names = ("probability", "whole target", "logit difference", "KL from clean", "named set")
    check_columns(figure, dict(zip(names, (averages, *others), strict=True)))


def check_columns(figure, runs):
    """A row a category, a column a run, at the noise level 3x."""
    panels = np.array(figure.axes).reshape(3, len(runs))
    assert [axes.get_title().split("\n")[0] for axes in panels[0]] == list(runs)
    for row, category in zip(panels, CATEGORIES, strict=True):
        assert row[0].get_ylabel() == category.replace("_", " ")
        for axes, run in zip(row, runs.values(), strict=True):
            for line, site in zip(axes.lines, ("subject", "final"), strict=True):
                expected = run["restoration"].sel(category=category, noise="3x", site=site)
                np.testing.assert_allclose(line.get_ydata(), expected)
    for axes, run in zip(panels[-1], runs.values(), strict=True):
        assert ("layer" in axes.get_xlabel()) == ("layer" in run.dims)


def test_severed_shares_at_the_subject(trace):
    severed = trace.assign(p_target=trace["p_corrupted"] + 0.3 * (trace["p_target"] - trace["p_corrupted"]))
    share = severed_share(trace, severed, **AVERAGE)
    whole = severed_share(trace, trace, **AVERAGE)
    figure = figures.draw_severed(share, whole)
    render(figure)
    axes = next(axes for axes, at in cells(figure, share).items() if at == ("semantic", "0.5"))
    for line, expected in zip(axes.lines[:2], (0.3, 1.0), strict=True):
        np.testing.assert_allclose(line.get_ydata()[:3], expected, atol=1e-6)
        assert np.isnan(line.get_ydata()[3:]).all()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["without MLPs", "without attention"]


def test_a_line_for_every_subject_token(trace):
    tokens = average_subject_tokens(trace, **AVERAGE)
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
    render(figures.draw_subject_tokens(average_subject_tokens(single, **AVERAGE)))


@pytest.mark.long
def test_words_do_not_overlap(trace, averages):
    options = {name: value for name, value in AVERAGE.items() if name != "min_gap"}
    by_gap = average_by_gap(trace, [0.25, 0.5, 0.99], **options)
    window = average_by_category(make_trace(axis="layer", seed=2), **AVERAGE)
    for figure in (
        figures.draw_heatmap(averages, "3x"),
        figures.draw_heatmap_all(averages),
        figures.draw_lines(averages, by_gap, "3x"),
        figures.draw_lines_all(averages, by_gap),
        figures.draw_windows(averages, window, window, "3x"),
        figures.draw_measures(*[averages] * 5, "3x"),
    ):
        assert not overlaps(figure)
