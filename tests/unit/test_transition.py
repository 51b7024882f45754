import numpy as np
import pytest
import xarray as xr

from oracles.random_traces import OPTIONS, step_trace
from strata.trace import restoration
from strata.trace.averages import average_by_category
from strata.trace.transition import EXCLUDED, FROM_START, NEVER, transition_depth


def lead(curve):
    """Restoration whose final token leads by ``curve``."""
    curve = np.asarray(curve, float)
    return xr.DataArray(
        np.stack([np.zeros_like(curve), curve]),
        dims=("site", "depth"),
        coords={"site": list(restoration.SITES), "depth": np.arange(curve.size)},
    )


@pytest.mark.parametrize("switch", [1, 4, 7])
def test_planted_step_switches_half_a_depth_before_the_first_restored_depth(switch):
    table = average_by_category(step_trace([switch]), **OPTIONS)
    assert table.transition_depth.item() == pytest.approx(switch - 0.5)


@pytest.mark.parametrize(
    ("curve", "depth", "reason", "overtakings"),
    [
        ([-1, -0.5, 0.5, 1], 1.5, "", 1),
        ([-1, -0.1, 0.3, 1], 1.25, "", 1),
        ([-1, 0.5, -0.5, 1], 2 + 1 / 3, "", 2),  # a lead taken back does not count
        ([-1, 0, 1, 1], 1.0, "", 1),
        ([-1, 1e-7, 1e-7, 1], 2.0, "", 1),  # a plateau within float noise is not a lead
        ([-1, -0.5, -0.1, -0.1], np.nan, NEVER, 0),
        ([-1, 0.5, 1, -0.1], np.nan, NEVER, 1),
        ([0.1, 0.5, 1, 1], np.nan, FROM_START, 0),
        ([np.nan] * 4, np.nan, EXCLUDED, 0),
    ],
)
def test_transition_depth_of_known_curves(curve, depth, reason, overtakings):
    found = transition_depth(lead(curve))
    assert found.transition_depth.item() == pytest.approx(depth, nan_ok=True)
    assert found.transition_reason.item() == reason
    assert found.n_overtakings.item() == overtakings
