"""A model that stays loaded, for as many texts as one likes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import xarray as xr
from transformers.utils import logging

from strata.model.architecture import Parts, find_parts
from strata.model.loading import load_model
from strata.model.source import ModelUnavailable, is_gguf_source
from strata.model.unpacking import unpack_gguf
from strata.model.vocabulary import cut_vocabulary
from strata.model.weights import weights
from strata.progress import Progress, bar, silent
from strata.stats.seeding import digest
from strata.text.tokenizer import Tokenizer, load_tokenizer

DEVICE = "auto"
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, repr=False)
class Model:
    """A loaded model, its parts and its tokenizer. Its embedding has a row for each token, and no others.

    ``source``: what was asked for. ``weights``: as `strata.model.weights.weights` labels them.
    """

    source: str
    parts: Parts
    tokenizer: Tokenizer

    @cached_property
    def weights(self) -> xr.Dataset:
        return weights(self.parts.model, self.tokenizer.strings)

    def __repr__(self) -> str:
        parts, kind = self.parts, type(self.parts.model).__name__
        size = f"{parts.n_layers} layers, {parts.n_channels} channels, {len(self.tokenizer)} tokens"
        dtype = str(parts.model.dtype).removeprefix("torch.")
        return f"{self.source}: {kind}, {size}; {dtype} on {parts.device}"


def load(
    source: str | Path,
    *,
    revision: str | None = None,
    device: str = DEVICE,
    dtype: str = DTYPES[0],
    beginning_token: bool = True,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Model:
    """Load a causal language model and its tokenizer.

    Parameters
    ----------
    source : a folder with config.json, safetensors and the tokenizer; a ``.gguf`` file; or a Hugging Face id
    revision : of a model on the hub, best a commit
    device : ``cpu``, ``cuda``, ...; ``auto`` is a GPU where there is one
    dtype : ``float32``, ``bfloat16`` or ``float16``
    beginning_token : whether a text begins with the tokens that the tokenizer puts there by default
    cache : folder in which a GGUF file is unpacked, once, a folder for each file: of 135 million quantised
        weights, 0.5 GB in float32. If not given, the environment variable ``STRATA_CACHE``, or else
        ``~/.cache/strata``
    progress : whether to show bars

    Raises
    ------
    ModelUnavailable
        If the source is not there, cannot be reached or cannot be used; one line says what to do.
    ValueError
        If there is no such dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
    with _bars_of_transformers(progress):
        at = unpacked(source, cache, bar if progress else silent) if is_gguf_source(str(source)) else source
        tokenizer = load_tokenizer(str(at), revision, beginning_token)
        model = load_model(str(at), revision, dtype, device)
    return Model(str(source), find_parts(cut_vocabulary(model, len(tokenizer))), tokenizer)


def loaded(model: Model | str | Path, device: str | None, dtype: str | None, progress: bool) -> Model:
    """A model that is loaded, or is to be; see `load`.

    Raises
    ------
    ValueError
        If it is loaded, and a device or dtype is asked for.
    """
    if not isinstance(model, Model):
        return load(model, device=device or DEVICE, dtype=dtype or DTYPES[0], progress=progress)
    if device or dtype:
        raise ValueError(f"{model.source} is loaded: give device and dtype to strata.load")
    return model


def unpacked(file: str | Path, cache: str | Path | None, progress: Progress = silent) -> Path:
    """The folder of what is made of a GGUF file, which is unpacked unless it was before.

    Raises
    ------
    ModelUnavailable
        If the file is not there or cannot be used.
    """
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise ModelUnavailable(f"no file {str(file)!r}")
    cache = Path(cache or os.environ.get("STRATA_CACHE") or Path.home() / ".cache/strata").expanduser()
    told = path.stat()
    folder = cache / f"{path.stem}-{digest(path, told.st_size, told.st_mtime_ns).hex()[:12]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as scratch:
            for _ in progress([path], f"unpacking into {folder}"):
                unpack_gguf(path, Path(scratch, "model"))
            Path(scratch, "model").rename(folder)  # so that a folder that is there is whole
    return folder


@contextmanager
def _bars_of_transformers(shown: bool) -> Iterator[None]:
    """While open, transformers shows bars of its own only if they are to be shown."""
    before = logging.is_progress_bar_enabled()
    if not shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            logging.enable_progress_bar()
