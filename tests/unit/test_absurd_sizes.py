"""Files that speak of more than they hold are refused by what they say, before memory is taken for it."""

import json
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.models import check_sources
from strata.inputs import LARGEST, BadInput
from strata.lens.artifacts import LensUnavailable, load_tuned
from strata.model.gguf import check_gguf
from strata.model.safetensors import check_weights, elements_of
from strata.model.source import LARGEST_JSON, ModelUnavailable
from strata.text.prompt_formats import read_prompt_file

MOST = 20_000_000
"""Bytes that a refusal may take."""


@pytest.fixture(autouse=True)
def little_memory():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def gguf(values: bytes = b"", n_values: int = 1, tensors: bytes = b"", n_tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_values) + values + tensors + bytes(64)


def value(key: bytes, kind: int, content: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + content


ARCH = value(b"general.architecture", 8, string(b"llama"))


def tensor(*dims: int, n_dims: int | None = None, kind: int = 0, offset: int = 0) -> bytes:
    sizes = b"".join(struct.pack("<Q", n) for n in dims)
    return string(b"w") + struct.pack("<I", n_dims or len(dims)) + sizes + struct.pack("<IQ", kind, offset)


GGUF = {
    "values": gguf(ARCH, n_values=2**63),
    "tensors": gguf(ARCH, n_tensors=2**63),
    "length of a text": gguf(value(b"x", 8, struct.pack("<Q", 2**62))),
    "length of a key": gguf(struct.pack("<Q", 2**40)),
    "list of numbers": gguf(value(b"x", 9, struct.pack("<IQ", 4, 2**40))),
    "list of bytes": gguf(value(b"x", 9, struct.pack("<IQ", 0, 2**63))),
    "list of texts": gguf(value(b"x", 9, struct.pack("<IQ", 8, 2**60))),
    "list of lists": gguf(value(b"x", 9, struct.pack("<IQ", 9, 2**50) + struct.pack("<IQ", 4, 0) * 9)),
    "lists within lists": gguf(value(b"x", 9, struct.pack("<IQ", 9, 1) * 100_000)),
    "dimensions": gguf(ARCH, tensors=tensor(n_dims=2**32 - 1), n_tensors=1),
    "many dimensions": gguf(ARCH, tensors=tensor(*[2**63] * 5000), n_tensors=1),
    "size of a tensor": gguf(ARCH, tensors=tensor(2**62, 2**62), n_tensors=1),
    "place of a tensor": gguf(ARCH, tensors=tensor(4, offset=2**63), n_tensors=1),
    "alignment of nothing": gguf(ARCH + value(b"general.alignment", 4, bytes(4)), 2, tensor(4), 1),
    "alignment": gguf(ARCH + value(b"general.alignment", 10, struct.pack("<Q", 2**62)), 2, tensor(4), 1),
    "alignment by a text": gguf(ARCH + value(b"general.alignment", 8, string(b"x")), 2, tensor(4), 1),
    "architecture of a number": gguf(value(b"general.architecture", 4, bytes(4)), 1, tensor(4), 1),
    "parts of a text": gguf(ARCH + value(b"split.count", 8, string(b"x")), 2, tensor(4), 1),
    "bytes that are no text": gguf(value(b"x", 8, string(b"\xff\xfe"))),
}


@pytest.mark.parametrize("case", GGUF)
def test_gguf(tmp_path, case):
    path = tmp_path / "a.gguf"
    path.write_bytes(GGUF[case])
    with pytest.raises(ModelUnavailable) as error:
        check_gguf(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def header(length: int | None = None, **tensors) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(16)


def told(shape: list, offsets: list, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


SAFETENSORS = {
    "header": header(2**63),
    "header beyond the end": header(1000),
    "nothing": b"",
    "shape": header(w=told([2**40, 2**40], [0, 16])),
    "shape of nothing": header(w=told([-4, -1], [0, 16])),
    "many dimensions": header(w=told([2**62] * 50_000, [0, 16])),
    "place": header(w=told([4], [2**60, 2**60 + 16])),
    "place backwards": header(w=told([4], [16, 0])),
    "type": header(w=told([4], [0, 16], "F999")),
    "no tensor": header(w=5),
    "no header": struct.pack("<Q", 2) + b"[]" + bytes(9),
    "deep header": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "pickle": b"\x80\x04\x95\x0b" + bytes(40),
}


@pytest.mark.parametrize("case", SAFETENSORS)
def test_safetensors(tmp_path, case):
    path = tmp_path / "model.safetensors"
    path.write_bytes(SAFETENSORS[case])
    (tmp_path / "config.json").write_text("{}")
    model = {"source": str(tmp_path), "revision": None}
    with pytest.raises(BadInput) as error:
        check_sources({"run": ["x"], "models": {"x": model}})
    assert f"models.x.source: {path}: " in str(error.value)


@pytest.fixture
def folder(tmp_path) -> Path:
    save_file(
        {"a": torch.zeros(4, 8), "b": torch.zeros(8, dtype=torch.bfloat16)}, tmp_path / "model.safetensors"
    )
    return tmp_path


def test_a_header_is_what_the_library_wrote(folder):
    assert elements_of(folder / "model.safetensors") == {"a": 32, "b": 8}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"vocab_size": 10**12},
            "config.json: vocab_size: 1000000000000 (expected: at most 40, as the weights",
        ),
        ({"n_layer": 10**9}, "config.json: n_layer: 1000000000 (expected: at most 2"),
        ({"text_config": {"hidden_size": 1e300}}, "hidden_size: 1e+300 (expected: at most 40"),
        ({"n_embd": -1}, "n_embd: -1 (expected"),
        ([], "config.json: no configuration"),
    ],
)
def test_a_configuration_of_a_larger_model_than_its_weights(folder, config, expected):
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable) as error:
        check_weights(folder, [folder / "model.safetensors"])
    assert expected in str(error.value)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 4, "n_layer": 1, "n_embd": 8}))
    check_weights(folder, [folder / "model.safetensors"])


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_json_of_gigabytes(folder):
    (folder / "config.json").write_text("{}")
    path = sparse(folder / "tokenizer.json", LARGEST_JSON + 1)
    with pytest.raises(ModelUnavailable, match=f"{path}: 268,435,457 bytes"):
        check_weights(folder, [folder / "model.safetensors"])
    with pytest.raises(LensUnavailable, match="config.json: 268,435,457 bytes"):
        sparse(folder / "config.json", LARGEST_JSON + 1)
        load_tuned(str(folder), 1, 1, "x", torch.zeros(1, 1).numpy())
    path = sparse(folder / "facts.json", LARGEST + 1)
    with pytest.raises(BadInput, match=f"{path}: 1,073,741,825 bytes"):
        read_prompt_file(path)
