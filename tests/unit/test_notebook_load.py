"""A model is loaded from wherever it is; a GGUF file is unpacked once, whole or not at all."""

import re

import pytest
import torch

import strata
from oracles import tiny_gguf
from strata.model.source import ModelUnavailable
from strata.notebook import load as room


@pytest.fixture
def file(tmp_path):
    vocabulary = tiny_gguf.byte_level()
    model = tiny_gguf.llama(len(vocabulary["tokens"]))
    return tiny_gguf.write(tmp_path / "tiny.gguf", model, vocabulary)


def test_a_gguf_file_is_unpacked_once(file, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = strata.load(file, cache=cache, device="cpu")
    [folder] = cache.iterdir()
    assert folder.name.startswith("tiny-") and (folder / "model.safetensors").is_file()
    monkeypatch.setattr(room, "unpack_gguf", None)
    again = strata.load(file, cache=cache, device="cpu", progress=False)
    for own, other in zip(first.parts.model.parameters(), again.parts.model.parameters(), strict=True):
        assert torch.equal(own, other)
    assert repr(again) == f"{file}: LlamaForCausalLM, 2 layers, 64 channels, 369 tokens; float32 on cpu"


def test_a_file_that_has_changed_is_unpacked_again(file, tmp_path):
    folders = {room.unpacked(file, tmp_path / "cache")}
    file.write_bytes(file.read_bytes() + bytes(32))
    folders.add(room.unpacked(file, tmp_path / "cache"))
    assert len(folders) == 2


def test_the_cache_is_where_the_environment_says(file, tmp_path, monkeypatch):
    monkeypatch.setenv("STRATA_CACHE", str(tmp_path / "elsewhere"))
    assert room.unpacked(file, None).parent == tmp_path / "elsewhere"
    monkeypatch.delenv("STRATA_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert room.unpacked(file, None).parent == tmp_path / "home/.cache/strata"


def test_a_file_that_cannot_be_used_leaves_nothing(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelUnavailable):
        strata.load(file, cache=tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").iterdir())


def test_a_folder_may_be_a_path(file, tmp_path):
    folder = room.unpacked(file, tmp_path / "cache")
    model = strata.load(folder, dtype="bfloat16", device="cpu", progress=False)
    assert model.source == str(folder) and model.parts.model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("source", "options", "error", "says"),
    [
        ("missing.gguf", {}, ModelUnavailable, "no file 'missing.gguf'"),
        ("./missing", {}, ModelUnavailable, "model folder missing does not exist"),
        ("no/such-model", {}, ModelUnavailable, "model 'no/such-model' is neither a folder here nor"),
        ("anything", {"dtype": "int8"}, ValueError, "dtype is one of float32, bfloat16, float16, not 'int8'"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(source, options, error, says, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=re.escape(says)) as raised:
        strata.load(source, **options)
    assert "\n" not in str(raised.value)


def test_bars_of_transformers_are_as_they_were(file, tmp_path):
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    strata.load(file, cache=tmp_path / "cache", progress=False)
    assert logging.is_progress_bar_enabled() == before
