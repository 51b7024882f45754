import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles import attention as slow
from oracles.rendering import render
from strata.attention.contrast import COLUMNS, contrast_heads
from strata.attention.final_token import analyse
from strata.figures.attention_heads import RANKED, draw_heads, draw_heads_difference
from strata.stats.bootstrap import Bootstrap

CATEGORIES = ["semantic"] * 16 + ["plain_english"] * 11 + ["mine"] * 7
CONTRAST = {"facts": ["semantic"], "rote": ["plain_english", "mine"]}


def make_attention(n_layers=5, n_heads=3):
    prompts = slow.make_prompts(CATEGORIES, [4 + i % 5 for i in range(len(CATEGORIES))])
    activations = slow.make_activations(prompts, slow.random_patterns(prompts, n_layers, n_heads))
    names = prompts["id"].to_numpy(object)
    transition = xr.DataArray(
        np.ones((len(names), 1)), {"prompt": names, "noise": ["3x"]}, ("prompt", "noise")
    )
    return analyse(activations, prompts, transition, resamples=40, interval=0.9, seed=0)


def make_heads(n_layers=5, n_heads=3):
    attention = make_attention(n_layers, n_heads)
    table = contrast_heads(attention, **CONTRAST, bootstrap=Bootstrap(40, 0.9, 0))
    table["holds"] = (table["layer"] + table["head"]) % 3 == 0
    return table


def map_of(axes):
    return axes.images[0].get_array()


def numbers(axes):
    return {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}


def test_heads_are_maps_with_numbers():
    attention = make_attention()
    figure = draw_heads(attention, "semantic")
    render(figure)
    for axes, site in zip(figure.axes, ("first", "subject", "final"), strict=False):
        at = attention["attention_by_head"].sel(category="semantic", site=site)
        values = at.transpose("head", "layer").values
        np.testing.assert_allclose(map_of(axes), values)
        found = numbers(axes)
        for head, layer in np.ndindex(values.shape):
            assert float(found[layer, head]) == pytest.approx(values[head, layer], abs=0.005)
        assert axes.images[0].get_clim() == (0, 1)
        low, high = axes.transData.transform([(0, 0), (0, 1)])[:, 1]
        assert low < high  # head 0 is at the bottom
    assert "16 semantic prompts" in figure.get_suptitle()
    assert "34 prompts of all categories" in draw_heads(attention).get_suptitle()


def test_a_category_without_prompts_has_a_line_in_place_of_its_sheet():
    figure = draw_heads(make_attention(), "non_english")
    render(figure)
    assert not figure.axes and "none of the non english prompts" in figure.texts[0].get_text()


def test_differences_are_maps_with_dots_where_they_hold():
    heads = make_heads()
    figure = draw_heads_difference(heads, CONTRAST)
    render(figure)
    most = abs(heads["difference"]).max()
    for axes, site in zip(figure.axes, ("subject", "first", "final"), strict=False):
        at = heads[heads["site"] == site].set_index(["head", "layer"])
        assert axes.images[0].get_clim() == pytest.approx((-most, most))
        shown, found = map_of(axes), numbers(axes)
        for head, layer in np.ndindex(shown.shape):
            value = at.loc[(head, layer), "difference"]
            assert shown[head, layer] == pytest.approx(value)
            assert float(found[layer, head]) == pytest.approx(value, abs=0.005)
        dots = {tuple(map(round, xy)) for xy in axes.collections[0].get_offsets()}
        assert dots == {(layer, head) for head, layer in at.index if at.loc[(head, layer), "holds"]}
    assert figure.get_suptitle() == "semantic (16 facts) less plain english and mine (18)"
    assert f"{len(heads)} tests together" in figure.get_supxlabel()


def test_the_heads_that_differ_most_are_ranked_with_intervals():
    heads = make_heads(6, 4)
    (ranked,) = [axes for axes in draw_heads_difference(heads, CONTRAST).axes if "most" in axes.get_title()]
    subject = heads[heads["site"] == "subject"].set_index(["layer", "head"])
    names = [tuple(map(int, label.get_text().split("."))) for label in ranked.get_yticklabels()]
    assert len(names) == RANKED
    left_out = subject.drop(index=names)
    assert abs(left_out["difference"]).max() <= abs(subject.loc[names, "difference"]).min()
    assert subject.loc[names, "difference"].is_monotonic_decreasing
    intervals, points = ranked.lines[:-1:2], ranked.lines[1:-1:2]
    for place, (name, interval, point) in enumerate(zip(names, intervals, points, strict=True)):
        head = subject.loc[name]
        assert list(interval.get_xdata()) == [head["difference_low"], head["difference_high"]]
        assert point.get_xydata().tolist() == [[head["difference"], place]]
        assert point.get_markerfacecolor() == ("black" if head["holds"] else "white")


def test_differences_of_a_large_model_are_one_sheet():
    figure = draw_heads_difference(make_heads(48, 25), CONTRAST)
    render(figure)
    maps = [axes for axes in figure.axes if axes.images and map_of(axes).shape == (25, 48)]
    assert len(maps) == 3 and not any(axes.texts for axes in maps)
    assert max(figure.get_size_inches()) < 18
    for axes in maps:
        box = axes.get_window_extent()
        assert box.width / 48 > 8 and box.height / 25 > 8  # pixels of a cell at 100 dpi


def test_without_prompts_of_one_kind_that_is_said():
    figure = draw_heads_difference(pd.DataFrame(columns=COLUMNS), CONTRAST)
    render(figure)
    assert "too few prompts to compare semantic with plain english and mine" in figure.texts[0].get_text()
