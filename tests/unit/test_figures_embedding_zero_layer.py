import numpy as np
import pandas as pd
import pytest

from oracles import zero_layer as slow
from oracles.rendering import nans, without_intervals
from strata.embedding import zero_layer
from strata.figures import embedding_zero_layer as figures
from strata.figures.saving import save_figure

FEW = {"resamples": 100, "interval": 0.9}
SIZE = 120
TOKENS = 456  # of the planted vocabulary


def counts(n):
    return pd.DataFrame({"token_id": range(n), "count": np.where(np.arange(n) < SIZE, 0, np.arange(n))})


@pytest.fixture(scope="module")
def planted():
    weights = slow.planted()
    return zero_layer.analyse(weights, counts(weights.sizes["vocab"]), shuffles=20, **FEW)


@pytest.fixture(scope="module")
def untied():
    weights = slow.weights(slow.random_matrix(300), None, slow.random_matrix(300, seed=1), "rms")
    return zero_layer.analyse(weights, shuffles=20, **FEW)


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_diagonal_draws_shares_with_intervals(planted):
    whole, bands = figures.draw_diagonal(planted).axes
    share = planted["share"].values
    points = [c.lines[0].get_xdata()[0] for c in whole.containers]
    np.testing.assert_allclose(points, share)
    low, high = planted["share_low"].values[0], planted["share_high"].values[0]
    assert texts(whole)[0] == f"{share[0]:.1%} [{low:.1%}, {high:.1%}]"
    (by_length,) = (line for line in whole.lines if line.get_marker() == "|" and line.get_markersize() == 20)
    assert by_length.get_xdata()[0] == float(planted["share_by_length"]) and by_length.get_ydata()[0] == 0
    for container, variant in zip(bands.containers, planted["variant"].values, strict=True):
        at = planted.sel(variant=variant)
        np.testing.assert_allclose(container.lines[0].get_ydata(), at["share_by_band"])
        np.testing.assert_allclose(
            [s[0, 1] for s in container.lines[2][0].get_segments()], at["share_by_band_low"]
        )
    assert [t.get_text().split("\n")[0] for t in bands.get_xticklabels()] == ["never", "100 to"]


def test_diagonal_without_counts_says_so_and_shows_all_variants(untied):
    figure = figures.draw_diagonal(untied)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "embedding\n× embedding",
        "embedding\n× unembedding",
        "final norm of embedding\n× unembedding",
    ]
    assert "no counts of tokens are given" in figure.get_supxlabel()


def test_exceptions_draws_shares_by_kind_with_examples(planted):
    figure = figures.draw_exceptions(planted)
    bars, beside = figure.axes[:2]
    at = planted.sel(variant="embedding")
    np.testing.assert_allclose([p.get_width() for p in bars.patches], at["kind_share"])
    kinds = [t.get_text() for t in bars.get_yticklabels()]
    shown = dict(zip(kinds, texts(beside), strict=True))
    assert shown["space removed"].startswith("3 ")
    for pair in ("·river ⇒ river", "·lake ⇒ lake", "·hill ⇒ hill"):
        assert pair in shown["space removed"]
    assert "·cat ⇒ ·table" in shown["other"] and "⇒ ·LONG" in shown["other"]
    assert shown["to unprintable bytes"] == "1   ·snow ⇒ \\xc5"
    assert f"{len(slow.expected_calls())} exceptions of {TOKENS} tokens" in bars.get_title("left")
    chance = [line for line in bars.lines if line.get_marker() == "|" and line.get_linewidth() == 2.5]
    ends = np.array([line.get_xdata() for line in chance])
    np.testing.assert_allclose(ends, np.column_stack([at["chance_low"], at["chance_high"]]))


def test_no_exceptions_are_said_to_be_none(untied):
    figure = figures.draw_exceptions(untied)
    assert texts(figure.axes[0]) == ["no exceptions"]
    assert not figure.axes[0].patches and figure.axes[2].patches


def test_attractors_draws_every_token_and_names_the_first(planted):
    axes = figures.draw_attractors(planted).axes[0]
    at = planted.sel(variant="embedding")
    others, attracting = (c.get_offsets().data for c in axes.collections[:2])
    assert len(others) + len(attracting) == TOKENS
    drawn = at["attracted"].values > 0
    np.testing.assert_allclose(
        attracting, np.column_stack([at["key_norm"], at["attracted"]])[drawn], rtol=1e-6
    )
    assert f"·LONG ({slow.N_ATTRACTED})" in texts(axes)
    assert "16 that attract are longer than" in axes.get_title()


def test_attractors_of_a_random_matrix_are_none(untied):
    axes = figures.draw_attractors(untied).axes[0]
    assert "none attracts another" in axes.get_title() and texts(axes) == []


def test_neighbours_draws_all_cosines_chance_and_a_table(planted):
    figure = figures.draw_neighbours(planted, n_tokens=5, n_shown=2)
    histogram, table = figure.axes
    assert histogram.lines[0].get_xdata()[0] == float(planted["chance_cosine"])
    for patch, centring in zip(histogram.patches, ("raw", "centred"), strict=True):
        cosine = planted["neighbour_cosine"].sel(centring=centring).isel(k=0)
        assert patch.get_xy()[:, 0].max() >= float(cosine.max()) - 1e-6
        heights = patch.get_xy()[1::2, 1][:60]
        assert heights.sum() == TOKENS
    told = texts(table)
    assert told[:3] == ["token", "nearest, raw (cosine)", "nearest, about the mean embedding (cosine)"]
    rows = dict(zip(told[3::3], told[5::3], strict=True))
    assert len(rows) == 5 and all(token.startswith("·") for token in rows)
    names = planted["token_str"].values.tolist()
    for token, nearest in rows.items():
        row = names.index("Ġ" + token[1:])
        first = names[int(planted["neighbour_row"].sel(centring="centred")[row, 0])]
        assert nearest.startswith(figures.readable(first) + " ")


@pytest.mark.parametrize("name", ["diagonal", "exceptions", "attractors", "neighbours"])
def test_every_figure_of_either_kind_of_model_is_saved(name, planted, untied, tmp_path):
    for i, called in enumerate((planted, untied)):
        figure = getattr(figures, f"draw_{name}")(called)
        save_figure(figure, tmp_path / f"{i}.png", tmp_path / f"{i}.svg")
        assert (tmp_path / f"{i}.png").stat().st_size > 5000


def test_what_has_no_interval_is_told_without(planted):
    few = without_intervals(planted)
    for draw in (figures.draw_diagonal, figures.draw_attractors, figures.draw_neighbours):
        assert nans(draw(few)) == []
