"""The largest entries of rows, with their order among equals, against a full sort."""

import numpy as np
import pytest
import torch

from strata.model.largest import BLOCK, largest


@pytest.mark.parametrize("kinds", [3, 10**6], ids=["many ties", "hardly any"])
@pytest.mark.parametrize("n", [7, BLOCK, 5 * BLOCK, 5 * BLOCK + 1, 40 * BLOCK])
@pytest.mark.parametrize("k", [1, 4, 7])
def test_they_are_those_of_a_stable_sort(kinds, n, k):
    rows = np.random.default_rng(n).integers(kinds, size=(5, 2, n)).astype(np.float32)
    value, ids = largest(torch.from_numpy(rows), k)
    if kinds == 3 and n > k:
        # Which of more equal entries than there is room for are kept is open.
        np.testing.assert_array_equal(value, -np.sort(-rows, axis=-1)[..., :k])
        np.testing.assert_array_equal(np.take_along_axis(rows, ids.numpy(), -1), value)
        assert (np.diff(ids.numpy())[np.diff(value.numpy()) == 0] > 0).all()
    else:
        np.testing.assert_array_equal(ids, np.argsort(-rows, axis=-1, kind="stable")[..., :k])


def test_minus_infinity_is_an_entry_too():
    rows = torch.full((2, 3 * BLOCK), -torch.inf)
    rows[0, 5] = 1
    value, ids = largest(rows, 3)
    assert value[0].tolist() == [1, -torch.inf, -torch.inf] and ids[0, 0] == 5
    assert (ids < 3 * BLOCK).all() and all(len(set(own)) == 3 for own in ids.tolist())
