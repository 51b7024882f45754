"""Traces of a model in which it is known on paper where the answer moves."""

import numpy as np
import pytest
import torch
import xarray as xr

from oracles import planted
from strata.architecture import find_parts
from strata.restoration import transition_depth
from strata.trace import trace_states

IDS, SUBJECT = [3, 7, 11, 2, 5], 1


def other_tokens(n_samples: int = 4) -> torch.Tensor:
    """Noise (sample, 1, channel) that turns the subject into another token, a different one each time."""
    noise = torch.zeros(n_samples, 1, planted.WIDTH)
    noise[:, 0, IDS[SUBJECT]] = -1.0
    noise[range(n_samples), 0, [t for t in range(planted.VOCAB) if t not in IDS][:n_samples]] = 1.0
    return noise


@pytest.mark.parametrize("layer", range(planted.LAYERS))
def test_trace_switches_at_the_layer_of_transfer(layer):
    last = len(IDS) - 1
    model = planted.one_transfer(layer, last, SUBJECT)
    trace = trace_states(find_parts(model), IDS, [SUBJECT], target_id=IDS[SUBJECT], noise=other_tokens())
    p, clean = trace.logp_restored.exp(), trace.logp_clean.exp()
    corrupted = trace.logp_corrupted.exp()[:, None]
    assert clean > 0.95 and (corrupted < 0.1).all()
    depths = planted.LAYERS
    same = {"atol": 1e-5, "rtol": 1e-5}
    # Depth d enters block d: up to the moving block the subject holds the answer, after it the last token.
    before = (corrupted.shape[0], layer + 1)
    after = (corrupted.shape[0], depths - layer - 1)
    torch.testing.assert_close(p[:, : layer + 1, SUBJECT], clean.expand(before), **same)
    torch.testing.assert_close(p[:, layer + 1 :, SUBJECT], corrupted.expand(after), **same)
    torch.testing.assert_close(p[:, : layer + 1, last], corrupted.expand(before), **same)
    torch.testing.assert_close(p[:, layer + 1 :, last], clean.expand(after), **same)
    for between in (2, 3):
        torch.testing.assert_close(p[:, :, between], corrupted.expand(-1, depths), **same)


def test_transition_depth_lies_between_the_transfer_and_the_next_depth():
    layer, last = 2, len(IDS) - 1
    parts = find_parts(planted.one_transfer(layer, last, SUBJECT))
    trace = trace_states(parts, IDS, [SUBJECT], target_id=IDS[SUBJECT], noise=other_tokens())
    p = trace.logp_restored.exp().mean(0).numpy()
    corrupted = trace.logp_corrupted.exp().mean().item()
    lift = (p - corrupted) / (trace.logp_clean.exp().item() - corrupted)
    sites = np.stack([lift[:, SUBJECT], lift[:, last]])
    restoration = xr.DataArray(
        sites, dims=("site", "depth"), coords={"site": ["subject", "final"], "depth": range(planted.LAYERS)}
    )
    depth = float(transition_depth(restoration)["transition_depth"])
    assert depth == pytest.approx(layer + 0.5, abs=0.01)
