import numpy as np
import pytest
import xarray as xr

from oracles.rendering import render
from strata.figures.attention_distance import draw_by_distance


def make_in_text(n_layers=5, n_heads=3, n_distances=17, rotary=True):
    rng = np.random.default_rng(0)
    shape = n_layers, n_heads, n_distances
    by_distance = rng.uniform(0.2, 1, shape[:2])
    alone = rng.normal(size=shape)
    curves = {
        "attention_by_distance": rng.dirichlet(np.ones(n_distances), shape[:2]),
        "logit_by_distance": alone + 0.1 * rng.normal(size=shape),
        "logit_without_content": alone if rotary else 0 * alone,
    }
    for end, reach in (("low", -0.2), ("high", 0.3)):
        curves[f"logit_by_distance_{end}"] = curves["logit_by_distance"] + reach
    shares = {
        "explained_by_distance": by_distance,
        "explained_by_rotation": 0.8 * by_distance if rotary else np.full(shape[:2], np.nan),
    }
    return xr.Dataset(
        {name: (("layer", "head", "distance"), values) for name, values in curves.items()}
        | {name: (("layer", "head"), values) for name, values in shares.items()},
        coords={name: np.arange(n) for name, n in zip(("layer", "head", "distance"), shape, strict=True)},
    )


def maps_of(figure):
    return [np.ma.getdata(axes.images[0].get_array()) for axes in figure.axes if axes.images]


DEEP = pytest.param(48, 25, 65, marks=pytest.mark.long)


@pytest.mark.parametrize("n_layers,n_heads,n_distances", [(5, 3, 17), DEEP, (1, 1, 3)])
def test_every_head_is_there_in_the_order_of_layers(n_layers, n_heads, n_distances):
    in_text = make_in_text(n_layers, n_heads, n_distances)
    figure = draw_by_distance(in_text)
    render(figure)
    (mesh,) = figure.axes[0].collections
    cells = mesh.get_array().reshape(n_layers * n_heads, n_distances)
    for layer in range(n_layers):
        for head in range(n_heads):
            expected = in_text["attention_by_distance"].sel(layer=layer, head=head)
            np.testing.assert_allclose(cells[layer * n_heads + head], expected)
    edges = mesh.get_coordinates()
    assert edges[0, 0].tolist() == [0.5, -0.5] and edges[-1, -1].tolist() == [
        n_distances + 0.5,
        n_layers - 0.5,
    ]
    by_distance, by_rotation = maps_of(figure)
    np.testing.assert_allclose(by_distance, in_text["explained_by_distance"].T)
    np.testing.assert_allclose(by_rotation, in_text["explained_by_rotation"].T)
    assert "80% of it" in figure.axes[3].get_title()


def test_logits_of_heads_from_the_best_explained_to_the_median_one():
    in_text = make_in_text()
    axes = draw_by_distance(in_text).axes[1]
    shares = in_text["explained_by_distance"].values.ravel()
    chosen = np.argsort(-shares)[[0, 2, 4, 5, 7]]  # of the 8 first of 15
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == [
        f"layer {i // 3}, head {i % 3}: {shares[i]:.2f}, rotation {0.8 * shares[i]:.2f}" for i in chosen
    ]
    lines = axes.lines[:10]
    for index, alone, mean in zip(chosen, lines[::2], lines[1::2], strict=True):
        layer, head = divmod(int(index), 3)
        np.testing.assert_array_equal(mean.get_xdata(), np.arange(17) + 1)
        for line, name in ((alone, "logit_without_content"), (mean, "logit_by_distance")):
            np.testing.assert_allclose(line.get_ydata(), in_text[name].sel(layer=layer, head=head))
        assert alone.get_color() == mean.get_color() and alone.get_linestyle() == "--"
    for index, band in zip(chosen, axes.collections, strict=True):
        layer, head = divmod(int(index), 3)
        edges = band.get_paths()[0].vertices
        at = edges[edges[:, 0] == 3, 1]  # distance 2
        ends = [float(in_text[f"logit_by_distance_{end}"][layer, head, 2]) for end in ("low", "high")]
        np.testing.assert_allclose([at.min(), at.max()], ends)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "2", "4", "8", "16"]


def test_where_attention_adds_no_positions_nothing_rotates():
    figure = draw_by_distance(make_in_text(rotary=False))
    render(figure)
    assert "adds no positions" in figure.axes[3].get_title()
    assert not [line for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert "rotation" not in figure.axes[1].get_legend().get_texts()[0].get_text()


def test_beyond_a_window_there_is_nothing():
    in_text = make_in_text()
    in_text["attention_by_distance"][0, :, 4:] = 0
    in_text["logit_by_distance"][0, :, 4:] = np.nan
    figure = draw_by_distance(in_text)
    render(figure)
    hidden = np.ma.getmaskarray(figure.axes[0].collections[0].get_array()).reshape(15, 17)
    assert hidden.sum() == 3 * 13 and hidden[:3, 4:].all()


def test_texts_that_reach_nowhere():
    in_text = make_in_text(n_distances=1)
    for name in ("explained_by_distance", "explained_by_rotation"):
        in_text[name][:] = np.nan
    figure = draw_by_distance(in_text)
    render(figure)
    assert len(figure.axes[1].lines) == 1
