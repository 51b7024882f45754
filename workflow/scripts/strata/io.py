"""Files: the one module that opens them.

HDF5 and netCDF go through h5netcdf and carry dimension scales and, as one JSON attribute
``provenance``, what made them. netCDF holds no float16 (the netCDF library crashes on it).
"""

import csv
import json
import shutil
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

import strata
from strata.names import NOISE, TOKEN
from strata.stored import FORMS

PROVENANCE = "provenance"

KINDS = {".nc": "netCDF", ".h5": "HDF5"}

LARGE = 2**14
"""Values from which a variable is compressed."""

CHECKED = {"fletcher32": True}
"""Numbers have checksums, which HDF5 compares when it reads them: what a disk has garbled is no result. But
activations, which would be read several times as slowly."""

COMPRESSED = {"zlib": True, "complevel": 1, "shuffle": True}

CHUNK = 2**18
"""Bytes of a chunk of what is written in pieces."""


class BadFile(RuntimeError):
    """A file of results cannot be used: damaged, or not the one that was written there. The message is one
    line, and begins with its path."""


# Labelled data ------------------------------------------------------------------------------


def write_dataset(dataset: xr.Dataset, path: str, **made_by: Any) -> None:
    """Write labelled data; ``made_by`` (model, section of the config, seed, ...) is kept with it.

    Variables that are one array in memory are one in an HDF5 file, under both names.

    Raises
    ------
    TypeError
        If a variable is float16 and the file is netCDF.
    """
    dataset = dataset.drop_encoding()
    dataset.attrs = {key: value for key, value in dataset.attrs.items() if value is not None}
    dataset.attrs[PROVENANCE] = provenance(path, made_by)
    if Path(path).suffix == ".nc":
        refuse_half(dataset, path)
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding_of(dataset))
        return
    same = _same(dataset)
    stored = dataset.drop_vars(same)
    stored.to_netcdf(path, engine="h5netcdf", encoding=_in_rows(stored))
    with h5py.File(path, "a") as file:
        for name, first in same.items():
            file[name] = file[first]


def refuse_half(dataset: xr.Dataset, path: str) -> None:
    """Refuse float16, which netCDF has not.

    Raises
    ------
    TypeError
    """
    half = [str(name) for name, v in dataset.variables.items() if v.dtype == np.float16]
    if half:
        raise TypeError(f"{path}: float16 is not written to netCDF: {', '.join(half)}")


def _same(dataset: xr.Dataset) -> dict[str, str]:
    """Data variables that are the array of one before them, with its name."""
    names = [str(name) for name in dataset.data_vars]
    found: dict[str, str] = {}
    for i, name in enumerate(names):
        own = dataset[name].variable
        for first in names[:i]:
            other = dataset[first].variable
            if np.shares_memory(own.values, other.values) and own.identical(other):
                found[name] = first
                break
    return found


def encoding_of(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Numbers have checksums; what is large is compressed, strings as characters, or they would not be."""
    found = {}
    for name, values in dataset.variables.items():
        is_text, is_large = values.dtype.kind in "UOT", values.size >= LARGE
        compressed = COMPRESSED if is_large else {}
        checked = CHECKED if values.ndim and values.size and (is_large or not is_text) else {}
        found[str(name)] = compressed | checked | ({"dtype": "S1"} if is_text and is_large else {})
    return found


def _in_rows(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Numbers with checksums, some rows in each chunk, uncompressed."""
    found = {}
    for name, values in dataset.variables.items():
        if values.dtype.kind not in "UOT" and values.ndim and values.size:
            parts = min(values.shape[0], -(-values.nbytes // CHUNK))
            rows = -(-values.shape[0] // parts)  # of nearly equal parts: each takes the room of the largest
            found[str(name)] = CHECKED | {"chunksizes": (rows, *values.shape[1:])}
    return found


def open_dataset(path: str) -> xr.Dataset:
    """Open labelled data lazily.

    Raises
    ------
    BadFile
        If it is no readable file of its kind, or another than was written under this path.
    """
    try:
        dataset = xr.open_dataset(path, engine="h5netcdf")
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # of a damaged file, HDF5 raises whatever it stumbles over
        raise BadFile(f"{path}: no readable {KINDS[Path(path).suffix]} file") from error
    _check_own(dataset, path)
    return dataset


def _check_own(dataset: xr.Dataset, path: str) -> None:
    """Refuse a file that was written under another path, or by others."""
    try:
        told = str(made_by(dataset).get("file", path))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: it does not say what made it, so none of strata's files") from error
    written = Path(told).parts
    if Path(path).parts[-len(written) :] != written:
        raise BadFile(f"{path}: it is {told}, put in its place")


def check_whole(path: str) -> None:
    """Read all of a file of labelled data.

    Raises
    ------
    BadFile
        As `open_dataset`, or if some of it cannot be read.
    """
    with open_dataset(path) as dataset:
        for name in dataset.variables:
            try:
                dataset[name].load()
            except MemoryError:
                raise
            except Exception as error:  # as above
                raise BadFile(f"{path}: damaged: {name} cannot be read") from error


def open_data(path: str) -> xr.Dataset | pd.DataFrame:
    """Open labelled data, or read a table: whichever the file's name says."""
    return read_table(path) if Path(path).suffix == ".tsv" else open_dataset(path)


def made_by(dataset: xr.Dataset) -> dict[str, Any]:
    """What a file says of its making: the strata version and what was given when it was written."""
    told: dict[str, Any] = json.loads(dataset.attrs[PROVENANCE])
    return told


def provenance(path: str | Path, made_by: Mapping[str, Any]) -> str:
    """What made a file, and which it is: the path in its project, not where on this machine that is."""
    own = {} if Path(path).is_absolute() else {"file": Path(path).as_posix()}
    return json.dumps({"strata": strata.__version__, **own, **made_by}, sort_keys=True)


class ActivationFile:
    """``activations.h5``, filled prompt by prompt, in any order, into datasets laid out beforehand.

    Layout: the tokens of one depth in a row, uncompressed: compression costs far more time than it saves
    room on activations.

    Parameters
    ----------
    sizes : mapping
        Size of every dimension: depth, layer, head, token, channel.
    variables : mapping
        Name of a variable to its dimensions, the token dimension among them.
    dtype : str
        Type on disk, a key of `strata.stored.FORMS`.

    Attributes
    ----------
    form : strata.stored.Form
        In which the file's numbers are to be written; read back, they are as they were.
    """

    def __init__(
        self,
        path: str | Path,
        sizes: Mapping[str, int],
        variables: Mapping[str, Sequence[str]],
        dtype: str,
        **made_by: Any,
    ):
        self._path, self._variables, self.form = path, dict(variables), FORMS[dtype]
        self._file = h5py.File(path, "w", track_order=True)
        self._file.attrs[PROVENANCE] = provenance(path, made_by)
        for name, size in sizes.items():
            self._file[name] = np.arange(size)
            self._file[name].make_scale(name)
        for name, dims in variables.items():
            stored = self._file.create_dataset(name, tuple(sizes[d] for d in dims), dtype)
            if self.form.scale != 1:
                # As in the CF conventions, which xarray reads.
                stored.attrs["scale_factor"] = np.float32(self.form.scale)
            for axis, d in enumerate(dims):
                stored.dims[axis].attach_scale(self._file[d])

    def write(self, start: int, values: Mapping[str, np.ndarray]) -> None:
        """Write tokens from ``start`` on, in the file's form; their axis is where the layout says."""
        for name, array in values.items():
            axis = self._variables[name].index(TOKEN)
            where: list[slice] = [slice(None)] * array.ndim
            where[axis] = slice(start, start + array.shape[axis])
            self._file[name][tuple(where)] = array

    def label(self, coordinates: Mapping[str, Iterable[Any]]) -> None:
        """Attach coordinates along tokens (numbers or strings), when all is written."""
        self._file.close()
        labels = xr.Dataset(coords={name: (TOKEN, list(values)) for name, values in coordinates.items()})
        labels.to_netcdf(self._path, "a", engine="h5netcdf", encoding=encoding_of(labels))

    def __enter__(self) -> "ActivationFile":
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


# Tables -------------------------------------------------------------------------------------


def write_table(table: pd.DataFrame, path: str) -> None:
    """Write a table as TSV."""
    table.to_csv(path, sep="\t", index=False)


def read_table(path: str) -> pd.DataFrame:
    """Read a TSV of numbers and plain names; noise levels are names, also where all look like numbers."""
    return pd.read_csv(path, sep="\t", dtype={NOISE: str})


def read_prompts(path: str) -> pd.DataFrame:
    """Read ``prompts.tsv``: texts as strings (empty where there is none), numbers as numbers."""
    texts = ["id", "category", "text", "subject", "target", "completions", "completion_ids", "subject_kind"]
    types = dict.fromkeys([*texts, "pair", "demands", "fact", "target_ids", "top_str", "reason"], str)
    empty = dict.fromkeys(["p_target", "p_whole_target"], [""])
    return pd.read_csv(
        path, sep="\t", dtype=types, keep_default_na=False, na_values=empty, lineterminator="\n"
    )


def write_text(text: str, path: str) -> None:
    """Write a text file."""
    Path(path).write_text(text, encoding="utf-8")


def copy(source: str, target: str) -> None:
    """Copy a file."""
    shutil.copyfile(source, target)


def as_uri(picture: str) -> str:
    """A PNG as an address that holds it."""
    return f"data:image/png;base64,{b64encode(Path(picture).read_bytes()).decode()}"


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """The rows of a TSV as they are written: no quoting, all strings."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_words(path: str | Path) -> tuple[str, ...]:
    """The words of a text file, separated by white space."""
    return tuple(Path(path).read_text(encoding="utf-8").split())


def write_corpus(path: str, tokens: np.ndarray, kinds: np.ndarray, kind_names: list[str]) -> None:
    """Write packed rows of tokens and the kinds of their documents."""
    np.savez(path, tokens=tokens, kinds=kinds, kind_names=np.array(kind_names))


def read_corpus(path: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read what `write_corpus` wrote."""
    with np.load(path) as stored:
        return stored["tokens"], stored["kinds"], stored["kind_names"].tolist()
