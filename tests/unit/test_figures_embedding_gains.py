import numpy as np
import pytest
from matplotlib.colors import to_hex

from oracles import channels as slow
from oracles.rendering import nans, notice, render, without_intervals
from strata.embedding import channels, gains
from strata.figures import embedding_gains as figures

OPTIONS = {"resamples": 30, "interval": 0.9, "seed": 0}


def described(weights):
    of_channels = channels.describe(weights["token_embedding"], weights.get("position_embedding"), **OPTIONS)
    of_gains = gains.describe(weights, of_channels, shuffles=50, **OPTIONS)
    return of_gains, of_channels, gains.outlier_table(of_gains, of_channels)


@pytest.fixture(scope="module")
def case():
    return described(slow.planted())


@pytest.mark.parametrize("norm", gains.NORMS)
def test_every_layer_has_a_panel_and_outliers_one_colour(case, norm):
    of_gains, of_channels, table = case
    figure = figures.draw_layers(of_gains, of_channels, table, norm)
    render(figure)
    std = np.log10(of_channels["position_std"].values)
    assert len(figure.axes) == slow.LAYERS
    for layer, axes in enumerate(figure.axes):
        at = of_gains.sel(norm=norm, layer=layer)
        dots = axes.collections[0].get_offsets()
        np.testing.assert_allclose(dots, np.stack([std, at["log_gain"]], axis=1))
        assert axes.get_title().startswith(f"layer {layer}: ρ {float(at['rho']):.2f} [")
        marked = axes.lines[: len(table.head(5))]
        for line, channel in zip(marked, table["channel"], strict=False):
            assert line.get_xdata()[0] == pytest.approx(std[channel])
            assert line.get_ydata()[0] == pytest.approx(float(at["log_gain"][channel]))
        colours = [to_hex(line.get_color()) for line in marked]
        assert len(set(colours)) == len(marked)
        assert colours == [to_hex(line.get_color()) for line in figure.axes[0].lines[: len(marked)]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["7", "210"]


def test_a_gain_of_zero_is_drawn_at_the_bottom(case):
    of_gains, of_channels, table = case
    silent = of_gains.copy(deep=True)
    silent["log_gain"][0, 0, 3] = -np.inf
    figure = figures.draw_layers(silent, of_channels, table, "norm1_gain")
    render(figure)
    assert figure.axes[0].collections[0].get_offsets()[3, 1] == figures.LOWEST


def test_the_summary_gives_dial_down_and_ranking(case):
    of_gains, of_channels, table = case
    figure = figures.draw_summary(of_gains, of_channels, table, n_channels=4)
    render(figure)
    ratio, rho, ranking = figure.axes
    for axes, name in ((ratio, "ratio"), (rho, "rho")):
        points = [line for line in axes.lines if line.get_marker() == "o"]
        for line, norm in zip(points, gains.NORMS, strict=True):
            np.testing.assert_allclose(line.get_ydata(), of_gains[name].sel(norm=norm))
    first = of_gains.sel(norm="norm1_gain", layer=0)
    assert f"layer 0: before attention {float(first['ratio']):.2f} [" in ratio.get_title()
    shown = table.head(4)
    heights = np.array([patch.get_height() for patch in ranking.patches]).reshape(2, 4).sum(0)
    assert heights.tolist() == shown["outlier_layers"].tolist()
    assert [int(label.get_text()) for label in ranking.get_xticklabels()] == shown["channel"].tolist()
    assert f"{len(table)} of 300 channels" in ranking.get_title()


def test_a_model_without_outliers_can_be_drawn():
    weights = slow.planted()
    of_gains, of_channels, table = described(
        weights.assign({norm: 0 * weights[norm] + 1 for norm in gains.NORMS})
    )
    assert table.empty
    render(figures.draw_layers(of_gains, of_channels, table, "norm1_gain"))
    render(figures.draw_summary(of_gains, of_channels, table))


def test_what_is_lacking_is_said():
    of_gains, of_channels, table = described(slow.planted().drop_vars("position_embedding"))
    absent = "position embedding absent: the model has no such matrix"
    assert notice(figures.draw_layers(of_gains, of_channels, table, "norm1_gain")) == absent
    summary = figures.draw_summary(of_gains, of_channels, table)
    render(summary)
    assert len(summary.axes) == 1 and summary.get_suptitle() == absent
    of_gains, of_channels, table = described(slow.planted().drop_vars("norm2_gain"))
    second = figures.draw_layers(of_gains, of_channels, table, "norm2_gain")
    assert notice(second) == "norm before the MLP: the model has none with gains"
    render(figures.draw_layers(of_gains, of_channels, table, "norm1_gain"))
    render(figures.draw_summary(of_gains, of_channels, table))
    of_gains, of_channels, table = described(slow.planted().drop_vars(["norm1_gain", "norm2_gain"]))
    for figure in (
        figures.draw_layers(of_gains, of_channels, table, "norm1_gain"),
        figures.draw_summary(of_gains, of_channels, table),
    ):
        assert notice(figure) == "gains absent: no norm before attention or before an MLP has gains"


def test_what_has_no_interval_is_told_without(case):
    of_gains, of_channels, table = case
    few = without_intervals(of_gains)
    assert nans(figures.draw_layers(few, of_channels, table, "norm1_gain")) == []
    assert nans(figures.draw_summary(few, of_channels, table)) == []
