"""What stands before the weights of a GGUF file, and one line about every file that cannot be used."""

import struct
import subprocess
import sys

import gguf
import numpy as np
import pytest
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from strata.model.gguf import ARCHITECTURES, TENSORS, check_gguf, read_header
from strata.model.source import ModelUnavailable

TOKENS = ["<s>", "naïve", "日本", ""]
SHAPES = {"token_embd.weight": (4, 64), "output_norm.weight": (64,), "blk.0.attn_q.weight": (64, 64)}


def written(path, arch="llama", kind="F32", **fields):
    """A file with values of every kind, and a few tensors."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in fields.items():
        add = writer.add_string if isinstance(value, str) else writer.add_uint16
        add(key.replace("_", "."), value)
    writer.add_bool("a.flag", True)
    writer.add_int8("a.negative", -3)
    writer.add_float64("a.number", 0.1)
    writer.add_uint64("a.large", 2**40)
    writer.add_array("a.numbers", [1.5, -2.5])
    writer.add_array("a.names", ["x", "y"])
    writer.add_token_list(TOKENS)
    writer.add_name("Größe")
    for name, shape in SHAPES.items():
        type_ = gguf.GGMLQuantizationType[kind]
        data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        writer.add_tensor(name, gguf.quants.quantize(data, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def refused(path) -> str:
    with pytest.raises(ModelUnavailable) as error:
        check_gguf(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    return str(error.value)


# What is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q5_0"])
def test_a_header_is_what_the_reader_of_the_format_says(tmp_path, kind):
    path = written(tmp_path / "a.gguf", kind=kind)
    header, reader = check_gguf(path), gguf.GGUFReader(path)
    whole = read_header(path, ["tokenizer.ggml.tokens", "a.names"]).metadata
    stated = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert whole == stated
    assert header.metadata == stated | {"tokenizer.ggml.tokens": len(TOKENS), "a.names": 2}
    assert header.architecture == "llama" and header.metadata["a.number"] == 0.1
    found = {
        name: (number, elements, header.data + offset)
        for name, (number, elements, offset) in header.tensors.items()
    }
    assert found == {t.name: (t.tensor_type.value, t.n_elements, t.data_offset) for t in reader.tensors}


def test_the_types_are_those_that_can_be_dequantised():
    sizes = {kind.name: size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    numbers = {kind.name: kind.value for kind in gguf.GGMLQuantizationType}
    for number, (name, block, n_bytes) in TENSORS.items():
        assert numbers[name] == number and sizes[name] == (block, n_bytes)
        dequantised = gguf.quants.dequantize(
            np.zeros((1, n_bytes), np.uint8).view({"F32": np.float32, "F16": np.float16}.get(name, np.uint8)),
            gguf.GGMLQuantizationType[name],
        )
        assert dequantised.size == block
    for name in set(sizes) - {name for name, _, _ in TENSORS.values()}:
        with pytest.raises(NotImplementedError):
            gguf.quants.dequantize(np.zeros((1, sizes[name][1]), np.uint8), gguf.GGMLQuantizationType[name])


def test_the_architectures_are_some_that_transformers_reads():
    assert set(ARCHITECTURES) <= set(GGUF_SUPPORTED_ARCHITECTURES)


def test_reading_takes_no_array_library():
    code = "import sys, strata.model.gguf; print({'numpy', 'torch', 'gguf'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="workflow/scripts", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# What is refused ----------------------------------------------------------------------------


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole = written(tmp_path / "a.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(0, 900, 7), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        said = refused(cut)
        assert "not a GGUF file" in said if length < 4 else "cut short" in said, said


def test_a_garbled_file_is_refused_or_read(tmp_path):
    """Any byte of the header may be wrong: no other error comes of it, and no endless reading."""
    path = written(tmp_path / "a.gguf")
    whole = path.read_bytes()
    for place in range(24, check_gguf(path).table[1]):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            check_gguf(path)
        except ModelUnavailable as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"version https://git-lfs", b""])
def test_what_is_no_gguf_file_is_named_by_its_beginning(tmp_path, content):
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    assert f"not a GGUF file (it begins with {content[:12]!r})" in refused(path)


@pytest.mark.parametrize("version", [1, 4, 3 << 24])
def test_another_version_is_refused(tmp_path, version):
    path = written(tmp_path / "a.gguf")
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + struct.pack("<I", version) + whole[8:])
    assert f"version {version} (expected: 2 or 3" in refused(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"arch": "t5"}, "architecture 't5' (expected: llama, "),
        ({"split_count": 3}, "one of 3 parts of a model"),
        ({"llama_rope_scaling_type": "yarn"}, "rotary positions are scaled (yarn)"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(tmp_path, fields, said):
    assert said in refused(written(tmp_path / "a.gguf", **fields))


def test_another_quantisation_is_refused(tmp_path):
    path = written(tmp_path / "a.gguf", kind="Q8_0")
    whole, header = path.read_bytes(), check_gguf(path)
    start, end = header.table
    place = whole.index(struct.pack("<I", 8), start + 8 + len("token_embd.weight") + 4 + 16)
    assert place < end
    path.write_bytes(whole[:place] + struct.pack("<I", 9) + whole[place + 4 :])
    assert "token_embd.weight is quantised in type 9 (expected: F32, " in refused(path)


def test_a_file_without_weights_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("test_gguf.SHAPES", {})
    assert "without weights" in refused(written(tmp_path / "a.gguf"))
