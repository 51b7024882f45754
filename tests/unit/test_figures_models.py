"""Models side by side, layer by layer."""

import numpy as np
import xarray as xr

from oracles.rendering import overlaps
from strata.figures.models import draw_layers, standing_out


def attention(n_layers, seed):
    rng = np.random.default_rng(seed)
    dims = ("category", "site", "layer")
    values = rng.uniform(0.2, 0.8, size=(2, 2, n_layers))
    data = {
        "attention": (dims, values),
        "attention_low": (dims, values - 0.1),
        "attention_high": (dims, values + 0.1),
    }
    return xr.Dataset(
        data, {"category": ["all", "a"], "site": ["first", "subject"], "layer": np.arange(n_layers)}
    )


def in_text(n_layers, seed):
    values = np.random.default_rng(seed).uniform(size=(2, n_layers))
    names = [f"first_of_heads_in_text{end}" for end in ("", "_low", "_high")]
    data = {name: (("heads", "layer"), values) for name in names}
    return xr.Dataset(data, {"heads": ["mean", "best"], "layer": np.arange(n_layers)})


def gains(n_layers):
    """Channel 2 is an outlier in the most norms: 1.5 below the others in the one, 0.5 in the other."""
    log_gain = np.zeros((2, n_layers, 5))
    log_gain[:, :, 2] = [[-1.5], [-0.5]]
    data = {
        "log_gain": (("norm", "layer", "channel"), log_gain),
        "outlier_layers": ("channel", [0, 1, 2 * n_layers, 3, 0]),
    }
    return xr.Dataset(data, {"norm": ["norm1", "norm2"], "layer": np.arange(n_layers)})


def test_the_gain_that_stands_out_is_of_the_channel_that_does_so_in_most_norms():
    channel, sizes = standing_out(gains(4))
    assert channel == 2
    np.testing.assert_allclose(sizes, [-1.0] * 4)


def test_models_of_any_depth_lie_on_one_axis():
    layers = {"small": 4, "deep$x$": 48, "without gains": 1}
    one = {name: attention(n, seed) for seed, (name, n) in enumerate(layers.items())}
    texts = {name: in_text(n, seed) for seed, (name, n) in enumerate(layers.items())}
    without = xr.Dataset(attrs={"gains": "absent"})
    figure = draw_layers(
        one, texts, {name: gains(n) for name, n in layers.items()} | {"without gains": without}
    )
    assert overlaps(figure) == []
    asked, text, gain = figure.axes
    for line, (name, n) in zip(asked.lines, layers.items(), strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.arange(n) / max(n - 1, 1))
        np.testing.assert_allclose(line.get_ydata(), one[name]["attention"].values[0, 0])
    np.testing.assert_allclose(
        text.lines[1].get_ydata(), texts["deep$x$"]["first_of_heads_in_text"].values[0]
    )
    assert len(gain.lines) == 3, "two models, and the line at 0"
    labels = [words.get_text() for words in figure.legends[0].get_texts()]
    assert labels == ["small (channel 2)", "deep$x$ (channel 2)", "without gains"]
