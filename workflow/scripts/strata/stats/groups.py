"""Groups of units, by category, and results side by side, one for each name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import ALL


def masks_by_category(category: Iterable[str], names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Masks of all units together and of each category (of those named, or that occur)."""
    category = np.asarray(category)
    names = pd.unique(category) if names is None else names
    return {ALL: np.ones(len(category), dtype=bool)} | {name: category == name for name in names}


def with_pooled(
    groups: Mapping[str, np.ndarray], pooled: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """The same masks, and those of several groups taken together, by a name of their own.

    Members that are no groups are left out, and so is what has fewer than two others.
    """
    there = {
        name: [groups[member] for member in members if member in groups] for name, members in pooled.items()
    }
    return {**groups, **{name: np.any(masks, axis=0) for name, masks in there.items() if len(masks) > 1}}


def cluster_means(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Means over the units of each cluster, (cluster, ...) of ``values`` (unit, ...); clusters sorted."""
    shape = values.shape[1:]
    table = pd.DataFrame(values.reshape(len(values), prod(shape))).groupby(clusters).mean()
    return table.to_numpy().reshape(-1, *shape) if len(table) else np.empty((0, *shape))


def cluster_totals(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """The sum of the values (unit) of each cluster, NaN left out, and how many have one: (2, cluster)."""
    table = pd.Series(values).groupby(clusters)
    return np.stack([table.sum().to_numpy(float), table.count().to_numpy(float)])


def with_ends(
    name: str, value: np.ndarray, ends: np.ndarray, n: int | np.ndarray, dims: tuple[str, ...] = ()
) -> xr.Dataset:
    """A value (dims) and the two ends of its interval, as every stage names them, and ``n`` units."""
    fields = dict(zip((name, f"{name}_low", f"{name}_high"), (value, *ends), strict=True))
    return xr.Dataset({key: (dims, field) for key, field in fields.items()} | {f"{name}_n": n})


def named(dim: str, names: Iterable) -> xr.DataArray:
    """Names along a dimension of their own, to concatenate along."""
    return xr.DataArray(list(names), dims=dim, name=dim)


def each(dim: str, names: Iterable, result: Callable[..., xr.Dataset]) -> xr.Dataset:
    """The ``result`` of each name, along a new dimension."""
    return xr.concat([result(name) for name in names], dim=named(dim, names), join="exact")
