"""The lens by its definition: whole-vocabulary softmax in float64, one depth and token at a time."""

import numpy as np


def layer_norm(x, gain, bias, eps):
    return (x - x.mean()) / np.sqrt(x.var() + eps) * gain + bias


def rms_norm(x, gain, eps):
    return x / np.sqrt((x**2).mean() + eps) * gain


def log_softmax(z):
    z = z - z.max()
    return z - np.log(np.exp(z).sum())


def read_out(resid, norm, unembedding, bias, input_ids, target_ids, cap=None):
    """``resid`` (depth, token, channel) float64; ``norm`` a function of one state; ``cap`` of the logits."""
    n_depths, n_tokens, _ = resid.shape
    names = ["entropy", "kl_final", "kl_input", "rank_of_final", "rank_of_input", "rank_of_target"]
    names += ["logprob_final", "logprob_input", "logprob_target"]
    out = {name: np.full((n_depths, n_tokens), np.nan) for name in names}
    logits = np.empty((n_depths, n_tokens, len(unembedding)))
    for d in range(n_depths):
        for t in range(n_tokens):
            logits[d, t] = unembedding @ norm(resid[d, t]) + bias
    if cap:
        logits = cap * np.tanh(logits / cap)
    for t in range(n_tokens):
        final, first = log_softmax(logits[-1, t]), log_softmax(logits[0, t])
        for d in range(n_depths):
            logp = log_softmax(logits[d, t])
            out["entropy"][d, t] = -(np.exp(logp) * logp).sum()
            out["kl_final"][d, t] = (np.exp(final) * (final - logp)).sum()
            out["kl_input"][d, t] = (np.exp(first) * (first - logp)).sum()
            ids = {"final": logits[-1, t].argmax(), "input": input_ids[t], "target": target_ids[t]}
            for name, i in ids.items():
                if i < 0:
                    out[f"rank_of_{name}"][d, t] = -1
                    continue
                out[f"rank_of_{name}"][d, t] = (logits[d, t] > logits[d, t, i]).sum()
                out[f"logprob_{name}"][d, t] = logp[i]
    out["logits"] = logits
    return out
