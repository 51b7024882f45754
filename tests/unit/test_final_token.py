import math

import numpy as np
import pytest
import xarray as xr

from oracles import attention as slow
from strata.attention.final_token import analyse, average, final_token
from strata.stats.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.9, 1)
OPTIONS = {"resamples": 200, "interval": 0.9, "seed": 1}
CATEGORIES = ["rote", "fact", "fact", "rote", "fact", "alone"]
LENGTHS = [4, 7, 5, 9, 6, 3]
L, H = 5, 3


@pytest.fixture(scope="module")
def case():
    prompts = slow.make_prompts(CATEGORIES, LENGTHS)
    assert set(prompts["subject_position"] - prompts["subject_start"]) == {0, 1}
    return prompts, slow.random_patterns(prompts, L, H)


@pytest.fixture(scope="module")
def by_prompt(case):
    """Read two prompts at a time."""
    prompts, patterns = case
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("strata.attention.final_token.PIECE", 2)
        return final_token(slow.make_activations(prompts, patterns), prompts)


def test_shares_and_entropies_equal_the_loop(case, by_prompt):
    prompts, patterns = case
    for i, (row, pattern) in enumerate(zip(prompts.itertuples(), patterns, strict=True)):
        for layer, head in np.ndindex(L, H):
            at = by_prompt.isel(prompt=i, layer=layer, head=head)
            shares = [float(a) for a in pattern[layer, head]]
            subject = shares[row.subject_start : row.subject_position + 1]
            expected = [shares[0], sum(subject), max(subject), shares[-1]]
            found = at["attention"].sel(site=["first", "subject", "subject_max", "final"])
            np.testing.assert_allclose(found, expected, atol=1e-6)
            even = [1 / len(shares), len(subject) / len(shares), 1 / len(shares), 1 / len(shares)]
            np.testing.assert_allclose(at["even"], even)
            assert float(at["entropy"]) == pytest.approx(slow.entropy(shares), abs=1e-5)
            relative = slow.entropy(shares) / math.log(len(shares))
            assert float(at["entropy_relative"]) == pytest.approx(relative, abs=1e-5)
    assert by_prompt["prompt_category"].values.tolist() == CATEGORIES
    assert by_prompt["n_positions"].values.tolist() == LENGTHS


@pytest.mark.parametrize(
    "pattern,entropy,relative",
    [([0, 1, 0, 0], 0, 0), ([0.25] * 4, math.log(4), 1), ([0.5, 0, 0, 0.5], math.log(2), 0.5)],
)
def test_entropy_of_known_patterns(pattern, entropy, relative):
    prompts = slow.make_prompts(["c"], [4])
    activations = slow.make_activations(prompts, [np.array([[pattern]])])
    found = final_token(activations, prompts)
    assert found["entropy"].item() == pytest.approx(entropy, abs=1e-7)
    assert found["entropy_relative"].item() == pytest.approx(relative, abs=1e-7)


def test_other_prompts_are_left_out(case, by_prompt):
    prompts, patterns = case
    activations = slow.make_activations(prompts, patterns)
    changed = prompts.copy()
    changed.loc[1, "accepted"] = False
    changed.loc[3, "subject_position"] = -1  # a passage
    found = final_token(activations, changed)
    xr.testing.assert_identical(found, by_prompt.isel(prompt=[0, 2, 4, 5]))
    with pytest.raises(ValueError, match="no prompt is accepted and has a subject"):
        final_token(activations, prompts.assign(accepted=False))
    with pytest.raises(KeyError, match="p4"):
        final_token(activations.isel(token=activations["prompt"].values != "p4"), prompts)


def test_averages_equal_the_loop(case, by_prompt):
    _, patterns = case
    found = average(by_prompt, BOOTSTRAP)
    assert found["category"].values.tolist() == ["all", "rote", "fact", "alone"]
    for category in ("all", "rote", "fact", "alone"):
        rows = [i for i, c in enumerate(CATEGORIES) if category in ("all", c)]
        at = found.sel(category=category)
        assert at["attention_n"] == at["entropy_n"] == len(rows)
        for layer in range(L):
            first = [[patterns[i][layer, head, 0] for head in range(H)] for i in rows]
            mean = np.mean([sum(heads) / H for heads in first])
            assert float(at["attention"].sel(site="first")[layer]) == pytest.approx(mean, abs=1e-6)
            for head in range(H):
                by_head = at["attention_by_head"].sel(site="first")[layer, head]
                assert float(by_head) == pytest.approx(np.mean([f[head] for f in first]), abs=1e-6)
                entropies = [slow.entropy(patterns[i][layer, head]) for i in rows]
                assert float(at["entropy"][layer, head]) == pytest.approx(np.mean(entropies), abs=1e-5)
    assert found["attention_low"].isnull().all()  # too few prompts


def test_intervals_are_over_what_prompts_ask():
    prompts = slow.make_prompts(["fact"] * 32, [4 + i % 5 for i in range(32)])
    by_prompt = final_token(slow.make_activations(prompts, slow.random_patterns(prompts, L, H)), prompts)
    apart = average(by_prompt, BOOTSTRAP).sel(category="fact")
    assert (apart["attention_low"] < apart["attention"]).all()
    assert (apart["attention"] < apart["attention_high"]).all()
    in_pairs = by_prompt.assign_coords(prompt_fact=("prompt", np.arange(32) // 2))
    one_fact = average(in_pairs, BOOTSTRAP).sel(category="fact")
    expected = BOOTSTRAP.ends(
        np.mean,
        by_prompt["attention"].mean("head").transpose(..., "prompt").values,
        clusters=np.arange(32) // 2,
    )
    found = np.stack([one_fact["attention_low"], one_fact["attention_high"]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_onset_is_of_what_lies_beyond_an_even_spread():
    """Layers 2 and 3 send everything to the first token; one head does so in layer 1 already."""
    prompts = slow.make_prompts(["c"] * 16, [4] * 16)
    pattern = np.full((6, 4, 4), 0.25)
    pattern[2:4] = pattern[1, 0] = [1, 0, 0, 0]
    activations = slow.make_activations(prompts, [pattern] * 16)
    found = average(final_token(activations, prompts), BOOTSTRAP).sel(category="c")
    # Mean over heads beyond 0.25: 0, 3/16, 3/4, 3/4, 0, 0. Best head: 0, 3/4, 3/4, 3/4, 0, 0.
    onset, release = found["onset"], found["release"]
    np.testing.assert_allclose(onset.sel(heads=["mean", "best"]), [1 + 1 / 3, 0.5], atol=1e-6)
    np.testing.assert_allclose(release.sel(heads=["mean", "best"]), [3.5, 3.5], atol=1e-6)
    np.testing.assert_allclose(found["onset_low"], onset, atol=1e-6)


def test_everything_can_be_written_and_read(case, tmp_path):
    prompts, patterns = case
    activations = slow.make_activations(prompts, patterns)
    names = prompts["id"].to_numpy(object)
    transition = xr.DataArray(
        np.linspace(0, 4, 12).reshape(6, 2),
        {"prompt": names, "noise": ["0.5", "3x"], "noise_sd": ("noise", [0.5, 0.3])},
        ("prompt", "noise"),
    )
    together = analyse(activations, prompts, transition, **OPTIONS)
    slow.check_kept(together, str(tmp_path / "attention.nc"))
    assert together["attention_prompt"].dims == ("prompt", "site", "layer", "head")
    assert together["rho"].dims == ("heads", "category", "noise")
