import numpy as np
import pytest

from oracles import frequency as slow
from oracles.rendering import nans, render, without_intervals
from strata.embedding import frequency
from strata.embedding.svd import decompose
from strata.figures.embedding_frequency import draw_correlations, draw_partial, draw_scatter


def make_frequency(n_vocab=300, unseen=40, outlier=True, n_channels=10):
    rng = np.random.default_rng(0)
    gains = np.ones((2, 3, n_channels))
    if outlier:
        gains[:, :, 4] = 7.0
    weights = slow.make_weights(rng.normal(size=(n_vocab, n_channels)) + 0.5, gains)
    weights["token_embedding"][17] *= 9  # the one token that stands out by its length
    return frequency.analyse(
        weights,
        decompose(weights["token_embedding"], weights["token_str"]),
        slow.make_counts(n_vocab, unseen=unseen),
        outlier_channels=2,
        resamples=30,
        interval=0.9,
        seed=0,
    )


def test_scatter_shows_every_token_and_names_those_that_stand_out():
    found = make_frequency()
    figure = draw_scatter(found, n_labels=3)
    render(figure)
    panels = [axes for axes in figure.axes if axes.collections]
    assert len(panels) == found.sizes["feature"] - 1
    seen, never = (layer.get_offsets() for layer in panels[0].collections)
    values = found["value"]
    np.testing.assert_allclose(seen[:, 0], values.sel(feature="log frequency")[:260], rtol=1e-6)
    np.testing.assert_allclose(seen[:, 1], values.sel(feature="norm")[:260], rtol=1e-6)
    assert len(never) == 40 and (never[:, 0] < 0).all()
    assert [layer.get_rasterized() for layer in panels[0].collections] == [True, True]
    assert panels[0].texts[0].get_text() == "·t17" and len(panels[0].texts) <= 3
    at = found["rho"].sel(feature="log frequency", other="norm", given="nothing")
    for chosen in ("seen", "all"):
        assert f"{chosen}: ρ = {float(at.sel(token_set=chosen)):.2f}" in panels[0].get_title()
    titles = [axes.get_title() for axes in panels]
    assert any("channel 4, an outlier in 100% of norms" in title for title in titles)
    assert any("control" in title for title in titles)
    assert (
        "90% intervals" in figure.get_supxlabel() and "260 tokens were seen, of 300" in figure.get_supxlabel()
    )


def test_every_token_seen_leaves_no_place_for_others():
    figure = draw_scatter(make_frequency(unseen=0))
    render(figure)
    assert "never" not in [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_table_has_seen_tokens_below_and_all_above():
    found = make_frequency()
    figure = draw_correlations(found)
    render(figure)
    shown = figure.axes[0].images[0].get_array()
    plain = found["rho"].sel(given="nothing")
    np.testing.assert_allclose(shown[3, 1], plain.sel(token_set="seen")[3, 1])
    np.testing.assert_allclose(shown[1, 3], plain.sel(token_set="all")[1, 3])
    assert np.ma.getmaskarray(np.ma.masked_invalid(shown)).sum() == found.sizes["feature"]
    texts = [text.get_text() for text in figure.axes[0].texts]
    cell = found.isel(feature=3, other=1).sel(token_set="seen", given="nothing")
    assert f"{float(cell['rho']):.2f}" in texts
    assert f"{float(cell['rho_low']):.2f} … {float(cell['rho_high']):.2f}" in texts


def test_partial_correlations_and_channels():
    found = make_frequency()
    figure = draw_partial(found)
    render(figure)
    first, second, channels = figure.axes
    for axes, chosen in ((first, "seen"), (second, "all")):
        lines = {line.get_label(): line for line in axes.lines}
        row = found.sel(token_set=chosen, feature="log frequency", other="token index")
        for label, given in (
            ("plainly", "nothing"),
            ("given mean direction", "mean direction"),
            ("given all others", "all others"),
        ):
            assert lines[label].get_xdata()[3] == pytest.approx(float(row["rho"].sel(given=given)))
        assert np.isnan(lines["given mean direction"].get_xdata()[2]), "mean direction given itself"
        pair = found["rho"].sel(token_set=chosen, feature="norm", other="SVD 0", given="nothing")
        assert lines["plainly"].get_xdata()[-1] == pytest.approx(float(pair))
    own = float(found["unique_share"].sel(token_set="seen", feature="SVD 0"))
    assert f"SVD 0 {own:.1%}" in figure.get_supxlabel()
    curve = channels.lines[0].get_ydata()
    np.testing.assert_allclose(curve, np.sort(abs(found["channel_rho"].sel(token_set="seen")))[::-1])
    assert channels.lines[1].get_ydata()[0] == pytest.approx(
        abs(float(found["channel_rho"].sel(token_set="seen")[4]))
    )


def test_no_outlying_gain_is_no_failure():
    found = make_frequency(outlier=False)
    assert not (found["role"] == "outlier").any()
    for draw in (draw_scatter, draw_correlations, draw_partial):
        render(draw(found))


def test_what_has_no_interval_is_told_without():
    few = without_intervals(make_frequency())
    few["unique_share"] = np.nan * few["unique_share"]
    for draw in (draw_scatter, draw_correlations, draw_partial):
        assert nans(draw(few)) == []
