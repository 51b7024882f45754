import math

import numpy as np
import pytest
import torch
import xarray as xr

from oracles import attention as slow
from oracles import tiny_models
from strata.attention.outsized import outsized_channels
from strata.attention.over_text import over_text, variability
from strata.model.architecture import find_parts
from strata.model.capture import capture
from strata.stats.bootstrap import Bootstrap
from strata.stats.draws import interval_of_mean
from strata.stats.seeding import generator

RNG = np.random.default_rng(3)
DOCUMENTS = [RNG.integers(0, tiny_models.VOCAB, n).tolist() for n in (12, 4, 9, 15, 6, 12)]
SKIP = 5
BOOTSTRAP = Bootstrap(50, 0.9, 0)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_sums_over_texts_equal_the_loop(name):
    model = tiny_models.build(name)
    parts = find_parts(model)
    found = over_text(parts, DOCUMENTS, SKIP, BOOTSTRAP)
    runs = [
        model(input_ids=torch.tensor([d]), output_attentions=True, use_cache=False).attentions
        for d in DOCUMENTS
    ]
    states = [capture(parts, torch.tensor([d])).resid[:, 0] for d in DOCUMENTS]
    longest = max(map(len, DOCUMENTS))
    assert int(found["n_documents_in_text"]) == sum(len(d) > SKIP for d in DOCUMENTS)
    assert int(found["n_tokens_in_text"]) == sum(max(0, len(d) - SKIP) for d in DOCUMENTS)
    for layer in range(tiny_models.LAYERS):
        for head in range(tiny_models.HEADS):
            at = found.sel(layer=layer, head=head)
            late, entropies = [], []
            for t in range(longest):
                rows = [run[layer][0, head, t] for run in runs if run[layer].shape[-1] > t]
                firsts = [float(row[0]) for row in rows]
                if t >= SKIP:
                    late += firsts
                    entropies += [slow.entropy(row) / math.log(t + 1) for row in rows]
            assert float(at["first_in_text"]) == pytest.approx(np.mean(late), abs=1e-5)
            assert float(at["entropy_in_text"]) == pytest.approx(np.mean(entropies), abs=1e-5)
    even = [1 / (t + 1) for d in DOCUMENTS for t in range(SKIP, len(d))]
    beyond = found["first_in_text"] - sum(even) / len(even)
    for heads, share in {"mean": beyond.mean("head"), "best": beyond.max("head")}.items():
        at = found.sel(heads=heads)
        np.testing.assert_allclose(at["first_of_heads_in_text"], share + sum(even) / len(even), atol=1e-6)
        marks = float(at["onset_in_text"]), float(at["release_in_text"])
        expected = slow.half_maximum(share.values.tolist()) if share.max() > 0 else (math.nan, math.nan)
        np.testing.assert_allclose(marks, expected, atol=1e-4)
    # Where every layer has a window, no text is short enough for its end to see its beginning.
    assert found["onset_in_text"].notnull().any() == (name != "mistral")
    for depth in range(tiny_models.LAYERS + 1):
        first = np.mean([s[depth, 0].abs().numpy() for s in states], axis=0)
        others = np.concatenate([s[depth, 1:].abs().numpy() for s in states]).mean(0)
        np.testing.assert_allclose(found["magnitude_first"][depth], first, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(found["magnitude_others"][depth], others, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_how_documents_are_batched_changes_nothing(name):
    parts = find_parts(tiny_models.build(name))
    alone, together = (over_text(parts, DOCUMENTS, SKIP, BOOTSTRAP, max_tokens=most) for most in (1, 1000))
    xr.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_intervals_are_those_of_documents_drawn_again():
    """Whole documents, and what each brings: a long one has more tokens in the mean, drawn or not."""
    model = tiny_models.build("gpt2")
    documents = [RNG.integers(0, tiny_models.VOCAB, n).tolist() for n in [4, *range(7, 16)] * 4]
    found = over_text(find_parts(model), documents, SKIP, Bootstrap(4000, 0.9, 0))
    long_enough = [d for d in documents if len(d) > SKIP]
    runs = [model(input_ids=torch.tensor([d]), output_attentions=True).attentions for d in long_enough]
    late = [np.stack([layer[0, :, SKIP:, 0] for layer in run]) for run in runs]  # (layer, head, query)
    drawn, marks = [], []
    for chosen in np.random.default_rng(5).integers(len(late), size=(4000, len(late))):
        share = np.concatenate([late[i] for i in chosen], -1).mean(-1)
        even = np.concatenate([1 / np.arange(SKIP + 1, len(long_enough[i]) + 1) for i in chosen]).mean()
        drawn.append(share)
        marks.append(slow.half_maximum((share.max(1) - even).tolist())[0])
    drawn = np.stack(drawn)
    expected = {
        "first_of_heads_in_text": np.stack([drawn.mean(2), drawn.max(2)], 1),
        "onset_in_text": np.stack([marks] * 2, 1),
    }
    for name, values in expected.items():
        ends = np.quantile(values, [0.05, 0.95], axis=0)
        for end, value in zip(("low", "high"), ends, strict=True):
            off = abs(found[f"{name}_{end}"] - value) < 0.15 * (ends[1] - ends[0]) + 1e-6
            assert off.sel(heads="best").all() if name == "onset_in_text" else off.all()
    which = np.repeat(np.arange(len(late)), [each.shape[-1] for each in late])
    ends = interval_of_mean(np.concatenate(late, -1), 4000, 0.9, generator(0), which)
    for end, value in zip(("low", "high"), ends, strict=True):
        np.testing.assert_allclose(found[f"first_in_text_{end}"], value, atol=1e-5)
    assert (found["entropy_in_text_low"] < found["entropy_in_text_high"]).all()
    assert int(found["n_documents_in_text"]) == len(long_enough) == 36


def test_watching_leaves_nothing_behind():
    parts = find_parts(tiny_models.build("gpt2"))
    over_text(parts, DOCUMENTS, SKIP, BOOTSTRAP)
    with pytest.raises(IndexError):
        over_text(parts, [*DOCUMENTS, [tiny_models.VOCAB] * 7], SKIP, BOOTSTRAP)
    modules = parts.model.modules()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)


def test_a_head_that_looks_at_the_first_token_is_seen_in_text():
    found = over_text(find_parts(slow.looks_at(0)), [[1, 2, 3, 4, 5, 6], [7, 8, 9, 1, 2]], 2, BOOTSTRAP)
    np.testing.assert_allclose(found["first_in_text"], 1, atol=1e-6)
    np.testing.assert_allclose(found["entropy_in_text"], 0, atol=1e-6)
    n_layers = found.sizes["layer"]
    np.testing.assert_allclose(found["onset_in_text"], 0, atol=1e-6)
    np.testing.assert_allclose(found["release_in_text"], n_layers - 1, atol=1e-6)


@pytest.mark.parametrize("skip", [0, 15, 40])
def test_too_little_text(skip):
    with pytest.raises(ValueError, match=f"longest document's 15 tokens, not {skip}"):
        over_text(find_parts(tiny_models.build("gpt2")), DOCUMENTS, skip, BOOTSTRAP)
    with pytest.raises(ValueError, match="0 tokens"):
        over_text(find_parts(tiny_models.build("gpt2")), [], 3, BOOTSTRAP)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_variability_equals_the_loop(name):
    model = tiny_models.build(name)
    found = variability(find_parts(model), DOCUMENTS, n_first=6, batch=2)
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
    found = variability(find_parts(slow.looks_at(1)), texts, n_first=5)
    assert abs(found["variability"]).max() < 1e-6
    assert abs(found["variability_beyond_first"]).max() < 1e-6


def test_a_head_that_looks_for_a_token_varies_as_computed_on_paper():
    """Token 7 is first, second or third; queries before it attend evenly.

    Query 1: (1, 0), (0, 1), (½, ½), mean (½, ½): deviations 1 + 1 + 0. Query 2: one of three: 3 · 4/3. In
    all 6 of twice 9. Without key 0: query 1 deviates by ½ + ½ + 0 of 3/2, query 2 by 2/3 + 1 + 1 of 2.
    """
    texts = [[7, 1, 2], [3, 7, 4], [5, 6, 7]]
    found = variability(find_parts(slow.looks_for(7)), texts, n_first=3)
    np.testing.assert_allclose(found["variability"], 1 / 3, atol=1e-6)
    np.testing.assert_allclose(found["variability_beyond_first"], (11 / 3) / 7, atol=1e-6)


def test_variability_needs_two_texts():
    parts = find_parts(tiny_models.build("gpt2"))
    with pytest.raises(ValueError, match="1 documents have 15 tokens"):
        variability(parts, DOCUMENTS, n_first=15)
    with pytest.raises(ValueError, match="two tokens are needed"):
        variability(parts, DOCUMENTS, n_first=1)


def test_texts_and_channels_can_be_written_and_read(tmp_path):
    parts = find_parts(tiny_models.build("gpt2"))
    in_text = over_text(parts, DOCUMENTS, SKIP, BOOTSTRAP)
    weights = xr.Dataset(
        {name: (("layer", "channel"), np.ones((4, 32), "float32")) for name in ("norm1_gain", "norm2_gain")}
    )
    outsized = outsized_channels(in_text, weights, among_channels=5, among_positions=5, share=0.5)
    slow.check_kept(in_text.merge(variability(parts, DOCUMENTS, 6)), str(tmp_path / "attention_text.nc"))
    slow.check_kept(outsized, str(tmp_path / "outsized.nc"))
