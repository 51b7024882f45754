import numpy as np
import pandas as pd
import pytest

from oracles import zero_layer as slow
from oracles.rendering import nans, without_intervals
from strata.embedding import clump
from strata.figures import embedding_clump as figures
from strata.figures.saving import save_figure

FEW = {"resamples": 100, "interval": 0.9}
N, SIZE = 1500, 120


def counts(n):
    return pd.DataFrame({"token_id": range(n), "count": np.where(np.arange(n) < SIZE, 0, np.arange(n))})


@pytest.fixture(scope="module")
def clumped():
    return clump.find_clumps(slow.weights(slow.clumped(N, SIZE)), counts(N), draws=9, **FEW)


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_clump_draws_both_groups_the_clump_and_counts(clumped):
    whole, alone, share = figures.draw_clump(clumped).axes
    inside = clumped["clump"].values > 0
    points = np.column_stack([clumped["value"], clumped["norm"]])
    for axes in (whole, alone):
        outer, inner = (c.get_offsets().data for c in axes.collections)
        np.testing.assert_allclose(outer, points[~inside])
        np.testing.assert_allclose(inner, points[inside])
    assert whole.get_title() == f"1,500 tokens; in clumps: {inside.sum()}"
    low, high = alone.get_xlim()
    assert ((low < points[inside, 0]) & (points[inside, 0] < high)).all()
    named = {text.split("·")[-1] for text in texts(alone)}
    assert named and named <= set(clumped["token_str"].values[inside])
    in_clumps, others = share.lines
    np.testing.assert_array_equal(in_clumps.get_xdata(), np.sort(clumped["count"].values[inside]))
    assert len(others.get_xdata()) == (~inside).sum()
    assert "median 0" in in_clumps.get_label()


def test_no_clump_is_no_mark(tmp_path):
    result = clump.find_clumps(slow.weights(slow.random_matrix(600)), counts(600), draws=9, **FEW)
    figure = figures.draw_clump(result)
    (axes,) = figure.axes
    assert axes.get_title() == "600 tokens; in clumps: none"
    assert len(axes.collections[1].get_offsets()) == 0
    save_figure(figure, tmp_path / "a.png", tmp_path / "a.svg")


def test_without_an_outlying_channel_a_line_says_so():
    result = clump.find_clumps(slow.weights(slow.random_matrix(100), outlier=None), **FEW)
    figure = figures.draw_clump(result)
    assert [t.get_text() for t in figure.texts] == [f"clump {clump.NO_OUTLIER}"]


def test_what_has_no_interval_is_told_without(clumped):
    assert nans(figures.draw_clump(without_intervals(clumped))) == []
