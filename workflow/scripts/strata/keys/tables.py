"""Triggers of keys as tables, to be read."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

from strata.keys.names import TAGS
from strata.names import DOCUMENT, LAYER, POSITION, TOKEN_ID
from strata.text.documents import next_in_document

WINDOW = 24
"""Tokens of a trigger's prefix that a table shows."""

SPELLED = {"\n": "↵", "\t": "→"}


def trigger_table(
    triggers: xr.Dataset, text: xr.Dataset, decode: Callable[[list[int]], str], window: int = WINDOW
) -> pd.DataFrame:
    """Every trigger, to be read: a row each, by layer and key; keys that never answer have none.

    Parameters
    ----------
    triggers : as `strata.keys.triggers.find_triggers` returns it, of this text
    decode : token ids to text
    window : tokens of the prefix that are shown, the trigger's own the last of them

    Returns
    -------
    Table
        ``layer``, ``channel``, ``rank`` (from 1), ``activation``, ``document``, ``position``, ``token``,
        ``next``, ``prefix`` (it ends with the token), and those of `TAGS` that the text has. Texts are
        one line each: a newline is ``↵``, what does not print is escaped.
    """
    ids, position = text[TOKEN_ID].values, text[POSITION].values
    following = next_in_document(text)
    known = {label: text[name].values for label, name in TAGS.items() if name in text.coords}
    rows = []
    for (layer, key, rank), index in np.ndenumerate(triggers["trigger"].values):
        if index < 0:
            continue
        first = max(index - window + 1, index - position[index])
        cut = "… " if first > index - position[index] else ""
        row = {
            LAYER: triggers[LAYER].values[layer],
            "channel": triggers["channel"].values[layer, key],
            "rank": rank + 1,
            "activation": triggers["activation"].values[layer, key, rank],
            DOCUMENT: text[DOCUMENT].values[index],
            POSITION: position[index],
            "token": _one_line(decode([int(ids[index])])),
            "next": _one_line(decode([int(following[index])])) if following[index] >= 0 else "",
            "prefix": cut + _one_line(decode(ids[first : index + 1].tolist())),
        }
        rows.append(row | {label.replace(" ", "_"): values[index] for label, values in known.items()})
    return pd.DataFrame(rows)


def key_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each key, of a `trigger_table`: its strongest activation, and what its triggers share.

    For ``token``, ``next`` and every label: the most common one, and how many of those triggers that have
    one have it, as in ``the (7 of 10)``.
    """
    labels = [name for name in table if name in ("token", "next", *(t.replace(" ", "_") for t in TAGS))]

    def shared(values: pd.Series) -> str:
        known = [value for value in values if value != ""]
        if not known:
            return ""
        value, count = Counter(known).most_common(1)[0]
        return f"{value} ({count} of {len(known)})"

    keys = table.groupby([LAYER, "channel"])
    return keys.agg({"activation": "max", **dict.fromkeys(labels, shared)}).reset_index()


def _one_line(text: str) -> str:
    return "".join(
        SPELLED.get(c, c if c.isprintable() else c.encode("unicode_escape").decode()) for c in text
    )
