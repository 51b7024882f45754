import numpy as np
import pytest
import xarray as xr

from oracles.random_traces import OPTIONS, make_trace
from oracles.rendering import nans, overlaps, without_intervals
from strata.figures.approximation import draw_approximation, draw_first_order
from strata.figures.style import SITE_COLOURS
from strata.trace.averages import average_by_category

MEASURES = ["p_target", "logit_difference"]


def approximation(n_depths=6, seed=0):
    rng = np.random.default_rng(seed)
    dims = ("measure", "noise", "category", "site", "depth")
    found = xr.Dataset(coords={"depth": np.arange(n_depths), "site": ["subject", "final"]})
    found = found.assign_coords(
        noise=["3x", "replaced"], category=["all", "copying", "empty"], measure=MEASURES
    )
    shape = (2, 2, 3, 2, n_depths)
    for name in ("exact", "approximate", "bias", "error"):
        mean = rng.uniform(0.2, 1.4, shape)
        mean[:, :, 2] = np.nan
        found = found.assign(
            {name: (dims, mean), f"{name}_low": (dims, mean - 0.1), f"{name}_high": (dims, mean + 0.1)}
        )
    rho = rng.uniform(size=(2, 2, 3))
    rho[:, :, 2] = np.nan
    ends = {"rank_correlation": rho, "rank_correlation_low": rho - 0.1, "rank_correlation_high": rho + 0.1}
    counts = {"n_prompts": [40, 7, 0], "n_excluded": [2, 0, 3]}
    found = found.assign({name: (dims[:3], values) for name, values in ends.items()})
    found = found.assign({name: (dims[:3], np.broadcast_to(n, (2, 2, 3))) for name, n in counts.items()})
    return found.assign_attrs(interval=0.9)


def test_exact_is_solid_and_approximate_dashed_with_the_error_at_its_side():
    data = approximation()
    figure = draw_approximation(data, "replaced")
    assert overlaps(figure) == []
    panels = np.array(figure.axes).reshape(3, 4)
    for row, category in zip(panels[:2], ("all", "copying"), strict=True):
        for measure, restored, error in zip(MEASURES, row[::2], row[1::2], strict=True):
            at = data.sel(measure=measure, noise="replaced", category=category)
            lines = [line for line in restored.lines if len(line.get_xdata()) == 6]
            expected = [
                (at[which].sel(site=site), SITE_COLOURS[site], dashes)
                for site in ("subject", "final")
                for which, dashes in (("exact", "-"), ("approximate", "--"))
            ]
            for line, (values, colour, dashes) in zip(lines, expected, strict=True):
                np.testing.assert_allclose(line.get_xydata(), np.stack([data.depth, values], 1))
                assert line.get_color() == colour and line.get_linestyle() == dashes
            for site, line, band in zip(at.site.values, error.lines, error.collections, strict=True):
                own = at.sel(site=site)
                np.testing.assert_allclose(line.get_ydata(), own["error"])
                ends = band.get_paths()[0].vertices[:, 1]
                assert ends.min() == pytest.approx(float(own["error_low"].min()))
                assert ends.max() == pytest.approx(float(own["error_high"].max()))
            assert f"ρ = {float(at['rank_correlation']):.2f} [" in error.get_title()
            # Nothing is cut off.
            drawn = np.concatenate([line.get_ydata() for line in lines])
            low, high = restored.get_ylim()
            assert low < drawn.min() and drawn.max() < high
            assert error.get_ylim()[1] > at["error_high"].max()
    assert "probability: error" in panels[0, 1].get_title() and "logit difference" in panels[0, 2].get_title()
    assert [row[0].get_ylabel() for row in panels] == ["all", "copying", "empty"]
    assert any("noise took too little" in text.get_text() for text in panels[2, 0].texts)
    [legend] = figure.legends
    names = [f"{site} token, {how}" for site in ("subject", "final") for how in ("exact", "to first order")]
    assert [text.get_text() for text in legend.get_texts()] == names
    assert "subject replaced" in legend.get_title().get_text() and "90%" in legend.get_title().get_text()


def test_averages_to_first_order_say_that_they_are():
    averages = average_by_category(make_trace(8, 1), **OPTIONS)
    figure = draw_first_order(averages, "0.5")
    assert "to first order" in figure.get_supylabel() and overlaps(figure) == []
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    at = averages.sel(category="rote", noise="0.5")
    for site in ("subject", "final"):
        drawn = lines[f"{site} token"].get_ydata()
        np.testing.assert_allclose(drawn, at["restoration"].sel(site=site))


def test_what_has_no_interval_says_none():
    figure = draw_approximation(without_intervals(approximation()), "3x")
    assert nans(figure) == [] and overlaps(figure) == []
    assert "[" not in figure.axes[1].get_title()


def test_large_errors_have_room():
    data = approximation(n_depths=48)
    data["approximate"] = 30 * data["approximate"] - 10
    figure = draw_approximation(data, "3x")
    assert figure.axes[0].get_ylim()[0] < float(data["approximate"].sel(noise="3x", category="all")[0].min())
    assert overlaps(figure) == []
