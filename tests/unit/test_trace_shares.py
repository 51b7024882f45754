"""Traces in shards: whatever their number and order, what is gathered of them is the file made at once."""

import numpy as np
import pytest
import xarray as xr

from oracles import tiny_models
from oracles.noised import table
from strata.model.architecture import find_parts
from strata.pieces import gather, write_pieces
from strata.share import Share
from strata.trace import dataset
from strata.trace.corruption import corrupt_as
from strata.trace.dataset import Frame
from strata.trace.shares import Every
from strata.trace.sites import restoration

MADE = {
    "noise": {"absolute": [0.5], "relative": [3]},
    "samples": 2,
    "replacements": 2,
    "shared": False,
    "seed": 0,
}
BETWEEN = {"absolute": [0.5], "relative": [], "prompts": None}
N = 11


@pytest.fixture(scope="module")
def prompts():
    """Of several lengths; the last alone has the length of all, and the first no other subject."""
    rng = np.random.default_rng(0)
    lengths = [4, 5, 6, 4, 5, 6, 4, 5, 6, 4, 7]
    subjects = [(1, 2), *[(1, 1)] * 10]
    rows = [(f"p{i}", "x" if i % 3 else "y", *subjects[i], 20 + i) for i in range(N)]
    ids = [[int(token) for token in rng.integers(0, 60, n)] for n in lengths]
    columns = {"n_tokens": lengths, "target": " t", "top_str": "u", "target_ids": "20 21"}
    return table(rows, **columns), ids


ALL = Share()


def every(prompts, share=ALL, **changes):
    parts = find_parts(tiny_models.build("gpt2"))
    return Every(parts, MADE, *prompts, lambda ids: [f"s{id}" for id in ids], share, **changes)


def made(of: Every) -> list:
    """All kinds of traces: those of many layers, of pieces, of what a run adds up to."""
    parts = of.parts
    chosen = {what: restoration(what, parts.n_layers, 3) for what in ("state", "mlp", "state_severed_attn")}
    return [of.restored(chosen, BETWEEN, True), of.heads(3), of.neurons(2, 3), of.attribution()]


def write(of: Every, folder, shard=False) -> dict[str, str]:
    paths = {}
    for each in made(of):
        own = {name: f"{folder}/{name}.nc" for name in each.names}
        write_pieces(each, own, shard, model={"name": "tiny"})
        paths |= own
    return paths


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(dataset, "GROUP", 3)
    monkeypatch.setattr("strata.trace.shares.GROUP", 3)


@pytest.fixture
def whole(prompts, small_groups, tmp_path, monkeypatch):
    """Bytes of the files that are made at once, as a run in its folder writes them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace").mkdir()
    return {name: (tmp_path / path).read_bytes() for name, path in write(every(prompts), "trace").items()}


@pytest.mark.parametrize("n", [2, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 3, 7))])
def test_gathered_shards_are_the_file_made_at_once(whole, prompts, tmp_path, n):
    """Of seven shards, some are empty, and in all but one there are no prompts whose heads are traced."""
    shards = {}
    for number in reversed(range(n)):
        folder = tmp_path / f"trace/shards/{number}"
        folder.mkdir(parents=True)
        shards[number] = write(every(prompts, Share(number, n)), f"trace/shards/{number}", shard=True)
    for name, expected in whole.items():
        gather([shards[number][name] for number in range(n)], f"trace/{name}.nc")
        assert (tmp_path / f"trace/{name}.nc").read_bytes() == expected, name


@pytest.mark.long
def test_what_is_made_at_once_is_what_is_made_again(whole, prompts, tmp_path):
    again = write(every(prompts), "trace")
    assert {name: (tmp_path / path).read_bytes() for name, path in again.items()} == whole


def test_the_room_of_all_is_told_without_corrupting_any(prompts):
    of = every(prompts)
    corrupted, levels = corrupt_as(MADE, of.parts, *prompts)
    strings = [of.strings(ids) for ids in prompts[1]]
    for rows in (range(N), [3, 0], [0]):
        found = of._frame(rows)
        own = [corrupted[row].labels for row in rows]
        assert found == Frame.of(own, [strings[row] for row in rows], levels)


def test_some_prompts_are_corrupted_as_among_all(prompts):
    parts = find_parts(tiny_models.build("gpt2"))
    together, levels = corrupt_as(MADE, parts, *prompts)
    some, same = corrupt_as(MADE, parts, *prompts, rows=[8, 2])
    assert same == levels
    for own, expected in zip(some, [together[8], together[2]], strict=True):
        assert own.labels == expected.labels and own.noise == expected.noise
        np.testing.assert_array_equal(own.corrupted_ids, expected.corrupted_ids)


@pytest.mark.parametrize(("only", "found"), [(["p2", "p1"], ["p1", "p2"]), (["nobody"], ["p0"])])
def test_those_that_are_shown_are_traced_alone_and_one_at_least(prompts, only, found):
    of = every(prompts, only={"id": only, "category": None})
    [traces] = of.restored({"state": restoration("state", of.parts.n_layers)}).each
    assert traces["state"]["prompt"].values.tolist() == found


def test_parts_are_of_some_categories_alone(prompts):
    of = every(prompts, only={"category": ["x"]})
    chosen = {"mlp": restoration("mlp", of.parts.n_layers, 3)}
    traces = [of.restored(chosen), of.heads(2), of.neurons(2, 3), of.attribution()]
    [first, *others] = [
        np.concatenate([data["prompt"].values for piece in pieces.each for data in piece.values()])
        for pieces in traces
    ]
    assert first.tolist() == others[-1].tolist() == [f"p{i}" for i in range(N) if i % 3]
    assert [own.tolist() for own in others[:2]] == [["p1", "p2"]] * 2


def test_tokens_between_are_traced_of_the_first_prompts_of_each_category(prompts):
    of = every(prompts)
    chosen = {"state": restoration("state", of.parts.n_layers)}

    def restored(**changes) -> xr.DataArray:
        pieces = of.restored(chosen, BETWEEN | changes).each
        return xr.concat([piece["state"]["p_target"].load() for piece in pieces], "prompt", join="exact")

    every_one, first, nobody = restored(), restored(prompts=1), restored(absolute=[])
    begins = first["prompt"].isin(["p0", "p1"])  # the first of each category
    assert (every_one.notnull() & nobody.isnull()).any(["noise", "sample", "depth", "position"]).sum() > 2
    np.testing.assert_allclose(first, every_one.where(begins, nobody), rtol=1e-5)


def test_single_heads_are_of_the_first_prompts_of_each_category(prompts):
    [traces] = every(prompts).heads(2).each
    assert traces["heads"]["prompt"].values.tolist() == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize(("n", "size", "of"), [(11, 3, 1), (11, 3, 4), (11, 3, 9), (0, 3, 2), (64, 32, 2)])
def test_shares_are_whole_groups_and_all_of_them(n, size, of):
    shares = [Share(number, of).rows(n, size) for number in range(of)]
    assert [row for rows in shares for row in rows] == list(range(n))
    assert all(rows.start % size == 0 for rows in shares if rows)
    groups = [-(-len(rows) // size) for rows in shares]
    assert max(groups) - min(groups) <= 1


def test_a_share_has_the_name_of_its_shard():
    assert Share.named("0007-of-1000") == Share(7, 1000)
    assert Share.named(None) == Share() == Share.named("")
