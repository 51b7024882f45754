"""netCDF files that are written a piece after another, so that memory does not grow with them."""

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from strata import io

SIZES = "sizes_of_pieces"
"""What the provenance of a shard's file says besides: the size of each piece, by the dimension they follow
each other along."""


class PieceFile:
    """A netCDF file, written a piece after another along one dimension; read, it is `write_dataset`'s.

    What has other dimensions too goes to the file at once, compressed. What has not, labels mostly, is kept
    until the file is closed, and attributes are the last piece's.

    Parameters
    ----------
    dim : str
        Along which pieces follow each other.
    size : int
        Of that dimension, in all.
    shard : bool
        Whether other files follow this one, see `gather`.
    """

    def __init__(self, path: str, dim: str, size: int, shard: bool = False, **made_by: Any):
        self._path, self._dim, self._made_by, self._shard = path, dim, made_by, shard
        self._file = h5netcdf.File(path, "w")
        self._file.dimensions[dim] = size
        self._size, self._start = size, 0
        self._sizes: list[int] = []
        self._labels: dict[str, xr.Variable] = {}
        self._coords: set[str] = set()
        self._attrs: dict[str, Any] = {}

    def write(self, piece: xr.Dataset) -> None:
        """Write what comes next.

        Raises
        ------
        TypeError
            If a variable is float16.
        ValueError
            If what has not the dimension is not what it was in the first piece.
        """
        io.refuse_half(piece, self._path)
        names = sorted(map(str, piece.variables))  # in whatever order a piece has them
        large = [name for name in names if self._dim in piece[name].dims and piece[name].ndim > 1]
        for name in large:
            self._put(name, piece[name].variable)
        for name in set(names) - set(large):
            self._keep(name, piece.variables[name])
        self._coords, self._attrs = {str(name) for name in piece.coords}, piece.attrs
        self._start += piece.sizes[self._dim]
        self._sizes.append(piece.sizes[self._dim])
        _return_memory()

    def _keep(self, name: str, given: xr.Variable) -> None:
        """Labels of all pieces come into one array: kept apart, they would hold memory of large arrays."""
        along = self._dim in given.dims
        if name not in self._labels:
            kind = object if given.dtype.kind in "UO" else given.dtype
            array = np.empty(self._size, kind) if along else given.values
            self._labels[name] = xr.Variable(given.dims, array, given.attrs)
        kept = self._labels[name]
        if along:
            kept.values[self._start : self._start + len(given)] = given.values
        elif not kept.equals(given):
            raise ValueError(f"{self._path}: {name} differs between pieces")

    def _put(self, name: str, values: xr.Variable) -> None:
        dims, array = tuple(map(str, values.dims)), values.values
        if values.dtype.kind in "UO":
            # As characters, as many as the longest so far has.
            array = np.char.encode(array.astype(str), "utf-8")[..., None].view("S1")
            dims = (*dims, f"string_{name}")
        for dim, size in zip(dims, array.shape, strict=True):
            if dim not in self._file.dimensions:
                self._file.dimensions[dim] = None if dim.startswith("string_") else size
        if name not in self._file.variables:
            shape = [self._file.dimensions[dim].size or array.shape[i] for i, dim in enumerate(dims)]
            along = dims.index(self._dim)
            of_each = array.dtype.itemsize * int(np.prod(np.delete(shape, along)))
            shape[along] = max(1, min(shape[along], io.CHUNK // max(1, of_each)))
            fill = np.array(np.nan, array.dtype) if array.dtype.kind == "f" else None
            how = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
            how["chunks"] = tuple(shape)
            stored = self._file.create_variable(name, dims, array.dtype, fillvalue=fill, **how)
            stored.attrs.update({"_Encoding": "utf-8"} if array.dtype == "S1" else values.attrs)
        if array.dtype == "S1" and array.shape[-1] > self._file.dimensions[dims[-1]].size:
            self._file.resize_dimension(dims[-1], array.shape[-1])
        where = [slice(size) for size in array.shape]
        where[dims.index(self._dim)] = slice(self._start, self._start + values.sizes[self._dim])
        self._file.variables[name][tuple(where)] = array

    def __enter__(self) -> "PieceFile":
        return self

    def __exit__(self, error: type[BaseException] | None, *_rest: object) -> None:
        self._file.close()
        if error is None:
            if self._start != self._size:
                raise ValueError(
                    f"{self._path}: {self._start} of {self._size} along {self._dim} were written"
                )
            told = self._made_by | ({SIZES: {self._dim: self._sizes}} if self._shard else {})
            attrs = self._attrs | {io.PROVENANCE: io.provenance(self._path, told)}
            labels = xr.Dataset({name: self._labels[name] for name in sorted(self._labels)}, attrs=attrs)
            labels = labels.set_coords(self._coords & self._labels.keys())
            labels.to_netcdf(self._path, "a", engine="h5netcdf", encoding=io.encoding_of(labels))


def _return_memory() -> None:
    """Give freed memory back, where the C library can: arrays of ever other sizes leave gaps that add up."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@dataclass(frozen=True)
class Pieces:
    """Labelled data of some names, a piece of each at a time.

    ``names`` of what there is; ``size`` of the dimension ``dim`` in all; ``each``: the pieces, by names. What
    has not that dimension comes once.
    """

    names: Sequence[str]
    dim: str
    size: int
    each: Iterable[Mapping[str, xr.Dataset]]


def write_pieces(pieces: Pieces, paths: Mapping[str, str], shard: bool = False, **made_by: Any) -> None:
    """Write files in step, each a `PieceFile`; one of which there is no piece is there and empty.

    ``shard``: whether they are to be put into one with others by `gather`.
    """
    with ExitStack() as stack:
        files: dict[str, PieceFile] = {}
        written = set()
        for named in pieces.each:
            for name, piece in named.items():
                written.add(name)
                if pieces.dim not in piece.dims:
                    io.write_dataset(piece, paths[name], **made_by)
                    continue
                if name not in files:
                    file = PieceFile(paths[name], pieces.dim, pieces.size, shard, **made_by)
                    files[name] = stack.enter_context(file)
                files[name].write(piece)
    for name in set(pieces.names) - written:
        io.write_dataset(xr.Dataset(), paths[name], **made_by)


def gather(shards: Sequence[str], path: str) -> None:
    """Write what shards hold, one after the other, as one file.

    It is, byte for byte, what `write_pieces` would have written of all: pieces are as large as they were, and
    one at a time is in memory.

    Parameters
    ----------
    shards : paths of what `write_pieces` wrote of shards; those without a piece are empty
    """
    cut, told, attrs = [], {}, {}
    for shard in shards:
        with io.open_dataset(shard) as dataset:
            told, attrs = io.made_by(dataset), dataset.attrs
            cut.append(told.pop(SIZES, {}))
    made_by = {key: value for key, value in told.items() if key not in ("strata", "file")}
    dims = {dim for sizes in cut for dim in sizes}
    if not dims:
        io.write_dataset(xr.Dataset(attrs=attrs), path, **made_by)
        return
    [dim] = dims
    cut = [sizes.get(dim, []) for sizes in cut]
    with PieceFile(path, dim, sum(map(sum, cut)), **made_by) as file:
        for shard, sizes in zip(shards, cut, strict=True):
            with io.open_dataset(shard) as dataset:
                for start, stop in pairwise(accumulate(sizes, initial=0)):
                    file.write(dataset.isel({dim: slice(start, stop)}).load().drop_encoding())
