"""What jobs ask for: GPUs by device, memory by the model's size, more with each attempt."""

import json
from types import SimpleNamespace

import pytest

from pipeline.requests import Requests

XL = {
    "architectures": ["GPT2LMHeadModel"],
    "n_layer": 48,
    "n_embd": 1600,
    "n_head": 25,
    "vocab_size": 50257,
    "n_positions": 1024,
}


class Wildcards(SimpleNamespace):
    def get(self, name):
        return vars(self).get(name)


@pytest.fixture
def requests(tmp_path):
    """Of models on every device; all are GPT-2 XL, one on a hub and not here."""
    (tmp_path / "config.json").write_text(json.dumps(XL))
    here = {"source": str(tmp_path), "revision": None}
    models = {device: here | {"device": device} for device in ("cpu", "auto", "cuda", "cuda:1")}
    models["hub"] = {"source": "nobody/nothing", "revision": None, "device": "auto"}

    def asked(model=None, attempt=1, gpus=1, gpu_model=None, on_device=True):
        resources = Requests(models, None, gpus).of_rule("read_lens", 2, on_device, gpu_model)
        wildcards = Wildcards(model=model) if model else Wildcards()
        grow = {"mem_mb", "runtime"}
        return {k: f(wildcards, attempt) if k in grow else f(wildcards) for k, f in resources.items()}

    return asked


@pytest.mark.parametrize(
    ("device", "limit", "gpus"),
    [("cpu", 1, 0), ("auto", 1, 1), ("auto", 4, 1), ("auto", 0, 0), ("auto", None, 0), ("cuda", 0, 1)],
)
def test_gpus_are_asked_for_by_device(requests, device, limit, gpus):
    assert requests(device, gpus=limit)["gpu"] == gpus


def test_only_a_job_that_asks_for_a_gpu_names_one(requests):
    assert requests("cuda:1", gpu_model="a100")["gpu_model"] == "a100"
    assert requests("cpu", gpu_model="a100")["gpu_model"] == ""
    elsewhere = requests("cuda", gpu_model="a100", on_device=False)
    assert elsewhere["gpu_model"] == "" and "gpu" not in elsewhere
    assert "gpu_model" not in requests("cuda")


def test_memory_is_by_the_model_and_doubles_with_time(requests):
    without, with_xl = requests(on_device=False), requests("cuda")
    assert with_xl["mem_mb"] > without["mem_mb"] + 2 * 6_200, "the model twice over"
    assert requests("hub")["mem_mb"] > without["mem_mb"]
    for attempt in (2, 3):
        again = requests("cuda", attempt)
        for key in ("mem_mb", "runtime"):
            assert again[key] == with_xl[key] * 2 ** (attempt - 1)


def test_processors_are_those_that_help(requests):
    assert requests(on_device=False)["processors"] == 2 and requests("hub")["processors"] == 4
