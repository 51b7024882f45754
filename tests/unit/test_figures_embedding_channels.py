import numpy as np
import pytest

from oracles import channels as slow
from oracles.rendering import nans, notice, render, without_intervals
from strata.embedding import channels
from strata.embedding.channel_groups import channel_pairs, group_names
from strata.figures import embedding_channels as figures

OPTIONS = {"resamples": 30, "interval": 0.9, "seed": 0}


@pytest.fixture(scope="module", params=["planted", "random"])
def case(request):
    weights = getattr(slow, request.param)()
    return weights, channels.describe(weights["token_embedding"], weights["position_embedding"], **OPTIONS)


def test_the_matrix_is_its_chunk_between_its_means(case):
    weights, described = case
    figure = figures.draw_matrix(weights, described, 100, 50, 90)
    render(figure)
    heat, above, beside = figure.axes[:3]
    tokens = weights["token_embedding"].values
    np.testing.assert_allclose(heat.images[0].get_array(), tokens[100:150, :90])
    low, high = heat.images[0].get_clim()
    assert low == -high
    np.testing.assert_allclose(above.lines[0].get_ydata(), tokens.astype(float)[:, :90].mean(0), atol=1e-9)
    np.testing.assert_allclose(beside.lines[0].get_xdata(), tokens[100:150].mean(1), atol=1e-6)
    assert beside.lines[0].get_ydata().tolist() == list(range(100, 150))
    assert heat.get_yticklabels()[1].get_text() == "102 t102"
    assert f"{float(described['share_of_channels']):.1%}" in figure.get_suptitle()
    assert "all 500 tokens" in figure.get_suptitle()
    render(figures.draw_matrix(weights, described, 10_000, 9999))


def test_histograms_are_densities_of_first_rows_and_columns(case):
    tokens = case[0]["token_embedding"]
    figure = figures.draw_histograms(case[0], 3)
    render(figure)
    for axes, series in zip(figure.axes, (tokens.values[:3], tokens.values[:, :3].T), strict=True):
        assert len(axes.patches) == 3
        for patch, values in zip(axes.patches, series, strict=True):
            density, edges, _ = patch.get_data()
            np.testing.assert_allclose(density, np.histogram(values, edges, density=True)[0])
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["0 t0", "1 t1", "2 t2"]
    assert "each over 300 channels" in figure.axes[0].get_title()
    assert "each over 500 tokens" in figure.axes[1].get_title()


def test_moments_hold_every_channel_and_the_boundary(case):
    described = case[1]
    figure = figures.draw_moments(described)
    render(figure)
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == slow.WIDTH
    last = figure.axes[3]
    assert last.get_xscale() == "log"
    assert last.lines[0].get_xdata()[0] == pytest.approx(10 ** float(described["boundary"]))
    told = "two groups" if described.attrs["two_groups"] else "no two groups"
    assert last.get_title().startswith(f"{told}: Ashman's D {float(described['ashmans_d']):.1f} [")


def test_the_rivalry_shows_clouds_and_tests(case):
    described = case[1]
    figure = figures.draw_rivalry(described)
    render(figure)
    cloud, *tests = figure.axes
    shown = {c.get_label(): c.get_offsets() for c in cloud.collections}
    assert len(shown) == 4
    xy = shown["|mean| over tokens"]
    np.testing.assert_allclose(xy[:, 0], described["position_std"])
    np.testing.assert_allclose(xy[:, 1], abs(described["token_mean"]))
    xy = shown["standard deviation over positions"]
    np.testing.assert_allclose(xy[:, 0], xy[:, 1])
    names = ["rho", "auc"] if described.attrs["two_groups"] else ["rho"]
    assert len(tests) == len(names)
    for axes, name in zip(tests, names, strict=True):
        bars, points = axes.lines[:-1:2], axes.lines[1:-1:2]
        for place, measure in enumerate(channels.RIVALS):
            at = described.sel(measure=measure)
            assert points[place].get_xdata()[0] == pytest.approx(float(at[name]))
            ends = [float(at[f"{name}_low"]), float(at[f"{name}_high"])]
            np.testing.assert_allclose(bars[place].get_xdata(), ends)


def test_pairs_hold_all_tokens_and_positions(case):
    weights, described = case
    tokens, positions = weights["token_embedding"], weights["position_embedding"]
    used = np.arange(slow.VOCAB) % 3 > 0
    figure = figures.draw_pairs(weights, described.assign(used=("vocab", used)))
    render(figure)
    for axes, pair in zip(figure.axes, channel_pairs(described).values(), strict=False):
        seen, unseen, dots = (c.get_offsets() for c in axes.collections)
        columns = list(pair)
        np.testing.assert_allclose(seen, tokens.values[used][:, columns])
        np.testing.assert_allclose(unseen, tokens.values[~used][:, columns])
        np.testing.assert_allclose(dots, positions.values[:, columns])
        assert axes.get_xlabel() == f"channel {pair[0]}"
    assert "167 of them that never occur" in figure.get_supxlabel()
    name = group_names(described)[0]
    assert figure.axes[0].get_title() == f"both: {name}"
    assert (name == "position-active") == bool(described.attrs["two_groups"])


def test_without_positions_a_line_says_so():
    weights = slow.planted()
    described = channels.describe(weights["token_embedding"], **OPTIONS)
    absent = "position embedding absent: the model has no such matrix"
    assert notice(figures.draw_rivalry(described)) == absent
    assert notice(figures.draw_pairs(weights.drop_vars("position_embedding"), described)) == absent
    figure = figures.draw_moments(described)
    render(figure)
    assert len(figure.axes) == 2 and figure.get_suptitle() == absent
    render(figures.draw_matrix(weights, described))


def test_what_has_no_interval_is_told_without(case):
    few = without_intervals(case[1])
    assert nans(figures.draw_moments(few)) == nans(figures.draw_rivalry(few)) == []
    few["rho_p"] = np.nan * few["rho_p"]
    assert nans(figures.draw_rivalry(few)) == []
