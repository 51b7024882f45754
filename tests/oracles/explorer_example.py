"""Lenses of a few texts by two decoders, and their traces, as the explorer is given them."""

import numpy as np
import xarray as xr

from oracles.lens_example import make_lens

N_LAYERS = 3
LAST = 2 * N_LAYERS
WHOLE_DEPTHS = [6, 4, 2, 0]  # from the top of the page, as indices among depths and half-depths
ALL_DEPTHS = list(range(LAST, -1, -1))
NOISES = ["0.1", "3x", "replaced"]

# A prompt that is traced, one that is not, a passage, and one more that is traced.
TEXTS = {
    "p$1$": {"category": "semantic", "n_tokens": 7, "target": 10},
    "wordy-two": {"category": "plain_english", "n_tokens": 5, "target": 4},
    "walk": {"category": "passages", "n_tokens": 9},
    "third": {"category": "semantic", "n_tokens": 6, "target": 0},
}
SUBJECTS = {"p$1$": (2, 3), "third": (1, 1)}


def join(lenses):
    """Lenses of several texts as one."""
    how = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}
    return xr.concat(list(lenses), "token", combine_attrs="override", **how)


def make_lenses(norm="whole", texts=TEXTS, seed=32, top_k=10):
    """Two decoders of some texts; of the second, depths lie elsewhere on the way from first to last."""
    bent = [0, 8, 9, 10, 10, 11, 12]
    logit, tuned = [], []
    for i, (prompt, settings) in enumerate(texts.items()):
        settings = settings | {"prompt": prompt, "seed": seed + i, "top_k": top_k}
        logit.append(make_lens(N_LAYERS, **settings))
        longer = make_lens(2 * N_LAYERS, **settings).isel(depth=bent, guess=bent)
        tuned.append(longer.assign_coords(depth=logit[-1]["depth"], guess=logit[-1]["guess"]))
    return {
        "logit": join(logit).assign_attrs(decoder="logit", norm=norm),
        "tuned": join(tuned).assign_attrs(decoder="tuned", norm=norm),
    }


def of_prompt(lens, prompt):
    """The tokens of one prompt."""
    return lens.isel(token=np.flatnonzero(lens["prompt"].values == prompt))


def respell(lens, vocabulary):
    """The same lens of another vocabulary."""
    spelled = np.array(vocabulary, dtype=object)
    names = {"token_str": lens["token_id"].values, "target_str": lens["target_id"].values}
    return lens.assign(top_str=(lens["top_str"].dims, spelled[lens["top_id"].values])).assign_coords(
        {name: ("token", np.where(ids < 0, "", spelled[ids])) for name, ids in names.items()}
    )


def make_trace(lens, subjects=SUBJECTS, n_samples=2, seed=5):
    """Traces as trace/state.nc holds them. The least noise takes little from the first prompt and nothing
    from the second, which has no other subject to be replaced by."""
    rng = np.random.default_rng(seed)
    width = max(of_prompt(lens, prompt).sizes["token"] for prompt in subjects)
    shape = (len(subjects), len(NOISES), n_samples)
    restored = rng.uniform(0, 1, (*shape, N_LAYERS, width)).astype(np.float32)
    corrupted = rng.uniform(0, 0.4, shape).astype(np.float32)
    clean = rng.uniform(0.6, 0.9, len(subjects)).astype(np.float32)
    corrupted[0, 0], corrupted[1, 0] = clean[0] - 0.05, clean[1] + 0.05
    corrupted[:, 1] /= 10
    strings = np.full((len(subjects), width), "", object)
    n_tokens = []
    for i, (prompt, (start, _)) in enumerate(subjects.items()):
        tokens = of_prompt(lens, prompt)["token_str"].values
        n_tokens.append(len(tokens))
        strings[i, : len(tokens)] = tokens
        restored[i, ..., :start] = restored[i, ..., len(tokens) :] = np.nan
    restored[1, 2], corrupted[1, 2] = np.nan, np.nan
    return xr.Dataset(
        {
            "p_target": (("prompt", "noise", "sample", "depth", "position"), restored),
            "p_corrupted": (("prompt", "noise", "sample"), corrupted),
            "p_clean": ("prompt", clean),
        },
        coords={
            "prompt": np.array(list(subjects), dtype=object),
            "noise": np.array(NOISES, dtype=object),
            "noise_sd": ("noise", [0.1, 0.25, np.nan]),
            "depth": np.arange(N_LAYERS),
            "token_str": (("prompt", "position"), strings),
            "subject_start": ("prompt", [first for first, _ in subjects.values()]),
            "subject_position": ("prompt", [last for _, last in subjects.values()]),
            "n_tokens": ("prompt", n_tokens),
        },
    )


def make_shipped(n_prompts=319, decoders=("logit", "extended", "tuned", "jacobian"), seed=0):
    """Lenses of random walks, as large as those of the accepted prompts on the shipped model: 12 layers, a
    vocabulary of 4,096, 4,100 tokens, the 10 best guesses, of which a fifth is new from depth to depth.

    Field by field they take within a fifth of the room that those take once they are packed.
    """
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.poisson(12.5, n_prompts), 3, None)
    ids = _zipf(rng, 4096, lengths.sum())
    targets = np.append(ids[1:], -1)
    strings = np.array([f"Ġtoken{i}" for i in range(4096)], dtype=object)

    def of_tokens(values):
        return "token", np.repeat(np.array(values, object), lengths)

    coordinates = {
        "depth": np.arange(25) / 2,
        "guess": np.arange(25) / 2,
        "prompt": of_tokens([f"prompt-{i:03d}" for i in range(n_prompts)]),
        "category": of_tokens(rng.choice(["semantic", "copying"], n_prompts)),
        "position": ("token", np.concatenate([np.arange(length) for length in lengths])),
        "token_id": ("token", ids),
        "token_str": ("token", strings[ids]),
        "target_id": ("token", targets),
        "target_str": ("token", np.where(targets < 0, "", strings[targets])),
    }
    return {
        name: xr.Dataset(_shipped_fields(rng, strings, len(ids)), coordinates, {"norm": "whole"})
        for name in decoders
    }


def _shipped_fields(rng, strings, n_tokens, n_depths=25, n_candidates=40, top_k=10):
    # Each candidate is of a class of ids of its own, so that no two are the same.
    classes = _zipf(rng, len(strings) // n_candidates, (n_tokens, n_candidates))
    logits = np.cumsum(rng.normal(0, 0.7, (n_depths, n_tokens, n_candidates)), axis=0)
    best = np.argsort(-logits, axis=-1)[..., :top_k]
    ids = n_candidates * np.take_along_axis(np.broadcast_to(classes, logits.shape), best, -1) + best
    top = np.take_along_axis(logits, best, -1)
    top_k_fields = {
        "top_id": ids,
        "top_str": strings[ids],
        "top_logit": top,
        "top_logprob": top - np.log(1.5 * np.exp(logits).sum(-1))[..., None],
    }
    walks = np.cumsum(rng.normal(0, 0.3, (9, n_depths, n_tokens)), axis=1)
    walks = np.abs(walks + rng.uniform(0, 8, (9, 1, n_tokens)))
    fields = dict(zip(["entropy", "kl_final", "kl_input"], walks, strict=False))
    for i, of in enumerate(["final", "input", "target"]):
        fields |= {f"logprob_{of}": -walks[3 + i], f"rank_of_{of}": np.expm1(walks[6 + i] / 2).astype(int)}
    ranks = np.abs(np.cumsum(rng.normal(0, 0.3, (n_depths, n_tokens, n_depths)), axis=0))
    return {
        **{name: (("depth", "token", "k"), values) for name, values in top_k_fields.items()},
        **{name: (("depth", "token"), values) for name, values in fields.items()},
        "rank_of_guess": (("depth", "token", "guess"), np.expm1(ranks).clip(max=4095).astype(int)),
    }


def _zipf(rng, vocab, size):
    weights = 1 / (np.arange(vocab) + 1)
    return rng.choice(vocab, size, p=weights / weights.sum())
