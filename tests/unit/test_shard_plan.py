"""How many shards there are, what they are said to cost, and what is read for each of their jobs: nothing."""

import builtins
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config import read_config
from pipeline.estimate import FEW, GPU, HOURS, Estimates
from pipeline.of_models import OfModels
from pipeline.requests import Requests
from pipeline.shards import Shards
from strata.costs.machine import REFERENCE
from strata.inputs import BadInput

XL = {
    "architectures": ["GPT2LMHeadModel"],
    "n_layer": 48,
    "n_head": 25,
    "n_embd": 1600,
    "n_positions": 1024,
    "vocab_size": 50257,
}
SHARDED = ("trace_prompts", "trace_parts", "trace_control")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(XL))
    (tmp_path / "model.safetensors").write_bytes(b"none")
    return tmp_path


@pytest.fixture
def config(folder):
    config = read_config(Path(__file__).parents[2])
    config["models"]["xl"] = config["models"]["organism"] | {"source": str(folder), "device": "auto"}
    config["models"]["xl"] |= {"text": "data/texts/news.txt", "tagged_text": None}
    return config | {"run": ["xl"]}


def prompts(n):
    each = [
        {"id": f"p{i}", "text": f"From Town{i % 50} to", "subject": f"Town{i % 50}", "target": " it"}
        for i in range(n)
    ]
    return {"towns": {"category": "towns", "prompts": [*each, {"id": "passage", "text": "one two"}]}}


def estimates(config, n, per_shard, lens=10**6, **changes) -> Estimates:
    config["trace"]["prompts_per_shard"], config["lens"]["prompts_per_shard"] = per_shard, lens
    config["models"]["xl"] |= changes
    for section in ("parts", "control"):
        config["trace"][section]["categories"] = None
    return Estimates(config, prompts(n))


@pytest.mark.parametrize(
    ("n", "per_shard", "expected"),
    [(FEW, "auto", 1), (100_000, 100, 1000), (201, 100, 3), (100, 1000, 1), (200, 1, 4), (0, "auto", 1)],
)
def test_shards_by_their_key(config, n, per_shard, expected):
    """None is smaller than a group, of which the last is of what is left."""
    assert estimates(config, n, per_shard).shards("xl", "trace") == expected


def test_shards_by_the_estimate_take_hours(config):
    """As many more as there are prompts, fewer on a graphics card; the dearest of them the hours it may."""
    n = 10_000
    on_processors = estimates(config, n, "auto", device="cpu").shards("xl", "trace")
    on_card = estimates(config, n, "auto", device="auto").shards("xl", "trace")
    assert 1 < on_card < on_processors
    assert estimates(config, 4 * n, "auto").shards("xl", "trace") > 3 * on_card
    costs = estimates(config, 4 * n, "auto").jobs("trace_prompts_shard", "xl")
    hours = max(REFERENCE.seconds(cost, 4) for cost in costs) / 3600 / GPU
    assert HOURS / 3 < hours < 1.5 * HOURS


def test_shards_of_lenses_are_as_many_as_their_own_estimate_or_key_says(config):
    """Passages count, which are not traced; where there are few hours of lenses, traces alone are cut."""
    assert estimates(config, 101, "auto", lens=51).shards("xl", "lens") == 2
    n = 20_000
    found = estimates(config, n, "auto", lens="auto", device="cpu")
    assert 1 < found.shards("xl", "lens") < found.shards("xl", "trace") / 10
    hours = max(REFERENCE.seconds(job, 4) for job in found.jobs("read_lens_shard", "xl")) / 3600
    assert HOURS / 3 < hours < 1.5 * HOURS
    on_card = estimates(config, n, "auto", lens="auto", device="auto")
    assert on_card.shards("xl", "lens") == 1 < on_card.shards("xl", "trace")
    assert len(on_card.jobs("read_lens_shard", "xl")) == 3


@pytest.mark.parametrize("rule", ["read_lens", "read_extended_lens"])
def test_shards_of_lenses_together_cost_what_all_do_at_once(config, rule):
    whole = estimates(config, 1000, "auto").jobs(rule, "xl")
    cut = estimates(config, 1000, "auto", lens=100)
    updates, shards = cut.jobs(rule, "xl"), cut.jobs(f"{rule}_shard", "xl")
    assert len(shards) == 11 * (len(whole) - len(updates))
    assert sum(job.operations for job in [*updates, *shards]) == pytest.approx(
        sum(job.operations for job in whole)
    )


@pytest.mark.parametrize("rule", SHARDED)
def test_shards_together_cost_what_all_do_at_once(config, rule):
    [whole] = estimates(config, 1000, "auto").jobs(rule, "xl")
    cut = estimates(config, 1000, 100)
    assert cut.jobs(rule, "xl") == [] and len(cut.jobs(f"{rule}_shard", "xl")) == 10
    assert sum(job.operations for job in cut.jobs(f"{rule}_shard", "xl")) == pytest.approx(whole.operations)
    assert (
        cut.needs(f"{rule}_shard", "xl").minutes
        < estimates(config, 1000, "auto").needs(rule, "xl").minutes / 5
    )


def test_what_shards_are_gathered_from_has_their_number(config):
    shards = Shards(config, estimates(config, 201, 100))
    assert shards.files(SimpleNamespace(model="xl", stage="trace", gathered="mlp")) == [
        f"results/xl/trace/shards/000{number}-of-3/mlp.nc" for number in range(3)
    ]
    [alone] = shards.files(SimpleNamespace(model="xl", stage="lens", gathered="logit"))
    assert alone == "results/xl/lens/shards/0000-of-1/logit.nc"
    assert shards.models() == "xl"
    assert Shards(config, estimates(config, 101, "auto")).models() == "(?!)"


def test_the_estimate_is_not_asked_of_a_model_that_is_not_here(config, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    few = estimates(config, FEW, "auto", source="nobody/nothing")
    assert Shards(config, few).number("xl", "trace") == 1
    many = Shards(config, estimates(config, FEW + 1, "auto"))
    with pytest.raises(BadInput, match="trace.prompts_per_shard: auto needs the sizes of xl"):
        many.models()
    assert Shards(config, estimates(config, FEW + 1, 1000)).number("xl", "trace") == 2


def test_nothing_is_read_again_for_each_job(config, monkeypatch):
    found = estimates(config, 10_000, 100)
    requests, of = Requests(config["models"], found, None, 1), OfModels(config["models"])

    def ask(number: int) -> list:
        wildcards = SimpleNamespace(model="xl", shard=f"{number:04}-of-100", get={"model": "xl"}.get)
        asked = requests.of_rule("trace_parts_shard", 1, True, "a100")
        told = [f(wildcards, 1) if k in ("mem_mb", "runtime") else f(wildcards) for k, f in asked.items()]
        return [*told, of.settings(wildcards), of.files(wildcards), of.device(wildcards)]

    first = ask(0)

    def refuse(*_args, **_options):
        raise AssertionError("read for each job")

    for module, name in ((builtins, "open"), (os, "stat"), (os, "scandir"), (os, "listdir")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr("pipeline.estimate.at_most", refuse)
    again = [ask(number) for number in range(1, 50)]
    monkeypatch.undo()
    assert all(each == first for each in again)
