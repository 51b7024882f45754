"""The questions put to the lens, answered in plain Python loops; and small lenses with planted answers."""

import math

import numpy as np
import pandas as pd
import xarray as xr

from oracles.lens_example import VOCABULARY, make_lens

# Loops --------------------------------------------------------------------------------------


def mean(values):
    values = [value for value in values if not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan


def first(holds):
    """The first index at which a list is true."""
    for index, held in enumerate(holds):
        if held:
            return index
    return math.nan


def settled(holds):
    """The index from which on a list is true, found by walking back from its end."""
    index = len(holds)
    while index > 0 and holds[index - 1]:
        index -= 1
    return index if index < len(holds) else math.nan


def whole(lens, name):
    """Values of a variable as a list over whole depths of lists over tokens."""
    return [lens[name].sel(depth=float(d)).values.tolist() for d in range(int(lens["depth"].max()) + 1)]


def tokens_of(lens, category):
    """Token indices of each prompt of a category (or of "all")."""
    prompts = {}
    for token, (prompt, c) in enumerate(zip(lens["prompt"].values, lens["category"].values, strict=True)):
        if category in ("all", c):
            prompts.setdefault(prompt, []).append(token)
    return prompts


def shares(lens, name, category):
    """Each block's share of the way that the mean over prompts of a KL goes."""
    prompts = tokens_of(lens, category).values()
    means = [mean([mean([row[t] for t in tokens]) for tokens in prompts]) for row in whole(lens, name)]
    return [(means[d] - means[d + 1]) / (means[0] - means[-1]) for d in range(len(means) - 1)]


def prediction_depths(lens, category):
    """Mean over prompts of the mean over tokens, and of the last token's, prediction depth."""
    top = whole(lens.isel(k=0), "top_id")
    depth = [settled([row[t] == top[-1][t] for row in top]) for t in range(lens.sizes["token"])]
    prompts = tokens_of(lens, category).values()
    return mean([mean([depth[t] for t in p]) for p in prompts]), mean([depth[p[-1]] for p in prompts])


def target_depths(lens, accepted, category, top=10):
    """Lists over accepted prompts with a target: depth from which on it is in the top, and first depth."""
    ranks = whole(lens, "rank_of_target")
    pairs = []
    for prompt, tokens in tokens_of(lens, category).items():
        last = tokens[-1]
        if prompt in accepted and int(lens["target_id"][last]) >= 0:
            inside = [0 <= row[last] < top for row in ranks]
            pairs.append((settled(inside), first(inside)))
    return [p[0] for p in pairs], [p[1] for p in pairs]


def repeats(ids, targets):
    """How often each (token, next token) has occurred before in one prompt."""
    pairs = list(zip(ids, targets, strict=True))
    return [pairs[:i].count(pair) for i, pair in enumerate(pairs)]


def repeat_means(lens, prompts, top=10):
    """By repeat number: lists over prompts of the mean depth and of the share of tokens that have one."""
    ranks = whole(lens, "rank_of_target")
    depth, share = {}, {}
    for prompt in prompts:
        tokens = [t for t in tokens_of(lens, "all")[prompt] if int(lens["target_id"][t]) >= 0]
        numbers = repeats(*(lens[name].values[tokens].tolist() for name in ("token_id", "target_id")))
        for number in set(numbers):
            at = [
                settled([0 <= row[t] < top for row in ranks])
                for t, n in zip(tokens, numbers, strict=True)
                if n == number
            ]
            depth.setdefault(number, []).append(mean(at))
            share.setdefault(number, []).append(mean([float(not math.isnan(a)) for a in at]))
    return depth, share


def spearman(x, y):
    """Pearson's correlation of mid-ranks, which are counted pair by pair."""

    def ranks(values):
        return [sum(o < v for o in values) + sum(o == v for o in values) / 2 for v in values]

    x, y = ranks(x), ranks(y)
    x, y = [v - mean(x) for v in x], [v - mean(y) for v in y]
    xx, xy, yy = (sum(a * b for a, b in zip(u, v, strict=True)) for u, v in ((x, x), (x, y), (y, y)))
    return xy / math.sqrt(xx * yy)


# Lenses -------------------------------------------------------------------------------------

SPELLING = {100: ",", 101: "Ġ,", 102: "▁,", 103: ",,"}


def make_text(prompt, category, ids, target=-1, n_layers=4, **fields):
    """One prompt's lens with planted values at whole depths; at half-depths stand others, to be ignored.

    ``fields``: arrays that broadcast to (whole depth, token); where none is given, zeros.
    """
    n = len(ids)
    shape = (n_layers + 1, n)
    names = ("rank_of_input", "rank_of_target", "top_id", "kl_final", "kl_input")
    variables = {}
    for name in names:
        values = np.full((2 * n_layers + 1, n), 77.0)
        values[::2] = np.broadcast_to(fields.pop(name, 0), shape)
        values = values if name.startswith("kl") else values.astype(int)
        variables[name] = (("depth", "token"), values)
    assert not fields
    dims, top = variables["top_id"]
    variables["top_id"] = ((*dims, "k"), top[..., None])
    targets = np.append(ids[1:], target)
    # In the files, a token that nothing is known to follow has rank -1.
    variables["rank_of_target"][1][:, targets < 0] = -1
    return xr.Dataset(
        variables,
        coords={
            "depth": np.arange(2 * n_layers + 1) / 2,
            "prompt": ("token", np.full(n, prompt, dtype=object)),
            "position": ("token", np.arange(n)),
            "token_id": ("token", ids),
            "token_str": ("token", np.array([SPELLING.get(i, f"t{i}") for i in ids], dtype=object)),
            "target_id": ("token", targets),
            "category": ("token", np.full(n, category, dtype=object)),
            "fact": ("token", np.full(n, prompt, dtype=object)),
        },
        attrs={"decoder": "logit", "norm": "whole"},
    )


def join(*texts):
    return xr.concat(texts, "token")


def make_prompts(lens, accepted=True, **subjects):
    """The table of a lens's prompts; ``subjects`` are (start, length), by id with _ for -."""
    rows = []
    for prompt, tokens in tokens_of(lens, "all").items():
        start, length = subjects.get(prompt.replace("-", "_"), (-1, 0))
        rows.append(
            {
                "id": prompt,
                "category": str(lens["category"].values[tokens[0]]),
                "accepted": accepted if isinstance(accepted, bool) else prompt in accepted,
                "subject_start": start,
                "subject_n_tokens": length,
            }
        )
    return pd.DataFrame(rows)


def make_run(n_layers=3, seed=0, prompts_of_category=3):
    """Random lenses of two decoders, the table of prompts and counts of tokens, for every question."""
    parts = []
    for c, category in enumerate(("semantic", "copying", "repetition", "passages")):
        for i in range(prompts_of_category):
            part = make_lens(n_layers, 9 + i, f"{category}-{i}", category, seed=seed + 10 * c + i)
            if category == "repetition":
                part["token_id"][:] = np.arange(part.sizes["token"]) % 2
            if category == "passages":
                part["token_id"][2::3] = 7  # a comma
            ids = part["token_id"].values
            ends = -1 if category == "passages" else int(ids[1])
            part["target_id"][:] = np.append(ids[1:], ends)
            part["token_str"][:] = VOCABULARY[ids]
            part["rank_of_target"] = part["rank_of_target"].where(part["target_id"] >= 0, -1)
            parts.append(part)
    logit = join(*parts)
    last = np.flatnonzero(logit["position"].roll(token=-1).values == 0)
    logit["rank_of_target"][:, last] = logit["rank_of_final"][:, last].where(
        logit["target_id"][last] >= 0, -1
    )
    shift = (np.arange(logit.sizes["depth"]) % 4)[:, None]
    tuned = logit.assign(rank_of_input=logit["rank_of_input"] + shift, kl_final=logit["kl_final"] / 2)
    subjects = {f"copying_{i}": (3, 1) for i in range(prompts_of_category)}
    table = make_prompts(logit, **subjects)
    counts = pd.Series(np.arange(len(VOCABULARY)) + 50, name="count")
    return {"logit": logit, "tuned": tuned.assign_attrs(decoder="tuned")}, table, counts
