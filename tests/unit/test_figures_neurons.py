import numpy as np
import pytest
import xarray as xr

from oracles.rendering import overlaps, render
from strata.figures.heads import draw_heads
from strata.figures.neurons import draw_neurons

ORDER = ["plain_english", "semantic"]
GROUPS = ["1", "2", "3", "random"]


def neurons(groups=GROUPS, n_layers=6, seed=0):
    rng = np.random.default_rng(seed)
    dims, shape = ("neuron_group", "category", "noise", "site", "layer"), (len(groups), 3, 2, 2, n_layers)
    mean = rng.uniform(size=shape)
    return xr.Dataset(
        {
            "restoration": (dims, mean),
            "restoration_low": (dims, mean - 0.1),
            "restoration_high": (dims, mean + 0.1),
            "n_prompts": (("category", "noise"), [[20, 3], [25, 5], [0, 0]]),
            "n_excluded": (("category", "noise"), [[0, 1], [0, 0], [2, 2]]),
        },
        {
            "neuron_group": groups,
            "category": ["semantic", "plain_english", "copying"],
            "noise": ["3x", "replaced"],
            "site": ["subject", "final"],
            "layer": np.arange(n_layers),
        },
        {"interval": 0.9},
    )


def test_a_line_in_its_band_for_each_group_in_every_category_and_site():
    data = neurons()
    figure = draw_neurons(data, "replaced", ORDER)
    assert overlaps(figure) == []
    places = [(c, s) for c in ("plain_english", "semantic", "copying") for s in ("subject", "final")]
    names = ["largest 1/3", "group 2", "smallest 1/3", "as many at random"]
    for axes, (category, site) in zip(figure.axes, places, strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        assert list(lines) == names and lines[names[-1]].get_linestyle() == "--"
        for name, group, band in zip(names, GROUPS, axes.collections, strict=True):
            at = data.sel(category=category, site=site, noise="replaced", neuron_group=group)
            np.testing.assert_allclose(lines[name].get_ydata(), at["restoration"])
            ends = band.get_paths()[0].vertices[:, 1]
            np.testing.assert_allclose(
                [ends.min(), ends.max()], [at["restoration_low"].min(), at["restoration_high"].max()]
            )
        assert axes.get_title().startswith(category.replace("_", " ")) and f"{site} token" in axes.get_title()
    assert any("noise took too little" in text.get_text() for text in figure.axes[4].texts)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    assert "subject replaced" in legend.get_title().get_text() and "90%" in legend.get_title().get_text()


def test_one_group_by_size_is_neither_the_largest_nor_the_smallest():
    figure = draw_neurons(neurons(["1", "random"]), "3x")
    assert [line.get_label() for line in figure.axes[0].lines] == ["group 1", "as many at random"]


@pytest.mark.parametrize("draw", [draw_neurons, draw_heads])
def test_what_was_not_traced_is_said(draw):
    figure = draw(xr.Dataset(attrs={"not_traced": "single heads"}), "3x", ORDER)
    render(figure)
    assert "single heads are not traced" in figure.texts[0].get_text()
