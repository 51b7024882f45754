"""Categories in one order, whatever figure shows them."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import ALL, CATEGORY

Data = TypeVar("Data", xr.Dataset, pd.DataFrame)


def in_order(data: Data, order: Sequence[str]) -> Data:
    """The same with all prompts first, then the categories of ``order``, then the others as they are.

    Parameters
    ----------
    data : Dataset or DataFrame
        With categories as a dimension, or as a column. Without either it stays what it is.
    """
    first = {name: place for place, name in enumerate((ALL, *order))}

    def places(names: pd.Series) -> pd.Series:
        return names.map(lambda name: first.get(name, len(first)))

    if isinstance(data, pd.DataFrame):
        return data.sort_values(CATEGORY, key=places, kind="stable") if CATEGORY in data else data
    if CATEGORY not in data.dims:
        return data
    found = np.argsort(places(pd.Series(data[CATEGORY].values)).to_numpy(), kind="stable")
    return data.isel({CATEGORY: found})
