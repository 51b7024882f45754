import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import Rectangle

from oracles.rendering import nans, render, without_intervals
from strata.embedding import components
from strata.embedding.svd import decompose
from strata.embedding.token_properties import describe_tokens
from strata.figures.embedding_components import (
    draw_leading_direction,
    draw_orthogonality,
    draw_peaks,
    draw_properties,
    draw_separation,
)


def make_components(n_vocab=500, n_channels=12, marked=True, tags=True, positions=True):
    rng = np.random.default_rng(0)
    space = rng.random(n_vocab) < 0.5
    mark = "Ġ" if marked else ""
    tokens = [(mark if spaced else "") + "$x" * (1 + i % 3) for i, spaced in enumerate(space)]
    matrix = rng.normal(0, 0.3, (n_vocab, n_channels))
    matrix[:, 0] += 6
    matrix[:, 1] += np.where(space, 0.8, -0.8)
    count = xr.DataArray(np.where(np.arange(n_vocab) < 60, 0.0, 1.0 + np.arange(n_vocab)), dims="vocab")
    embedding = xr.DataArray(
        matrix.astype("float32"),
        dims=("vocab", "channel"),
        coords={"token_id": ("vocab", np.arange(n_vocab)), "token_str": ("vocab", tokens)},
    )
    part = xr.DataArray(np.where(np.arange(n_vocab) % 2, "noun", "verb").astype(object), dims="vocab")
    return components.analyse(
        embedding,
        decompose(embedding, embedding["token_str"]),
        describe_tokens(embedding["token_str"], count, part if tags else None),
        count,
        xr.DataArray(rng.normal(size=(9, n_channels)), dims=("position", "channel")) if positions else None,
        components=4,
        nmf_tokens=200,
        peaks=6,
        least=20,
        sample=200,
        draws=10,
        interval=0.95,
        seed=0,
    )


@pytest.fixture(scope="module")
def found():
    return make_components()


def test_properties_are_a_table_and_what_is_told_is_framed(found):
    figure = draw_properties(found)
    render(figure)
    svd, nmf, classes = figure.axes[:3]
    labels = [label.get_text() for label in svd.get_yticklabels()]
    space = next(i for i, label in enumerate(labels) if label.startswith("leading space ("))
    seen = found.sel(token_set="seen", property="leading space")
    np.testing.assert_allclose(svd.images[0].get_array()[space], seen["auc"].sel(basis="svd"))
    np.testing.assert_allclose(nmf.images[0].get_array()[space], seen["auc"].sel(basis="nmf"))
    assert f"({int(seen['n_with']):,} of 440)" in labels[space]
    never = next(i for i, label in enumerate(labels) if label.startswith("never seen, of all tokens"))
    assert "(60 of 500)" in labels[never]
    framed = [patch.get_xy() for patch in svd.patches if isinstance(patch, Rectangle)]
    rows = {(round(y + 0.42), round(x + 0.46)) for x, y in framed}
    assert (space, 1) in rows and (space, 3) not in rows and not any(row == never for row, _ in rows)
    eta = found["eta2"].sel(token_set="seen", basis="svd", classes="part_of_speech")
    row = [label.get_text() for label in classes.get_yticklabels()].index("part of speech: η²")
    np.testing.assert_allclose(classes.images[0].get_array()[row], eta)


def test_peaks_are_written_out(found):
    figure = draw_peaks(found, n_peaks=4)
    render(figure)
    assert [axes.get_title() for axes in figure.axes] == ["SVD, high end", "SVD, low end", "NMF, most of it"]
    texts = figure.axes[1].texts
    assert len(texts) == 4 * 4
    expected = found["peak_str"].sel(token_set="seen", basis="svd", end="low", component=1).values[:4]
    row = [text.get_text() for text in texts if text.get_position()[1] == 1]
    assert row == [token.replace("Ġ", "·") for token in expected]
    assert not texts[0].get_parse_math()


def test_distributions_are_those_of_the_tokens(found):
    figure = draw_separation(found)
    render(figure)
    first = figure.axes[1]  # component 1, tokens that were seen
    heights = [sum(bar.get_height() for bar in bars) for bars in first.containers]
    space = found["leading_space"].values & found["seen"].values
    assert heights[0] == pytest.approx(space.sum(), abs=2)
    assert "two groups" in first.get_title()
    assert "closest property: leading space" in first.get_title()
    assert "one group" in figure.axes[2].get_title()
    plane = figure.axes[7]  # the best direction, all tokens
    heights = [sum(bar.get_height() for bar in bars) for bars in plane.containers]
    assert heights[0] == pytest.approx(found["leading_space"].sum(), abs=2)
    assert f"AUC {float(found['plane_auc'].sel(token_set='all')):.2f}" in plane.get_title()
    assert "plane of 1 and 2" in plane.get_xlabel()
    auc = float(found["auc"].sel(token_set="seen", basis="svd", component=1, property="leading space"))
    assert f"AUC {auc:.2f}" in first.get_title()


def test_the_leading_direction_is_drawn_with_lengths_and_positions(found):
    figure = draw_leading_direction(found, n_labels=2)
    render(figure)
    lengths, by_component, of_positions = figure.axes
    seen = found["seen"].values
    points, long = (part.get_offsets() for part in lengths.collections)
    np.testing.assert_allclose(points[:, 0], found["norm"].values[seen], rtol=1e-5)
    reach = abs(found["score"].sel(basis="svd", component=0) * found["singular_value"].sel(component=0))
    np.testing.assert_allclose(points[:, 1], reach.values[seen], rtol=1e-5)
    assert len(long) == 20 and long[:, 0].min() >= np.sort(points[:, 0])[-20]
    at = found.sel(token_set="seen")
    np.testing.assert_allclose(by_component.lines[0].get_ydata(), at["cosine_rho"])
    np.testing.assert_allclose(of_positions.lines[0].get_ydata(), found["position_variance_share"])
    np.testing.assert_allclose(of_positions.lines[2].get_ydata(), found["position_mean_share"])
    assert len(lengths.texts) <= 2


def test_cosines_stand_beside_random_ones(found):
    figure = draw_orthogonality(found)
    render(figure)
    density, share, between = figure.axes[:3]
    seen = found.sel(token_set="seen")
    np.testing.assert_allclose(density.lines[1].get_ydata(), seen["density"].sel(vectors="centred"))
    width = np.diff(density.lines[2].get_xdata())[0]
    assert density.lines[2].get_ydata().sum() * width == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(share.lines[2].get_ydata(), seen["expected_share"])
    cosine = found["direction_cosine"].sel(basis="nmf").values
    np.testing.assert_allclose(between.images[0].get_array()[1, 0], cosine[1, 0])


def test_no_marked_spaces_and_no_known_classes_are_no_failure(tmp_path):
    found = make_components(marked=False, tags=False, positions=False)
    assert found.sizes["classes"] == 0
    assert "leading space" not in found["property"].values
    assert "no leading spaces are marked" in draw_separation(found).axes[0].get_title()
    assert "absent" in draw_leading_direction(found).get_supxlabel()
    assert len(draw_separation(found).axes) == 6  # and no direction that separates them
    assert "auc_plane" not in set(components.table(found)["what"])
    found.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "c.nc", engine="h5netcdf") as back:
        for draw in (
            draw_properties,
            draw_peaks,
            draw_separation,
            draw_orthogonality,
            draw_leading_direction,
        ):
            render(draw(back))


def test_what_has_no_interval_is_told_without(found):
    few = without_intervals(found)
    for draw in (draw_separation, draw_leading_direction):
        assert nans(draw(few)) == []
