"""What jobs ask for: GPUs by device, memory and time by what is estimated, more with each attempt."""

from types import SimpleNamespace

import pytest

from pipeline.requests import Requests


class Wildcards(SimpleNamespace):
    def get(self, name):
        return vars(self).get(name)


class Estimated:
    """Estimates by rule, of whatever model; of one on a hub, nothing is known."""

    known = {"read_lens": (1_000, 6), "trace_prompts": (9_000, 600)}
    light = {"average_traces": (500, 1), "compare_lenses": (9_000, 600)}

    def needs(self, rule, model):
        memory, minutes = (self.known | self.light)[rule]
        return None if model == "hub" else SimpleNamespace(memory_mb=memory, minutes=minutes)


def asked(model="cpu", attempt=1, rule="read_lens", gpus=1, gpu_model=None, on_device=True):
    """Resources of a job; models are named after their devices."""
    models = {
        name: {"source": "nobody/nothing", "device": name} for name in ("cpu", "auto", "cuda", "cuda:1")
    }
    models["hub"] = models["auto"]
    resources = Requests(models, Estimated(), None, gpus).of_rule(rule, 2, on_device, gpu_model)
    wildcards = Wildcards(model=model) if model else Wildcards()
    grow = {"mem_mb", "runtime"}
    return {k: f(wildcards, attempt) if k in grow else f(wildcards) for k, f in resources.items()}


@pytest.mark.parametrize(
    ("device", "limit", "gpus"),
    [("cpu", 1, 0), ("auto", 1, 1), ("auto", 4, 1), ("auto", 0, 0), ("auto", None, 0), ("cuda", 0, 1)],
)
def test_gpus_are_asked_for_by_device(device, limit, gpus):
    assert asked(device, gpus=limit)["gpu"] == gpus


def test_only_a_job_that_asks_for_a_gpu_names_one():
    assert asked("cuda:1", gpu_model="a100")["gpu_model"] == "a100"
    assert asked("cpu", gpu_model="a100")["gpu_model"] == ""
    elsewhere = asked("cuda", gpu_model="a100", on_device=False)
    assert elsewhere["gpu_model"] == "" and "gpu" not in elsewhere
    assert "gpu_model" not in asked("cuda")


@pytest.mark.parametrize("key", ["mem_mb", "runtime"])
def test_memory_and_time_are_above_what_is_estimated_and_double(key):
    estimated = {rule: need[key == "runtime"] for rule, need in Estimated.known.items()}
    first = {rule: asked(rule=rule)[key] for rule in estimated}
    assert all(first[rule] > estimated[rule] for rule in estimated)
    assert first["trace_prompts"] > 2 * first["read_lens"]
    assert [asked(attempt=n)[key] for n in (1, 2, 3)] == [first["read_lens"] * n for n in (1, 2, 4)]


@pytest.mark.parametrize("key", ["mem_mb", "runtime"])
def test_what_is_not_estimated_has_its_own_request(key):
    tables = asked(rule="average_traces", on_device=False)[key]
    assert asked(None, rule="write_front", on_device=False)[key] == tables
    assert asked("hub")[key] > 2 * tables


@pytest.mark.parametrize("key", ["mem_mb", "runtime"])
def test_tables_of_very_many_prompts_ask_for_more_than_others(key):
    small, large = (asked(rule=rule, on_device=False)[key] for rule in Estimated.light)
    assert small == asked(None, rule="write_front", on_device=False)[key]
    assert large > Estimated.light["compare_lenses"][key == "runtime"]
    assert asked("hub", rule="compare_lenses", on_device=False)[key] == small


def test_a_gpu_is_given_less_time_than_a_processor():
    assert asked("cuda", rule="trace_prompts")["runtime"] < asked("cpu", rule="trace_prompts")["runtime"] / 2


def test_processors_are_those_that_help():
    assert asked(None, on_device=False)["processors"] == 2 and asked("hub")["processors"] == 4
