"""Lenses that others have published, read as `DepthMaps`. Weights only: no code in a file is run."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch

from strata.lens.decoders import DepthMaps
from strata.model.source import read_json


class LensUnavailable(RuntimeError):
    """A published lens cannot be used; the message is one line and says why."""


def check_same_model(lens: str, told: dict, source: str, unembedding: np.ndarray) -> None:
    """Refuse a lens of another model of the same shape, as far as its own file says.

    Parameters
    ----------
    told : what the file says: ``base_model_name_or_path``, and perhaps ``unembed_hash``, as the package
        tuned-lens computes it: the SHA-256 of the unembedding as numpy prints it, to one decimal
    source : of the model at hand
    unembedding : (vocab, channel), float32

    Raises
    ------
    LensUnavailable
        If the hash is of another matrix and the name is another. A warning is logged where only one
        differs: the same weights may have another name, or come in another precision or revision.
    """
    name, expected = told.get("base_model_name_or_path"), told.get("unembed_hash")
    same_name = name is not None and Path(str(name)).name.lower() == Path(source).name.lower()
    found = hashlib.sha256(np.array_str(unembedding, precision=1).encode()).hexdigest()
    if expected == found or (expected is None and (name is None or same_name)):
        return
    if expected is None:
        logging.warning("lens %s: made for %r, the model is %r", lens, name, source)
    elif same_name:
        logging.warning("lens %s: made for other weights that are called %r too", lens, name)
    else:
        raise LensUnavailable(
            f"lens {lens}: made for {name!r}, whose unembedding is another than that of {source!r}"
        )


def load_tuned(
    folder: str, n_layers: int, n_channels: int, source: str, unembedding: np.ndarray
) -> DepthMaps:
    """A tuned lens as the package tuned-lens saves it: ``config.json`` and ``params.pt``.

    Entry i of its parameters is the translator of depth i, and is added to the state: the map is
    the identity plus the translator's weight.

    Raises
    ------
    LensUnavailable
        If the files are missing or unreadable, or were made for another model.
    """
    path = Path(folder).expanduser()
    try:
        config = read_json(path / "config.json")
    except (OSError, ValueError) as error:
        raise LensUnavailable(f"tuned lens {folder}: no readable config.json: {error}") from error
    if not isinstance(config, dict):
        raise LensUnavailable(f"tuned lens {folder}: no readable config.json: not an object")
    _check(folder, "d_model", config.get("d_model"), n_channels)
    _check(folder, "num_hidden_layers", config.get("num_hidden_layers"), n_layers)
    check_same_model(folder, config, source, unembedding)
    state = _load(path / "params.pt")
    try:
        weight = torch.stack([state[f"{depth}.weight"].float() for depth in range(n_layers)])
    except KeyError as error:
        raise LensUnavailable(f"tuned lens {folder}: params.pt has no entry {error}") from error
    except (AttributeError, TypeError, RuntimeError) as error:
        raise LensUnavailable(f"tuned lens {folder}: params.pt has no matrices of one shape") from error
    none = torch.zeros(n_channels)
    bias = torch.stack([state.get(f"{depth}.bias", none).float() for depth in range(n_layers)])
    _check(folder, "shape of the translators", tuple(weight.shape), (n_layers, n_channels, n_channels))
    maps = DepthMaps.identity(range(n_layers), n_channels, n_layers)
    return DepthMaps(maps.depths, maps.weight + weight, bias, n_layers)


def load_jacobian(
    file: str, n_layers: int, n_channels: int, source: str, unembedding: np.ndarray
) -> DepthMaps:
    """A Jacobian lens as the reference implementation saves it: one file, ``J`` by block.

    Its entry l belongs to the output of block l, which is depth l + 1.

    Raises
    ------
    LensUnavailable
        As `load_tuned`.
    """
    state = _load(Path(file).expanduser())
    if not isinstance(state, dict) or "J" not in state:
        raise LensUnavailable(f"Jacobian lens {file}: no entry 'J' (a file of another kind?)")
    check_same_model(file, state, source, unembedding)
    try:
        matrices = {int(layer) + 1: matrix.float() for layer, matrix in sorted(state["J"].items())}
    except (AttributeError, TypeError, ValueError) as error:
        raise LensUnavailable(f"Jacobian lens {file}: 'J' is not matrices by block") from error
    matrices = {depth: matrix for depth, matrix in matrices.items() if depth != n_layers}
    beyond = [depth - 1 for depth in matrices if not 0 < depth < n_layers]
    if beyond or not matrices:
        raise LensUnavailable(
            f"Jacobian lens {file}: blocks {beyond or 'none'}, the model has 0 to {n_layers - 1}"
        )
    for layer, matrix in state["J"].items():
        _check(file, f"shape of J[{layer}]", tuple(matrix.shape), (n_channels, n_channels))
    weight = torch.stack(list(matrices.values()))
    maps = DepthMaps.identity(list(matrices), n_channels, n_layers)
    return DepthMaps(maps.depths, weight, maps.bias, n_layers)


LOADERS = {"tuned": load_tuned, "jacobian": load_jacobian}


def _load(path: Path):
    try:
        if not path.stat().st_size:
            raise EOFError("the file is empty")
        return torch.load(path, map_location="cpu", weights_only=True)
    # Of a broken file, torch raises whatever it stumbles over.
    except Exception as error:
        reason = f"{error}".partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise LensUnavailable(f"lens {path} cannot be read as weights: {reason}") from error


def _check(source: str, what: str, found, expected) -> None:
    if found != expected:
        raise LensUnavailable(f"lens {source}: {what} is {found}, the model's is {expected}")
