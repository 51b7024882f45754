import itertools
import math

import numpy as np
import pytest
import xarray as xr

from oracles.motion import C, L, draw_layers, make_prompts, make_resid, motion_of, transitions, walks
from strata import io
from strata.attention import hidden

TEST = {"cropped": 1, "n_offsets": 3, "shuffles": 500, "seed": 0}
BOOTSTRAP = {"resamples": 200, "interval": 0.9, "seed": 1}


# Motion -------------------------------------------------------------------------------------


def length(vector):
    return math.sqrt(sum(float(x) ** 2 for x in vector))


def cosine(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True)) / (length(a) * length(b))


def test_measures_equal_the_loop(monkeypatch):
    monkeypatch.setattr(hidden, "PIECE", 3)
    final = np.random.default_rng(0).normal(size=(4, L + 1, C)).cumsum(1)
    prompts, tokens = make_prompts(["a", "b", "a", "c"], [3, 5, 4, 3])
    found = hidden.motion(make_resid(final, tokens), prompts)
    assert found["prompt_category"].values.tolist() == ["a", "b", "a", "c"]
    for i, states in enumerate(final):
        at = found.isel(prompt=i)
        steps = [states[d + 1] - states[d] for d in range(L)]
        for d in range(L + 1):
            assert float(at["norm"][d]) == pytest.approx(length(states[d]))
        for layer in range(L):
            before, after = states[layer], states[layer + 1]
            expected = {
                "step": length(steps[layer]),
                "relative_step": length(steps[layer]) / length(before),
                "growth": math.log(length(after) / length(before)),
                "cosine_state": cosine(before, after),
                "cosine_step": cosine(steps[layer - 1], steps[layer]) if layer else math.nan,
            }
            for name, value in expected.items():
                assert float(at[name][layer]) == pytest.approx(value, nan_ok=True), name


def test_on_a_straight_line_every_step_goes_the_same_way():
    start, way = np.random.default_rng(0).normal(size=(2, C))
    found = motion_of([start + np.arange(L + 1)[:, None] * way])
    np.testing.assert_allclose(found["cosine_step"].isel(layer=slice(1, None)), 1)
    np.testing.assert_allclose(found["step"], length(way))


def test_on_a_circle_nothing_grows_and_every_step_turns_alike():
    angle = 0.3 * np.arange(L + 1)
    found = motion_of([5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)])
    np.testing.assert_allclose(found["norm"], 5)
    np.testing.assert_allclose(found["growth"], 0, atol=1e-12)
    np.testing.assert_allclose(found["step"], 10 * math.sin(0.15))
    np.testing.assert_allclose(found["relative_step"], 2 * math.sin(0.15))
    np.testing.assert_allclose(found["cosine_state"], math.cos(0.3))
    np.testing.assert_allclose(found["cosine_step"].isel(layer=slice(1, None)), math.cos(0.3))


def test_a_state_that_rests_has_no_direction():
    states = np.arange(L + 1.0)[:, None] * [1, 0] + [0, 1]
    states[4:] -= states[4] - states[3]
    found = motion_of([states])
    assert found["step"].sel(layer=3).item() == 0
    assert found["cosine_state"].sel(layer=3).item() == pytest.approx(1)
    assert np.flatnonzero(found["cosine_step"].isnull()).tolist() == [0, 3, 4]


def test_other_prompts_are_left_out():
    final = np.random.default_rng(0).normal(size=(4, L + 1, C))
    prompts, tokens = make_prompts(["a", "b", "a", "c"])
    resid = make_resid(final, tokens)
    changed = prompts.assign(accepted=[True, False, True, True], subject_position=[1, 1, 1, -1])
    expected = hidden.motion(resid, prompts).isel(prompt=[0, 2])
    xr.testing.assert_identical(hidden.motion(resid, changed), expected)
    with pytest.raises(ValueError, match="no prompt is accepted and has a subject"):
        hidden.motion(resid, prompts.assign(accepted=False))
    with pytest.raises(KeyError, match="p3"):
        hidden.motion(resid.isel(token=slice(0, 9)), prompts)


# Averages and the crop ----------------------------------------------------------------------


def test_averages_equal_the_loop():
    categories = [*"aba", *"ca" * 14]
    motion = motion_of(np.random.default_rng(0).normal(size=(31, L + 1, C)), categories)
    found = hidden.average(motion, **BOOTSTRAP)
    assert found["category"].values.tolist() == ["all", "a", "b", "c"]
    for category in ("all", "a", "b"):
        rows = [i for i, c in enumerate(categories) if category in ("all", c)]
        for name in hidden.MEASURES:
            values = motion[name].values[rows]
            np.testing.assert_allclose(found[name].sel(category=category), values.mean(0))
            assert int(found[f"{name}_n"].sel(category=category)) == len(rows)
    several = found.sel(category="a", layer=slice(1, None))
    for name in hidden.MEASURES:
        assert (several[f"{name}_low"] < several[name]).all() and (
            several[name] < several[f"{name}_high"]
        ).all()
        assert found[f"{name}_low"].sel(category="b").isnull().all(), "one prompt has no interval"


MIXED = list("abacbacdab" * 2)
GROUPS = {"together": ["a", "c", "nobody"], "alone": ["b", "nobody"]}


def test_categories_pooled_are_as_if_they_were_one():
    motion = motion_of(walks(20, 0), MIXED)
    found = hidden.average(motion, **BOOTSTRAP, pooled=GROUPS)
    assert found["category"].values.tolist() == ["all", "a", "b", "c", "d", "together"], "one is no group"
    as_one = ["one" if c in "ac" else c for c in MIXED]
    expected = hidden.average(motion_of(walks(20, 0), as_one), **BOOTSTRAP).sel(category="one")
    xr.testing.assert_identical(
        found.sel(category="together").drop_vars("category"), expected.drop_vars("category")
    )
    apart = hidden.average(motion, **BOOTSTRAP)
    xr.testing.assert_identical(found.drop_sel(category="together"), apart)


def test_transitions_of_pooled_categories_are_shuffled_within_each():
    motion = motion_of(walks(20, 0), MIXED)
    depths = transitions(draw_layers(20, 0), motion)
    found = hidden.at_transition(motion, depths, **TEST, pooled=GROUPS)
    members = motion.isel(prompt=[c in "ac" for c in MIXED])
    expected = hidden.at_transition(members, depths, **TEST).sel(category="all")
    of_family = ["category", "p_adjusted"]
    xr.testing.assert_identical(
        found.sel(category="together").drop_vars(of_family), expected.drop_vars(of_family)
    )


@pytest.mark.parametrize("depths,kept", [(0, range(0, 10)), (2, range(2, 8)), (3, range(3, 7))])
def test_the_crop_keeps_the_middle(depths, kept):
    motion = motion_of(np.random.default_rng(0).normal(size=(3, L + 1, C)))
    for whole, names in (
        (motion, hidden.MEASURES),
        (hidden.average(motion, **BOOTSTRAP), ["norm", "step_low"]),
    ):
        found = hidden.crop(whole, depths)
        assert found["depth"].values.tolist() == list(kept)
        assert found["layer"].values.tolist() == list(kept)[:-1]
        for name in names:
            along = {dim: found[dim].values for dim in ("depth", "layer") if dim in whole[name].dims}
            if name != "cosine_step":
                np.testing.assert_array_equal(found[name], whole[name].sel(along))
    turns = hidden.crop(motion, depths)["cosine_step"]
    # The first step that is left has none before it that is left, too.
    assert turns.isel(layer=0).isnull().all() and turns.isel(layer=slice(1, None)).notnull().all()


@pytest.mark.parametrize("depths", [-1, 4, 9])
def test_a_crop_leaves_three_depths(depths):
    with pytest.raises(ValueError, match=f"cropping {depths} depths at either end of 10"):
        hidden.crop(motion_of(np.random.default_rng(0).normal(size=(2, L + 1, C))), depths)


# The transition -----------------------------------------------------------------------------


def test_a_jump_at_the_transition_is_found():
    layers, categories = draw_layers(40, 0), ["a", "b"] * 20
    motion = motion_of(walks(40, 0, layers, 3.0), categories)
    found = hidden.at_transition(motion, transitions(layers + 0.4, motion), **TEST)
    for category, n in (("all", 40), ("a", 20), ("b", 20)):
        at = found.sel(measure="step", noise="0.5", category=category)
        assert int(at["n"]) == n and float(at["p"]) == pytest.approx(1 / 501)
        assert float(at["excess"]) == pytest.approx(2, abs=0.15)  # steps of 3 among steps of 1
        assert float(at["at_transition"]) == pytest.approx(3, abs=0.15)
        assert float(at["elsewhere"]) == pytest.approx(1, abs=0.05)
        # A prompt gets the layer of each of its category as often: the jump if it is the same, else one of 6
        # others.
        kinds = [layers[i::2] for i in range(2) if category in ("all", "ab"[i])]
        share = np.mean([of_kind[:, None] == of_kind for of_kind in kinds])
        assert float(at["excess_shuffled"]) == pytest.approx(2 * share - (1 - share) / 3, abs=0.1)
        aligned = at["aligned"]
        assert float(aligned.sel(offset=0)) == pytest.approx(3, abs=0.15)
        np.testing.assert_allclose(aligned.sel(offset=[-3, -2, -1, 1, 2, 3]), 1, atol=0.1)
        assert float(at["shuffled_high"].sel(offset=0)) < 2.6
    assert found["noise_sd"].item() == 0.5


def noise_only(seed):
    """Neither steps nor transitions know of anything."""
    return walks(24, seed), draw_layers(24, seed)


def one_long_layer(seed):
    """All prompts take a long step in layer 4, and most transitions lie there."""
    layers = draw_layers(24, seed)
    layers[: 24 - 6] = 4
    return walks(24, seed, profile=[1, 1, 1, 1, 3, 1, 1, 1, 1]), layers


def one_long_category(seed):
    """In every third prompt, those of category c, steps are threefold and transitions lie deep."""
    states, layers = walks(24, seed), draw_layers(24, seed)
    states[2::3] = 4 + 3 * (states[2::3] - 4)
    layers[2::3] = np.random.default_rng(seed).integers(6, 8, 8)
    return states, layers


@pytest.mark.long
@pytest.mark.parametrize("case", [noise_only, one_long_layer, one_long_category])
def test_p_is_uniform_where_steps_do_not_know_of_transitions(case):
    ps = []
    for seed in range(25):
        states, layers = case(seed)
        motion = motion_of(states, ["a", "b", "c"] * 8)
        found = hidden.at_transition(motion, transitions(layers + 0.5, motion), **TEST | {"shuffles": 99})
        ps.append(found["p"].sel(noise="0.5", category="all").values)
    ps = np.array(ps)  # (run, measure)
    # Of 25 draws of a uniform number 1.25 are below 0.05; their mean has a standard deviation of 0.06.
    assert ((ps <= 0.05).sum(0) <= 5).all()
    assert (abs(ps.mean(0) - 0.5) < 0.2).all()


def test_a_layer_that_is_long_in_every_prompt_is_in_the_shuffles_too():
    states, layers = one_long_layer(0)
    motion = motion_of(states)
    at = hidden.at_transition(motion, transitions(layers, motion), **TEST).sel(measure="step", noise="0.5")
    assert float(at["excess"].sel(category="all")) > 1
    np.testing.assert_allclose(at["excess_shuffled"], at["excess"], atol=0.1)


def test_the_test_equals_all_shuffles_by_hand():
    """Five prompts of two categories: every one of the 3! · 2! assignments is equally likely."""
    categories, layers = ["a", "a", "b", "a", "b"], [2, 5, 3, 6, 7]
    motion = motion_of(np.random.default_rng(4).normal(size=(5, L + 1, C)).cumsum(1), categories)
    found = hidden.at_transition(
        motion, transitions([x + 0.3 for x in layers], motion), **TEST | {"shuffles": 20_000}
    ).sel(noise="0.5", category="all")

    def statistic(assigned, curves):
        each = []
        for curve, layer in zip(curves, assigned, strict=True):
            others = [x for k, x in curve.items() if k != layer]
            each.append(curve[layer] - sum(others) / len(others))
        return sum(each) / len(each)

    for measure in hidden.STEP_MEASURES:
        first = 2 if measure == "cosine_step" else 1  # cropped: layers 1 to 7
        values = motion[measure].transpose("prompt", "layer").values
        curves = [{layer: float(row[layer]) for layer in range(first, 8)} for row in values]
        every = []
        for a in itertools.permutations([2, 5, 6]):
            for b in itertools.permutations([3, 7]):
                every.append(statistic([a[0], a[1], b[0], a[2], b[1]], curves))
        truth, centre = statistic(layers, curves), sum(every) / len(every)
        p = np.mean([abs(x - centre) >= abs(truth - centre) - 1e-9 for x in every])
        at = found.sel(measure=measure)
        assert float(at["excess"]) == pytest.approx(truth)
        assert float(at["excess_shuffled"]) == pytest.approx(centre, abs=0.02)
        assert float(at["p"]) == pytest.approx(p, abs=0.02)
        for offset in range(-3, 4):
            there = [c[k + offset] for c, k in zip(curves, layers, strict=True) if k + offset in c]
            assert int(at["aligned_n"].sel(offset=offset)) == len(there)
            expected = sum(there) / len(there) if there else math.nan
            assert float(at["aligned"].sel(offset=offset)) == pytest.approx(expected, nan_ok=True)


def test_p_is_for_all_tests_together():
    motion = motion_of(walks(40, 0, draw_layers(40, 0), 3.0), ["a", "b"] * 20)
    found = hidden.at_transition(motion, transitions(draw_layers(40, 0), motion), **TEST)
    p = np.sort(found["p"].values.ravel())
    assert len(p) == 15 and found["p_adjusted"].attrs["family"] == "p: 15 (Holm)"
    holm = np.maximum.accumulate(p * np.arange(15, 0, -1)).clip(max=1)
    np.testing.assert_allclose(np.sort(found["p_adjusted"].values.ravel()), holm)


@pytest.mark.long
def test_prompts_of_one_fact_are_shuffled_together():
    """Twins step and cross alike: shuffled apart, the test would be wrong more often than it says."""
    p = []
    for seed in range(100):
        states, layers = walks(12, seed), draw_layers(12, seed)
        categories = ["c"] * 24
        prompts, tokens = make_prompts(categories)
        twins = hidden.motion(
            make_resid(np.repeat(states, 2, axis=0), tokens),
            prompts.assign(fact=[f"f{i // 2}" for i in range(24)]),
        )
        found = hidden.at_transition(
            twins, transitions(np.repeat(layers, 2), twins), **TEST | {"shuffles": 99}
        )
        p.append(float(found["p"].sel(measure="step", noise="0.5", category="all")))
    # Of 100 draws of a uniform number 5 are below 0.05, with a standard deviation of 2.2.
    assert np.sum(np.array(p) <= 0.05) <= 12 and abs(np.mean(p) - 0.5) < 0.12


def test_undefined_and_cropped_transitions_are_left_out():
    motion = motion_of(walks(8, 0))
    depths = [np.nan, 0.5, 1.0, 1.9, 4, 7.5, 8.0, 5.5]
    transition = transitions(depths, motion).isel(prompt=slice(0, 7))  # the last was not traced
    found = hidden.at_transition(motion, transition, **TEST).sel(noise="0.5", category="c")
    assert int(found["n"].sel(measure="step")) == 4  # layers 1 to 7 of 0 to 8: 1.0, 1.9, 4 and 7.5
    assert int(found["n"].sel(measure="cosine_step")) == 2  # layer 1 has no step before it


def test_a_prompt_that_rests_has_no_part_in_cosines_of_steps():
    states, layers = walks(9, 0), draw_layers(9, 0)
    states[4, 5:] -= states[4, 5:6] - states[4, 4:5]
    motion = motion_of(states)
    found = hidden.at_transition(motion, transitions(layers, motion), **TEST).sel(noise="0.5", category="c")
    assert found["n"].sel(measure=["step", "cosine_step"]).values.tolist() == [9, 8]
    assert found["p"].notnull().all() and found["excess"].notnull().all()


def test_where_shuffling_changes_nothing_there_is_no_test():
    motion = motion_of(walks(7, 0, [4] * 7, 5.0), ["a", "a", "a", "b", "b", "b", "none"])
    transition = transitions([4.1, 4.5, 4.9, 5.1, 5.5, 5.2, np.nan], motion)
    found = hidden.at_transition(motion, transition, **TEST).sel(noise="0.5")
    assert found["p"].isnull().all()
    assert found["n"].sel(measure="step", category=["all", "a", "b", "none"]).values.tolist() == [6, 3, 3, 0]
    at = found.sel(measure="step")
    assert float(at["excess"].sel(category="a")) == pytest.approx(4, abs=0.3)
    assert at["excess"].sel(category="none").isnull() and at["aligned"].sel(category="none").isnull().all()
    with pytest.raises(ValueError, match="shuffles must be at least 1, not 0"):
        hidden.at_transition(motion, transition, **TEST | {"shuffles": 0})


def test_another_noise_level_changes_nothing_in_the_first():
    motion = motion_of(walks(12, 0), ["a", "b"] * 6)
    one = transitions(draw_layers(12, 0), motion)
    two = xr.concat([one, one.assign_coords(noise=["3x"], noise_sd=("noise", [0.1])) + 1], "noise")
    alone, both = (hidden.at_transition(motion, t, **TEST).drop_vars("p_adjusted") for t in (one, two))
    xr.testing.assert_allclose(both.sel(noise=["0.5"]), alone)
    assert both["noise"].values.tolist() == ["0.5", "3x"]


def test_everything_can_be_written_and_read(tmp_path):
    prompts, tokens = make_prompts(["a", "b"] * 5)
    resid = make_resid(walks(10, 0), tokens)
    motion = hidden.motion(resid, prompts)
    found = hidden.analyse(
        resid,
        prompts,
        transitions(draw_layers(10, 0), motion),
        **TEST | {"seed": 1},
        resamples=50,
        interval=0.9,
        pooled={"both": ["a", "b"]},
    )
    assert dict(zip(found["category"].values, found["pooled"].values, strict=True)) == {
        **dict.fromkeys(("all", "a", "b"), ""),
        "both": "a b",
    }
    path = str(tmp_path / "hidden.nc")
    io.write_dataset(found, path, model={}, config={})
    back = io.open_dataset(path).load()
    del back.attrs["provenance"]
    xr.testing.assert_equal(back, found)
    assert back.attrs == {"resamples": 50, "interval": 0.9, "seed": 1, "cropped": 1, "shuffles": 500}
    assert all(v.dtype == "float32" for v in found.data_vars.values() if v.dtype.kind == "f")
    assert found["step_prompt"].dims == ("prompt", "layer") and found["step"].dims == ("category", "layer")
    np.testing.assert_allclose(found["norm_prompt"], motion["norm"], rtol=1e-6)
