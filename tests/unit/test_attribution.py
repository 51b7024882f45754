"""What each part adds to a logit difference: all together, each taken away, a head from its pattern."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from transformers import DynamicCache

from oracles import attribution as oracle
from oracles import tiny_models
from strata.model.architecture import find_parts
from strata.model.attribution import DIMS, attribute
from strata.stats.bootstrap import Bootstrap
from strata.trace.attribution import average_attribution

PROMPTS = [[5, 17, 3, 60, 2, 44], [9, 9, 41, 0, 96, 3, 8, 12], [71, 4]]
TARGETS = [31, 8, 60]
TABLE = pd.DataFrame(
    {"id": ["a", "b", "c"], "category": ["x", "y", "y"], "fact": ["a", "b", "c"], "target_id": TARGETS}
)
EVERY = pytest.mark.parametrize("name", tiny_models.NAMES)


ACROSS = {"rtol": 1e-5, "atol": 2e-6}
"""Between two runs: transformers' softmax and rotary angles are float32 even in a float64 model."""


def built(name):
    return tiny_models.build(name).double()


def attributed(model, **options):
    return attribute(find_parts(model), PROMPTS, TABLE, **options)


@EVERY
def test_the_parts_sum_to_the_logit_difference_of_hugging_face(name):
    model = built(name)
    found = attributed(model)
    parts = [found[part] for part in DIMS if part in found]
    total = sum(part.sum(set(part.dims) - {"prompt"}) for part in parts)
    cap = find_parts(model).logit_cap
    for row, (prompt, target) in enumerate(zip(PROMPTS, TARGETS, strict=True)):
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1].double()
        if cap:
            logits = cap * torch.atanh(logits / cap)
        others = [token for token in logits.argsort(descending=True).tolist() if token != target]
        assert found["alternative_id"][row] == others[0] and found["target_id"][row] == target
        np.testing.assert_allclose(total[row], (logits[target] - logits[others[0]]).item(), **ACROSS)
    # Within one run the sum is exact, but for the RMS norms of transformers, which are float32 too.
    rms = "RMSNorm" in type(find_parts(model).final_norm).__name__
    exact = {"rtol": 1e-6, "atol": 1e-6} if rms else {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(total, found["logit_difference"], **exact)
    assert list(found["prompt"]) == ["a", "b", "c"] and abs(found["attention"]).min() > 0


@EVERY
def test_a_part_is_what_the_difference_loses_without_it(name):
    model = built(name)
    found = attributed(model)
    for row in (0, 2):
        expected, difference, alternative = oracle.parts_of_difference(
            find_parts(model), PROMPTS[row], TARGETS[row]
        )
        assert found["alternative_id"][row] == alternative
        np.testing.assert_allclose(found["logit_difference"][row], difference, **ACROSS)
        for key, value in expected.items():
            part, *index = (key,) if isinstance(key, str) else key
            own = float(found[part][(row, *index)]) if part in found else 0.0
            np.testing.assert_allclose(own, value, **ACROSS, err_msg=str(key))


WITHOUT_NORMS = ["gpt2", "gpt-neo", "ctrl", "gpt-j", "gpt-neox", "opt", "falcon-new", "llama", "qwen3", "phi"]


@pytest.mark.parametrize("name", WITHOUT_NORMS)
def test_a_head_is_its_pattern_times_its_values_times_its_slice_of_the_output(name):
    model = built(name)
    found, parts = attributed(model), find_parts(model)
    cache = DynamicCache()
    output = model(
        input_ids=torch.tensor(PROMPTS[:1]),
        past_key_values=cache,
        use_cache=True,
        output_attentions=True,
        output_hidden_states=True,
    )
    kept = {}
    with oracle.hooked(parts.final_norm, oracle.keep(kept, "last", of_input=True)):
        model(input_ids=torch.tensor(PROMPTS[:1]))
    last, norm = kept["last"][0, -1], parts.final_norm
    rows = parts.unembedding.weight
    direction = (rows[TARGETS[0]] - rows[int(found["alternative_id"][0])]) * norm.weight
    if isinstance(norm, torch.nn.LayerNorm):
        direction = (direction - direction.mean()) / (last.var(correction=0) + norm.eps).sqrt()
    else:
        direction = direction / (last.pow(2).mean() + norm.variance_epsilon).sqrt()
    for layer in range(parts.n_layers):
        weight = parts.attention_values[layer].weight
        weight = weight.T if isinstance(parts.attention_values[layer], torch.nn.Linear) else weight
        values, patterns = cache.layers[layer].values[0], output.attentions[layer][0, :, -1].double()
        values = values.double().repeat_interleave(parts.n_heads // len(values), 0)
        size = values.shape[-1]
        for head in range(parts.n_heads):
            written = patterns[head] @ values[head] @ weight[head * size : (head + 1) * size]
            own = float(found["attention"][0, layer, head])
            assert own == pytest.approx(float(written @ direction), rel=1e-5, abs=1e-6)


def test_what_a_family_lacks_is_absent():
    lacks = {
        name: set(DIMS) - set(attributed(tiny_models.build(name))) for name in ("gpt2", "llama", "gpt-j")
    }
    biases = {"attention_bias", "mlp_bias"}
    assert lacks == {
        "gpt2": set(),
        "llama": biases | {"position_embedding"},
        "gpt-j": {"attention_bias", "position_embedding"},
    }


def test_prompts_in_one_batch_are_as_each_alone():
    model = built("gpt-neo")
    together, alone = attributed(model), attributed(model, max_tokens=1)
    for name in together.data_vars:
        np.testing.assert_allclose(together[name], alone[name], **ACROSS)


def test_intervals_are_over_what_prompts_ask():
    many = xr.concat([attributed(tiny_models.build("gpt2"))] * 10, "prompt")
    values = np.random.default_rng(0).normal(size=30)
    many = many.assign(constant=("prompt", values), fact=("prompt", np.arange(30) // 2)).set_coords("fact")
    low, high = Bootstrap(200, 0.9, 0).ends(np.mean, values, clusters=np.arange(30) // 2)
    found = average_attribution(many, Bootstrap(200, 0.9, 0)).sel(category="all")
    assert (found["constant_low"], found["constant_high"]) == (low, high)


def test_averages_are_means_over_the_prompts_of_a_category():
    found = attributed(tiny_models.build("gpt2"))
    averages = average_attribution(found, Bootstrap(200, 0.9, 0))
    assert averages["category"].values.tolist() == ["all", "x", "y"]
    y = averages.sel(category="y")
    for name in found.data_vars:
        mean = (found[name][1].values + found[name][2].values) / 2
        np.testing.assert_allclose(y[name], mean)
        assert y[f"{name}_low"].isnull().all()  # too few prompts
    totals = y["attention_total"].sum() + y["mlp_total"].sum()
    rest = y["token_embedding"] + y["position_embedding"] + y["constant"]
    np.testing.assert_allclose(totals + rest, y["logit_difference"], rtol=1e-5)
    assert averages["mlp_n"].values.tolist() == [3, 1, 2] and averages.attrs["interval"] == 0.9
