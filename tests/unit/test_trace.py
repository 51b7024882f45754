from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from oracles import tiny_models
from oracles import trace as oracle
from strata.model.architecture import find_parts
from strata.trace.corruption import REPLACED, Prompt, corrupt, noise_levels, replacements, seeded_noise
from strata.trace.dataset import as_dataset, traceable
from strata.trace.measures import MEASURES
from strata.trace.restoration import traced_everywhere
from strata.trace.sweep import WHATS, batches, restoration, trace_prompts, window

IDS = [5, 17, 3, 60, 2, 44, 9]
TARGET = 31
SAME = {"atol": 5e-5, "rtol": 1e-5}


def noised(ids=IDS, subject=(1,), samples=2, others=(), completions=(), seed=0, size=1.0):
    """A prompt with noise on its subject, and perhaps with other tokens in its place."""
    rng = np.random.default_rng(seed)
    shape = (len(subject), tiny_models.WIDTH)
    noise = [size * rng.standard_normal(shape).astype("f4") for _ in range(samples)]
    own = [ids[position] for position in subject]
    return Prompt(
        input_ids=ids,
        subject=subject,
        labels=[("1", s) for s in range(samples)] + [(REPLACED, s) for s in range(len(others))],
        corrupted_ids=np.array([own] * samples + list(others)),
        noise=np.array(noise + [np.zeros(shape, "f4")] * len(others)),
        target_id=TARGET,
        completions=completions,
    )


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
    prompt = noised(subject=(2,), others=[(40,)], completions=(8, TARGET, 71))
    [trace] = traced(parts, [prompt], what, 3)
    agree(trace, prompt, parts, what, 3)


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


@pytest.mark.parametrize("what", WHATS)
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


# Corruption ---------------------------------------------------------------------------------


def table(rows, **columns):
    """Prompts (id, category, subject_start, subject_position, target_id)."""
    names = ["id", "category", "subject_start", "subject_position", "target_id"]
    return pd.DataFrame(rows, columns=names).assign(**{"completion_ids": ""} | columns)


def test_noise_depends_on_prompt_level_sample_and_seed_alone():
    draw = seeded_noise("capital-france", "0.5", 3, 0, (1, 8))
    assert np.array_equal(draw, seeded_noise("capital-france", "0.5", 3, 0, (1, 8)))
    for other in (
        ("capital-japan", "0.5", 3, 0),
        ("capital-france", "3x", 3, 0),
        ("capital-france", "0.5", 4, 0),
        ("capital-france", "0.5", 3, 1),
    ):
        assert not np.array_equal(draw, seeded_noise(*other, (1, 8)))
    many = np.concatenate([seeded_noise("p", "1", s, 0, (1, 100)) for s in range(200)])
    assert abs(many.mean()) < 0.03 and abs(many.std() - 1) < 0.03


def test_adding_prompts_levels_or_samples_changes_no_noise():
    rows = [("a", "x", 1, 1, 9), ("b", "x", 1, 2, 8)]
    ids = [[1, 2, 3], [4, 5, 6, 7]]
    few = corrupt(table(rows[1:]), ids[1:], levels={"0.5": 0.5}, n_samples=2, n_channels=6, seed=0)
    many = corrupt(table(rows), ids, levels={"2": 2.0, "0.5": 0.5}, n_samples=3, n_channels=6, seed=0)
    here = [many[1].labels.index(label) for label in few[0].labels]
    assert np.array_equal(few[0].noise, many[1].noise[here])
    assert few[0].noise.shape == (2, 2, 6)
    assert list(few[0].subject) == [1, 2]
    assert not np.array_equal(many[0].noise[0, 0], many[1].noise[0, 0])


def test_shared_noise_is_one_draw_for_all_prompts():
    rows = [("a", "x", 1, 1, 9), ("b", "x", 1, 2, 8)]
    ids = [[1, 2, 3], [4, 5, 6, 7]]
    options = {"levels": {"1": 1.0, "3": 3.0}, "n_samples": 2, "n_channels": 6, "seed": 0, "shared": True}
    one, two = corrupt(table(rows), ids, **options)
    assert np.array_equal(one.noise[:, 0], two.noise[:, 0])
    assert len(np.unique(two.noise)) == two.noise.size


def test_noise_has_the_levels_sizes():
    levels = {"0.1": 0.1, "2": 2.0}
    [prompt] = corrupt(
        table([("a", "x", 1, 1, 9)]), [[1, 2, 3]], levels=levels, n_samples=20, n_channels=500, seed=0
    )
    for level, sd in levels.items():
        rows = [row for row, (name, _) in enumerate(prompt.labels) if name == level]
        assert len(rows) == 20
        assert prompt.noise[rows].std() == pytest.approx(sd, rel=0.03)


def test_replaced_subjects_are_rows_without_noise():
    [prompt] = corrupt(
        table([("a", "x", 1, 2, 9)], completion_ids="1 2"),
        [[1, 2, 3, 4]],
        levels={"1": 1.0},
        n_samples=1,
        n_channels=6,
        seed=0,
        others=[[(7, 8), (5, 6)]],
    )
    assert prompt.labels == [("1", 0), (REPLACED, 0), (REPLACED, 1)]
    assert prompt.corrupted_ids.tolist() == [[2, 3], [7, 8], [5, 6]]
    assert prompt.noise[0].any() and not prompt.noise[1:].any()
    assert list(prompt.completions) == [1, 2]


def world():
    """Twelve prompts, whose subject is their second token; c has two kinds, d one prompt of its length."""
    rows = [(f"a{i}", "a", 1, 1, i) for i in range(6)]
    rows += [(f"b{i}", "b", 1, 1, i) for i in range(4)]
    rows += [("d0", "d", 1, 1, 0), ("d1", "d", 1, 2, 1)]
    subjects = [10, 11, 12, 13, 14, 14, 20, 21, 22, 23, 30, 31]
    ids = [[0, subject, 40, 41] for subject in subjects]
    return table(rows), ids


def test_replacements_are_other_subjects_of_the_same_category_and_length():
    prompts, ids = world()
    chosen = replacements(prompts, ids, 3, seed=0)
    for row, others in enumerate(chosen[:10]):
        pool = range(10, 15) if row < 6 else range(20, 24)
        assert len(others) == len(set(others)) == 3
        assert all(len(other) == 1 and other[0] in pool and other[0] != ids[row][1] for other in others)
    # Alone of its length: said, not guessed.
    assert chosen[10:] == [[], []]
    assert {len(others) for others in replacements(prompts, ids, 99, seed=0)[:6]} == {4}


def test_replacements_keep_kind_and_never_the_same_target():
    prompts, ids = world()
    kinds = ["city", "land"] * 6
    for row, others in enumerate(replacements(prompts.assign(subject_kind=kinds), ids, 9, seed=0)):
        for (other,) in others:
            assert any(ids[i][1] == other and kinds[i] == kinds[row] for i in range(12))
    alike = prompts.assign(target_id=7)
    assert replacements(alike, ids, 3, seed=0) == [[]] * 12


def test_replacements_do_not_depend_on_the_order_and_little_on_the_others():
    prompts, ids = world()
    chosen = dict(zip(prompts["id"], replacements(prompts, ids, 2, seed=0), strict=True))
    order = np.random.default_rng(0).permutation(len(ids))
    shuffled = prompts.iloc[order].reset_index(drop=True)
    again = replacements(shuffled, [ids[i] for i in order], 2, seed=0)
    assert dict(zip(shuffled["id"], again, strict=True)) == chosen
    # Without b3 only those that had chosen its subject choose anew.
    fewer = replacements(prompts.drop(9), ids[:9] + ids[10:], 2, seed=0)
    for name, others in zip(prompts["id"].drop(9), fewer, strict=True):
        if (23,) not in chosen[name]:
            assert others == chosen[name]
    assert chosen != dict(zip(prompts["id"], replacements(prompts, ids, 2, seed=1), strict=True))


def test_relative_levels_are_multiples_of_the_subjects_own_spread():
    parts = find_parts(tiny_models.build("gpt2"))
    levels = noise_levels(parts, [4, 9, 9], absolute=[0.1, 1], relative=[3])
    own = parts.token_embedding.weight[[4, 9]].std().item()
    assert levels == {"0.1": 0.1, "1": 1.0, "3x": pytest.approx(3 * own)}


# Labels -------------------------------------------------------------------------------------


def labelled(what, everywhere=None, **options):
    parts = find_parts(tiny_models.build("gpt2"))
    prompts = [
        noised(subject=(1,), others=[(3,), (4,)], **options),
        noised(IDS[:5], subject=(2, 3), others=[(3, 9)]),
    ]
    rows = [("p", "x", 1, 1, TARGET), ("q", "y", 2, 3, TARGET)]
    kept = table(rows, n_tokens=[7, 5], target=" t", top_str="u")
    strings = [[f"s{i}" for i in prompt.input_ids] for prompt in prompts]
    chosen = restoration(what, parts.n_layers, 3)
    traces = trace_prompts(parts, prompts, {what: chosen}, everywhere=everywhere)[what]
    return traces, as_dataset(traces, kept, strings, {"1": 1.0}, chosen.dim)


@pytest.mark.parametrize(
    ("what", "dim"), [("state", "depth"), ("state_severed_attn", "depth"), ("mlp", "layer")]
)
def test_dataset_has_the_traces_under_their_labels(what, dim):
    traces, data = labelled(what)
    assert data["p_target"].dims == ("prompt", "noise", "sample", dim, "position")
    assert data["noise"].values.tolist() == ["1", REPLACED]
    assert data["noise_sd"].values[0] == 1 and np.isnan(data["noise_sd"].values[1])
    one = data.sel(prompt="p", noise=REPLACED).isel(sample=1)
    np.testing.assert_allclose(one["p_target"], traces[0].restored[0, 3].exp(), rtol=1e-6)
    np.testing.assert_allclose(one["p_corrupted"], traces[0].corrupted[0, 3].exp(), rtol=1e-6)
    np.testing.assert_allclose(one["p_clean"], traces[0].clean[0].exp(), rtol=1e-6)
    two = data.sel(prompt="q", noise="1").isel(sample=1)
    np.testing.assert_allclose(two["logit_difference"][:, :5], traces[1].restored[1, 1], rtol=1e-6)
    np.testing.assert_allclose(two["kl_clean_corrupted"], traces[1].corrupted[2, 1], rtol=1e-6)
    assert data["alternative_id"].values.tolist() == [trace.alternative_id for trace in traces]


def test_dataset_is_nan_where_nothing_was_traced():
    _, data = labelled("state")
    p = data["p_target"]
    assert p.sel(prompt="p").isel(position=0).isnull().all()
    assert p.sel(prompt="p").isel(position=slice(1, None)).notnull().all()
    assert p.sel(prompt="q").isel(position=[0, 1, 5, 6]).isnull().all()
    # One subject to put in its place, so one sample.
    q = p.sel(prompt="q", noise=REPLACED).isel(position=slice(2, 5))
    assert q.isel(sample=0).notnull().all() and q.isel(sample=1).isnull().all()
    assert data["p_corrupted"].sel(prompt="q", noise=REPLACED).isnull().values.tolist() == [False, True]


@pytest.mark.parametrize("levels", [[], ["1"], [REPLACED], ["1", REPLACED]])
def test_levels_are_traced_everywhere_where_they_were_asked_for(levels):
    _, data = labelled("state", everywhere=levels)
    assert traced_everywhere(data)["noise"].values.tolist() == levels


def test_sets_of_completions_have_values_where_a_prompt_names_one():
    _, without = labelled("state")
    assert all(without[name].isnull().all() for name in ("p_set", "p_set_corrupted", "p_set_clean"))
    traces, data = labelled("state", completions=(8, TARGET))
    np.testing.assert_allclose(data["p_set_clean"], [traces[0].clean[3].exp(), np.nan], rtol=1e-6)
    first = data.sel(prompt="p")
    assert (first["p_set"] > first["p_target"]).where(first["p_target"].notnull(), True).all()
    assert data["p_set"].sel(prompt="q").isnull().all()


def test_only_accepted_prompts_with_a_subject_are_traced():
    prompts = pd.DataFrame({"accepted": [True, False, True], "target_id": [3, 3, -1], "id": list("abc")})
    assert traceable(prompts)["id"].tolist() == ["a"]
    with pytest.raises(ValueError, match="none of 2 prompts"):
        traceable(prompts[1:])
