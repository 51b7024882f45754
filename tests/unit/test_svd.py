import numpy as np
import pytest
import xarray as xr

from strata.embedding.svd import decompose
from strata.stats.ranks import separation
from strata.stats.svd import svd


def tokens(matrix, spaces=None):
    """A token matrix and its strings, every second one with a leading space."""
    if spaces is None:
        spaces = np.arange(len(matrix)) % 2 == 0
    strings = [("Ġ" if space else "") + f"t{i}" for i, space in enumerate(spaces)]
    return xr.DataArray(matrix, dims=("vocab", "channel")), xr.DataArray(strings, dims="vocab")


def orthonormal(rows, columns, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(rows, columns)))[0]


def planted(values, n_vocab=300, seed=0):
    """U diag(values) Vᵀ with U and V known."""
    values = np.asarray(values, float)
    left = orthonormal(n_vocab, len(values), seed)
    right = orthonormal(len(values), len(values), seed + 1)
    return (left * values) @ right.T, left, right


@pytest.mark.parametrize("shape", [(500, 12), (12, 12), (7, 12)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_svd_rebuilds_the_matrix(shape, dtype):
    matrix = np.random.default_rng(0).normal(size=shape).astype(dtype)
    left, values, right = svd(matrix, tile=1)  # tiles of 4 x 12 rows
    exact = np.linalg.svd(matrix.astype(float), compute_uv=False)
    np.testing.assert_allclose(values, exact, rtol=1e-10)
    np.testing.assert_allclose((left * values) @ right, matrix, atol=1e-5)
    np.testing.assert_allclose(left.T @ left, np.eye(min(shape)), atol=1e-5)
    np.testing.assert_allclose(right @ right.T, np.eye(min(shape)), atol=1e-12)


def test_svd_recovers_planted_values_over_five_decades():
    values = np.array([1e3, 50.0, 7.0, 1.0, 1e-2])
    matrix, left, right = planted(values)
    found_left, found_values, found_right = svd(matrix, tile=1)
    np.testing.assert_allclose(found_values, values, rtol=1e-8)
    np.testing.assert_allclose(np.abs((found_left * left).sum(0)), 1, atol=1e-5)
    np.testing.assert_allclose(np.abs((found_right * right.T).sum(1)), 1, atol=1e-8)


def test_signs_are_fixed():
    matrix, *_ = planted([5.0, 3.0, 1.0])
    for candidate in (matrix, -matrix):
        left, *_ = svd(candidate)
        largest = left[np.abs(left).argmax(0), np.arange(left.shape[1])]
        assert (largest > 0).all()


def test_missing_rank_is_said_not_guessed():
    matrix, *_ = planted([5.0, 3.0, 1.0, 0.0])
    left, values, right = svd(matrix)
    assert values[3] < 1e-12 * values[0]
    assert np.isnan(left[:, 3]).all() and np.isfinite(left[:, :3]).all()
    np.testing.assert_allclose((left * values)[:, :3] @ right[:3], matrix, atol=1e-6)


def test_separation_equals_the_count_over_pairs():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (40, 3)).astype(float)  # with ties
    group = rng.random(40) < 0.3
    found = separation(scores, group)
    for column, auc in enumerate(found):
        pairs = [(a > b) + 0.5 * (a == b) for a in scores[group, column] for b in scores[~group, column]]
        assert auc == pytest.approx(np.mean(pairs))
    assert np.isnan(separation(scores, np.ones(40, bool))).all()


def test_planted_mean_and_leading_space_are_found():
    rng = np.random.default_rng(3)
    n_vocab, n_channels = 2000, 16
    directions = orthonormal(n_channels, 2)
    spaces = rng.random(n_vocab) < 0.6
    matrix = rng.normal(0, 0.1, (n_vocab, n_channels))
    matrix += 5 * directions[:, 0]
    matrix += np.outer(np.where(spaces, 0.5, -0.5) - 0.1, directions[:, 1])
    result = decompose(*tokens(matrix, spaces), n_separated=4)
    assert result.cosine_mean[0] > 0.999
    assert (abs(result.cosine_mean[1:]) < 0.05).all()
    along = np.abs(result.token_right.values @ directions)
    assert along[0, 0] > 0.999
    assert along[1, 1] > 0.99
    auc = abs(result.auc_leading_space - 0.5)
    assert auc[1] > 0.49 and auc[2] < 0.1 and np.isnan(auc[4:]).all()
    assert result.leading_space.values.tolist() == spaces.tolist()
    assert float(result.token_share.sum()) == pytest.approx(1)
    assert float(result.token_share[0]) == pytest.approx(
        float(result.token_singular_value[0] ** 2) / (matrix**2).sum()
    )


def test_random_matrix_shows_nothing():
    rng = np.random.default_rng(0)
    n_vocab, n_channels = 3000, 64
    result = decompose(*tokens(rng.normal(size=(n_vocab, n_channels))))
    # The mean of such rows is itself noise: a random direction among 64.
    assert (abs(result.cosine_mean) < 5 / np.sqrt(n_channels)).all()
    half = n_vocab / 2
    deviation = np.sqrt((n_vocab + 1) / (12 * half * half))
    assert (abs(result.auc_leading_space[:10] - 0.5) < 4 * deviation).all()
    # Marchenko-Pastur: no singular value stands out of the bulk.
    edge = np.sqrt(n_vocab) + np.sqrt(n_channels)
    assert result.token_singular_value[0] < 1.03 * edge


def test_position_matrix_with_fewer_rows_shares_the_components():
    rng = np.random.default_rng(1)
    matrix, position = rng.normal(size=(50, 8)), rng.normal(size=(5, 8))
    position = xr.DataArray(position, dims=("position", "channel"))
    result = decompose(*tokens(matrix), position)
    assert result.sizes["component"] == 8
    exact = np.linalg.svd(position, compute_uv=False)
    np.testing.assert_allclose(result.position_singular_value[:5], exact)
    assert np.isnan(result.position_singular_value[5:]).all()
    assert result.position_left.dims == ("position", "component")
    assert result.attrs["position_embedding"] == "present"


def test_no_position_matrix_is_said():
    result = decompose(*tokens(np.eye(6)))
    assert not [name for name in result if name.startswith("position")]
    assert result.attrs["position_embedding"].startswith("absent")


def test_netcdf_keeps_the_result(tmp_path):
    result = decompose(*tokens(np.random.default_rng(0).normal(size=(30, 4))))
    result.to_netcdf(tmp_path / "e.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "e.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), result)


def test_bad_input_is_named():
    matrix, strings = tokens(np.eye(4))
    with pytest.raises(ValueError, match="token embedding.*layer"):
        decompose(matrix.rename(vocab="layer"), strings)
    matrix[1, 1] = np.nan
    with pytest.raises(ValueError, match="token embedding.*NaN"):
        decompose(matrix, strings)
