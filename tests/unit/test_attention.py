import math

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from oracles import attention as slow
from oracles import tiny_models
from strata import io
from strata.attention import patterns as attention
from strata.embedding.channels import position_active
from strata.embedding.gains import gain_outliers
from strata.model.architecture import find_parts
from strata.model.capture import capture
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
    prompts, patterns = case
    return attention.final_token(slow.make_activations(prompts, patterns), prompts)


# The final token ----------------------------------------------------------------------------


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
    found = attention.final_token(activations, prompts)
    assert found["entropy"].item() == pytest.approx(entropy, abs=1e-7)
    assert found["entropy_relative"].item() == pytest.approx(relative, abs=1e-7)


def test_other_prompts_are_left_out(case, by_prompt):
    prompts, patterns = case
    activations = slow.make_activations(prompts, patterns)
    changed = prompts.copy()
    changed.loc[1, "accepted"] = False
    changed.loc[3, "subject_position"] = -1  # a passage
    found = attention.final_token(activations, changed)
    xr.testing.assert_identical(found, by_prompt.isel(prompt=[0, 2, 4, 5]))
    with pytest.raises(ValueError, match="no prompt is accepted and has a subject"):
        attention.final_token(activations, prompts.assign(accepted=False))
    with pytest.raises(KeyError, match="p4"):
        attention.final_token(activations.isel(token=activations["prompt"].values != "p4"), prompts)


def test_averages_equal_the_loop(case, by_prompt):
    _, patterns = case
    found = attention.average(by_prompt, BOOTSTRAP)
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
    each = found.sel(category="fact")
    assert (each["attention_low"] <= each["attention"]).all()
    assert (each["attention_low"] < each["attention_high"]).all()
    assert found.sel(category="alone")["attention_low"].isnull().all()


# Onset and release --------------------------------------------------------------------------


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
    found = attention.onset_and_release(np.array(share))
    np.testing.assert_allclose(found, (onset, release), atol=1e-12)


def test_onset_and_release_equal_the_walk():
    shares = np.random.default_rng(0).uniform(size=(9, 4, 50)) ** 3
    onset, release = attention.onset_and_release(shares)
    assert onset.shape == (4, 50)
    for where in np.ndindex(4, 50):
        expected = slow.half_maximum(shares[(slice(None), *where)].tolist())
        np.testing.assert_allclose((onset[where], release[where]), expected, atol=1e-12)


@pytest.mark.parametrize("share", [np.zeros(4), np.full(4, -0.1), np.linspace(-1, 0, 4)])
def test_what_is_nowhere_above_an_even_spread_has_no_onset(share):
    assert np.isnan(attention.onset_and_release(share)).all()


def test_onset_is_of_what_lies_beyond_an_even_spread():
    """Layers 2 and 3 send everything to the first token; one head does so in layer 1 already."""
    prompts = slow.make_prompts(["c"] * 3, [4, 4, 4])
    pattern = np.full((6, 4, 4), 0.25)
    pattern[2:4] = pattern[1, 0] = [1, 0, 0, 0]
    activations = slow.make_activations(prompts, [pattern] * 3)
    found = attention.average(attention.final_token(activations, prompts), BOOTSTRAP).sel(category="c")
    # Mean over heads beyond 0.25: 0, 3/16, 3/4, 3/4, 0, 0. Best head: 0, 3/4, 3/4, 3/4, 0, 0.
    onset, release = found["onset"], found["release"]
    np.testing.assert_allclose(onset.sel(heads=["mean", "best"]), [1 + 1 / 3, 0.5], atol=1e-6)
    np.testing.assert_allclose(release.sel(heads=["mean", "best"]), [3.5, 3.5], atol=1e-6)
    np.testing.assert_allclose(found["onset_low"], onset, atol=1e-6)


# The subject's peak -------------------------------------------------------------------------


def test_peaks_are_found():
    prompts = slow.make_prompts(["c", "c"], [4, 4])
    prompts[["subject_start", "subject_position"]] = [[1, 2], [1, 1]]
    patterns = np.full((2, L, H, 4), 0.25)
    patterns[0, 3] = [0.1, 0.4, 0.4, 0.1]  # all heads, in layer 3
    patterns[0, 1, 2] = [0, 0.5, 0.5, 0]  # one head, in layer 1
    patterns[1, 4, 0] = patterns[1, 2, 1] = [0, 1, 0, 0]  # a tie: the first layer
    found = attention.subject_peaks(
        attention.final_token(slow.make_activations(prompts, list(patterns)), prompts)
    )
    assert found["peak_layer"].sel(heads="mean").values.tolist() == [3, 2]
    assert found["peak_layer"].sel(heads="best").values.tolist() == [1, 2]
    assert found["peak_head"].values.tolist() == [2, 1]
    np.testing.assert_allclose(found["peak_share"].sel(heads="mean"), [0.8, 0.5], atol=1e-6)
    np.testing.assert_allclose(found["peak_share"].sel(heads="best"), [1, 1], atol=1e-6)


def peaks_and_transition(layers, depths, categories):
    names = np.array([f"p{i}" for i in range(len(layers))], dtype=object)
    peaks = xr.Dataset(
        {"peak_layer": (("heads", "prompt"), np.stack([layers, np.zeros(len(layers))]))},
        {"prompt": names, "heads": ["mean", "best"], "prompt_category": ("prompt", np.array(categories))},
    )
    coordinates = {"prompt": names, "noise": ["1"], "noise_sd": ("noise", [1.0])}
    return peaks, xr.DataArray(np.array(depths)[:, None], coordinates, ("prompt", "noise"))


def test_correlations_are_spearmans_and_their_intervals_cover():
    rng = np.random.default_rng(0)
    layers = rng.integers(0, 12, 400).astype(float)
    depths = layers + rng.normal(0, 4, 400)
    peaks, transition = peaks_and_transition(layers, depths, ["a"] * 250 + ["b"] * 150)
    found = attention.peaks_against_transition(peaks, transition, Bootstrap(2000, 0.95, 0)).sel(noise="1")
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
    rho = attention.peaks_against_transition(peaks, transition, BOOTSTRAP)["rho"].sel(heads="mean", noise="1")
    assert rho.sel(category=["a", "b"]).values.tolist() == pytest.approx([-1, -1])
    assert float(rho.sel(category="all")) > 0.5


def test_undefined_and_missing_transitions_are_left_out():
    layers = np.arange(8.0)
    peaks, transition = peaks_and_transition(layers, layers**2, ["a"] * 8)
    transition[2] = np.nan
    found = attention.peaks_against_transition(peaks, transition.isel(prompt=slice(0, 6)), BOOTSTRAP)
    at = found.sel(heads="mean", category="a", noise="1")
    assert int(at["rho_n"]) == 5 and float(at["rho"]) == pytest.approx(1)
    assert found["transition_depth"].isnull().values[:, 0].tolist() == [i in (2, 6, 7) for i in range(8)]
    few = attention.peaks_against_transition(peaks, transition.isel(prompt=slice(0, 3)), BOOTSTRAP)
    assert few["rho"].isnull().all() and few["rho_n"].sel(heads="mean", category="a").item() == 2


def test_one_prompt_that_differs_makes_no_interval():
    peaks, transition = peaks_and_transition([4.0] * 19 + [5], np.arange(20.0), ["a"] * 20)
    at = attention.peaks_against_transition(peaks, transition, BOOTSTRAP).sel(heads="mean", category="a")
    assert at["rho"].item() > 0.2 and at["rho_low"].isnull() and at["rho_high"].isnull()


# Texts --------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
DOCUMENTS = [RNG.integers(0, tiny_models.VOCAB, n).tolist() for n in (12, 4, 9, 15, 6, 12)]
SKIP = 5


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_sums_over_texts_equal_the_loop(name):
    model = tiny_models.build(name)
    parts = find_parts(model)
    found = attention.over_text(parts, DOCUMENTS, SKIP)
    runs = [
        model(input_ids=torch.tensor([d]), output_attentions=True, use_cache=False).attentions
        for d in DOCUMENTS
    ]
    states = [capture(parts, torch.tensor([d])).resid[:, 0] for d in DOCUMENTS]
    longest = max(map(len, DOCUMENTS))
    assert found["n_documents"].values.tolist() == [
        sum(len(d) > t for d in DOCUMENTS) for t in range(longest)
    ]
    assert int(found["n_tokens_in_text"]) == sum(max(0, len(d) - SKIP) for d in DOCUMENTS)
    for layer in range(tiny_models.LAYERS):
        for head in range(tiny_models.HEADS):
            at = found.sel(layer=layer, head=head)
            late, entropies = [], []
            for t in range(longest):
                rows = [run[layer][0, head, t] for run in runs if run[layer].shape[-1] > t]
                firsts = [float(row[0]) for row in rows]
                assert float(at["first_by_position"][t]) == pytest.approx(np.mean(firsts), abs=1e-5)
                if t >= SKIP:
                    late += firsts
                    entropies += [slow.entropy(row) / math.log(t + 1) for row in rows]
            assert float(at["first_in_text"]) == pytest.approx(np.mean(late), abs=1e-5)
            assert float(at["entropy_in_text"]) == pytest.approx(np.mean(entropies), abs=1e-5)
    even = [1 / (t + 1) for d in DOCUMENTS for t in range(SKIP, len(d))]
    beyond = found["first_in_text"] - sum(even) / len(even)
    for heads, share in {"mean": beyond.mean("head"), "best": beyond.max("head")}.items():
        at = found.sel(heads=heads)
        marks = float(at["onset_in_text"]), float(at["release_in_text"])
        expected = slow.half_maximum(share.values.tolist()) if share.max() > 0 else (math.nan, math.nan)
        np.testing.assert_allclose(marks, expected, atol=1e-4)
    assert found["onset_in_text"].notnull().any()
    for depth in range(tiny_models.LAYERS + 1):
        first = np.mean([s[depth, 0].abs().numpy() for s in states], axis=0)
        others = np.concatenate([s[depth, 1:].abs().numpy() for s in states]).mean(0)
        np.testing.assert_allclose(found["magnitude_first"][depth], first, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(found["magnitude_others"][depth], others, atol=1e-4, rtol=1e-4)


def test_watching_leaves_nothing_behind():
    parts = find_parts(tiny_models.build("gpt2"))
    attention.over_text(parts, DOCUMENTS, SKIP)
    with pytest.raises(IndexError):
        attention.over_text(parts, [*DOCUMENTS, [tiny_models.VOCAB] * 7], SKIP)
    modules = parts.model.modules()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)


def test_a_head_that_looks_at_the_first_token_is_seen_in_text():
    found = attention.over_text(find_parts(slow.looks_at(0)), [[1, 2, 3, 4, 5, 6], [7, 8, 9, 1, 2]], skip=2)
    np.testing.assert_allclose(found["first_by_position"], 1, atol=1e-6)
    np.testing.assert_allclose(found["entropy_in_text"], 0, atol=1e-6)
    n_layers = found.sizes["layer"]
    np.testing.assert_allclose(found["onset_in_text"], 0, atol=1e-6)
    np.testing.assert_allclose(found["release_in_text"], n_layers - 1, atol=1e-6)


@pytest.mark.parametrize("skip", [0, 15, 40])
def test_too_little_text(skip):
    with pytest.raises(ValueError, match=f"longest document's 15 tokens, not {skip}"):
        attention.over_text(find_parts(tiny_models.build("gpt2")), DOCUMENTS, skip)
    with pytest.raises(ValueError, match="0 tokens"):
        attention.over_text(find_parts(tiny_models.build("gpt2")), [], 3)


# Variability --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_variability_equals_the_loop(name):
    model = tiny_models.build(name)
    found = attention.variability(find_parts(model), DOCUMENTS, n_first=6, batch=2)
    kept = [d[:6] for d in DOCUMENTS if len(d) >= 6]
    assert int(found["n_texts"]) == len(kept) == 5
    runs = [
        model(input_ids=torch.tensor([d]), output_attentions=True, use_cache=False).attentions for d in kept
    ]
    for layer in range(tiny_models.LAYERS):
        for head in range(tiny_models.HEADS):
            patterns = [run[layer][0, head].numpy() for run in runs]
            at = found.sel(layer=layer, head=head)
            assert float(at["variability"]) == pytest.approx(slow.variability(patterns), abs=1e-5)
            beyond = slow.variability(patterns, first_key=1)
            assert float(at["variability_beyond_first"]) == pytest.approx(beyond, abs=1e-5)


def test_a_head_that_looks_at_a_position_does_not_vary():
    texts = [RNG.integers(0, 20, 5).tolist() for _ in range(30)]
    found = attention.variability(find_parts(slow.looks_at(1)), texts, n_first=5)
    assert abs(found["variability"]).max() < 1e-6
    assert abs(found["variability_beyond_first"]).max() < 1e-6


def test_a_head_that_looks_for_a_token_varies_as_computed_on_paper():
    """Token 7 is first, second or third; queries before it attend evenly.

    Query 1: (1, 0), (0, 1), (½, ½), mean (½, ½): deviations 1 + 1 + 0. Query 2: one of three: 3 · 4/3. In
    all 6 of twice 9. Without key 0: query 1 deviates by ½ + ½ + 0 of 3/2, query 2 by 2/3 + 1 + 1 of 2.
    """
    texts = [[7, 1, 2], [3, 7, 4], [5, 6, 7]]
    found = attention.variability(find_parts(slow.looks_for(7)), texts, n_first=3)
    np.testing.assert_allclose(found["variability"], 1 / 3, atol=1e-6)
    np.testing.assert_allclose(found["variability_beyond_first"], (11 / 3) / 7, atol=1e-6)


def test_variability_needs_two_texts():
    parts = find_parts(tiny_models.build("gpt2"))
    with pytest.raises(ValueError, match="1 documents have 15 tokens"):
        attention.variability(parts, DOCUMENTS, n_first=15)
    with pytest.raises(ValueError, match="two tokens are needed"):
        attention.variability(parts, DOCUMENTS, n_first=1)


# Channels -----------------------------------------------------------------------------------

C, BIG, EVERYWHERE, SMALL, ONCE = 200, [3, 40, 41], 90, 150, 12


def make_channels(seed=0, rotary=False):
    """Channels 3, 40 and 41 are outsized at the first position of depths 2 to 5 of 6; 90 is large everywhere,
    150 small at the first position and smaller yet elsewhere.

    Channel 3's gain is turned down in norm 1, 40's up in norm 2; 41 is active in the position embedding.
    At depth 4 the first position's state is ten times as large in every channel.
    """
    rng = np.random.default_rng(seed)
    first, others = np.exp(0.1 * rng.normal(size=(2, 7, C)))
    first[2:6, BIG] *= 30
    first[:, EVERYWHERE] *= 30
    others[:, EVERYWHERE] *= 30
    first[:, SMALL] *= 0.2
    others[:, SMALL] *= 0.005
    first[4] *= 10
    in_text = xr.Dataset(
        {
            "magnitude_first": (("depth", "channel"), first),
            "magnitude_others": (("depth", "channel"), others),
        },
        {"depth": np.arange(7), "channel": np.arange(C)},
    )
    gains = np.exp(0.1 * rng.normal(size=(2, 6, C)))
    gains[0, :5, BIG[0]] = 0.02
    gains[1, 1:, BIG[1]] = 9
    gains[0, 5, ONCE] = 40  # in one layer of six
    weights = xr.Dataset({f"norm{i + 1}_gain": (("layer", "channel"), gains[i]) for i in range(2)})
    if not rotary:
        spread = np.where(np.isin(np.arange(C), [*range(50, 110), BIG[2]]), 1.0, 0.02)
        spread = spread * np.exp(0.2 * rng.normal(size=C))
        weights["position_embedding"] = (("position", "channel"), rng.normal(size=(64, C)) * spread)
    return in_text, weights


RULE = {"among_channels": 5, "among_positions": 5, "share": 0.5}


def members(found, name):
    return np.flatnonzero(found["in_set"].sel(channel_set=name).values).tolist()


def test_outsized_channels_are_found_and_known():
    in_text, weights = make_channels()
    found = attention.outsized_channels(in_text, weights, **RULE)
    for depth in range(7):
        expected = BIG if 2 <= depth <= 5 else []
        assert np.flatnonzero(found["outsized"].sel(depth=depth)).tolist() == expected
    assert np.flatnonzero(found["outsized_overall"]).tolist() == BIG
    assert members(found, "norm1_gain") == [BIG[0]] and members(found, "norm2_gain") == [BIG[1]]
    assert members(found, "position") == [BIG[2], *range(50, 110)]
    assert "two groups" in found.attrs["position_set"]
    at = found.sel(channel_set="norm1_gain", channel=[BIG[0], ONCE])
    np.testing.assert_allclose(at["outlier_layers"], [5 / 6, 1 / 6], atol=1e-6)
    for name, n_set in {"norm1_gain": 1, "norm2_gain": 1, "position": 61}.items():
        at = found.sel(channel_set=name)
        assert int(at["n_overlap_overall"]) == 1
        assert float(at["n_expected_overall"]) == pytest.approx(n_set * 3 / C)
        expected = slow.chance_of_overlap(1, C, n_set, 3)
        assert float(at["p_overlap_overall"]) == pytest.approx(expected, rel=1e-5)
        assert at["n_overlap"].values.tolist() == [0, 0, 1, 1, 1, 1, 0]
        assert float(at["p_overlap"].sel(depth=3)) == pytest.approx(expected, rel=1e-5)
        assert float(at["p_overlap"].sel(depth=0)) == 1


def test_a_channel_has_to_be_outsized_often_enough():
    in_text, weights = make_channels()
    # At 4 of the 6 depths after the first.
    often = attention.outsized_channels(in_text, weights, **RULE | {"share": 0.6})
    assert np.flatnonzero(often["outsized_overall"]).tolist() == BIG
    rare = attention.outsized_channels(in_text, weights, **RULE | {"share": 0.7})
    assert not rare["outsized_overall"].any() and members(rare, "norm1_gain") == [BIG[0]]
    assert (rare["p_overlap_overall"] == 1).all()
    once = attention.outsized_channels(in_text, weights, **RULE | {"share": 0.1})
    assert members(once, "norm1_gain") == [BIG[0], ONCE]
    for share in (0, 1.1):
        with pytest.raises(ValueError, match=f"share is .* not {share}"):
            attention.outsized_channels(in_text, weights, **RULE | {"share": share})


def test_a_model_without_position_embeddings_says_so():
    found = attention.outsized_channels(*make_channels(rotary=True), **RULE)
    assert found.attrs["position_set"] == "no position embedding"
    assert members(found, "position") == [] and (found["p_overlap"].sel(channel_set="position") == 1).all()


def test_nothing_is_found_in_random_weights():
    rng = np.random.default_rng(1)
    gain = xr.DataArray(np.exp(0.3 * rng.normal(size=(40, 500))), dims=("layer", "channel"))
    # 3.5 standard deviations, both sides: 1 in 2,100.
    assert gain_outliers(gain).mean() < 2e-3
    for seed in range(20):
        drawn = np.random.default_rng(seed)
        spread = np.exp(0.3 * drawn.normal(size=300))
        embedding = xr.DataArray(drawn.normal(size=(128, 300)) * spread, dims=("position", "channel"))
        active, told = position_active(embedding)
        assert not active.any() and told.startswith("no two groups")


def test_gain_outliers_are_either_way_and_of_either_sign():
    gain = np.exp(0.1 * np.random.default_rng(0).normal(size=(1, 100)))
    gain[0, :4] = 0.01, 50, -50, 0
    gain[0, 4] = -1  # of ordinary size
    found = gain_outliers(xr.DataArray(gain, dims=("layer", "channel")))
    assert np.flatnonzero(found).tolist() == [0, 1, 2, 3]


# Files --------------------------------------------------------------------------------------


def test_everything_can_be_written_and_read(case, tmp_path):
    prompts, patterns = case
    activations = slow.make_activations(prompts, patterns)
    names = prompts["id"].to_numpy(object)
    transition = xr.DataArray(
        np.linspace(0, 4, 12).reshape(6, 2),
        {"prompt": names, "noise": ["0.5", "3x"], "noise_sd": ("noise", [0.5, 0.3])},
        ("prompt", "noise"),
    )
    parts = find_parts(tiny_models.build("gpt2"))
    in_text = attention.over_text(parts, DOCUMENTS, SKIP)
    weights = xr.Dataset(
        {name: (("layer", "channel"), np.ones((4, 32), "float32")) for name in ("norm1_gain", "norm2_gain")}
    )
    results = {
        "attention": attention.analyse(activations, prompts, transition, **OPTIONS),
        "attention_text": in_text.merge(attention.variability(parts, DOCUMENTS, 6)),
        "outsized": attention.outsized_channels(in_text, weights, **RULE),
    }
    for name, result in results.items():
        path = str(tmp_path / f"{name}.nc")
        io.write_dataset(result, path, model={}, config={})
        back = io.open_dataset(path).load()
        del back.attrs["provenance"]
        xr.testing.assert_equal(back, result)
        assert back.attrs == result.attrs
        assert all(v.dtype == "float32" for v in result.data_vars.values() if v.dtype.kind == "f")
    together = results["attention"]
    assert together["attention_prompt"].dims == ("prompt", "site", "layer", "head")
    assert together["rho"].dims == ("heads", "category", "noise")
