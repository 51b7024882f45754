"""Small lenses of texts that demand their last word, and what is asked of them, in plain Python loops."""

import numpy as np
import pandas as pd
import xarray as xr

from oracles.lens_example import make_lens
from oracles.lens_questions import join


def make_endings(ways, both, n_layers=3, seed=0, before=4):
    """A lens of pairs, and the table of their prompts; ``ways``: tokens of each pair's way; ``both``: whether
    its texts name both words.

    Words of pair p are 100 + 2p and 101 + 2p. Ranks and probabilities of words are random on the way, and
    none before it. One more text demands nothing, and one pair is not accepted.
    """
    rng = np.random.default_rng(seed)
    parts, rows = [], []
    for p, (way, names_both) in enumerate(zip(ways, both, strict=True)):
        names = f"p{p}-a", f"p{p}-b"
        words = 100 + 2 * p, 101 + 2 * p
        for text in (0, 1):
            part = make_lens(n_layers, before + way, names[text], "endings", seed=seed + 2 * p + text)
            part["token_id"][:2] = [words[text], words[1 - text] if names_both else words[text]]
            part["fact"][:] = names[0]
            shape = (part.sizes["depth"], before + way, 2)
            on_the_way = (np.arange(before + way) >= before)[:, None]
            logprob = np.where(on_the_way, -rng.uniform(0, 9, shape), np.nan)
            rank = np.where(on_the_way, rng.integers(0, 500, shape), -1)
            dims = ("depth", "token", "word")
            part = part.assign(logprob_word=(dims, logprob), rank_of_word=(dims, rank))
            parts.append(part.assign_coords(word=["demanded", "other"]))
            row = {
                "id": names[text],
                "pair": names[1 - text],
                "demands": f" w{words[text]}",
                "accepted": True,
            }
            rows.append(row | {"demanded_id": words[text], "way_n_tokens": way, "category": "endings"})
    other = make_lens(n_layers, 5, "text", "passages", seed=seed + 99)
    nothing = np.full((other.sizes["depth"], 5, 2), np.nan)
    parts.append(other.assign(logprob_word=(dims, nothing), rank_of_word=(dims, np.full(nothing.shape, -1))))
    rows.append({"id": "text", "pair": "", "demands": "", "accepted": True} | {"category": "passages"})
    rejected = {"demands": " x", "accepted": False, "category": "endings"}
    rows += [rejected | {"id": "x", "pair": "y"}, rejected | {"id": "y", "pair": "x"}]
    table = pd.DataFrame(rows).fillna({"demanded_id": -1, "way_n_tokens": 0})
    return join(*parts), table.astype({"demanded_id": int, "way_n_tokens": int})


def by_token(values: xr.DataArray, table, pair, depth, word):
    """The value of a word at the way's tokens, the last one first, mean over the texts of a pair."""
    texts = []
    for row in table.itertuples():
        if row.id in pair:
            tokens = [t for t, name in enumerate(values["prompt"].values) if name == row.id]
            way = tokens[-row.way_n_tokens :]
            at = values.sel(depth=float(depth)).isel(word=word)
            texts.append([float(at[t]) for t in reversed(way)])
    first, second = texts
    return [(a + b) / 2 for a, b in zip(first, second, strict=True)]


def mean_over_pairs(values, table, pairs, depth, word, place):
    """Mean over pairs of a word at the end, or of its mean over the way but for the end."""
    total = 0
    for pair in pairs:
        each = by_token(values, table, pair, depth, word)
        total += each[0] if place == "end" else sum(each[1:]) / len(each[1:])
    return total / len(pairs)
