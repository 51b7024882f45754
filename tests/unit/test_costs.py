"""Formulae of costs against the operations that the engines make, counted by torch."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from oracles import tiny_models
from oracles.noised import IDS, noised
from strata.costs import running
from strata.model.architecture import find_parts
from strata.model.shape import of_config
from strata.model.slices import written_sizes
from strata.trace.neuron_groups import NeuronGroups
from strata.trace.sites import of_heads, of_neurons, restoration
from strata.trace.sweep import trace_prompts
from strata.trace.whole_target import follow_targets


@pytest.fixture(scope="module", params=["gpt2", "gpt-neox", "qwen3", "gemma3", "bloom"])
def model(request):
    return tiny_models.build(request.param)


@pytest.fixture(scope="module")
def parts(model):
    return find_parts(model)


@pytest.fixture(scope="module")
def shape(model):
    return of_config(model.config.to_dict() | {"architectures": [type(model).__name__]})


def counted(work, *args, **options) -> int:
    with FlopCounterMode(display=False) as counter:
        work(*args, **options)
    return counter.get_total_flops()


def test_a_forward_pass(model, shape):
    ids = torch.tensor([IDS[:6], IDS[1:]])
    found = running.forward(shape, [6, 6]) + running.decode(shape, 12)
    expected = counted(model, ids, use_cache=False)
    assert found.operations == expected
    assert (found.tokens, found.passes) == (12, 2)


def prompts_of(width):
    """Of several lengths, with subjects of one token and of several, at the beginning and at the end."""
    made = [
        noised(IDS[:5], subject=(1,), samples=2, width=width),
        noised(IDS[:7], subject=(2, 3), samples=2, width=width),
        noised(IDS[:4], subject=(0, 1, 2), samples=2, width=width),
        noised(IDS[:3], subject=(2,), samples=2, width=width),
    ]
    return made, [running.Prompt(len(p.input_ids), p.subject[0], p.subject[-1]) for p in made]


KINDS = {
    "state": running.of_states,
    "state_severed_mlp": lambda layers: running.of_states(layers, severed=True),
    "mlp": lambda layers: running.of_windows(layers, 3, "code"),
    "attn": lambda layers: running.of_windows(layers, 2, "paper"),
    "heads": lambda layers: running.of_pieces(layers, tiny_models.HEADS),
    "neurons": lambda layers: running.of_pieces(layers, 3),
}


def restorations(parts, what):
    if what == "heads":
        return of_heads(parts.n_layers, parts.n_heads)
    if what == "neurons":
        sizes = [written_sizes(parts, layer) for layer in range(parts.n_layers)]
        return of_neurons(NeuronGroups(sizes, 2, 0))
    width, convention = {"mlp": (3, "code"), "attn": (2, "paper")}.get(what, (1, "code"))
    return restoration(what, parts.n_layers, width, convention)


@pytest.mark.parametrize("what", KINDS)
def test_a_trace(parts, shape, what):
    prompts, sizes = prompts_of(parts.token_embedding.embedding_dim)
    chosen = {what: restorations(parts, what)}
    kind = KINDS[what](shape.layers)
    for everywhere, versions in ((None, (0, 2)), ((), (2, 0))):
        found = running.trace(shape, sizes, [kind], *versions)
        expected = counted(trace_prompts, parts, prompts, chosen, everywhere=everywhere)
        assert found.operations == expected, everywhere


def test_a_trace_through_whole_targets(parts, shape):
    prompts, sizes = prompts_of(parts.token_embedding.embedding_dim)
    prompts = [replace(p, rest=IDS[:n]) for n, p in enumerate(prompts)]
    sizes = [replace(p, target=1 + n) for n, p in enumerate(sizes)]
    chosen = {"state": restoration("state", parts.n_layers)}
    traces = trace_prompts(parts, prompts, chosen)
    found = running.follow(shape, sizes, [running.of_states(shape.layers)], 2)
    expected = counted(follow_targets, parts, prompts, chosen, traces)
    assert found.operations == expected
