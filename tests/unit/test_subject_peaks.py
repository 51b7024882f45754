import numpy as np
import pytest
import xarray as xr
from scipy import stats

from oracles import attention as slow
from strata.attention.final_token import final_token
from strata.attention.subject import peaks_against_transition, subject_peaks
from strata.stats.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.9, 1)
L, H = 5, 3


def test_peaks_are_found():
    prompts = slow.make_prompts(["c", "c"], [4, 4])
    prompts[["subject_start", "subject_position"]] = [[1, 2], [1, 1]]
    patterns = np.full((2, L, H, 4), 0.25)
    patterns[0, 3] = [0.1, 0.4, 0.4, 0.1]  # all heads, in layer 3
    patterns[0, 1, 2] = [0, 0.5, 0.5, 0]  # one head, in layer 1
    patterns[1, 4, 0] = patterns[1, 2, 1] = [0, 1, 0, 0]  # a tie: the first layer
    found = subject_peaks(final_token(slow.make_activations(prompts, list(patterns)), prompts))
    assert found["peak_layer"].sel(heads="mean").values.tolist() == [3, 2]
    assert found["peak_layer"].sel(heads="best").values.tolist() == [1, 2]
    assert found["peak_head"].values.tolist() == [2, 1]
    np.testing.assert_allclose(found["peak_share"].sel(heads="mean"), [0.8, 0.5], atol=1e-6)
    np.testing.assert_allclose(found["peak_share"].sel(heads="best"), [1, 1], atol=1e-6)


def peaks_and_transition(layers, depths, categories):
    names = np.array([f"p{i}" for i in range(len(layers))], dtype=object)
    of_prompts = {"prompt_category": ("prompt", np.array(categories)), "prompt_fact": ("prompt", names)}
    peaks = xr.Dataset(
        {"peak_layer": (("heads", "prompt"), np.stack([layers, np.zeros(len(layers))]))},
        {"prompt": names, "heads": ["mean", "best"], **of_prompts},
    )
    coordinates = {"prompt": names, "noise": ["1"], "noise_sd": ("noise", [1.0])}
    return peaks, xr.DataArray(np.array(depths)[:, None], coordinates, ("prompt", "noise"))


def test_correlations_are_spearmans_and_their_intervals_cover():
    rng = np.random.default_rng(0)
    layers = rng.integers(0, 12, 400).astype(float)
    depths = layers + rng.normal(0, 4, 400)
    peaks, transition = peaks_and_transition(layers, depths, ["a"] * 250 + ["b"] * 150)
    found = peaks_against_transition(peaks, transition, Bootstrap(2000, 0.95, 0)).sel(noise="1")
    for category, rows in (("all", slice(0, 400)), ("a", slice(0, 250)), ("b", slice(250, 400))):
        at = found.sel(category=category, heads="mean")
        expected = stats.spearmanr(layers[rows], depths[rows])
        n = len(layers[rows])
        assert float(at["rho"]) == pytest.approx(expected.statistic)
        assert float(at["rho_p"]) == pytest.approx(expected.pvalue)
        assert int(at["rho_n"]) == n
        # Bonett and Wright 2000.
        half = 1.96 * np.sqrt((1 + expected.statistic**2 / 2) / (n - 3))
        ends = np.tanh(np.arctanh(expected.statistic) + np.array([-half, half]))
        np.testing.assert_allclose([at["rho_low"], at["rho_high"]], ends, atol=0.03)
    assert found.sel(heads="best")["rho"].isnull().all(), "a constant has no correlation"
    assert found["noise_sd"] == 1


def test_categories_may_say_other_than_all_together():
    """Within each category the peak lies shallower the deeper the transition; across them deeper."""
    layers = [2.0, 1, 0, 9, 8, 7]
    peaks, transition = peaks_and_transition(layers, [0, 1, 2, 7, 8, 9], ["a"] * 3 + ["b"] * 3)
    rho = peaks_against_transition(peaks, transition, BOOTSTRAP)["rho"].sel(heads="mean", noise="1")
    assert rho.sel(category=["a", "b"]).values.tolist() == pytest.approx([-1, -1])
    assert float(rho.sel(category="all")) > 0.5


def test_undefined_and_missing_transitions_are_left_out():
    layers = np.arange(8.0)
    peaks, transition = peaks_and_transition(layers, layers**2, ["a"] * 8)
    transition[2] = np.nan
    found = peaks_against_transition(peaks, transition.isel(prompt=slice(0, 6)), BOOTSTRAP)
    at = found.sel(heads="mean", category="a", noise="1")
    assert int(at["rho_n"]) == 5 and float(at["rho"]) == pytest.approx(1)
    assert found["transition_depth"].isnull().values[:, 0].tolist() == [i in (2, 6, 7) for i in range(8)]
    few = peaks_against_transition(peaks, transition.isel(prompt=slice(0, 3)), BOOTSTRAP)
    assert few["rho"].isnull().all() and few["rho_n"].sel(heads="mean", category="a").item() == 2


def test_one_prompt_that_differs_makes_no_interval():
    peaks, transition = peaks_and_transition([4.0] * 19 + [5], np.arange(20.0), ["a"] * 20)
    at = peaks_against_transition(peaks, transition, BOOTSTRAP).sel(heads="mean", category="a")
    assert at["rho"].item() > 0.2 and at["rho_low"].isnull() and at["rho_high"].isnull()
