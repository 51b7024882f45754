import numpy as np
import pytest

from oracles import channels as slow
from oracles.rendering import nans, notice, render, without_intervals
from strata.embedding import channels, positions
from strata.figures import embedding_positions as figures

OPTIONS = {"resamples": 30, "interval": 0.9, "seed": 0}


def described(weights):
    matrix = weights.get("position_embedding")
    of_channels = channels.describe(weights["token_embedding"], matrix, **OPTIONS)
    upper = of_channels.get("upper")
    return of_channels, positions.describe(matrix, upper, components=4, draws=50, **OPTIONS)


@pytest.fixture(scope="module")
def case():
    weights = slow.planted()
    return weights, *described(weights)


def by_spread(of_channels):
    return np.argsort(-of_channels["position_std"].values, kind="stable")


def test_the_matrix_is_whole_and_ordered(case):
    weights, of_channels, _ = case
    figure = figures.draw_matrix(weights, of_channels)
    render(figure)
    order = by_spread(of_channels)
    values = weights["position_embedding"].values.astype(float).T[order]
    centred = values - values.mean(1, keepdims=True)
    raw, scaled = figure.axes[:2]
    np.testing.assert_allclose(raw.images[0].get_array(), centred, atol=1e-7)
    np.testing.assert_allclose(
        scaled.images[0].get_array(), centred / values.std(1, keepdims=True), atol=1e-5
    )
    assert raw.lines[0].get_ydata()[0] == len(slow.ACTIVE) - 0.5


def test_every_active_channel_has_a_panel_and_quiet_ones_a_finer_axis(case):
    weights, of_channels, of_positions = case
    figure = figures.draw_channels(weights, of_channels, of_positions, n_quiet=9)
    render(figure)
    order = by_spread(of_channels)
    values = weights["position_embedding"].values.astype(float)
    groups = order[: len(slow.ACTIVE)], order[-9:]
    spans = []
    for axes, group in zip(figure.axes, groups, strict=True):
        frames, lines, waves = (found.get_paths() for found in axes.collections)
        assert len(frames) == len(lines) == len(waves) == len(axes.texts) == len(group)
        centred = values[:, group] - values[:, group].mean(0)
        spans.append(np.quantile(abs(centred), 0.999) * 1.1)
        for place, (channel, frame, line, wave, text) in enumerate(
            zip(group, frames, lines, waves, axes.texts, strict=True)
        ):
            box = frame.get_extents()
            drawn, fitted = (
                (box.y0 + box.y1 - 2 * path.vertices[:, 1]) / box.height * spans[-1] for path in (line, wave)
            )
            np.testing.assert_allclose(drawn, np.clip(centred[:, place], -spans[-1], spans[-1]), atol=1e-9)
            assert box.x0 < line.vertices[:, 0].min() and line.vertices[:, 0].max() < box.x1
            explained = 1 - ((centred[:, place] - fitted) ** 2).sum() / (centred[:, place] ** 2).sum()
            assert text.get_text() == f"{channel}: {explained:.0%}"
            assert box.x0 < text.get_position()[0] < box.x1 and text.get_position()[1] == box.y0
    assert spans[0] > 10 * spans[1]
    above, below = figure.subfigs
    assert above.get_suptitle().startswith("position-active: all 60 channels")
    assert "the 9 channels that move the least" in below.get_suptitle()


def test_more_channels_than_panels_are_said_to_be(case, monkeypatch):
    monkeypatch.setattr(figures, "MAX_PANELS", 12)
    weights, of_channels, of_positions = case
    figure = figures.draw_channels(weights, of_channels, of_positions)
    assert "12 largest of 60 channels" in figure.subfigs[0].get_suptitle()


def test_pairs_of_channels_are_in_their_planes(case):
    weights, of_channels, _ = case
    figure = figures.draw_lissajous(weights, of_channels, 4)
    render(figure)
    chosen = by_spread(of_channels)[:4]
    panels = np.array(figure.axes[:9]).reshape(3, 3)
    for row, column in np.ndindex(3, 3):
        if column > row:
            assert not panels[row, column].collections
            continue
        dots = panels[row, column].collections[0].get_offsets()
        np.testing.assert_allclose(
            dots, weights["position_embedding"].values[:, [chosen[column], chosen[row + 1]]]
        )
    assert panels[2, 0].get_xlabel() == f"channel {chosen[0]}"
    assert panels[2, 0].get_ylabel() == f"channel {chosen[3]}"


def test_sinusoids_are_held_against_chance(case):
    _, of_channels, of_positions = case
    figure = figures.draw_sinusoids(of_channels, of_positions)
    render(figure)
    fits, frequencies, spectra, components = figure.axes[:4]
    upper = of_channels["upper"].values
    for axes, name in ((fits, None), (frequencies, "best_frequency")):
        x = of_channels["position_std"] if name is None else of_positions[name]
        for dots, group in zip(axes.collections, (upper, ~upper), strict=True):
            np.testing.assert_allclose(dots.get_offsets()[:, 0], x.values[group])
            np.testing.assert_allclose(dots.get_offsets()[:, 1], of_positions["explained"].values[group])
    levels = [line.get_ydata()[0] for line in fits.lines]
    expected = [np.quantile(of_positions[f"explained_{name}"], 0.9) for name in ("walk", "noise")]
    np.testing.assert_allclose(levels, expected)
    shown = spectra.collections[0].get_array().reshape(slow.WIDTH, -1)
    shares = of_positions["spectrum"].values[by_spread(of_channels)]
    np.testing.assert_allclose(10**shown, np.maximum(shares, 1e-4), rtol=1e-6)
    assert len(components.lines) == 4
    value = float(of_positions["mean_explained"].sel(channel_set="lower"))
    assert f"quiet (240): explained on average {value:.2f} [" in figure.get_suptitle()


def test_without_positions_a_line_says_so():
    weights = slow.planted().drop_vars("position_embedding")
    of_channels, of_positions = described(weights)
    for figure in (
        figures.draw_matrix(weights, of_channels),
        figures.draw_channels(weights, of_channels, of_positions),
        figures.draw_lissajous(weights, of_channels),
        figures.draw_sinusoids(of_channels, of_positions),
    ):
        assert notice(figure) == "position embedding absent: the model has no such matrix"


def test_what_has_no_interval_is_told_without(case):
    weights, of_channels, of_positions = case
    few = without_intervals(of_positions)
    assert nans(figures.draw_sinusoids(of_channels, few)) == []
    few["explained"] = np.nan * few["explained"]
    assert nans(figures.draw_channels(weights, of_channels, few)) == []
