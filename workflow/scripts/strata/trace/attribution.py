"""Direct logit attribution averaged over prompts: what heads and MLPs add to the answer, by category."""

import numpy as np
import xarray as xr

from strata.names import CATEGORY, FACT, HEAD, LAYER, PROMPT
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import masks_by_category

BIAS = "_bias"
TOTAL = "_total"


def average_attribution(attribution: xr.Dataset, bootstrap: Bootstrap) -> xr.Dataset:
    """Means over the prompts of each category, and over all, with bootstrap intervals over what they ask.

    Parameters
    ----------
    attribution : Dataset
        Of `strata.model.attribution.attribute`, with coordinates ``category`` and ``fact`` (prompt).

    Returns
    -------
    Dataset, in logits
        Each part x, and ``logit_difference``, with ``x_low``, ``x_high`` and ``x_n`` by category, without
        ``prompt``. ``attention_total``, ``mlp_total`` (category, layer): a layer's heads together, with
        their bias, and its MLP with its own.
    """
    values = {name: attribution[name] for name in attribution.data_vars}
    for part, sub_block in (("attention", values["attention"].sum(HEAD)), ("mlp", values["mlp"])):
        values[part + TOTAL] = sub_block + values.get(part + BIAS, 0)
    groups, facts = masks_by_category(attribution[CATEGORY].values), attribution[FACT].values
    means = []
    for name, value in values.items():
        value = value.transpose(..., PROMPT)
        means.append(bootstrap.by_category(name, np.mean, value.values, groups, value.dims[:-1], facts))
    labels = {dim: attribution[dim].values for dim in (LAYER, HEAD)}
    return xr.merge(means, join="exact").assign_coords(labels).assign_attrs(interval=bootstrap.interval)
