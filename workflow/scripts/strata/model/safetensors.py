"""safetensors: what stands before the weights, read without any array library, and whether it fits its file.

Format: https://github.com/huggingface/safetensors#format. Weights are read by transformers; this looks first,
so that sizes which are no sizes are refused before memory is taken for them.
"""

import json
from collections.abc import Iterable
from math import prod
from pathlib import Path

from strata.model.source import LARGEST_JSON, ModelUnavailable, read_json

LONGEST = 100_000_000
"""Bytes of a header, at most, as the format has it."""

BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers")
SIZES = (
    "vocab_size",
    "hidden_size",
    "n_embd",
    "intermediate_size",
    "n_inner",
    "ffn_dim",
    "num_attention_heads",
)
"""What configurations call the number of layers, of which each has tensors, and sizes of matrices."""


def elements_of(path: Path) -> dict[str, int]:
    """The number of elements of each tensor of a file, by its name.

    Raises
    ------
    ModelUnavailable
        If the header is none, or speaks of more than the file holds.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST):
            raise ModelUnavailable(
                f"{path}: no safetensors file, or cut short: a header of {length:,} bytes in {size:,}"
            )
        try:
            header = json.loads(file.read(length))
            tensors = {name: told for name, told in header.items() if name != "__metadata__"}
            return {name: _elements(told, size - 8 - length) for name, told in tensors.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelUnavailable(f"{path}: a broken safetensors file: {error!r:.100}") from error


def _elements(told: dict, room: int) -> int:
    start, end = told["data_offsets"]
    shape = [int(length) for length in told["shape"]]
    elements = prod(shape) if len(shape) <= 16 else -1  # else the product alone might take long
    if not (
        min(shape, default=0) >= 0 <= start <= end <= room
        and 8 * (end - start) == elements * BITS[told["dtype"]]
    ):
        raise ValueError(f"a tensor of shape {shape[:16]} at bytes {start} to {end} of {room}")
    return elements


def check_weights(folder: Path, files: Iterable[Path]) -> None:
    """Check that a folder's files of weights are whole, and its config.json no larger than they are.

    Raises
    ------
    ModelUnavailable
        One line: the file, what is wrong with it, what was expected.
    """
    for other in folder.glob("*.json"):
        if (size := other.stat().st_size) > LARGEST_JSON:
            raise ModelUnavailable(f"{other}: {size:,} bytes (expected: at most {LARGEST_JSON:,})")
    elements = [n for path in files for n in elements_of(path).values()]
    path = folder / "config.json"
    try:
        config = read_json(path)
        parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    except (ValueError, AttributeError) as error:
        raise ModelUnavailable(f"{path}: no configuration: {error!r:.100}") from error
    for keys, most in ((LAYERS, len(elements)), (SIZES, sum(elements))):
        for key, value in ((key, part.get(key)) for part in parts for key in keys):
            if isinstance(value, int | float) and not 0 <= value <= most:
                raise ModelUnavailable(
                    f"{path}: {key}: {value!r:.40} (expected: at most {most:,}, as the weights are)"
                )
