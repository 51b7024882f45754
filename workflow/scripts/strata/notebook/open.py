"""Results of the pipeline, by name."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import xarray as xr

from strata import io

SUFFIXES = (".nc", ".h5", ".tsv")


def open(model: str, name: str, results: str | Path = "results") -> xr.Dataset | pd.DataFrame:
    """Open what the pipeline wrote of a model: every variable and column is in ``docs/outputs.md``.

    Parameters
    ----------
    model : its name in ``config.yaml``: a folder in ``results``
    name : of the file in that folder, without its suffix (``lens/logit``, ``prompts``); with it, where two
        differ in nothing else (``syntax/keys.tsv``)
    results : the folder that the pipeline wrote to

    Returns
    -------
    Dataset or DataFrame
        Of a ``.nc`` or ``.h5`` file the labelled data, read when they are used; of a ``.tsv`` the table.
        Every figure is a function of these: ``docs/figures.md`` names each one's function and data.

    Raises
    ------
    FileNotFoundError
        If there is no such model, or no such file of it: lists those that there are.
    ValueError
        If two files have this name: says by which suffixes they differ.
    """
    files = _files(Path(results, model))
    if not files:
        models = sorted(path.name for path in Path(results).glob("*/") if _files(path))
        raise FileNotFoundError(f"no results of {model!r} in {Path(results)} (there: {_listed(models)})")
    found = [file for file in files if name in (file, file.rpartition(".")[0])]
    if not found:
        names = _listed(_shortest(files))
        raise FileNotFoundError(f"no {name!r} in {Path(results, model)} (there: {names})")
    if len(found) > 1:
        raise ValueError(f"{name!r} in {Path(results, model)} may be {' or '.join(found)}")
    path = str(files[found[0]])
    return io.read_prompts(path) if found == ["prompts.tsv"] else io.open_data(path)


def _files(folder: Path) -> dict[str, Path]:
    """Files of results in a folder and those in it, by their paths there."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _shortest(files: Iterable[str]) -> list[str]:
    """Names without a suffix, where that leaves no doubt."""
    stems = [file.rpartition(".")[0] for file in files]
    return [stem if stems.count(stem) == 1 else file for file, stem in zip(files, stems, strict=True)]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none; the pipeline writes them: snakemake --cores 4"
