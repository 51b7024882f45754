"""Models that the table does not know: read by their module tree and right, or refused in one line."""

import pandas as pd
import pytest
import torch
from torch import nn
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    GPTBigCodeConfig,
    GPTBigCodeForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    NemotronConfig,
    NemotronForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    StableLmConfig,
    StableLmForCausalLM,
)

from oracles import tiny_models
from oracles import trace as oracle
from oracles.noised import noised
from oracles.tiny_models import GATED, GROUPED, LAYERS, OLD
from strata.model import families
from strata.model.architecture import find_parts
from strata.model.attribution import DIMS, attribute
from strata.model.capture import capture
from strata.model.equalities import check
from strata.model.families import FAMILIES, UnknownArchitecture
from strata.model.loading import load_model
from strata.model.readout import decoder_from
from strata.model.source import ModelUnavailable
from strata.model.weights import norm_parameters, weights
from strata.trace.sites import WHATS, restoration
from strata.trace.sweep import trace_prompts

IDS = torch.tensor([[5, 17, 3, 60, 2, 44]])
SCALED = {"embedding_multiplier": 3.0, "residual_multiplier": 0.3, "logits_scaling": 4.0}
FOREIGN = {
    "stablelm": (StableLmForCausalLM, StableLmConfig, GROUPED),
    "stablelm-parallel": (StableLmForCausalLM, StableLmConfig, GROUPED | {"use_parallel_residual": True}),
    "cohere": (CohereForCausalLM, CohereConfig, GROUPED | {"logit_scale": 0.25}),
    "granite": (GraniteForCausalLM, GraniteConfig, GROUPED | SCALED),
    "gpt-bigcode": (GPTBigCodeForCausalLM, GPTBigCodeConfig, OLD),
    "nemotron": (NemotronForCausalLM, NemotronConfig, GROUPED),
    "olmo": (OlmoForCausalLM, OlmoConfig, GATED),
}
"""With scales of residuals and logits, learned positions, LayerNorm with 1 + w, and norms without w."""


def foreign(name):
    return tiny_models.made(*FOREIGN[name])


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_family_is_right_all_the_way(name):
    model = foreign(name)
    parts = find_parts(model)
    check(parts)
    output = model(input_ids=IDS, output_hidden_states=True)
    taken = capture(parts, IDS)
    for depth in range(LAYERS):
        torch.testing.assert_close(taken.resid[depth], output.hidden_states[depth], atol=1e-5, rtol=1e-5)
    total = taken.resid[:-1] + taken.attn_out + taken.mlp_out
    torch.testing.assert_close(total, taken.resid[1:], atol=1e-4, rtol=1e-5)
    found = weights(model, lambda ids: [f"t{i}" for i in ids])
    logits = decoder_from(found).logits(taken.resid[-1])
    torch.testing.assert_close(logits, output.logits, atol=1e-4, rtol=1e-5)
    assert ("position_embedding" in found) == (name == "gpt-bigcode")
    assert ("norm1_gain" in found) == (name != "olmo")
    assert parts.parallel == (name in {"stablelm-parallel", "cohere"})


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("name", ["stablelm-parallel", "granite"])
def test_a_foreign_family_is_traced(name, what):
    parts = find_parts(foreign(name))
    prompt = noised(subject=(2,), samples=1)
    [trace] = trace_prompts(parts, [prompt], {what: restoration(what, LAYERS)})[what]
    restored, corrupted, clean = oracle.trace(parts, prompt, what)
    torch.testing.assert_close(trace.restored[:3, ..., 2:], restored[:3, ..., 2:], atol=5e-5, rtol=1e-5)
    torch.testing.assert_close(trace.corrupted[:3], corrupted[:3], atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_familys_parts_sum_to_its_logit_difference(name):
    model = foreign(name)
    prompts = pd.DataFrame({"id": ["a"], "category": "x", "fact": "a", "target_id": [31]})
    found = attribute(find_parts(model), IDS.tolist(), prompts)
    logits = model(input_ids=IDS).logits[0, -1]
    difference = float(logits[31] - logits[int(found["alternative_id"][0])])
    total = sum(found[part].sum() for part in DIMS if part in found)
    assert float(total) == pytest.approx(difference, abs=1e-4)


WITHOUT = [n for n in tiny_models.NAMES if n not in {"opt", "opt-350m", "bloom"}]


@pytest.mark.parametrize("name", WITHOUT)
def test_a_family_is_read_from_its_modules_as_from_the_table(name, monkeypatch):
    model = tiny_models.build(name)
    known = find_parts(model)
    monkeypatch.delitem(FAMILIES, type(model).__name__)
    found = find_parts(model)
    check(found)
    for part in vars(known):
        if part not in {"activations", "_calls", "parallel"}:
            assert getattr(found, part) == getattr(known, part) or part == "final_norm", part
    assert type(found.final_norm) is type(known.final_norm)


def test_a_foreign_model_is_loaded(tmp_path):
    foreign("stablelm").save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    torch.testing.assert_close(model(input_ids=IDS).logits, foreign("stablelm")(input_ids=IDS).logits)


# What is refused ----------------------------------------------------------------------------


class Odd(LlamaForCausalLM):
    """A Llama to which something is done."""


def odd(change=lambda model: None):
    model = tiny_models.made(Odd, *tiny_models.MODELS["llama"][1:])
    change(model)
    return model


def doubled(model):
    """A block does something outside of its attention and its MLP."""
    block = model.model.layers[2]
    forward = block.forward
    block.forward = lambda *args, **kwargs: 2 * forward(*args, **kwargs)


def seeing(model):
    """The state of every position holds something of the last one's."""
    attention = model.model.layers[1].self_attn
    forward = attention.forward

    def backwards(*args, **kwargs):
        out, pattern = forward(*args, **kwargs)
        return out + out[:, -1:], pattern

    attention.forward = backwards


def bent(model):
    """Logits are no linear map of normed states."""
    model.lm_head.register_forward_hook(lambda module, args, logits: logits.tanh())


def normed(model):
    """The final norm is none."""
    model.model.norm.forward = lambda states: states / states.abs().amax(-1, keepdim=True)


def scaled(model):
    """What the MLP adds is halved on the way."""
    block = model.model.layers[3]
    block.register_forward_hook(lambda module, args, out: out + block.kept)
    block.mlp.register_forward_hook(lambda module, args, out: setattr(block, "kept", out))


def switched(model):
    """Block 0 depends on the text otherwise than by the states: on its length."""
    block = model.model.layers[0]
    forward = block.forward
    block.forward = lambda hidden, *args, **kwargs: forward(hidden, *args, **kwargs) + hidden.shape[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (doubled, "its attention and MLP of layer 2 do not add up to what the block does: off by"),
        (seeing, "it sees what comes later"),
        (normed, "norm LlamaRMSNorm is neither LayerNorm nor RMS norm"),
        (bent, "its unembedding is no linear map"),
        (scaled, "its attention and MLP of layer 3 do not add up"),
        (switched, "its attention and MLP of layer 0 do not add up"),
    ],
)
def test_odd_models_are_refused_in_one_line(change, said):
    check(find_parts(odd()))
    with pytest.raises(UnknownArchitecture, match=said) as error:
        check(find_parts(odd(change)))
    assert "\n" not in str(error.value) and str(error.value).startswith("Odd is no known architecture")


@pytest.mark.parametrize(
    ("model", "configuration", "options", "said"),
    [
        (
            MixtralForCausalLM,
            MixtralConfig,
            GROUPED | {"num_local_experts": 4},
            "MLPs do not end in one linear",
        ),
        (
            MambaForCausalLM,
            MambaConfig,
            {"hidden_size": 32, "num_hidden_layers": 2},
            "no one attention .* mixer",
        ),
        (
            Lfm2ForCausalLM,
            Lfm2Config,
            GROUPED | {"layer_types": ["full_attention", "conv"] * 2},
            "blocks are not alike",
        ),
    ],
)
def test_models_of_another_kind_are_refused_in_one_line(model, configuration, options, said):
    with pytest.raises(
        UnknownArchitecture, match=f"^{model.__name__} is no known architecture, and .*{said}"
    ):
        find_parts(model(configuration(**options, attn_implementation="eager")))


def test_a_refusal_comes_with_the_models_source_before_anything_else(tmp_path, monkeypatch):
    tiny_models.build("bloom").save_pretrained(tmp_path)
    load_model(str(tmp_path))
    monkeypatch.delitem(FAMILIES, "BloomForCausalLM")
    with pytest.raises(ModelUnavailable, match=f"^model {tmp_path}: BloomForCausalLM is no known") as error:
        load_model(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bloom", {"apply_residual_connection_post_layernorm": True}),
        ("gemma3", {"use_bidirectional_attention": True}),
    ],
)
def test_a_known_family_whose_configuration_breaks_the_rules_is_refused(name, options):
    model, configuration, usual = tiny_models.MODELS[name]
    built = tiny_models.made(model, configuration, usual | options)
    assert families.family_of(built) is None
    with pytest.raises(UnknownArchitecture):
        check(find_parts(built))


def test_a_norm_of_another_kind_is_refused():
    class Largest(nn.Module):
        weight = nn.Parameter(torch.ones(8))

        def forward(self, hidden):
            return self.weight * hidden / hidden.abs().amax(-1, keepdim=True)

    with pytest.raises(UnknownArchitecture, match="norm Largest is neither"):
        norm_parameters(Largest())
