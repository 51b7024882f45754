import math

import numpy as np
import pytest
import torch

from oracles import distances as slow
from oracles import tiny_models
from strata.attention.by_distance import GROUPS, farthest
from strata.attention.over_text import over_text
from strata.model.architecture import find_parts
from strata.stats.bootstrap import Bootstrap
from strata.stats.draws import interval_of_mean
from strata.stats.seeding import generator

RNG = np.random.default_rng(4)
DOCUMENTS = [RNG.integers(1, tiny_models.VOCAB, n).tolist() for n in (12, 20, 17, 15)]
SKIP, FARTHEST = 3, 8
BOOTSTRAP = Bootstrap(5, 0.9, 0)
LONG = [RNG.integers(0, slow.VOCAB, 90).tolist() for _ in range(60)]


def patterns_of(model, layer, head):
    return [
        model(input_ids=torch.tensor([d]), output_attentions=True).attentions[layer][0, head].numpy()
        for d in DOCUMENTS
    ]


@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom", "gpt-neox", "gemma3"])
@pytest.mark.parametrize("max_tokens", [1, 1000])
def test_sums_over_texts_equal_the_loop(name, max_tokens):
    model = tiny_models.build(name)
    found = over_text(find_parts(model), DOCUMENTS, SKIP, BOOTSTRAP, max_tokens=max_tokens)
    assert found["distance"].values.tolist() == list(range(FARTHEST + 1))
    assert (
        int(found["n_queries"]) == sum(max(0, len(d) - SKIP - FARTHEST) for d in DOCUMENTS) == 1 + 9 + 6 + 4
    )
    for layer in range(tiny_models.LAYERS):
        within = tiny_models.WINDOW - 1 if name == "gemma3" and layer % 2 == 0 else FARTHEST
        for head in range(tiny_models.HEADS):
            at = found.sel(layer=layer, head=head)
            patterns = patterns_of(model, layer, head)
            queries = [(p, t) for p in patterns for t in range(SKIP + FARTHEST, len(p))]
            mean = [np.mean([p[t, t - d] for p, t in queries]) for d in range(FARTHEST + 1)]
            np.testing.assert_allclose(at["attention_by_distance"], mean, atol=1e-6)
            logits = [slow.centred([math.log(p[t, t - d]) for d in range(within + 1)]) for p, t in queries]
            expected = np.mean(logits, 0)
            np.testing.assert_allclose(at["logit_by_distance"][: within + 1], expected, atol=1e-4)
            assert at["logit_by_distance"][within + 1 :].isnull().all()
            by_distance = len(logits) * np.sum(expected**2) / np.sum(np.square(logits))
            assert float(at["explained_by_distance"]) == pytest.approx(by_distance, abs=1e-4)
            if name == "gpt2":
                assert at["explained_by_rotation"].isnull()
                continue
            alone = at["logit_without_content"].values[: within + 1].tolist()
            by_rotation = slow.explained_by(alone, logits)
            assert float(at["explained_by_rotation"]) == pytest.approx(by_rotation, abs=1e-4)
            assert by_rotation <= by_distance + 1e-6


def test_intervals_draw_groups_of_texts():
    """As many groups as texts where these are few; of more, every fiftieth text is in one group."""
    model = tiny_models.build("gpt2")
    documents = [RNG.integers(1, tiny_models.VOCAB, n).tolist() for n in [12, 20, 17, 15, 14] * 12]
    for texts, n_groups in ((documents[:20], 20), (documents, GROUPS)):
        found = over_text(find_parts(model), texts, SKIP, Bootstrap(200, 0.9, 0))
        far = found.sizes["distance"] - 1
        with torch.inference_mode():
            runs = [model(input_ids=torch.tensor([d]), output_attentions=True).attentions for d in texts]
        each, group = [], []
        for index, pattern in enumerate(run[1][0, 0] for run in runs):
            for query in range(SKIP + far, len(pattern)):
                each.append([float(pattern[query, query - back]) for back in range(far + 1)])
                group.append(index % n_groups)
        logits = [slow.centred([math.log(share) for share in row]) for row in each]
        assert int(found["n_groups"]) == n_groups == len(set(group))
        for name, rows in (("attention_by_distance", each), ("logit_by_distance", logits)):
            ends = interval_of_mean(np.transpose(rows), 200, 0.9, generator(0), np.array(group))
            for end, expected in zip(("low", "high"), ends, strict=True):
                at = found[f"{name}_{end}"].sel(layer=1, head=0)
                np.testing.assert_allclose(at, expected, atol=1e-4, rtol=1e-3)


def mean_read(model, norm, layer):
    """The mean over texts of what attention reads, from position ``SKIP`` on."""
    states = [
        norm(model(input_ids=torch.tensor([d]), output_hidden_states=True).hidden_states[layer])[0, SKIP:]
        for d in DOCUMENTS
    ]
    return torch.cat(states).mean(0)


def llama_heads(model, layer):
    block = model.model.layers[layer]
    attention = block.self_attn
    read = mean_read(model, block.input_layernorm, layer)
    query, key = attention.q_proj(read), attention.k_proj(read)
    shape = (-1, attention.head_dim)
    keys = key.view(shape).repeat_interleave(2, 0)
    return query.view(shape), keys, {"scale": attention.head_dim**-0.5}


def gemma_heads(model, layer):
    queries, keys, _ = llama_heads(model, layer)
    attention = model.model.layers[layer].self_attn
    theta = model.config.rope_parameters[model.config.layer_types[layer]]["rope_theta"]
    return attention.q_norm(queries), attention.k_norm(keys), {"scale": 12**-0.5, "theta": theta}


def neox_heads(model, layer):
    block = model.gpt_neox.layers[layer]
    size = tiny_models.WIDTH // tiny_models.HEADS
    together = block.attention.query_key_value(mean_read(model, block.input_layernorm, layer))
    queries, keys, _ = together.view(tiny_models.HEADS, 3, size).unbind(1)
    share = model.config.rope_parameters["partial_rotary_factor"]
    return queries, keys, {"scale": size**-0.5, "n_rotated": int(share * size)}


@pytest.mark.parametrize(
    "name,heads", [("llama", llama_heads), ("gemma3", gemma_heads), ("gpt-neox", neox_heads)]
)
def test_without_content_it_is_the_mean_query_and_key_that_rotate(name, heads):
    model = tiny_models.build(name)
    found = over_text(find_parts(model), DOCUMENTS, SKIP, BOOTSTRAP)["logit_without_content"]
    for layer in range(tiny_models.LAYERS):
        queries, keys, how = heads(model, layer)
        for head in range(tiny_models.HEADS):
            seen = found.sel(layer=layer, head=head).dropna("distance")
            assert seen.sizes["distance"] == (
                tiny_models.WINDOW if name == "gemma3" and layer % 2 == 0 else 9
            )
            rotated = slow.rotated(queries[head].tolist(), keys[head].tolist(), FARTHEST, **how)
            expected = slow.centred(rotated[: seen.sizes["distance"]])
            np.testing.assert_allclose(seen, expected, atol=1e-4)


def explained(**parts):
    found = over_text(find_parts(slow.planted_head(**parts)), LONG, 8, BOOTSTRAP).isel(layer=0, head=0)
    assert found.sizes["distance"] == 65
    return found


def test_a_head_that_no_content_moves_is_explained_in_full():
    found = explained(constant=2)
    assert float(found["explained_by_distance"]) == pytest.approx(1, abs=1e-5)
    assert float(found["explained_by_rotation"]) == pytest.approx(1, abs=1e-5)
    waves = slow.centred([2 * math.cos(d) for d in range(65)])
    np.testing.assert_allclose(found["logit_by_distance"], waves, atol=1e-4)
    np.testing.assert_allclose(found["logit_without_content"], waves, atol=1e-4)


def test_content_takes_its_part_of_the_variance():
    """2 cos(d) varies by about 2, and ±1 by 1, less what a mean over 65 keys takes."""
    found = explained(constant=2, content=1)
    waves = np.var([2 * math.cos(d) for d in range(65)])
    expected = waves / (waves + 1 - 1 / 65)
    assert float(found["explained_by_rotation"]) == pytest.approx(expected, abs=0.01)
    assert float(found["explained_by_distance"]) == pytest.approx(expected, abs=0.01)


def test_of_a_head_that_goes_by_content_alone_nothing_is_explained():
    found = explained(content=2)
    assert float(found["explained_by_distance"]) < 0.01
    assert not float(found["explained_by_rotation"]) > 1e-3  # nothing turns, so that it may be undefined


def test_a_token_that_matches_itself_is_distance_but_no_rotation():
    """±2 for every key, but always + at distance 0: that is 1/65 of what varies. The waves are rotation's."""
    found = explained(matching=2, constant=0.3)
    waves = np.var([0.3 * math.cos(d) for d in range(65)])
    whole = waves + 4 * 64 / 65
    match = 4 * (64 / 65) / 65
    assert float(found["explained_by_rotation"]) == pytest.approx(waves / whole, abs=0.01)
    between = float(found["explained_by_distance"] - found["explained_by_rotation"])
    assert between == pytest.approx(match / whole, abs=0.01)
    assert np.argmax(found["logit_by_distance"].values) == 0


def test_what_attention_itself_adds_of_positions():
    def shares(name):
        return over_text(find_parts(tiny_models.build(name)), DOCUMENTS, SKIP, BOOTSTRAP)[
            "explained_by_rotation"
        ]

    for name in ("gpt2", "opt", "ctrl"):  # learned or in the sum
        assert shares(name).isnull().all()
    assert shares("falcon-alibi").notnull().all()
    assert shares("smollm3").isnull().all("head").values.tolist() == [False, True] * (tiny_models.LAYERS // 2)


@pytest.mark.parametrize(
    "lengths,expected", [([96] * 10, 64), ([80] * 10, 64), ([78] * 10, 32), ([9] * 10, 0), ([12], 2)]
)
def test_how_far_texts_reach(lengths, expected):
    assert farthest(lengths, 8) == expected


def test_texts_that_reach_nowhere():
    found = over_text(find_parts(tiny_models.build("llama")), [[1, 2, 3, 4]], 3, BOOTSTRAP)
    assert found.sizes["distance"] == 1
    assert found["explained_by_distance"].isnull().all() and found["explained_by_rotation"].isnull().all()
