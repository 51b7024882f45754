import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles.rendering import render
from strata.attention import hidden as analysis
from strata.figures.hidden import draw_aligned, draw_motion, draw_pooled
from strata.figures.style import CATEGORY_COLOURS

L, N = 9, 32
CATEGORIES = ["semantic"] * 16 + ["plain_english"] * 15 + ["mine"]
POOLED = {"rote": ["plain_english", "mine"]}


@pytest.fixture(scope="module")
def hidden():
    rng = np.random.default_rng(0)
    names = np.array([f"p{i}" for i in range(N)], dtype=object)
    prompts = pd.DataFrame(
        {"id": names, "category": CATEGORIES, "fact": names, "accepted": True, "subject_position": 1}
    )
    values = 5 + rng.normal(size=(L + 1, N, 8)).cumsum(0)
    resid = xr.DataArray(
        values, {"depth": range(L + 1), "prompt": ("token", names)}, ("depth", "token", "channel")
    )
    depths = rng.uniform(2, 7, (N, 2))
    depths[-1, 0] = np.nan
    transition = xr.DataArray(depths, {"prompt": names, "noise": ["0.5", "3x"]}, ("prompt", "noise"))
    options = {"cropped": 1, "n_offsets": 2, "shuffles": 50, "resamples": 30, "interval": 0.9, "seed": 0}
    options["pooled"] = POOLED
    return analysis.analyse(resid, prompts, transition, **options)


def by_label(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize("cropped", [0, 2])
def test_every_measure_is_drawn_by_category(hidden, cropped):
    figure = draw_motion(hidden, cropped)
    render(figure)
    assert len(figure.axes) == 6
    for axes, name in zip(figure.axes, analysis.MEASURES, strict=True):
        lines = by_label(axes)
        assert list(lines) == ["semantic (16)", "plain english (15)", "mine (1)"]
        if name == "norm":
            along, where = "depth", range(cropped, L + 1 - cropped)
        else:
            along, where = "layer", range(cropped + (name == "cosine_step"), L - cropped)
        line = lines["semantic (16)"]
        assert line.get_xdata().tolist() == list(where)
        at = hidden.sel({"category": "semantic", along: list(where)})
        np.testing.assert_allclose(line.get_ydata(), at[name])
        assert line.get_color() == CATEGORY_COLOURS["semantic"]
        assert len(axes.collections) == 2, "one prompt alone has no band"
        edges = axes.collections[0].get_paths()[0].vertices
        for place, low, high in zip(where, at[f"{name}_low"], at[f"{name}_high"], strict=True):
            found = edges[edges[:, 0] == place, 1]
            np.testing.assert_allclose([found.min(), found.max()], [low, high], rtol=1e-5)
        assert axes.get_ylabel() and axes.get_xlabel().startswith(along)
    assert f"depths {cropped} to {L - cropped}" in figure.get_supxlabel()


def test_pooled_categories_stand_beside_the_others_of_the_order(hidden):
    figure = draw_pooled(hidden, ["mine", "plain_english", "semantic", "nobody"], cropped=1)
    render(figure)
    for axes, name in zip(figure.axes, analysis.MEASURES, strict=True):
        lines = by_label(axes)
        assert list(lines) == ["semantic (16)", "rote (16)"]
        along = "depth" if name == "norm" else "layer"
        at = hidden.sel({"category": "rote", along: list(lines["rote (16)"].get_xdata())})
        np.testing.assert_allclose(lines["rote (16)"].get_ydata(), at[name])


def test_where_nothing_is_pooled_the_order_is_drawn(hidden):
    apart = hidden.drop_sel(category="rote")
    assert list(by_label(draw_pooled(apart, ["mine", "semantic"]).axes[0])) == ["mine (1)", "semantic (16)"]
    figure = draw_pooled(apart, ["nobody"])
    render(figure)
    assert not figure.axes and "no prompts of nobody" in figure.texts[0].get_text()


def test_aligned_motion_stands_above_what_shuffles_leave(hidden):
    figure = draw_aligned(hidden, "0.5")
    render(figure)
    assert len(figure.axes) == 10
    for column, name in enumerate(analysis.STEP_MEASURES):
        above, below = figure.axes[column], figure.axes[column + 5]
        cell = hidden.sel(measure=name, noise="0.5")
        for category, label in (("all", "all"), ("plain_english", "plain english")):
            at = cell.sel(category=category)
            at = at.where(at["aligned_n"] >= 5)
            assert at["aligned"].notnull().sum() >= 3
            assert by_label(above)[label].get_linestyle() == "-"
            np.testing.assert_allclose(by_label(above)[label].get_ydata(), at["aligned"])
            np.testing.assert_allclose(by_label(below)[label].get_ydata(), at["aligned"] - at["shuffled"])
        assert by_label(above)["rote"].get_linestyle() == "--"
        assert "mine" not in by_label(above), "its one transition is undefined"
        at = cell.sel(category="all")
        edges = below.collections[0].get_paths()[0].vertices
        for offset in range(-2, 3):
            found = edges[edges[:, 0] == offset, 1]
            band = at.sel(offset=offset)
            expected = [band[end] - band["shuffled"] for end in ("shuffled_low", "shuffled_high")]
            np.testing.assert_allclose([found.min(), found.max()], expected, atol=1e-5)
        assert below.get_title() == f"p = {float(at['p_adjusted']):.2g}, n = {int(at['n'])}"
    told = figure.get_supxlabel()
    assert "noise 0.5, depths 1 to 8" in told and "50 shuffles" in told and "(Benjamini-Hochberg)" in told


def test_means_over_few_prompts_are_not_drawn(hidden):
    few = hidden.assign(aligned_n=hidden["aligned_n"].where(hidden["offset"] != 2, 4))
    line = by_label(draw_aligned(few, "3x").axes[0])["all"]
    assert np.isnan(line.get_ydata()).tolist() == [False] * 4 + [True]


def test_without_transitions_there_is_no_test(hidden):
    none = hidden.assign(n=hidden["n"] * 0, p_adjusted=hidden["p_adjusted"].where(False))
    figure = draw_aligned(none, "0.5")
    render(figure)
    assert figure.axes[5].get_title() == "no test, n = 0" and not by_label(figure.axes[0])
