import numpy as np
import pytest
import xarray as xr

from oracles.rendering import overlaps, render
from strata.figures.heads import draw_attribution, draw_heads

ORDER = ["plain_english", "semantic"]
CATEGORIES = ["all", "semantic", "plain_english", "copying"]


def attribution(n_layers=5, n_heads=3, seed=0):
    rng = np.random.default_rng(seed)
    size = {"category": len(CATEGORIES), "layer": n_layers, "head": n_heads}
    dims = {
        "attention": ("category", "layer", "head"),
        "attention_total": ("category", "layer"),
        "mlp_total": ("category", "layer"),
        "token_embedding": ("category",),
        "constant": ("category",),
        "logit_difference": ("category",),
    }
    values = {name: (of, rng.normal(size=[size[dim] for dim in of])) for name, of in dims.items()}
    for name in ("attention_total", "mlp_total"):
        for end, sign in (("low", -1), ("high", 1)):
            values[f"{name}_{end}"] = (dims[name], values[name][1] + 0.3 * sign)
    values["attention_n"] = ("category", [9, 4, 3, 2])
    labels = {"category": CATEGORIES, "layer": np.arange(n_layers), "head": np.arange(n_heads)}
    return xr.Dataset(values, labels, {"interval": 0.9})


def heads(n_layers=5, n_heads=3, seed=0):
    rng = np.random.default_rng(seed)
    dims, shape = ("head", "category", "noise", "site", "layer"), (n_heads, 3, 2, 2, n_layers)
    restoration = rng.normal(size=shape) / 9
    restoration[:, 2] = np.nan  # no prompt is left of the third category
    return xr.Dataset(
        {
            "restoration": (dims, restoration),
            "n_prompts": (("category", "noise"), [[4, 3], [5, 5], [0, 0]]),
            "n_excluded": (("category", "noise"), [[0, 1], [0, 0], [2, 2]]),
        },
        {
            "head": np.arange(n_heads),
            "category": ["semantic", "plain_english", "copying"],
            "noise": ["3x", "replaced"],
            "site": ["subject", "final"],
            "layer": np.arange(n_layers),
        },
    )


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def test_attribution_is_lines_over_a_map_for_each_main_category():
    data = attribution()
    figure = draw_attribution(data, ORDER)
    assert overlaps(figure) == []
    lines, *maps = figure.axes[:4]
    drawn = {line.get_label(): line.get_ydata() for line in lines.lines}
    for category in ("plain_english", "semantic", "copying"):
        told = category.replace("_", " ")
        at = data.sel(category=category)
        np.testing.assert_allclose(drawn[f"{told}, MLP"], at["mlp_total"])
        np.testing.assert_allclose(drawn[f"{told}, attention, all heads"], at["attention_total"])
    assert "90%" in lines.get_title() and len(lines.collections) == 6
    scales = {axes.images[0].get_clim() for axes in maps}
    most = abs(data["attention"].sel(category=CATEGORIES[1:])).max().item()
    assert scales == {(-most, most)}
    for axes, category in zip(maps, ["plain_english", "semantic", "copying"], strict=True):
        at = data.sel(category=category)
        np.testing.assert_allclose(shown(axes), at["attention"].transpose("head", "layer"))
        title = axes.get_title()
        assert category.replace("_", " ") in title and f"n = {int(at['attention_n'])}" in title
        others = float(at["token_embedding"] + at["constant"])
        assert title.endswith(f"embeddings and constants {others:z.1f}")
        assert f"of {float(at['logit_difference']):z.1f} logits" in title


def test_heads_are_a_map_for_each_main_category_and_site():
    data = heads()
    figure = draw_heads(data, "replaced", ORDER)
    assert overlaps(figure) == []
    places = [(c, s) for c in ("plain_english", "semantic", "copying") for s in ("subject", "final")]
    for axes, (category, site) in zip(figure.axes, places, strict=False):
        at = data["restoration"].sel(category=category, site=site, noise="replaced")
        np.testing.assert_allclose(shown(axes), at.transpose("head", "layer"))
        assert axes.get_title().startswith(category.replace("_", " ")) and f"{site} token" in axes.get_title()
    assert "n = 3, 1 left out" in figure.axes[2].get_title()
    assert any("noise took too little" in text.get_text() for text in figure.axes[4].texts)
    assert "subject replaced" in figure.get_suptitle()


@pytest.mark.parametrize(
    "draw", [lambda: draw_heads(heads(48, 25), "3x"), lambda: draw_attribution(attribution(48, 25))]
)
def test_a_large_model_is_one_sheet_without_numbers(draw):
    figure = draw()
    render(figure)
    assert not any(text.get_text()[:1] in ".-" for axes in figure.axes for text in axes.texts)


def test_nothing_to_average_is_drawn_as_nothing():
    data = heads()
    render(draw_heads(data.assign(restoration=np.nan * data["restoration"]), "3x"))
