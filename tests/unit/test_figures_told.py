"""No figure tells "nan": what is few has no interval, what is nothing is said to be undefined."""

from math import nan

import pytest
import xarray as xr

from strata.figures.told import estimate, in_interval


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((0.314, 0.2, 0.42), "0.31 [0.20, 0.42]"),
        ((0.314, nan, nan), "0.31"),
        ((0.314, 0.2, nan), "0.31"),
        ((0.314,), "0.31"),
        ((nan, nan, nan), "undefined"),
        ((nan, 0.2, 0.4), "undefined"),
        ((0.314, 0.2, 0.42, ".1%"), "31.4% [20.0%, 42.0%]"),
        ((-0.5, nan, nan, "+.3f"), "-0.500"),
    ],
)
def test_a_value_is_told_with_its_interval_if_it_has_one(given, told):
    assert in_interval(*given) == told


def test_an_estimate_is_read_by_its_name():
    at = xr.Dataset(
        {"rho": 0.5, "rho_low": 0.25, "rho_high": 0.75, "auc": 0.9, "auc_low": nan, "auc_high": nan}
    )
    assert estimate(at, "rho") == "0.50 [0.25, 0.75]" and estimate(at, "auc", ".0%") == "90%"
