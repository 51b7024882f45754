import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from oracles import attention as slow
from oracles.rendering import render
from strata.attention.final_token import analyse
from strata.attention.outsized import outsized_channels
from strata.figures.attention import draw_final_token, draw_sink, draw_subject_peak
from strata.figures.attention_heads import draw_heads
from strata.figures.attention_text import (
    draw_first_by_position,
    draw_first_by_position_heads,
    draw_outsized,
    draw_variability,
)
from strata.figures.style import CATEGORY_COLOURS

CATEGORIES = ["semantic"] * 16 + ["plain_english"] * 15 + ["mine"]


def make_attention(n_layers=5, n_heads=3, undefined=()):
    prompts = slow.make_prompts(CATEGORIES, [4 + i % 5 for i in range(len(CATEGORIES))])
    activations = slow.make_activations(prompts, slow.random_patterns(prompts, n_layers, n_heads))
    depths = np.random.default_rng(1).uniform(0, n_layers - 1, (len(CATEGORIES), 2))
    depths[list(undefined)] = np.nan
    coordinates = {
        "prompt": prompts["id"].to_numpy(object),
        "noise": ["0.5", "3x"],
        "noise_sd": ("noise", [0.5, 0.3]),
    }
    transition = xr.DataArray(depths, coordinates, ("prompt", "noise"))
    return analyse(activations, prompts, transition, resamples=40, interval=0.9, seed=0)


def make_in_text(n_layers=5, n_heads=3, n_positions=30, n_channels=40):
    rng = np.random.default_rng(2)
    share = rng.uniform(0, 1, (n_layers, n_heads, n_positions))
    share[..., 0] = 1
    fields = {
        "first_by_position": (("layer", "head", "position"), share),
        "first_of_layer": (("layer", "position"), share.mean(1)),
        "first_of_layer_low": (("layer", "position"), 0.9 * share.mean(1)),
        "first_of_layer_high": (("layer", "position"), 1.2 * share.mean(1)),
        "first_of_layer_n": 7,
        "first_of_heads_in_text": (("heads", "layer"), rng.uniform(0.2, 0.4, (2, n_layers))),
        "first_of_heads_in_text_low": (("heads", "layer"), np.full((2, n_layers), 0.1)),
        "first_of_heads_in_text_high": (("heads", "layer"), np.full((2, n_layers), 0.5)),
        "entropy_in_text": (("layer", "head"), rng.uniform(size=(n_layers, n_heads))),
        "onset_in_text": ("heads", [1.25, 0.75]),
        "release_in_text": ("heads", [3.25, 3.75]),
        "n_tokens_in_text": 1234,
        "magnitude_first": (("depth", "channel"), np.exp(0.1 * rng.normal(size=(n_layers + 1, n_channels)))),
        "magnitude_others": (("depth", "channel"), np.ones((n_layers + 1, n_channels))),
        "variability": (("layer", "head"), rng.uniform(0, 0.4, (n_layers, n_heads))),
        "variability_beyond_first": (("layer", "head"), rng.uniform(0, 0.6, (n_layers, n_heads))),
        "n_texts": 57,
    }
    coordinates = {"layer": range(n_layers), "head": range(n_heads), "position": range(n_positions)}
    coordinates |= {"depth": range(n_layers + 1), "channel": range(n_channels), "heads": ["mean", "best"]}
    return xr.Dataset(fields, coordinates, {"skip": 10, "n_first": 8})


def shown_map(axes):
    return axes.images[0].get_array()


def vertical_lines(axes):
    return [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]


def by_label(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


# The final token ----------------------------------------------------------------------------


def test_every_site_is_drawn_linear_and_on_a_log_scale():
    attention = make_attention()
    figure = draw_final_token(attention)
    render(figure)
    assert len(figure.axes) == 6
    for row, site in enumerate(("first", "subject", "final")):
        linear, log = figure.axes[2 * row : 2 * row + 2]
        assert (linear.get_yscale(), log.get_yscale()) == ("linear", "log")
        for axes in (linear, log):
            lines = by_label(axes)
            assert list(lines) == ["semantic (16)", "plain english (15)", "mine (1)"]
            for category, line in zip(("semantic", "plain_english", "mine"), lines.values(), strict=True):
                at = attention.sel(category=category, site=site)
                np.testing.assert_allclose(line.get_ydata(), at["attention"])
                assert line.get_xdata().tolist() == [0, 1, 2, 3, 4]
            assert lines["semantic (16)"].get_color() == CATEGORY_COLOURS["semantic"]
            assert len(axes.collections) == 2, "one prompt alone has no band"
    edges = figure.axes[0].collections[0].get_paths()[0].vertices
    at = attention.sel(category="semantic", site="first", layer=2)
    found = edges[edges[:, 0] == 2, 1]
    np.testing.assert_allclose(
        [found.min(), found.max()], [at["attention_low"], at["attention_high"]], rtol=1e-6
    )
    assert "90%" in figure.get_supxlabel()


@pytest.mark.long
def test_a_large_model_is_one_sheet_without_numbers():
    attention, in_text = make_attention(48, 25), make_in_text(48, 25)
    for figure, n_maps in (
        (draw_heads(attention), 3),
        (draw_sink(attention, in_text), 2),
        (draw_variability(in_text), 2),
    ):
        render(figure)
        maps = [axes for axes in figure.axes if axes.images and axes.images[0].get_array().shape == (25, 48)]
        assert len(maps) == n_maps and not any(axes.texts for axes in maps)
        width, height = figure.get_size_inches()
        assert width <= 13 and height <= 15
        for axes in maps:
            box = axes.get_window_extent()
            assert box.width / 48 > 8 and box.height / 25 > 8  # pixels of a cell at 100 dpi
            labels = [label.get_window_extent() for label in axes.get_yticklabels()]
            assert all(low.y1 <= high.y0 for low, high in zip(labels, labels[1:], strict=False))


def test_the_sink_shows_shares_marks_and_entropies():
    attention, in_text = make_attention(), make_in_text()
    figure = draw_sink(attention, in_text)
    render(figure)
    lines, prompts, texts = figure.axes[:3]
    at = attention.sel(category="all")
    shown = by_label(lines)
    first = at["attention_by_head"].sel(site="first")
    expected = {
        "prompts, mean of the heads": first.mean("head"),
        "prompts, head that attends the most": first.max("head"),
        "text, mean of the heads": in_text["first_of_heads_in_text"].sel(heads="mean"),
        "text, head that attends the most": in_text["first_of_heads_in_text"].sel(heads="best"),
    }
    assert set(shown) == set(expected)
    for label, values in expected.items():
        np.testing.assert_allclose(shown[label].get_ydata(), values)
    bands = [band.get_paths()[0].vertices[:, 1] for band in lines.collections]
    assert [(band.min(), band.max()) for band in bands] == [(0.1, 0.5)] * 2
    marks = [float(at[end].sel(heads=h)) for h in ("mean", "best") for end in ("onset", "release")]
    for axes in (lines, prompts):
        np.testing.assert_allclose([line.get_xdata()[0] for line in vertical_lines(axes)], marks)
    assert [line.get_xdata()[0] for line in vertical_lines(texts)] == [1.25, 3.25, 0.75, 3.75]
    np.testing.assert_allclose(shown_map(prompts), at["entropy_relative"].transpose("head", "layer"))
    np.testing.assert_allclose(shown_map(texts), in_text["entropy_in_text"].transpose("head", "layer"))
    assert "1,234 tokens from position 10" in texts.get_title()
    alone = draw_sink(attention)
    render(alone)
    assert len(alone.axes) == 3 and len(by_label(alone.axes[0])) == 2  # lines, map, colour bar


def test_a_sink_that_never_sets_in_has_no_marks():
    attention = make_attention()
    none = attention.assign({end: attention[end] * np.nan for end in ("onset", "release")})
    figure = draw_sink(none)
    render(figure)
    assert all(np.isnan(line.get_xdata()).all() for line in vertical_lines(figure.axes[0]))


def test_peaks_stand_against_transitions():
    attention = make_attention(undefined=[2, 31])
    figure = draw_subject_peak(attention, "3x")
    render(figure)
    for row, heads in enumerate(("mean", "best")):
        scatter, forest = figure.axes[2 * row : 2 * row + 2]
        dots = {c.get_label(): c.get_offsets() for c in scatter.collections}
        assert {label: len(xy) for label, xy in dots.items()} == {"semantic": 15, "plain english": 15}
        rows = [i for i in range(16) if i != 2]
        found = dots["semantic"]
        np.testing.assert_allclose(found[:, 1], attention["transition_depth"].sel(noise="3x")[rows])
        assert (abs(found[:, 0] - attention["peak_layer"].sel(heads=heads)[rows].values) <= 0.3).all()
        at = attention.sel(heads=heads, noise="3x", category="all")
        rho, low, high = (float(at[f"rho{end}"]) for end in ("", "_low", "_high"))
        told = f"noise 3x: ρ = {rho:.2f} [{low:.2f}, {high:.2f}], n = 30"
        assert scatter.get_title() == told
        labels = [label.get_text() for label in forest.get_yticklabels()]
        assert labels == ["all (30)", "semantic (15)", "plain english (15)", "mine (0)"]
        points = {line.get_label(): line for line in forest.lines if line.get_marker() != "None"}
        assert points["noise 3x"].get_xdata()[0] == pytest.approx(float(at["rho"]))


def test_peaks_without_transitions_can_be_drawn():
    figure = draw_subject_peak(make_attention(undefined=range(32)), "0.5")
    render(figure)
    assert figure.axes[0].get_title() == "noise 0.5: no correlation, n = 0"


# Texts --------------------------------------------------------------------------------------


def test_attention_by_position_has_a_line_a_layer():
    in_text = make_in_text()
    figure = draw_first_by_position(in_text)
    render(figure)
    linear, log = figure.axes[:2]
    assert (linear.get_yscale(), log.get_yscale()) == ("linear", "log")
    for axes in (linear, log):
        *layers, even = axes.lines
        assert len(layers) == 5 and len({to_hex(line.get_color()) for line in layers}) == 5
        for layer, line in enumerate(layers):
            np.testing.assert_allclose(line.get_ydata(), in_text["first_of_layer"].sel(layer=layer))
        np.testing.assert_allclose(even.get_ydata(), 1 / np.arange(1, 31))
        assert axes.get_xlabel() == "position of the query (tokens)"
    assert len(linear.collections) == 5 and not log.collections
    edges = linear.collections[2].get_paths()[0].vertices
    at = in_text.sel(layer=2, position=20)
    found = edges[edges[:, 0] == 20, 1]
    np.testing.assert_allclose(
        [found.min(), found.max()], [at["first_of_layer_low"], at["first_of_layer_high"]]
    )
    assert "7 samples" in figure.get_supxlabel()


@pytest.mark.parametrize("n_layers,n_heads", [(5, 3), pytest.param(48, 25, marks=pytest.mark.long), (4, 1)])
def test_attention_by_position_has_a_panel_a_head(n_layers, n_heads):
    in_text = make_in_text(n_layers, n_heads)
    figure = draw_first_by_position_heads(in_text)
    render(figure)
    panels = [axes for axes in figure.axes if axes.get_title().startswith("head ")]
    assert [axes.get_title() for axes in panels] == [f"head {h}" for h in range(n_heads)]
    for head, axes in enumerate(panels):
        np.testing.assert_allclose(shown_map(axes), in_text["first_by_position"].sel(head=head))
        assert list(axes.images[0].get_extent()) == [-0.5, 29.5, -0.5, n_layers - 0.5]
    assert max(figure.get_size_inches()) < 15


def test_variability_is_two_maps_on_one_scale():
    in_text = make_in_text()
    figure = draw_variability(in_text)
    render(figure)
    for axes, name in zip(figure.axes, ("variability", "variability_beyond_first"), strict=False):
        np.testing.assert_allclose(shown_map(axes), in_text[name].transpose("head", "layer"))
        assert axes.images[0].get_clim() == (0, float(in_text["variability_beyond_first"].max()))
    assert "first 8 positions of 57 texts" in figure.get_suptitle()


def _together(in_text, channels):
    """As attention_text.nc holds them."""
    return xr.merge([in_text, channels], join="exact", combine_attrs="no_conflicts")


def make_outsized(rotary=False):
    in_text = make_in_text()
    in_text["magnitude_first"][2:, [4, 9]] *= 20
    gains = np.exp(0.05 * np.random.default_rng(0).normal(size=(2, 5, 40)))
    gains[0, :, 9] = 5
    weights = xr.Dataset({f"norm{i + 1}_gain": (("layer", "channel"), gains[i]) for i in range(2)})
    if not rotary:
        spread = np.where(np.arange(40) < 15, 1.0, 0.01)
        values = np.random.default_rng(1).normal(size=(50, 40)) * spread
        weights["position_embedding"] = (("position", "channel"), values)
    rule = {"among_channels": 5, "among_positions": 4, "share": 0.5}
    return _together(in_text, outsized_channels(in_text, weights, **rule))


def test_outsized_channels_are_named_and_counted():
    in_text = make_outsized()
    figure = draw_outsized(in_text)
    render(figure)
    size, relative, overlap = figure.axes
    lines = by_label(size)
    assert set(lines) == {"channel 4 (position)", "channel 9 (norm 1, position)"}
    median = in_text["magnitude_first"].median("channel")
    line = lines["channel 4 (position)"]
    np.testing.assert_allclose(line.get_ydata(), in_text["magnitude_first"].sel(channel=4) / median)
    assert len(size.lines) == len(relative.lines) == 40 + 1
    assert [axes.lines[-1].get_ydata()[0] for axes in (size, relative)] == [5, 4]
    bars = [bar.get_height() for bar in overlap.patches]
    np.testing.assert_allclose(bars, [1, 2 / 40, 0, 0, 2, 2 * 15 / 40], atol=1e-6)
    told = [text.get_text().split("\n")[0] for text in overlap.texts]
    assert told == ["1 of 1", "0 of 0", "2 of 15"]
    p = slow.chance_of_overlap(2, 40, 15, 2)
    assert overlap.texts[2].get_text().endswith(f"p = {p:.2g}")
    assert "2 outsized" in overlap.get_title()


def test_without_outsized_channels_or_position_embedding():
    figure = draw_outsized(make_outsized(rotary=True))
    render(figure)
    assert "no position embedding" in figure.axes[2].get_xlabel()
    none = outsized_channels(
        make_in_text(),
        xr.Dataset({f"norm{i}_gain": (("layer", "channel"), np.ones((5, 40))) for i in (1, 2)}),
        among_channels=5,
        among_positions=4,
        share=0.5,
    )
    render(draw_outsized(_together(make_in_text(), none)))
