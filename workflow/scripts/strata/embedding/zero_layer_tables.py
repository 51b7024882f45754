"""The exceptions and the attractors that `strata.embedding.zero_layer.analyse` finds, as tables."""

import numpy as np
import pandas as pd
import xarray as xr

from strata.embedding.names import VARIANT
from strata.embedding.spelling import relation
from strata.names import TOKEN_ID, TOKEN_STR


def exception_table(called: xr.Dataset) -> pd.DataFrame:
    """Every exception, a row each, the widest margins of each variant first.

    Columns: ``variant``, ``token_id``, ``token``, ``calls_for_id``, ``calls_for``, ``kind``, ``margin``
    (score of what it calls for less its own), ``score``, ``own_score``, ``norm`` and ``calls_for_norm``
    (lengths of the vectors they are called by), ``attracts`` (how many tokens call for the same), and
    ``count`` where there are counts.
    """
    names, ids = called[TOKEN_STR].values, called[TOKEN_ID].values
    tables = []
    for variant in called[VARIANT].values:
        at = called.sel({VARIANT: variant})
        row = np.flatnonzero(~at["on_diagonal"].values)
        other = at["other_row"].values[row]
        score, own = at["other_score"].values[row], at["own_score"].values[row]
        table = pd.DataFrame(
            {
                "variant": variant,
                "token_id": ids[row],
                "token": names[row],
                "calls_for_id": ids[other],
                "calls_for": names[other],
                "kind": [relation(names[a], names[b]) for a, b in zip(row, other, strict=True)],
                "margin": score - own,
                "score": score,
                "own_score": own.astype("float32"),
                "norm": at["key_norm"].values[row],
                "calls_for_norm": at["key_norm"].values[other],
                "attracts": at["attracted"].values[other],
            }
        )
        if "count" in called:
            table["count"] = called["count"].values[row]
        tables.append(table.sort_values("margin", ascending=False, kind="stable"))
    return pd.concat(tables, ignore_index=True)


def attractor_table(called: xr.Dataset) -> pd.DataFrame:
    """Every token that others call for, those that most call for first.

    Columns: ``variant``, ``token_id``, ``token``, ``attracted`` (how many), ``share`` (of the variant's
    exceptions), ``norm``, ``norm_rank`` (1 the longest), ``on_diagonal``, and ``count`` where there
    are counts.
    """
    tables = []
    for variant in called[VARIANT].values:
        at = called.sel({VARIANT: variant})
        row = np.flatnonzero(at["attracted"].values)
        table = pd.DataFrame(
            {
                "variant": variant,
                "token_id": at[TOKEN_ID].values[row],
                "token": at[TOKEN_STR].values[row],
                "attracted": at["attracted"].values[row],
                "share": at["attracted"].values[row] / max(int(at["attracted"].sum()), 1),
                "norm": at["key_norm"].values[row],
                "norm_rank": at["norm_rank"].values[row],
                "on_diagonal": at["on_diagonal"].values[row],
            }
        )
        if "count" in called:
            table["count"] = called["count"].values[row]
        tables.append(table.sort_values(["attracted", "norm_rank"], ascending=[False, True], kind="stable"))
    return pd.concat(tables, ignore_index=True)
