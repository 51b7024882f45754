import numpy as np
import pytest

from oracles import attention as slow
from strata.attention.onset import onset_and_release


@pytest.mark.parametrize(
    "share,onset,release",
    [
        ([0, 0.1, 0.3, 0.6, 0.8, 0.5, 0.2], 2 + 1 / 3, 5 + 1 / 3),
        ([0, 0, 1, 1, 0, 0], 1.5, 3.5),
        ([0, 1, 0, 1, 0], 0.5, 3.5),  # a gap in between changes nothing
        ([1, 0.2, 0.1], 0, 0.625),
        ([0.1, 0.2, 1], 1.375, 2),
        ([0.6, 0.9, 0.5], 0, 2),
        ([0, 0.4, 0.8, 0.4, 0], 1, 3),  # exactly half, at a layer
    ],
)
def test_onset_and_release_of_known_curves(share, onset, release):
    found = onset_and_release(np.array(share))
    np.testing.assert_allclose(found, (onset, release), atol=1e-12)


def test_onset_and_release_equal_the_walk():
    shares = np.random.default_rng(0).uniform(size=(9, 4, 50)) ** 3
    onset, release = onset_and_release(shares)
    assert onset.shape == (4, 50)
    for where in np.ndindex(4, 50):
        expected = slow.half_maximum(shares[(slice(None), *where)].tolist())
        np.testing.assert_allclose((onset[where], release[where]), expected, atol=1e-12)


@pytest.mark.parametrize("share", [np.zeros(4), np.full(4, -0.1), np.linspace(-1, 0, 4)])
def test_what_is_nowhere_above_an_even_spread_has_no_onset(share):
    assert np.isnan(onset_and_release(share)).all()
