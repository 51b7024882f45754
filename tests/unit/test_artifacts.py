"""Lenses in the formats that others publish."""

import hashlib
import json
import logging

import numpy as np
import pytest
import torch
from torch import nn

from strata.lens.artifacts import LensUnavailable, load_jacobian, load_tuned

LAYERS, CHANNELS = 3, 4
MODEL = "org/m", np.arange(20, dtype=np.float32).reshape(5, CHANNELS)
"""Its name and its unembedding."""


class Anything:
    """Not a weight."""


def save_tuned(folder, **changes):
    """As the package tuned-lens does: the state of a list of linear layers, and a config."""
    torch.manual_seed(0)
    translators = nn.ModuleList([nn.Linear(CHANNELS, CHANNELS) for _ in range(LAYERS)])
    torch.save(translators.half().state_dict(), folder / "params.pt")
    config = {"base_model_name_or_path": "m", "d_model": CHANNELS, "num_hidden_layers": LAYERS, "bias": True}
    (folder / "config.json").write_text(json.dumps(config | changes))
    return translators.float()


def test_tuned_translators_are_added_to_the_state(tmp_path):
    translators = save_tuned(tmp_path)
    maps = load_tuned(str(tmp_path), LAYERS, CHANNELS, *MODEL)
    stream = torch.randn(LAYERS + 1, 6, CHANNELS)
    carried = maps(stream, torch.arange(LAYERS + 1.0).numpy())
    for depth, translator in enumerate(translators):
        torch.testing.assert_close(carried[depth], stream[depth] + translator(stream[depth]))
    assert torch.equal(carried[-1], stream[-1])


def save_jacobian(path, layers, width=CHANNELS):
    """As the reference implementation does: half-precision matrices by block."""
    torch.manual_seed(0)
    matrices = {layer: torch.randn(width, width) for layer in layers}
    state = {"J": {k: m.half() for k, m in matrices.items()}, "n_prompts": 2, "source_layers": list(layers)}
    torch.save(state | {"d_model": width}, path)
    return matrices


def test_jacobian_of_block_l_belongs_to_depth_l_plus_1(tmp_path):
    matrices = save_jacobian(tmp_path / "lens.pt", [0, 1])
    maps = load_jacobian(str(tmp_path / "lens.pt"), LAYERS, CHANNELS, *MODEL)
    assert maps.depths.tolist() == [1, 2]
    stream = torch.randn(2 * LAYERS + 1, 6, CHANNELS)
    depths = torch.arange(2 * LAYERS + 1).numpy() / 2
    # What has no map of its own takes that of the next depth below, or the lowest.
    assert maps.used_at(depths).tolist() == [1, 1, 1, 1, 2, 2, 3]
    carried = maps(stream, depths)
    for i, layer in enumerate([0, 0, 0, 0, 1, 1]):
        torch.testing.assert_close(carried[i], stream[i] @ matrices[layer].half().float().T)
    assert torch.equal(carried[-1], stream[-1])


@pytest.mark.parametrize("field,value", [("d_model", 8), ("num_hidden_layers", 12)])
def test_tuned_lens_of_another_model(tmp_path, field, value):
    save_tuned(tmp_path, **{field: value})
    with pytest.raises(LensUnavailable, match=f"{field} is {value}, the model's is"):
        load_tuned(str(tmp_path), LAYERS, CHANNELS, *MODEL)


def test_jacobian_lens_of_another_model(tmp_path):
    save_jacobian(tmp_path / "wide.pt", [0], width=8)
    with pytest.raises(LensUnavailable, match=r"shape of J\[0\] is \(8, 8\), the model's is \(4, 4\)"):
        load_jacobian(str(tmp_path / "wide.pt"), LAYERS, CHANNELS, *MODEL)
    save_jacobian(tmp_path / "deep.pt", [0, 7])
    with pytest.raises(LensUnavailable, match=r"blocks \[7\]"):
        load_jacobian(str(tmp_path / "deep.pt"), LAYERS, CHANNELS, *MODEL)


def test_only_weights_are_read(tmp_path):
    torch.save({"J": {0: torch.eye(CHANNELS)}, "note": Anything()}, tmp_path / "lens.pt")
    with pytest.raises(LensUnavailable, match="cannot be read as weights"):
        load_jacobian(str(tmp_path / "lens.pt"), LAYERS, CHANNELS, *MODEL)
    (tmp_path / "cut.pt").write_bytes((tmp_path / "lens.pt").read_bytes()[:100])
    with pytest.raises(LensUnavailable, match="cannot be read as weights"):
        load_jacobian(str(tmp_path / "cut.pt"), LAYERS, CHANNELS, *MODEL)


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(LensUnavailable, match="no readable config.json"):
        load_tuned(str(tmp_path), LAYERS, CHANNELS, *MODEL)
    save_tuned(tmp_path)
    torch.save({"0.weight": torch.eye(CHANNELS)}, tmp_path / "params.pt")
    with pytest.raises(LensUnavailable, match="no entry '1.weight'"):
        load_tuned(str(tmp_path), LAYERS, CHANNELS, *MODEL)
    torch.save({"weights": 1}, tmp_path / "lens.pt")
    with pytest.raises(LensUnavailable, match="no entry 'J'"):
        load_jacobian(str(tmp_path / "lens.pt"), LAYERS, CHANNELS, *MODEL)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"<!DOCTYPE html>", b"version https://git-lfs\n", b"\x80\x02}q\x00U", b"\0" * 99]
)
def test_a_broken_file_is_named_in_a_line(tmp_path, content):
    """Torch raises IndexError, struct.error, UnicodeDecodeError and others."""
    save_tuned(tmp_path)
    (tmp_path / "params.pt").write_bytes(content)
    for load, path in ((load_tuned, tmp_path), (load_jacobian, tmp_path / "params.pt")):
        with pytest.raises(LensUnavailable, match="params.pt cannot be read as weights: .") as error:
            load(str(path), LAYERS, CHANNELS, *MODEL)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "state", [[1], 3, {"0.weight": 1}, {f"{i}.weight": torch.eye(i + 1) for i in range(3)}]
)
def test_weights_of_another_kind_are_named_in_a_line(tmp_path, state):
    save_tuned(tmp_path)
    torch.save(state, tmp_path / "params.pt")
    with pytest.raises(LensUnavailable, match="params.pt has no matrices of one shape"):
        load_tuned(str(tmp_path), LAYERS, CHANNELS, *MODEL)
    torch.save({"J": state}, tmp_path / "lens.pt")
    with pytest.raises(LensUnavailable, match="lens.pt: "):
        load_jacobian(str(tmp_path / "lens.pt"), LAYERS, CHANNELS, *MODEL)


# Whose lens it is ---------------------------------------------------------------------------

HASH = hashlib.sha256(np.array_str(MODEL[1], precision=1).encode()).hexdigest()
OTHER = "0" * 64


@pytest.mark.parametrize(
    ("told", "warned"),
    [
        ({"unembed_hash": HASH}, False),
        ({"unembed_hash": HASH, "base_model_name_or_path": "elsewhere/copy"}, False),
        ({"base_model_name_or_path": "gpt2"}, True),
        ({"unembed_hash": OTHER}, True),
    ],
)
def test_a_lens_of_this_model_is_taken_and_doubts_are_logged(tmp_path, caplog, told, warned):
    save_tuned(tmp_path, **told)
    with caplog.at_level(logging.WARNING):
        load_tuned(str(tmp_path), LAYERS, CHANNELS, *MODEL)
    assert bool(caplog.records) == warned


def test_a_lens_of_another_model_of_the_same_shape_is_refused(tmp_path):
    save_tuned(tmp_path, unembed_hash=OTHER, base_model_name_or_path="org/other")
    with pytest.raises(LensUnavailable, match="made for 'org/other', whose unembedding is another"):
        load_tuned(str(tmp_path), LAYERS, CHANNELS, *MODEL)
