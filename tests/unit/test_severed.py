import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from oracles import restoration as oracle
from oracles.random_traces import OPTIONS, make_trace, record_draws, step_trace
from strata.stats.thresholds import LEAST_UNITS
from strata.trace.severed import severed_share


def severed_from(state, share, seed=0):
    """``share`` [depth] of the state's effect remains in every sample, at every position."""
    corrupted = state.p_corrupted
    share = xr.DataArray(share, dims="depth")
    return state.assign(p_target=corrupted + share * (state.p_target - corrupted))


@pytest.mark.parametrize("share", [0.0, 1.0, 0.3])
def test_planted_share_remains(share):
    state = step_trace([3, 4, 5, 6] * 4)
    found = severed_share(state, severed_from(state, np.full(8, share)), **OPTIONS).squeeze()
    at = found.sel(site="subject", depth=slice(0, 2))
    for name in ("share", "share_low", "share_high"):
        np.testing.assert_allclose(at[name], share, atol=1e-6)
    np.testing.assert_allclose(at.effect_state, 1, atol=1e-6)
    np.testing.assert_allclose(at.effect_severed, share, atol=1e-6)


def test_share_of_nothing_is_not_stated():
    state = step_trace([3, 4])
    found = severed_share(state, state, **OPTIONS).squeeze().sel(site="subject")
    assert np.isfinite(found.share).values.tolist() == [True] * 4 + [False] * 4
    stricter = severed_share(state, state, **OPTIONS, min_effect=0.6).squeeze()
    assert np.isfinite(stricter.share.sel(site="subject")).sum() == 3  # at depth 3 one of two restores


def test_severed_share_equals_the_loop_over_the_same_draws(monkeypatch):
    facts = [f"f{i // 2 if i < 4 else i}" for i in range(28)]
    state = make_trace(56, n_depths=4, seed=6).isel(prompt=slice(0, None, 2))
    state = state.assign_coords(fact=("prompt", facts))
    rng = np.random.default_rng(1)
    severed = severed_from(state, rng.uniform(0, 1, state.sizes["depth"]))
    severed["p_target"] = severed.p_target + rng.normal(0, 0.05, severed.p_target.shape)
    severed["p_corrupted"] = severed.p_corrupted * np.nan  # not read: the state's is the corrupted run
    draws = record_draws(monkeypatch)
    options = OPTIONS | {"n_resamples": 20}
    found = severed_share(state, severed, **options, min_effect=-9).squeeze("category")
    samples = list(range(state.sizes["sample"]))
    whole = [(p, samples) for p in range(state.sizes["prompt"])]
    for j in range(state.sizes["noise"]):
        at = found.isel(noise=j).sel(site="subject")
        np.testing.assert_allclose(at.share, oracle.share(state, severed, j, whole, 0.1), rtol=1e-4)
        each = [
            oracle.share(state, severed, j, [one for fact in draw for one in fact], 0.1) for draw in draws
        ]
        assert len(each) == 20 and at.n_facts >= LEAST_UNITS
        # Percentiles further out, as Student's t of n - 1 lies beyond the normal, and by sqrt(n / (n - 1)).
        n = int(at.n_facts)
        tail = stats.norm.sf(stats.t.ppf(0.95, n - 1) * math.sqrt(n / (n - 1)))
        for end, share in ((at.share_low, tail), (at.share_high, 1 - tail)):
            np.testing.assert_allclose(end, np.nanquantile(each, share, axis=0), rtol=1e-3, atol=1e-5)


def test_severed_run_of_other_prompts_is_refused():
    state = make_trace()
    with pytest.raises(ValueError, match="prompts"):
        severed_share(state, state.isel(prompt=slice(None, None, -1)), **OPTIONS)
    with pytest.raises(ValueError, match="depths"):
        severed_share(state, state.isel(depth=slice(0, 3)), **OPTIONS)
