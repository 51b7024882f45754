"""Small, consistent lens files made from random logits, in the layout of ``lens/{decoder}.nc``."""

import numpy as np
import xarray as xr

from oracles.lens import log_softmax

VOCABULARY = np.array(
    ["Ġthe", "Ċ", "$x$", "ĠåĽ½", "Ġcommunications", "Ã", "Ġ$", ",", "</script>", "<b>&", "Ġcat", "Āĉ"],
    dtype=object,
)


PROMPT = "p$1$"

# Tokens that are wide, or that text layout may trip over.
WIDE_TOKENS = ["ĠWWWWWWWWWWWW", "ĠMMMMMMMM", "Ġresponsibilities", "ĠåĽ½åĽ½", "$x^2$", "Ċ", "âĢ", "</script>"]


def make_lens(
    n_layers=3, n_tokens=6, prompt=PROMPT, category="semantic", seed=0, top_k=3, decoder="logit", target=-1
):
    """One prompt's lens: depths 0, 0.5, ... n_layers; ``target`` is the id of the true next token behind the
    last, -1 if there is none.

    Logits drift from the first depth's to the last's, so that ranks and distances move with depth.
    """
    rng = np.random.default_rng(seed)
    vocab, n_depths = len(VOCABULARY), 2 * n_layers + 1
    way = np.linspace(0, 1, n_depths)[:, None, None]
    first, last, noise = rng.normal(0, 3, (3, n_tokens, vocab))
    logits = (1 - way) * first + way * last + 0.5 * np.sin(np.pi * way) * noise
    ids = rng.integers(0, vocab, n_tokens)
    target = np.append(ids[1:], target)
    logp = np.apply_along_axis(log_softmax, -1, logits)
    p = np.exp(logp)
    order = np.argsort(-logits, axis=-1, kind="stable")
    rank = (logits[..., None, :] > logits[..., :, None]).sum(-1)  # (depth, token, vocab)

    def of(values, chosen):
        return np.take_along_axis(values, np.broadcast_to(chosen, values.shape[:2])[..., None], -1)[..., 0]

    fields = {
        "entropy": -(p * logp).sum(-1),
        "kl_final": (p[-1] * (logp[-1] - logp)).sum(-1),
        "kl_input": (p[0] * (logp[0] - logp)).sum(-1),
    }
    for name, chosen in {"final": order[-1, :, 0], "input": ids, "target": target}.items():
        fields[f"rank_of_{name}"] = np.where(chosen < 0, -1, of(rank, chosen))
        fields[f"logprob_{name}"] = np.where(chosen < 0, np.nan, of(logp, chosen))
    top = order[..., :top_k]
    guesses = order[:, :, 0].T  # (token, depth): the top guess of every depth
    return xr.Dataset(
        {
            "top_id": (("depth", "token", "k"), top),
            "top_logit": (("depth", "token", "k"), np.take_along_axis(logits, top, -1)),
            "top_logprob": (("depth", "token", "k"), np.take_along_axis(logp, top, -1)),
            "top_str": (("depth", "token", "k"), VOCABULARY[top]),
            "rank_of_guess": (
                ("depth", "token", "guess"),
                np.take_along_axis(rank, np.broadcast_to(guesses, (n_depths, *guesses.shape)), -1),
            ),
            **{name: (("depth", "token"), values) for name, values in fields.items()},
        },
        coords={
            "depth": np.arange(n_depths) / 2,
            "guess": np.arange(n_depths) / 2,
            "prompt": ("token", np.full(n_tokens, prompt, dtype=object)),
            "position": ("token", np.arange(n_tokens)),
            "token_id": ("token", ids),
            "token_str": ("token", VOCABULARY[ids]),
            "target_id": ("token", target),
            "target_str": ("token", np.where(target < 0, "", VOCABULARY[target])),
            "category": ("token", np.full(n_tokens, category, dtype=object)),
            "fact": ("token", np.full(n_tokens, prompt, dtype=object)),
        },
        attrs={"decoder": decoder, "norm": "whole"},
    )
