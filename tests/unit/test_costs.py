"""Formulae of costs against the operations that the engines make, counted by torch."""

from dataclasses import replace

import pytest
import torch
from torch.backends import mkldnn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from oracles import tiny_models
from oracles.captured import decoder_of
from oracles.noised import IDS, noised
from strata.costs import fitting, running
from strata.lens import jacobian, tuned
from strata.lens.extended import carry_through
from strata.lens.readout import read_out
from strata.lens.stream import stream_depths
from strata.model.architecture import find_parts
from strata.model.shape import of_config
from strata.model.slices import written_sizes
from strata.trace.approximate import approximate
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


@pytest.fixture(autouse=True)
def torchs_own_products():
    """The only ones that its counter knows, and in the thread that counts."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    with mkldnn.flags(enabled=False):
        yield
    torch.set_num_threads(n)


def counted(work, *args, **options) -> int:
    with FlopCounterMode(display=False) as counter:
        work(*args, **options)
    return counter.get_total_flops()


class BackwardCounter(TorchDispatchMode):
    """Counts as `FlopCounterMode`, which cannot follow gradients of states alone."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if operations := flop_registry.get(function.overloadpacket):
            self.total += operations(*args, **(kwargs or {}), out_val=out)
        return out


def test_a_forward_pass(model, shape):
    ids = torch.tensor([IDS[:6], IDS[1:]])
    found = running.forward(shape, [6, 6]) + running.decode(shape, 12)
    expected = counted(model, ids, use_cache=False)
    assert found.operations == expected
    assert (found.tokens, found.passes) == (12, 2)


def stream_of(shape, n_tokens, seed=0):
    """Random states (depth, token, channel), as if of whole depths."""
    torch.manual_seed(seed)
    return torch.randn(shape.layers + 1, n_tokens, shape.channels)


def test_the_lens(parts, shape):
    ids = torch.tensor(IDS)
    found = running.decode(shape, len(IDS) * (shape.layers + 1)).operations
    states = stream_of(shape, len(IDS))
    # Readouts against two references are products too, of a few rows.
    beside = 2 * len(IDS) * 2 * (shape.layers + 1) * shape.vocab
    assert found + beside == counted(read_out, states, decoder_of(parts), ids, ids, 3)


def test_the_extended_decoder(parts, shape):
    lengths, depths = [4, 3], stream_depths(shape.layers, half_depths=False)
    carry = carry_through(parts, 2, depths=depths)
    stream = stream_of(shape, sum(lengths))
    carry(stream, stream[:0], lengths)  # how blocks are called is found out once
    within = 2  # depths that lie in the decoder's own blocks are not run
    found = running.forward(shape, lengths, layers=2).times(shape.layers + 1 - within)
    assert found.operations == counted(carry, stream, stream[:0], lengths)


def test_a_step_of_the_tuned_lens(parts, shape):
    def fitted(steps):
        batches = [stream_of(shape, 40, seed) for seed in range(3)]
        how = (decoder_of(parts), stream_depths(shape.layers, half_depths=False), steps, 0.01)
        return counted(tuned.fit, lambda: iter(batches), lambda: iter(batches), *how)

    whitened = 40 * shape.layers * 2 * shape.channels**2  # torch does not count solving for whitened states
    assert fitting.tuned_step(shape, 40).operations - whitened == fitted(4) - fitted(3)


def test_the_jacobian_lens(parts, shape):
    documents, skip = [IDS, IDS[::-1]], 1  # of one length: padding would be counted
    jacobian.fit(parts, documents, skip)  # how blocks are called is found out once
    with BackwardCounter() as counter:
        jacobian.fit(parts, documents, skip, 64)
    found = fitting.jacobian(shape, [len(document) for document in documents], 64)
    assert found.operations == counter.total


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


@pytest.mark.long
@pytest.mark.parametrize("what", KINDS)
def test_a_trace(parts, shape, what):
    prompts, sizes = prompts_of(parts.token_embedding.embedding_dim)
    chosen = {what: restorations(parts, what)}
    kind = KINDS[what](shape.layers)
    for everywhere, versions in ((None, (0, 2)), ((), (2, 0))):
        found = running.trace(shape, sizes, [kind], *versions)
        expected = counted(trace_prompts, parts, prompts, chosen, everywhere=everywhere)
        assert found.operations == expected, everywhere


def test_a_trace_to_first_order(parts, shape):
    prompts, sizes = prompts_of(parts.token_embedding.embedding_dim)
    approximate(parts, prompts)  # how blocks are called is found out once
    with BackwardCounter() as counter:
        approximate(parts, prompts)
    assert running.first_order(shape, sizes, 2).operations == counter.total


def test_a_trace_through_whole_targets(parts, shape):
    prompts, sizes = prompts_of(parts.token_embedding.embedding_dim)
    prompts = [replace(p, rest=IDS[:n]) for n, p in enumerate(prompts)]
    sizes = [replace(p, target=1 + n) for n, p in enumerate(sizes)]
    chosen = {"state": restoration("state", parts.n_layers)}
    traces = trace_prompts(parts, prompts, chosen)
    found = running.follow(shape, sizes, [running.of_states(shape.layers)], 2)
    expected = counted(follow_targets, parts, prompts, chosen, traces)
    assert found.operations == expected
