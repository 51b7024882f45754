"""GGUF files: what stands before the weights, read without any array library, and whether it can be used.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Whole files are read by transformers, once
(`strata.model.unpacking`); it takes a minute to walk over a large vocabulary, and this module a moment.
"""

import mmap
import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from strata.model.source import ModelUnavailable

MAGIC, VERSIONS = b"GGUF", (2, 3)
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Kinds of values of a fixed size, as `struct` names them."""
STRING, ARRAY = 8, 9

TENSORS = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
}
"""Types of tensors that can be read: name, elements in a block, bytes of a block."""

MOST_DIMS, LARGEST_ALIGNMENT = 4, 2**20
"""Dimensions of a tensor and bytes of an alignment, at most."""

ARCHITECTURES = (
    *("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3"),
    *("gpt2", "phi3", "starcoder2"),
)
"""``general.architecture`` of files that transformers makes a whole decoder of, its tokenizer included."""


@dataclass(frozen=True)
class Header:
    """What stands in a file before its weights.

    ``metadata``: its values by key; of lists of strings that were not asked for, their lengths.
    ``fields``: where each value stands, its key included, first byte and the one past the last.
    ``tensors``: type (a number of the format), number of elements and first byte in the data, by name.
    ``table``: where the table of tensors stands.
    """

    metadata: Mapping[str, Any]
    fields: Mapping[str, tuple[int, int]]
    tensors: Mapping[str, tuple[int, int, int]]
    table: tuple[int, int]

    @property
    def architecture(self) -> str:
        return self.metadata.get("general.architecture", "")

    @property
    def has_position_embedding(self) -> bool:
        return "position_embd.weight" in self.tensors

    @property
    def alignment(self) -> int:
        """Bytes that the weights' place in the file is a multiple of."""
        return self.metadata.get("general.alignment", 32)

    @property
    def data(self) -> int:
        """The first byte of the weights."""
        return -(-self.table[1] // self.alignment) * self.alignment


def read_header(path: str | Path, lists: Container[str] = ()) -> Header:
    """Read what stands before the weights of a GGUF file.

    Parameters
    ----------
    lists : keys of lists of strings that are wanted whole

    Raises
    ------
    ModelUnavailable
        If this is no GGUF file of a known version, or if it ends or makes no sense before the weights.
    """
    with Path(path).open("rb") as file:
        begin = file.read(24)
        if begin[:4] != MAGIC:
            raise ModelUnavailable(f"{path}: not a GGUF file (it begins with {begin[:12]!r})")
        try:
            version, n_tensors, n_values = struct.unpack_from("<IQQ", begin, 4)
            if version not in VERSIONS:
                raise ModelUnavailable(f"{path}: GGUF of version {version} (expected: 2 or 3, little-endian)")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Reader(content, lists).header(n_values, n_tensors)
        except (struct.error, ValueError, KeyError, OverflowError, MemoryError, RecursionError) as error:
            raise ModelUnavailable(f"{path}: a broken GGUF file: cut short, or garbled") from error


class _Reader:
    """A place in a file's bytes, which every reading moves on."""

    def __init__(self, content: mmap.mmap, lists: Container[str]):
        self.content, self.lists, self.at = content, lists, 24

    def header(self, n_values: int, n_tensors: int) -> Header:
        metadata, fields, tensors = {}, {}, {}
        for _ in range(n_values):
            start, key = self.at, self.string()
            metadata[key] = self.value(*self.unpack("I"), key in self.lists)
            fields[key] = start, self.at
        start = self.at
        for _ in range(n_tensors):
            name, (n_dims,) = self.string(), self.unpack("I")
            if n_dims > MOST_DIMS:
                raise ValueError(f"{name} has {n_dims} dimensions")
            elements = prod(self.unpack(f"{n_dims}Q"))
            kind, offset = self.unpack("IQ")
            tensors[name] = kind, elements, offset
        header = Header(metadata, fields, tensors, (start, self.at))
        if not (isinstance(header.alignment, int) and 0 < header.alignment <= LARGEST_ALIGNMENT):
            raise ValueError(f"weights aligned by {header.alignment}")
        if not (isinstance(header.architecture, str) and isinstance(metadata.get("split.count", 1), int)):
            raise ValueError("values of other types than they have")
        return header

    def unpack(self, layout: str) -> tuple:
        values = struct.unpack_from(f"<{layout}", self.content, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return values

    def string(self) -> str:
        (length,) = self.unpack("Q")
        (text,) = self.unpack(f"{length}s")
        return text.decode()

    def value(self, kind: int, whole: bool) -> Any:
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.unpack(NUMBERS[kind])[0]
        inner, length = self.unpack("IQ")
        if inner in NUMBERS:
            return list(self.unpack(f"{length}{NUMBERS[inner]}"))
        if whole or inner != STRING:
            return [self.value(inner, whole) for _ in range(length)]
        for _ in range(length):
            self.at += 8 + struct.unpack_from("<Q", self.content, self.at)[0]
        return length


def check_gguf(path: str | Path) -> Header:
    """Check that a GGUF file is whole and of a kind that can be unpacked.

    Raises
    ------
    ModelUnavailable
        One line: the file, what is wrong with it, what was expected.
    """
    header = read_header(path)
    arch, values = header.architecture, header.metadata
    if arch not in ARCHITECTURES:
        raise ModelUnavailable(
            f"{path}: a GGUF file of architecture {arch!r} (expected: {', '.join(ARCHITECTURES)})"
        )
    if (parts := values.get("split.count", 1)) > 1:
        raise ModelUnavailable(f"{path}: one of {parts} parts of a model (expected: them merged in one file)")
    if (scaling := values.get(f"{arch}.rope.scaling.type", "none")) != "none":
        raise ModelUnavailable(
            f"{path}: rotary positions are scaled ({scaling}), which is lost on reading GGUF "
            "(expected: the model's safetensors)"
        )
    size = Path(path).stat().st_size
    for name, (kind, elements, offset) in header.tensors.items():
        if kind not in TENSORS:
            known = ", ".join(known for known, _, _ in TENSORS.values())
            raise ModelUnavailable(f"{path}: {name} is quantised in type {kind} (expected: {known})")
        _, block, n_bytes = TENSORS[kind]
        end = header.data + offset + elements // block * n_bytes
        if end > size:
            raise ModelUnavailable(
                f"{path}: cut short: {name} should end at byte {end:,} and the file has {size:,}"
            )
    if not header.tensors:
        raise ModelUnavailable(f"{path}: a GGUF file without weights")
    return header
