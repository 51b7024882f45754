from dataclasses import replace

import pytest
import torch

from oracles import tiny_models
from oracles import trace as oracle
from oracles.noised import IDS, TARGET, noised
from strata.model.architecture import find_parts
from strata.model.slices import written_sizes
from strata.trace import measures
from strata.trace.corruption import REPLACED
from strata.trace.measures import MEASURES
from strata.trace.neuron_groups import NeuronGroups
from strata.trace.sites import WHATS, of_heads, of_neurons, restoration, window
from strata.trace.sweep import batches, trace_prompts
from strata.trace.whole_target import follow_targets

SAME = {"atol": 5e-5, "rtol": 1e-5}


def traced(parts, prompts, what="state", width=1, convention="code", **options):
    chosen = {what: restoration(what, parts.n_layers, width, convention)}
    return trace_prompts(parts, prompts, chosen, **options)[what]


def agree(trace, prompt, parts, what, width=1, convention="code"):
    """The sweep's results are those of one forward a site."""
    restored, corrupted, clean = oracle.trace(parts, prompt, what, width, convention)
    first = prompt.subject[0]
    torch.testing.assert_close(trace.restored[..., first:], restored[..., first:], equal_nan=True, **SAME)
    torch.testing.assert_close(trace.corrupted, corrupted, equal_nan=True, **SAME)
    torch.testing.assert_close(trace.clean, clean, equal_nan=True, **SAME)
    assert trace.restored[..., :first].isnan().all()
    # The sweep leaves out what comes before the subject because it is the corrupted run there.
    before = restored[..., :first]
    torch.testing.assert_close(before, corrupted[:, :, None, None].expand_as(before), equal_nan=True, **SAME)
    # The corruption and the restoration must have done something, or all of this is empty.
    assert (corrupted[0] - clean[0]).abs().max() > 0.01
    assert (restored[0, ..., first:] - corrupted[0, :, None, None]).abs().max() > 0.01


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_sweep_agrees_with_one_forward_per_site(name, what):
    parts = find_parts(tiny_models.build(name))
    width = parts.token_embedding.embedding_dim
    completions = (8, TARGET, 71)
    prompt = noised(IDS[:6], subject=(2,), samples=1, others=[(40,)], completions=completions, width=width)
    [trace] = traced(parts, [prompt], what, 3)
    agree(trace, prompt, parts, what, 3)


def heads_agree(parts, prompts, **options):
    chosen = {"heads": of_heads(parts.n_layers, parts.n_heads)}
    traces = trace_prompts(parts, prompts, chosen, **options)["heads"]
    for head in range(tiny_models.HEADS):
        for prompt, trace in zip(prompts, traces, strict=True):
            restored = trace.restored[:, :, head :: tiny_models.HEADS]
            agree(replace(trace, restored=restored), prompt, parts, head)


@pytest.mark.parametrize("name", ["gpt2", "mistral", "gpt-neox", "bloom", "gemma3"])
def test_a_whole_target_is_followed_token_by_token(name):
    """Each token by whole forward passes, the state put back at the same place before those written."""
    parts = find_parts(tiny_models.build(name))
    target = [TARGET, 12, 77]
    prompts = [
        replace(noised(IDS[:5], subject=(1, 2), samples=1, others=[(40, 7)]), rest=target[1:]),
        noised(IDS[:6], subject=(2,), samples=1),
    ]
    chosen = {"state": restoration("state", parts.n_layers)}
    first = trace_prompts(parts, prompts, chosen)
    long, short = follow_targets(parts, prompts, chosen, first)["state"]
    expected = [torch.zeros(()) for _ in range(3)]
    for n, token in enumerate(target):
        written = replace(prompts[0], input_ids=[*IDS[:5], *target[:n]], target_id=token)
        each = oracle.trace(parts, written, "state")
        expected = [
            total + one[0] for total, one in zip(expected, [each[0][..., :5], *each[1:]], strict=True)
        ]
    restored, corrupted, clean = expected
    torch.testing.assert_close(long.restored[-1][..., [1, 2, 4]], restored[..., [1, 2, 4]], **SAME)
    assert long.restored[-1, ..., 3].isnan().all()
    torch.testing.assert_close(long.corrupted[-1], corrupted, **SAME)
    torch.testing.assert_close(long.clean[-1], clean, **SAME)
    assert (long.clean[-1] - long.clean[0]).abs() > 0.1
    for name in ("restored", "corrupted", "clean"):
        own, before = getattr(short, name), getattr(first["state"][1], name)
        torch.testing.assert_close(own, torch.cat([before, before[:1]]), equal_nan=True)


def test_everywhere_ends_at_the_final_token_and_not_behind_it():
    prompt = replace(noised(IDS[:4], subject=(1,), samples=1), rest=(8,))
    written = replace(prompt, input_ids=[*IDS[:4], TARGET], written=1)
    for everywhere, expected in ((None, [1, 2, 3]), ((), [1, 3])):
        assert written.traced_at(everywhere)[0].nonzero().flatten().tolist() == expected
        assert prompt.traced_at(everywhere)[0].nonzero().flatten().tolist() == expected


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_a_single_head_agrees_with_one_forward_per_site(name):
    parts = find_parts(tiny_models.build(name))
    width = parts.token_embedding.embedding_dim
    heads_agree(parts, [noised(IDS[:4], subject=(1,), samples=1, width=width)])


def test_single_heads_of_prompts_traced_together_and_in_small_pieces():
    parts = find_parts(tiny_models.build("qwen2"))
    prompts = [noised(IDS[:5], subject=(2,), others=[(40,)]), noised(IDS[4::-1], subject=(2, 3), seed=1)]
    heads_agree(parts, prompts, max_rows=9)


GROUPS = 3
GAINS = {
    "gemma2": lambda norm: 1 + norm.weight,
    "gemma3": lambda norm: 1 + norm.weight,
    "olmo2": lambda norm: norm.weight,
}


def sizes_of(parts, name):
    """Of what each neuron adds, by layer: what the last linear map, and a norm behind it, make of it."""
    found = []
    for module, out in zip(parts.mlp_values, parts.mlp_outs, strict=True):
        n = module.weight.numel() // tiny_models.WIDTH
        columns = module(torch.eye(n)) - module(torch.zeros(1, n))
        found.append((columns * GAINS[name](out) if name in GAINS else columns).square().sum(1).sqrt())
    return found


def neurons_agree(name, prompts, **options):
    """Groups by size are those of a sort of plain numbers; that at random is as many, by its own rule."""
    parts = find_parts(tiny_models.build(name))
    sizes = sizes_of(parts, name)
    grouping = NeuronGroups([written_sizes(parts, layer) for layer in range(parts.n_layers)], GROUPS, seed=5)
    traces = trace_prompts(parts, prompts, {"neurons": of_neurons(grouping)}, **options)["neurons"]
    for prompt, trace in zip(prompts, traces, strict=True):

        def by_size(group):
            def members(layer, position, active):
                added = {i: abs(float(a)) * float(sizes[layer][i]) for i, a in enumerate(active)}
                order = sorted(added, key=lambda i: -added[i])
                edges = [-(-len(order) * g // GROUPS) for g in range(GROUPS + 1)]
                return order[edges[group] : edges[group + 1]]

            return members

        def at_random(layer, position, active, prompt=prompt):
            members = grouping.members(active[None], layer, position, [prompt.input_ids])
            return members[GROUPS, 0].nonzero().flatten().tolist()

        for number, what in enumerate([*map(by_size, range(GROUPS)), at_random]):
            restored = trace.restored[:, :, number :: GROUPS + 1]
            agree(replace(trace, restored=restored), prompt, parts, what)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_a_group_of_neurons_agrees_with_one_forward_per_site(name):
    width = find_parts(tiny_models.build(name)).token_embedding.embedding_dim
    neurons_agree(name, [noised(IDS[:4], subject=(1,), samples=1, width=width)])


def test_groups_of_neurons_of_prompts_traced_together_and_in_small_pieces():
    prompts = [noised(IDS[:5], subject=(2,), others=[(40,)]), noised(IDS[4::-1], subject=(2, 3), seed=1)]
    neurons_agree("qwen2", prompts, max_rows=9)


def test_all_neurons_together_are_the_mlp():
    """One group by size is all of them; so is the one at random."""
    parts = find_parts(tiny_models.build("gpt2"))
    [mlp] = traced(parts, [noised()], "mlp")
    sizes = [written_sizes(parts, layer) for layer in range(parts.n_layers)]
    [neurons] = trace_prompts(parts, [noised()], {"n": of_neurons(NeuronGroups(sizes, 1, 0))})["n"]
    for group in (0, 1):
        torch.testing.assert_close(neurons.restored[:, :, group::2], mlp.restored, equal_nan=True, **SAME)


def test_a_group_at_random_is_drawn_for_each_prompt_layer_and_position_alone():
    grouping = NeuronGroups([torch.ones(40)] * 2, 4, seed=0)
    active = torch.randn(3, 40)
    ids = [[1, 2], [3], [3]]

    def drawn(active=active, layer=0, position=0, ids=ids, grouping=grouping):
        return grouping.members(active, layer, position, ids)[-1]

    first = drawn()
    assert (
        (first.sum(1) == 10).all() and torch.equal(first[1], first[2]) and not torch.equal(first[0], first[1])
    )
    assert torch.equal(first, drawn(active=torch.randn(3, 40)))
    assert torch.equal(first[1:2], drawn(active[1:2], ids=ids[1:2]))
    others = [drawn(layer=1), drawn(position=1), drawn(grouping=replace(grouping, seed=1))]
    assert not any(torch.equal(first, other) for other in others)
    # Each neuron as often as any other.
    many = drawn(torch.ones(2000, 40), ids=[[i] for i in range(2000)]).float().mean(0)
    assert (many - 0.25).abs().max() < 0.05


def test_groups_by_size_go_by_activation_and_column_and_miss_no_neuron():
    grouping = NeuronGroups([torch.tensor([1.0, 10, 1, 1, 0, 1, 1])], 3, seed=0)
    active = torch.tensor([[-5.0, 1, 0, 2, 99, -3, 1]])
    members = grouping.members(active, 0, 0, [[1]])[:3, 0]
    # Added: 5, 10, 0, 2, 0, 3, 1. Three, two and two of seven.
    assert [row.nonzero().flatten().tolist() for row in members] == [[0, 1, 5], [3, 6], [2, 4]]


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("subject", [(1, 2), (5,), (3, 4, 5)])
def test_subjects_of_several_tokens_and_at_the_edge(subject, what):
    parts = find_parts(tiny_models.build("gpt2"))
    other = [tuple(50 + i for i in range(len(subject)))]
    prompt = noised(subject=subject, samples=1, others=other)
    [trace] = traced(parts, [prompt], what)
    agree(trace, prompt, parts, what)


@pytest.mark.parametrize("convention", ["code", "paper"])
@pytest.mark.parametrize("width", [1, 2, 4, 7])
@pytest.mark.parametrize("what", ["mlp", "attn"])
def test_windows_of_every_width(what, width, convention):
    parts = find_parts(tiny_models.build("llama"))
    prompt = noised(samples=1)
    [trace] = traced(parts, [prompt], what, width, convention)
    agree(trace, prompt, parts, what, width, convention)


@pytest.mark.parametrize("what", WHATS)
def test_prompts_traced_together_are_traced_as_each_alone(what):
    parts = find_parts(tiny_models.build("gpt-neo"))
    prompts = [
        noised(subject=(3, 4), seed=1),
        noised(IDS[::-1], subject=(1,), others=[(4,)], seed=2),
        noised(IDS[:5], subject=(2,), seed=3, completions=(1, 2)),
        noised([*IDS[3:], *IDS[:3]], subject=(5,), samples=1, seed=4),
    ]
    assert len(batches(prompts, 1024)) == 2
    for prompt, trace in zip(prompts, traced(parts, prompts, what, 2), strict=True):
        agree(trace, prompt, parts, what, 2)


IN_SEVERED = [pytest.param(what, marks=pytest.mark.long) for what in WHATS if "severed" in what]


@pytest.mark.parametrize("what", ["state", "mlp", pytest.param("attn", marks=pytest.mark.long), *IN_SEVERED])
def test_between_subject_and_final_token_only_the_levels_named_are_traced(what):
    parts = find_parts(tiny_models.build("gpt2"))
    prompts = [noised(subject=(1, 2), others=[(4, 8)], seed=1), noised(IDS[::-1], subject=(3,), seed=2)]
    for everywhere, whole in {(): [], ("1",): [0, 1], (REPLACED,): [2], ("1", REPLACED): [0, 1, 2]}.items():
        for prompt, trace in zip(
            prompts, traced(parts, prompts, what, 2, everywhere=everywhere), strict=True
        ):
            restored, *_ = oracle.trace(parts, prompt, what, 2)
            between = slice(prompt.subject[-1] + 1, -1)
            rows = [row for row in range(len(prompt.labels)) if row not in whole]
            assert rows == [] or trace.restored[:3, rows, :, between].isnan().all()
            restored[:, rows, :, between] = torch.nan
            restored[..., : prompt.subject[0]] = torch.nan
            torch.testing.assert_close(trace.restored, restored, equal_nan=True, **SAME)


def test_batches_hold_every_prompt_once_and_one_length():
    prompts = [
        noised(list(range(3, 3 + n)), subject=(s,)) for n, s in [(5, 1), (6, 2), (5, 3), (5, 1), (6, 1)]
    ]
    # Two rows of 5 - s positions: 8 + 8 + 4 of length 5, then 10 + 8 of length 6.
    assert batches(prompts, 100) == [[0, 3, 2], [4, 1]]
    assert batches(prompts, 16) == [[0, 3], [2], [4], [1]]
    assert batches(prompts, 1) == [[0], [3], [2], [4], [1]]


@pytest.mark.parametrize("what", WHATS)
def test_small_pieces_change_nothing(what):
    parts = find_parts(tiny_models.build("gpt2"))
    prompts = [noised(subject=(2,), others=[(7,)]), noised(subject=(4,))]
    whole = traced(parts, prompts, what, 3)
    pieces = traced(parts, prompts, what, 3, max_rows=1)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(other.restored, one.restored, equal_nan=True, **SAME)


def test_a_vocabulary_in_pieces_and_runs_of_several_prompts_change_nothing(monkeypatch):
    """Seven runs at once, each against ten entries of the vocabulary and then the next."""
    monkeypatch.setattr(measures, "ROWS", 7)
    monkeypatch.setattr(measures, "PIECE", 70)
    parts = find_parts(tiny_models.build("gemma2"))
    prompts = [
        noised(subject=(2,), completions=(1, 50, 96)),
        noised(IDS[::-1], subject=(1,), others=[(4,)], completions=(8,)),
        noised(subject=(4,), samples=1, seed=3),
    ]
    for prompt, trace in zip(prompts, traced(parts, prompts), strict=True):
        agree(trace, prompt, parts, "state")


def test_several_restorations_at_once_are_each_alone():
    parts = find_parts(tiny_models.build("ctrl"))
    prompts = [noised()]
    together = trace_prompts(parts, prompts, {what: restoration(what, parts.n_layers, 2) for what in WHATS})
    for what in WHATS:
        [alone] = traced(parts, prompts, what, 2)
        torch.testing.assert_close(together[what][0].restored, alone.restored, equal_nan=True, **SAME)


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("name", ["llama", "gpt-neox"])
def test_no_noise_is_the_clean_run_everywhere(name, what):
    parts = find_parts(tiny_models.build(name))
    [trace] = traced(parts, [noised(subject=(2,), size=0.0)], what, 3)
    values = trace.restored[:3, ..., 2:]
    torch.testing.assert_close(values, trace.clean[:3, None, None, None].expand_as(values), **SAME)


def test_restoring_all_that_was_corrupted_gives_clean():
    parts = find_parts(tiny_models.build("ctrl"))
    [trace] = traced(parts, [noised(subject=(2,))])
    clean = trace.clean[:3, None].expand(-1, 2)
    torch.testing.assert_close(trace.restored[:3, :, 0, 2], clean, **SAME)
    # Half of what was corrupted is not all of it; neither is the last state before the last block.
    [trace] = traced(parts, [noised(subject=(2, 3))])
    assert (trace.restored[0, :, 0, 2] - trace.clean[0]).abs().max() > 1e-3
    assert (trace.restored[0, :, -1, -1] - trace.clean[0]).abs().max() > 1e-4


def test_the_model_is_left_as_it_was():
    model = tiny_models.build("gpt2")
    ids = torch.tensor([IDS])
    before = model(input_ids=ids).logits
    for what in WHATS:
        traced(find_parts(model), [noised()], what, 2)
    assert torch.equal(model(input_ids=ids).logits, before)


@pytest.mark.parametrize("rank", [0, 1, 9])
def test_measures_of_a_clean_run(rank):
    parts = find_parts(tiny_models.build("gpt2"))
    logits = parts.model(input_ids=torch.tensor([IDS])).logits[0, -1]
    best = logits.argsort(descending=True).tolist()
    target = best[rank]
    prompt = replace(noised(completions=range(tiny_models.VOCAB)), target_id=target)
    [trace] = traced(parts, [prompt])
    assert trace.alternative_id == (best[1] if rank == 0 else best[0])
    clean = dict(zip(MEASURES, trace.clean.tolist(), strict=True))
    assert clean["logp_target"] == pytest.approx(logits.log_softmax(-1)[target].item(), abs=1e-5)
    assert clean["logit_difference"] == pytest.approx(
        (logits[target] - logits[trace.alternative_id]).item(), abs=1e-5
    )
    assert clean["kl_clean"] == pytest.approx(0, abs=1e-6)
    assert clean["logp_set"] == pytest.approx(0, abs=1e-6)  # the whole vocabulary has probability 1
    assert (trace.corrupted[MEASURES.index("kl_clean")] > 1e-3).all()


@pytest.mark.parametrize(
    ("convention", "width", "layer", "expected"),
    [
        ("code", 10, 20, range(15, 25)),  # l-5 ... l+4
        ("paper", 10, 20, range(16, 26)),  # l-4 ... l+5
        ("code", 10, 2, range(0, 7)),
        ("paper", 10, 46, range(42, 48)),
        ("code", 3, 20, range(19, 22)),
        ("paper", 3, 20, range(19, 22)),
        ("code", 1, 47, range(47, 48)),
        ("paper", 2, 47, range(47, 48)),
    ],
)
def test_windows(convention, width, layer, expected):
    assert window(layer, width, 48, convention) == expected


def test_what_cannot_be_restored_is_refused():
    with pytest.raises(ValueError, match="must be one of state, mlp"):
        restoration("head", 4)
    with pytest.raises(ValueError, match="at least 1 layer"):
        restoration("mlp", 4, 0)
    with pytest.raises(ValueError, match="code, paper, not 'rome'"):
        restoration("attn", 4, 2, "rome")
