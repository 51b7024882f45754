import numpy as np
import pytest
import xarray as xr
from scipy import stats

from strata.embedding.component_plane import in_plane, separation_in_plane
from strata.embedding.component_properties import groups_by_component


def test_clusters_side_by_side_are_told_apart_in_their_plane():
    """Two flat clusters along the diagonal: along neither axis are they two, across it they are."""
    rng = np.random.default_rng(4)
    n = 3000
    flag = rng.random(n) < 0.4
    along, across = rng.normal(0, 5, n), rng.normal(np.where(flag, 1.5, -1.5), 0.5)
    plane = np.stack([along + across, along - across]) / np.sqrt(2)
    score = xr.DataArray(
        np.stack([rng.normal(size=n), *plane, rng.normal(size=n)]),
        dims=("component", "vocab"),
        coords={"component": range(4)},
    )
    properties = xr.Dataset({"flag": (("property", "vocab"), [flag])}, {"property": ["leading space"]})
    rows = np.flatnonzero(rng.random(n) < 0.8)
    found = in_plane(score, properties, rows, 20, 0.95, 0)
    np.testing.assert_allclose(found["plane_weight"], [0, 0.5**0.5, -(0.5**0.5), 0], atol=0.01)
    # The distance is 3 and the spread of either 0.5: Φ(3 / √(0.25 + 0.25)) on paper.
    assert float(found["plane_auc"]) == pytest.approx(stats.norm.cdf(3 / 0.5**0.5), abs=1e-4)
    assert found["plane_two_groups"] and float(found["plane_groups_distance"]) == pytest.approx(6, rel=0.05)
    assert abs(float(found["plane_groups_agreement"].squeeze()) - 0.5) > 0.49
    alone = groups_by_component(score, properties)
    assert not alone["two_groups"].sel(component=[1, 2]).any()
    assert (np.flatnonzero(found["plane_score"].notnull()) == rows).all()


def test_the_best_direction_of_noise_tells_nothing():
    """Fitted and scored on the same tokens, the best of two dimensions would always be above 1/2."""
    auc = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        score = xr.DataArray(
            rng.normal(size=(3, 120)), dims=("component", "vocab"), coords={"component": range(3)}
        )
        told = separation_in_plane(score, rng.random(120) < 0.5, least=20, interval=0.95, seed=seed)
        auc.append(float(told["plane_auc"]))
        inside = told["plane_score"].values
        assert np.isfinite(inside).all()
    assert np.mean(auc) < 0.5 + 2 * np.std(auc) / np.sqrt(len(auc))
