import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles import clump as slow_clump
from oracles import zero_layer as slow
from strata import io
from strata.embedding import clump

FEW = {"tokens": 40, "draws": 19, "resamples": 200, "interval": 0.9}
N, SIZE = 1500, 120


@pytest.fixture(scope="module")
def found():
    return clump.find_clumps(slow.weights(slow.clumped(N, SIZE)), **FEW)


def test_a_planted_clump_is_found_whole_and_alone(found):
    assert found.attrs["n_clumps"] == 1 and int(found["channel"]) == 0
    assert (found["clump"][:SIZE] == 1).all()
    assert int((found["clump"] > 0).sum()) <= SIZE + 5  # tokens that happen to stand there
    assert float(found["contrast"]) > 10


@pytest.mark.parametrize("seed", range(8))
def test_a_random_matrix_has_no_clump(seed):
    mean = 3 * np.random.default_rng(100 + seed).normal(size=slow.N_CHANNELS)
    result = clump.find_clumps(slow.weights(slow.random_matrix(N, seed=seed) + mean), seed=seed, **FEW)
    assert result.attrs["n_clumps"] == 0 and not result["clump"].any()
    assert np.isnan(result["contrast"])
    assert clump.clump_table(result).empty


@pytest.mark.parametrize("shape", ["heavy tails", "skewed", "two modes"])
def test_smooth_planes_of_other_shapes_have_no_clump(shape):
    rng = np.random.default_rng(0)
    modes = np.repeat([[5.0, 0.0], [0.0, 0.0]], [1500, 2500], axis=0)
    plane = {
        "heavy tails": rng.standard_t(4, size=(4000, 2)),
        "skewed": np.exp(0.7 * rng.normal(size=(4000, 2))),
        "two modes": rng.normal(size=(4000, 2)) + modes,
    }[shape]
    normal = (clump.robust_scale(rng.normal(size=(4000, 2))) for _ in range(19))
    density = clump.densest_by_chance(normal, 40)
    label, contrasts = clump.clumps_of(clump.robust_scale(plane), density, 3.0)
    assert not label.any() and contrasts == []


def test_two_clumps_are_numbered_by_contrast():
    rng = np.random.default_rng(1)
    plane = rng.normal(size=(3000, 2))
    plane[:100] = [2, 1] + 0.02 * rng.normal(size=(100, 2))
    plane[100:200] = [-2, -1] + 0.002 * rng.normal(size=(100, 2))
    density = clump.densest_by_chance([rng.normal(size=(3000, 2))], 40)
    label, contrasts = clump.clumps_of(plane, density, 3.0)
    assert (label[100:200] == 1).all() and (label[:100] == 2).all()
    assert len(contrasts) == 2 and contrasts[0] > contrasts[1] > 3


def test_dense_places_equal_the_loop():
    """Whoever is in a cluster's core has as many tokens within the radius; nobody in random planes does."""
    rng = np.random.default_rng(2)
    plane = rng.normal(size=(400, 2))
    radius = clump.densest_by_chance([plane], 12).radius
    assert radius == pytest.approx(slow_clump.least_reach(plane, 12))
    other = clump.densest_by_chance([plane, rng.normal(size=(400, 2))], 12).radius
    assert other <= radius
    label, _ = clump.clumps_of(plane, clump.Density(12, radius * (1 - 1e-9)), 0.0)
    assert not label.any()  # no place of the plane itself is denser than its densest
    label, _ = clump.clumps_of(plane, clump.Density(12, 1.6 * radius), 0.0)
    most = slow_clump.most_within(plane, label > 0, 1.6 * radius)
    assert label.any() and most >= 12


def test_a_cluster_of_half_the_tokens_is_no_clump():
    rng = np.random.default_rng(3)
    plane = rng.normal(size=(1000, 2))
    plane[:510] *= 0.01
    label, _ = clump.clumps_of(plane, clump.Density(40, 0.05), 3.0)
    assert not label.any()
    plane[:510] += rng.normal(size=(510, 2)) * np.repeat([0.0, 2.0], [480, 30])[:, None]
    label, _ = clump.clumps_of(plane, clump.Density(40, 0.05), 3.0)
    assert (label[:480] == 1).all()


def test_identical_vectors_are_a_clump():
    matrix = slow.random_matrix(N)
    matrix[:60] = 0.7
    result = clump.find_clumps(slow.weights(matrix), **FEW)
    assert (result["clump"][:60] == 1).all() and np.isinf(result["contrast"])


def test_random_planes_have_the_moments_of_random_matrices():
    rng = np.random.default_rng(4)
    mean, std = rng.normal(size=32), rng.uniform(0.5, 2, size=32)
    plane = clump._random_plane(3, mean, std, 40_000, rng)
    matrix = rng.normal(mean, std, size=(40_000, 32))
    expected = clump._scaled(matrix[:, 3], np.linalg.norm(matrix, axis=1))
    np.testing.assert_allclose(np.cov(plane.T), np.cov(expected.T), atol=0.02)


def test_counts_in_and_outside_the_clump():
    weights = slow.weights(slow.clumped(N, SIZE))
    count = np.where(np.arange(N) < SIZE, 0, 1 + np.arange(N))
    counts = pd.DataFrame({"token_id": np.arange(N), "count": count})
    result = clump.find_clumps(weights, counts, **FEW)
    inside = result["clump"].values > 0
    assert float(result["count_in_clump"]) == np.median(count[inside]) == 0
    assert float(result["count_outside"]) == np.median(count[~inside])
    rarer = slow_clump.share_that_occurs_more_often(count, inside)
    assert float(result["rarer_share"]) == pytest.approx(rarer)
    assert rarer > 0.9 and int(result["rarer_share_n"]) == inside.sum()

    shuffled = pd.DataFrame({"token_id": np.arange(N), "count": np.random.default_rng(0).permutation(N)})
    result = clump.find_clumps(weights, shuffled, **FEW)
    assert result["rarer_share_low"] < 0.5 < result["rarer_share_high"]


def test_the_table_lists_the_clump_from_its_centre(found, tmp_path):
    table = clump.clump_table(found)
    assert set(table["token_id"]) == set(np.flatnonzero(found["clump"]))
    assert table["distance"].is_monotonic_increasing
    at = table.iloc[0]
    assert at["norm"] == pytest.approx(float(found["norm"][at["token_id"]]))
    io.write_dataset(found, tmp_path / "clump.nc")
    xr.testing.assert_equal(io.open_dataset(tmp_path / "clump.nc").load(), found)


def test_without_an_outlying_channel_there_is_no_plane(tmp_path):
    result = clump.find_clumps(slow.weights(slow.random_matrix(200), outlier=None), **FEW)
    assert list(result) == [] and result.attrs["clump"] == clump.NO_OUTLIER
    assert clump.clump_table(result).empty
    io.write_dataset(result, tmp_path / "clump.nc")
