"""How prompts are corrupted, and the labels of their traces."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles import tiny_models
from oracles.noised import IDS, TARGET, noised, table
from strata.model.architecture import find_parts
from strata.trace import dataset
from strata.trace.corruption import REPLACED, corrupt, noise_levels, replacements, seeded_noise
from strata.trace.dataset import as_dataset, traceable
from strata.trace.heads import trace_heads
from strata.trace.many import trace_many
from strata.trace.restoration import traced_everywhere
from strata.trace.sites import of_heads, restoration
from strata.trace.sweep import trace_prompts


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
    assert len(np.unique(two.noise)) == np.asarray(two.noise).size


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


def test_some_prompts_at_a_time_are_labelled_as_all_together(monkeypatch):
    """The first alone lacks the second sample of a replaced subject, the second the first's length."""
    parts = find_parts(tiny_models.build("gpt2"))
    prompts = [
        noised(IDS[:5], subject=(2, 3), others=[(3, 9)]),
        noised(subject=(1,), others=[(3,), (4,)]),
        noised(IDS[:5], subject=(1,), seed=1),
    ]
    rows = [("p", "x", 2, 3, TARGET), ("q", "y", 1, 1, TARGET), ("r", "y", 1, 1, TARGET)]
    labels = {
        "table": table(rows, n_tokens=[5, 7, 5], target=" t", top_str="u"),
        "token_strings": [[f"s{i}" for i in prompt.input_ids] for prompt in prompts],
        "levels": {"1": 1.0},
        "whole": True,
    }
    chosen = {what: restoration(what, parts.n_layers, 3) for what in ("state", "mlp")}
    [together] = trace_many(parts, prompts, chosen, 1024, **labels)
    monkeypatch.setattr(dataset, "VALUES", 1)
    apart = list(trace_many(parts, prompts, chosen, 1024, **labels))
    assert [each["mlp"].sizes["prompt"] for each in apart] == [1, 1, 1]
    for what, expected in together.items():
        assert "p_whole" in expected and expected.sizes["sample"] == 2
        found = xr.concat([each[what] for each in apart], "prompt", data_vars="minimal", coords="minimal")
        xr.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_heads_are_labelled_by_number_and_layer():
    parts = find_parts(tiny_models.build("gpt2"))
    chosen = of_heads(parts.n_layers, parts.n_heads)
    traces = trace_prompts(parts, [noised()], {"heads": chosen})["heads"]
    kept = table([("p", "x", 1, 1, TARGET)], n_tokens=[7], target=" t", top_str="u")
    data = trace_heads(parts, kept, [noised()], [[f"s{i}" for i in IDS]], {"1": 1.0})
    assert data["p_target"].dims == ("head", "prompt", "noise", "sample", "layer", "position")
    for site, (layer, head) in enumerate(product(range(4), range(4))):
        assert chosen.layers[site] == range(layer, layer + 1) and chosen.pieces[site] == head
        one = data.sel(layer=layer, head=head).isel(prompt=0, noise=0, sample=1)
        expected = traces[0].restored[0, 1, site].exp()
        np.testing.assert_allclose(one["p_target"][[1, 6]], expected[[1, 6]], rtol=1e-6)
        assert one["p_target"][[0, 2, 3, 4, 5]].isnull().all()
    assert data["p_clean"].dims == ("prompt",) and "kl_clean" not in data


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


def test_prompts_whose_tokens_between_are_left_out_are_not_traced_everywhere():
    _, data = labelled("state")
    position = data["position"]
    inside = (position > data["subject_position"]) & (position < data["n_tokens"] - 1)
    [which] = inside.any("position").values.nonzero()
    twice = data.isel(prompt=[which[0]] * 2)
    left_out = inside.isel(prompt=[which[0]] * 2) & xr.DataArray([False, True], dims="prompt")
    found = traced_everywhere(twice.assign(p_target=twice["p_target"].where(~left_out)))
    assert found.sizes["noise"] == data.sizes["noise"] > 0
    xr.testing.assert_identical(found, twice.isel(prompt=[0]))


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
    with pytest.raises(ValueError, match="none of 1 prompts"):
        traceable(prompts[1:])
