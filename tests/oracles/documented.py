"""Which files, variables and columns of results docs/outputs.md does not name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import xarray as xr

DECODER = re.compile(r"^lens/(logit|extended|tuned|jacobian)(_updates)?\.nc$")
ENDS = re.compile(r"_(low|high|n|overall)$")


def undocumented(folder: Path, page: str) -> list[str]:
    """Names that the page does not have in backticks, as ``file`` or ``file: variable``.

    An interval's ends, its number of units and means over depths go by the name of their value; so do those
    of the probe that all depths share.
    """
    known = set(re.findall(r"`([^`]+)`", page))
    missing = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.parent.name != "figures"):
        file = path.relative_to(folder).as_posix()
        name = DECODER.sub(r"lens/DECODER\2.nc", file)
        if not known & {name, path.name, f"results/organism/{name}"}:
            missing.append(file)
        missing += [f"{file}: {variable}" for variable in _names(path) if not known & _forms(variable)]
    return missing


def _names(path: Path) -> Iterator[str]:
    if path.suffix in (".nc", ".h5"):
        with xr.open_dataset(path, engine="h5netcdf") as data:
            yield from map(str, data.data_vars)
    elif path.suffix == ".tsv":
        yield from pd.read_csv(path, sep="\t", nrows=0).columns


def _forms(variable: str) -> set[str]:
    value = ENDS.sub("", ENDS.sub("", variable))
    return {variable, value, value.removeprefix("shared_"), ENDS.sub("", variable)}
