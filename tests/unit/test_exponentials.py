"""Exponentials by powers of two, compared with float64's powers of e."""

import pytest
import torch

from strata.exponentials import exp_relative_, logsumexp_

LOGITS = torch.cat([torch.linspace(-130, 5, 4001), torch.tensor([5.0, -torch.inf])])


def test_powers_are_those_of_e():
    found = exp_relative_(LOGITS.clone(), torch.tensor(5.0)).double()
    exact = (LOGITS.double() - 5).exp()
    near = LOGITS > -75  # of the others float32 has fewer digits, or none
    torch.testing.assert_close(found[near], exact[near], rtol=1e-5, atol=0)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-37)
    assert found[-1] == 0


@pytest.mark.parametrize("shift", [0.0, 1000.0, -1000.0])
def test_logsumexp_is_torchs_of_any_size(shift):
    rows = torch.stack([LOGITS, LOGITS.flip(0) / 7]) + shift
    found = logsumexp_(rows.clone())
    torch.testing.assert_close(found.double(), rows.double().logsumexp(-1), rtol=2e-7, atol=1e-6)
    assert found.shape == (2,)
