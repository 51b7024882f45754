import numpy as np
import pandas as pd
import pytest

from oracles.rendering import render
from oracles.trace_example import AVERAGE, make_trace, visible
from oracles.transitions import HOW, ORDER, make_table, normals
from strata.figures import order as figures
from strata.trace.averages import average_by_category
from strata.trace.curves import curve_differences
from strata.trace.order import exclusion, trend
from strata.trace.regression import regression
from strata.trace.testing import Resampling, corrected, table_of


@pytest.fixture(scope="module")
def averages():
    return average_by_category(make_trace(), **AVERAGE)


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


def test_tests_of_order_stand_between_what_excluded_prompts_could_make_of_them():
    table = make_table(normals(7, 7.5, 8, n=24), ("0.5", "3x"))
    table.loc[(table["noise"] == "0.5") & (table.index % 9 == 0), ["transition_depth", "place"]] = np.nan
    found = corrected(pd.concat([trend(table, HOW, ORDER), exclusion(table, HOW, ORDER)], ignore_index=True))
    figure = figures.draw_order(found)
    render(figure)
    pairs, excluded = figure.axes
    tests = found[found["statistic"] == "concordance"]
    assert [label.get_text() for label in pairs.get_yticklabels()] == [
        "all\nnoise sd 0.5",
        "all\nnoise 3 × embedding sd",
        "prompts that count at every noise\nnoise sd 0.5",
        "prompts that count at every noise\nnoise 3 × embedding sd",
    ]
    dots = [line for line in pairs.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([dot.get_xdata()[0] for dot in dots], tests["value"])
    intervals = [line.get_xdata() for line in pairs.lines if line.get_linewidth() == 3]
    np.testing.assert_allclose(intervals, tests[["low", "high"]])
    bounds = [line.get_xdata() for line in pairs.lines if line.get_marker() == "|"]
    anywhere = found[found["statistic"].str.contains("anywhere")]["value"].to_numpy().reshape(-1, 2)
    np.testing.assert_allclose(bounds, anywhere)  # of the first test alone
    assert bounds[0][0] < tests["value"].iloc[0] < bounds[0][1]
    told = [f"p = {row.p_adjusted:.2g}, n = {row.n}" for row in tests.itertuples()]
    assert [text.get_text() for text in pairs.texts] == told
    shares = found[found["statistic"] == "share excluded"]
    heights = [line.get_ydata()[0] for line in excluded.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(heights, shares["value"])
    ends = [line.get_ydata() for line in excluded.lines if line.get_marker() != "o"]
    np.testing.assert_allclose(ends, shares[["low", "high"]])


def test_without_tests_of_order_it_is_said():
    for few in (table_of([]), trend(make_table({ORDER[0]: np.ones(1), ORDER[1]: np.ones(2)}), HOW, ORDER)):
        figure = figures.draw_order(corrected(few))
        render(figure)
        assert not figure.axes and "nothing to compare" in figure.texts[0].get_text()


def test_coefficients_in_their_intervals():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 5)), columns=list(figures.TERMS)[:5])
    table["several_tokens"] = (np.arange(60) % 5 == 0).astype(float)
    table["category"] = np.resize(["non_english", "plain_english", "semantic"], 60)
    table = table.assign(noise="3x", transition_depth=rng.normal(8, 1, 60), transition_reason="")
    table = table.assign(place=table["transition_depth"], fact=np.arange(60).astype(str))
    found = regression(table, 0.95, ["non_english", "plain_english", "semantic"])
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
    assert "against semantic" in figure.get_supxlabel()


def test_difference_of_curves_in_its_band(averages):
    how = Resampling(20, 49, 0.9, 0)
    table = curve_differences(averages, ["semantic", "plain_english"], how)
    figure = figures.draw_curve_difference(table, "0.5")
    render(figure)
    titles = [axes.get_title().split("\n")[0] for axes in visible(figure)]
    assert titles == ["semantic less plain english", "c$o$py ing less plain english"]
    axes = visible(figure)[0]
    table = table[table["group"] == "semantic less plain_english"]
    at = table[(table["noise"] == "0.5") & (table["site"] == "final")]
    line = next(line for line in axes.lines if line.get_label() == "final token")
    np.testing.assert_allclose(line.get_ydata(), at["value"])
    edges = axes.collections[1].get_paths()[0].vertices
    for row in at.itertuples():
        there = edges[edges[:, 0] == row.depth, 1]
        assert there.min() == pytest.approx(row.low) and there.max() == pytest.approx(row.high)
    assert "noise sd 0.5" in figure.legends[0].get_title().get_text()
