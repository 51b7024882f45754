import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from oracles import probes as oracle
from strata import io
from strata.probes.syntax import CENTRES, analyse, centres, compare, tables
from strata.stats.draws import DrawnGroups
from strata.stats.seeding import generator
from strata.text.documents import as_dataset, documents_of
from strata.text.words import LABELS

VOCAB, CHANNELS, DEPTHS = 30, 64, 7
SETTINGS = {"epochs": 0, "resamples": 200, "interval": 0.9, "seed": 3}


def planted():
    """Tags that no token tells, in the states from depth 2 on, and the next one's from depth 4 on.

    Which token it is is there at depths 0 and 1 only; relations and roles are nowhere.
    """
    rng = np.random.default_rng(8)
    text = as_dataset(rng.integers(VOCAB, size=(700, 14)).tolist())
    n = text.sizes["token"]
    last = np.append(np.diff(text["document"].values) > 0, True)
    labels, following = {}, {}
    for label, size in (("tag", 4), ("relation", 3), ("role", 2)):
        labels[label] = rng.choice(list("ABCD")[:size], size=n).astype(object)
        labels[label][rng.random(n) < 0.1] = ""  # words without labels
    for label, values in labels.items():
        following[f"next_{label}"] = np.where(last, "", np.roll(values, -1))
    text = text.assign_coords({k: ("token", v) for k, v in (labels | following).items()})
    basis = np.linalg.qr(rng.normal(size=(CHANNELS, CHANNELS)))[0]
    place = {"A": 0, "B": 1, "C": 2, "D": 3, "": 4}
    tag, next_tag = (
        basis[[place[v] + shift for v in text[name].values]] for name, shift in (("tag", 0), ("next_tag", 5))
    )
    token = rng.normal(size=(VOCAB, CHANNELS))[text["token_id"].values] / 8
    states = [
        0.1 * rng.normal(size=(n, CHANNELS)) + (d >= 2) * tag + (d >= 4) * next_tag + (d < 2) * token
        for d in range(DEPTHS)
    ]
    return text, [torch.from_numpy(state).float() for state in states]


@pytest.fixture(scope="module")
def found():
    text, states = planted()
    return analyse(lambda depth: states[int(depth)], range(DEPTHS), text, **SETTINGS)


def test_labels_are_found_from_where_they_were_planted_on(found):
    for target, label, start, end in (
        ("input", "tag", 2, 7),
        ("next", "tag", 4, 7),
        ("input", "token", 0, 2),
    ):
        part = found["accuracy"].sel(target=target, label=label)
        there = (part["depth"] >= start) & (part["depth"] < end)
        assert (part[there] > 0.97).all() and (part[~there] < 0.35).all(), (target, label)
    for target in ("input", "next"):
        for label, size in (("relation", 3), ("role", 2)):
            np.testing.assert_allclose(found["accuracy"].sel(target=target, label=label), 1 / size, atol=0.1)
    assert (found["accuracy"].sel(target="next", label="token") < 0.12).all()


def test_the_control_task_is_at_chance_where_the_token_is_not_there(found):
    control = found["control_accuracy"]
    assert (control.sel(target="input", label=list(LABELS), depth=[0, 1]) > 0.9).all()
    chance = found["chance"].sel(target="input", label="tag")
    absent = control.sel(target="input", label="tag", depth=slice(2, None))
    assert (abs(absent - chance) < 0.2).all()
    for depth in range(2, DEPTHS):
        for label in LABELS:
            random_label = control.sel(target="next", label=label, depth=depth)
            assert float(random_label) < 0.75
    selectivity = found["selectivity"].sel(target="input", label="tag")
    np.testing.assert_allclose(
        selectivity,
        found["accuracy"].sel(target="input", label="tag") - control.sel(target="input", label="tag"),
    )
    assert (selectivity[:2] < -0.6).all() and (selectivity[2:] > 0.4).all()
    assert (
        control.sel(label="token").isnull().all() and found["selectivity"].sel(label="token").isnull().all()
    )


def test_the_control_task_is_asked_of_labelled_words_only():
    # The states of words without labels say nothing of their tokens.
    rng = np.random.default_rng(6)
    text = as_dataset(rng.integers(VOCAB, size=(200, 10)).tolist())
    is_word = rng.random(text.sizes["token"]) < 0.3
    labels = np.where(is_word, rng.choice(["A", "B"], size=len(is_word)), "").astype(object)
    following = np.where(text["position"].values < 9, np.roll(labels, -1), "").astype(object)
    every = {label: labels for label in LABELS} | {f"next_{label}": following for label in LABELS}
    text = text.assign_coords({name: ("token", values) for name, values in every.items()})
    states = rng.normal(size=(VOCAB, CHANNELS))[text["token_id"].values] * is_word[:, None]
    states = torch.from_numpy(states + 0.1 * rng.normal(size=states.shape)).float()
    found = analyse(lambda depth: states, [0, 1], text, **SETTINGS)
    assert (found["control_accuracy"].sel(target="input", label=list(LABELS)) > 0.95).all()


def test_a_centre_that_is_not_stated_has_no_interval():
    # The second depth knows the tag of one word in eighty more: too little to say where it was gained.
    text, _ = planted()
    rng = np.random.default_rng(7)
    values = text["tag"].values.astype(str)
    states = np.eye(5)[np.unique(values, return_inverse=True)[1]] + 0.1 * rng.normal(size=(len(values), 5))
    less = np.where((rng.random(len(values)) < 1 / 80)[:, None], 0, states)
    both = [torch.from_numpy(part).float() for part in (less, states)]
    found = analyse(lambda depth: both[depth], [0, 1], text, **SETTINGS).sel(target="input", label="tag")
    assert 0.002 < float(found["gained_in_context_low"]) < float(found["gained_in_context_high"]) < 0.02
    assert all(found[f"context_centre{end}"].isnull().all() for end in ("", "_low", "_high", "_resampled"))
    assert found["gain_centre_low"].notnull()


def test_centres_lie_where_things_were_planted(found):
    cases = (
        ("gain_centre", "input", "tag", 2),
        ("context_centre", "input", "tag", 2),
        ("gain_centre", "next", "tag", 4),
        ("gain_centre", "input", "token", 0),
        ("loss_centre", "input", "token", 2),
    )
    for name, target, label, depth in cases:
        centre, low, high = (
            float(found[name + e].sel(target=target, label=label)) for e in ("", "_low", "_high")
        )
        assert centre == pytest.approx(depth, abs=0.25) and low <= centre <= high, (name, target, label)
    # What is there at once is not gained in context.
    assert np.isnan(found["context_centre"].sel(target="input", label="token"))
    assert np.isnan(found["context_centre_low"].sel(target="input", label="token"))
    assert float(found["gained_in_context"].sel(target="input", label="token")) < 0.02


def test_order_of_centres(found):
    order = [
        ("gain_centre", "input", "tag"),
        ("loss_centre", "input", "token"),
        ("gain_centre", "next", "tag"),
    ]
    table = compare(found, [*order, ("context_centre", "input", "token")])
    assert table["earlier"].tolist() == [
        "gain_centre input tag",
        "loss_centre input token",
        "gain_centre next tag",
    ]
    assert table["difference"][1] == pytest.approx(2, abs=0.25) and table["in_order"][1] == 1
    assert table["low"][1] <= table["difference"][1] <= table["high"][1]
    assert table.loc[2, ["difference", "low", "high", "in_order"]].isna().all()
    turned = compare(found, order[::-1])
    assert turned["difference"][0] == pytest.approx(-table["difference"][1]) and turned["in_order"][0] == 0


def test_baselines_are_counted_token_by_token(found):
    text, _ = planted()
    rows = text.to_dataframe().reset_index()
    train = rows[rows["split"] == "train"]
    contexts = [documents_of(text, split) for split in ("train", "test")]
    test = rows[rows["split"] == "test"][oracle.unseen_contexts(*contexts)]
    for target, prefix in (("input", ""), ("next", "next_")):
        for label in LABELS:
            known, scored = (part[part[prefix + label] != ""] for part in (train, test))
            usual = known.groupby("token_id")[prefix + label].agg(lambda v: v.mode()[0])
            counts = known.groupby("token_id")[prefix + label].value_counts()
            assert counts.groupby("token_id").apply(lambda c: (c == c.max()).sum()).max() >= 1
            part = found.sel(target=target, label=label)
            baselines = oracle.baselines(known[prefix + label].tolist(), scored[prefix + label].tolist())
            for name, value in baselines.items():
                assert float(part[name]) == pytest.approx(value)
            assert [int(part[n]) for n in ("n_scored", "n_trained")] == [len(scored), len(known)]
            said = scored["token_id"].map(usual)
            # Where two labels are as frequent with a token, either is usual.
            ties = [t for t, c in counts.groupby("token_id") if (c == c.max()).sum() > 1]
            unsure = scored["token_id"].isin(ties).mean()
            assert float(part["given_token"]) == pytest.approx(
                (said == scored[prefix + label]).mean(), abs=unsure + 1e-9
            )


def test_usual_label_of_a_token_is_what_a_model_without_context_could_say():
    # The label is the parity of the token but for every fifth one, which is the other.
    rng = np.random.default_rng(2)
    text = as_dataset(rng.integers(10, size=(90, 8)).tolist())
    ids, odd = text["token_id"].values, np.arange(text.sizes["token"]) % 5 == 0
    labels = np.where((ids % 2 == 1) ^ odd, "A", "B").astype(object)
    names = [prefix + label for prefix in ("", "next_") for label in LABELS]
    text = text.assign_coords({name: ("token", labels) for name in names})
    states = torch.from_numpy(rng.normal(size=(len(ids), 4))).float()
    found = analyse(lambda depth: states, [0, 1], text, **SETTINGS)
    assert float(found["given_token"].sel(target="input", label="tag")) == pytest.approx(0.8, abs=0.06)
    assert float(found["given_token"].sel(target="input", label="token")) == 1
    assert float(found["given_token"].sel(target="next", label="token")) < 0.3


def test_bootstrap_draws_documents_for_all_tasks_alike():
    rng = np.random.default_rng(5)
    documents = np.repeat(np.arange(20), rng.integers(1, 30, size=20))
    right = rng.random((2, len(documents))) < np.array([[0.3], [0.8]])
    drawn = DrawnGroups.of([documents, documents[:40]], 300, generator(6))
    means = drawn.shares(right, documents)
    for row in range(2):
        bounds = oracle.bootstrap_accuracy(right[row].tolist(), documents.tolist(), 300, 0.8, 6)
        np.testing.assert_allclose(np.quantile(means[:, row], [0.1, 0.9]), bounds)


def test_intervals_are_of_the_accuracy_and_of_one_width_with_it(found):
    for name in ("accuracy", "control_accuracy", "gained"):
        assert (found[f"{name}_low"] <= found[f"{name}_high"]).where(found[name].notnull(), True).all()
    part = found.sel(target="input", label="tag", depth=0)
    width = float(part["accuracy_high"] - part["accuracy_low"])
    p, n = float(part["accuracy"]), int(part["n_scored"])
    assert width == pytest.approx(2 * 1.645 * np.sqrt(p * (1 - p) / n), rel=0.5)


def test_centres_by_hand():
    accuracy = xr.DataArray([0.5, 0.6, 0.55, 0.9, 0.7], {"depth": [0.0, 2, 4, 6, 8]}, "depth")
    found = centres(accuracy, xr.DataArray(0.2))
    # 0.3 at once, 0.1 at depth 2, 0.3 at depth 6; 0.2 lost at depth 8 (what falls at 4 is to come again).
    assert float(found["gain_centre"]) == pytest.approx((0.1 * 2 + 0.3 * 6) / 0.7)
    assert float(found["context_centre"]) == pytest.approx((0.1 * 2 + 0.3 * 6) / 0.4)
    assert float(found["loss_centre"]) == pytest.approx(8)
    amounts = [float(found[name]) for name in ("gained", "gained_in_context", "lost")]
    assert amounts == pytest.approx([0.7, 0.4, 0.2])
    assert np.isnan(centres(accuracy, xr.DataArray(0.2), least=0.3)["loss_centre"])
    flat = centres(xr.full_like(accuracy, 0.2), xr.DataArray(0.2), least=0)
    assert all(np.isnan(flat[name]) for name in CENTRES)
    worse = centres(accuracy, xr.DataArray(0.55))  # at first worse than saying the most frequent label
    assert float(worse["gained"]) == pytest.approx(0.4)


def test_tables_have_a_row_for_each_task(found):
    by_depth, by_task = tables(found)
    assert len(by_depth) == 2 * 4 * DEPTHS and len(by_task) == 2 * 4
    row = by_depth.set_index(["target", "label", "depth"]).loc[("next", "tag", 4.0)]
    assert row["accuracy"] == float(found["accuracy"].sel(target="next", label="tag", depth=4))
    assert {"gain_centre_low", "given_token", "n_documents"} < set(by_task) and "depth" not in by_task
    assert pd.api.types.is_numeric_dtype(by_task["loss_centre"])


def test_results_can_be_written_and_hang_on_the_seed(found, tmp_path):
    io.write_dataset(found, tmp_path / "syntax.nc")
    with io.open_dataset(tmp_path / "syntax.nc") as read:
        xr.testing.assert_equal(read.load(), found)
    text, states = planted()
    again, other = (
        analyse(lambda d: states[int(d)], range(DEPTHS), text, **SETTINGS | {"seed": s}) for s in (3, 4)
    )
    xr.testing.assert_identical(again, found)
    assert other["accuracy"].equals(found["accuracy"]) and not other.equals(found)


def test_refinement_is_asked_for_by_epochs():
    # Label A lies about -20 and 0 and label B about 2: between their means, 0 is on the wrong side.
    rng = np.random.default_rng(0)
    text = as_dataset(rng.integers(VOCAB, size=(60, 20)).tolist())
    quarter = np.arange(text.sizes["token"]) % 4
    labels = np.where(quarter == 3, "B", "A").astype(object)
    names = [prefix + label for prefix in ("", "next_") for label in LABELS]
    text = text.assign_coords({name: ("token", labels) for name in names})
    place = np.array([-20, 0, 0, 2])[quarter][:, None] + 0.2 * rng.normal(size=(len(quarter), 2))
    states = torch.from_numpy(place).float()
    closed, refined = (
        analyse(lambda d: states, [0], text, **SETTINGS | {"epochs": e})["accuracy"].sel(
            target="input", label="tag"
        )
        for e in (0, 40)
    )
    assert float(closed[0]) < 0.85 < 0.97 < float(refined[0])


def test_what_cannot_be_analysed_is_refused():
    text, states = planted()
    for change in ({"resamples": 0}, {"interval": 1.0}, {"epochs": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(change))}="):
            analyse(lambda d: states[int(d)], range(2), text, **SETTINGS | change)
    text["next_role"][:] = ""
    with pytest.raises(ValueError, match="no token of the split"):
        analyse(lambda d: states[int(d)], range(2), text, **SETTINGS)
