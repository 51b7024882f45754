"""What a run says at its last position, measured against the clean run."""

from collections.abc import Sequence

import torch
from torch import Tensor

from strata.model.architecture import Parts

LOGP_TARGET, LOGIT_DIFFERENCE, KL_CLEAN, LOGP_SET = MEASURES = (
    "logp_target",
    "logit_difference",
    "kl_clean",
    "logp_set",
)
"""Measures of a run, in the order of the axis ``measure``.

``logp_target``: log-probability (nats) of the target. ``logit_difference``: logit of the target less
that of the clean run's best other token, the alternative. ``kl_clean``: KL(clean ‖ run) in nats over
the whole vocabulary. ``logp_set``: log of the summed probability of a named set of completions; NaN
where there is none.
"""

LOGP_WHOLE = "logp_whole"
"""A further measure, last where it is there: log-probability (nats) of all tokens of the target, each given
those before it. See `strata.trace.whole_target`."""

TILE = 2**19
"""Logits held at once, but for a large vocabulary: those of at least `MIN_RUNS` runs."""

MIN_RUNS = 64


class Readout:
    """Measures of the runs of one prompt.

    Parameters
    ----------
    clean : (channel)
        The clean run's final state at the last position, before the final norm.
    target_id : int
    completions : sequence of int
        Token ids of the named set, perhaps empty.
    """

    def __init__(self, parts: Parts, clean: Tensor, target_id: int, completions: Sequence[int] = ()):
        self._parts = parts
        self._target_id = target_id
        self._completions = sorted(set(completions))
        logp = self._logp(clean[None])[0]
        self._p_clean = logp.exp()
        self._negative_entropy = self._p_clean @ logp
        logp[target_id] = -torch.inf
        self.alternative_id = int(logp.argmax())

    def __call__(self, states: Tensor) -> Tensor:
        """Decode final states (run, channel): (measure, run), float32."""
        n_runs = max(MIN_RUNS, TILE // len(self._p_clean))
        return torch.cat([self._measure(tile) for tile in states.split(n_runs)], dim=1)

    def _logp(self, states: Tensor) -> Tensor:
        return self._parts.logits(states).float().log_softmax(-1)

    def _measure(self, states: Tensor) -> Tensor:
        logp = self._logp(states)
        target = logp[:, self._target_id]
        kl = (self._negative_entropy - logp @ self._p_clean).clamp(min=0)  # never negative but for rounding
        if self._completions:
            logp_set = logp[:, self._completions].logsumexp(-1)
        else:
            logp_set = torch.full_like(target, torch.nan)
        return torch.stack([target, target - logp[:, self.alternative_id], kl, logp_set])
