"""What a run says at its last position, measured against the clean run."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.linalg import vecdot

from strata.exponentials import logsumexp_
from strata.model.architecture import Parts
from strata.model.device import at_once

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

ROWS = 1024
"""Runs decoded at once."""

PIECE = 2**21
"""Logits held at once on a CPU, so that its cache has them while they are reduced."""

ON_GPU = 64
"""Times as many on a GPU: its calls cost more, and no cache has to hold them."""


class Readout:
    """Measures of the runs of some prompts.

    The vocabulary is taken in pieces that meet many runs at once: logits of all of it for few runs at a time
    would cost twice as much.

    Parameters
    ----------
    clean : (prompt, channel)
        The clean runs' final states at the last position, before the final norm.
    target_ids : (prompt)
    completions : for each prompt the token ids of the named set, perhaps empty
    """

    def __init__(
        self,
        parts: Parts,
        clean: Tensor,
        target_ids: Sequence[int],
        completions: Sequence[Sequence[int]],
    ):
        self._parts = parts
        logp = parts.logits(clean).float().log_softmax(-1)
        self._p_clean = logp.exp()
        self._negative_entropy = vecdot(self._p_clean, logp)
        targets = torch.tensor(target_ids, device=logp.device)[:, None]
        alternatives = logp.scatter(1, targets, -torch.inf).argmax(1, keepdim=True)
        self.alternative_ids = alternatives[:, 0].tolist()
        # Of each prompt the logits that are wanted by themselves: target, alternative, completions.
        chosen = [sorted(set(ids)) for ids in completions]
        padded = [ids + [0] * (max(map(len, chosen)) - len(ids)) for ids in chosen]
        padded = torch.tensor(padded, device=logp.device, dtype=torch.long).view(len(chosen), -1)
        self._wanted = torch.cat([targets, alternatives, padded], 1)
        sizes = torch.tensor([len(ids) for ids in chosen], device=logp.device)
        self._padding = torch.arange(padded.shape[1], device=logp.device) >= sizes[:, None]

    def __call__(self, states: Tensor, owner: Tensor) -> Tensor:
        """Decode final states (run, channel) of the prompts ``owner`` (run), ascending: (measure, run)."""
        tiles = zip(states.split(ROWS), owner.split(ROWS), strict=True)
        return torch.cat([self._measure(*tile) for tile in tiles], dim=1)

    def _measure(self, states: Tensor, owner: Tensor) -> Tensor:
        size = at_once(PIECE, states.device, ON_GPU) // ROWS
        here, counts = (found.tolist() for found in owner.unique_consecutive(return_counts=True))
        wanted = self._wanted[owner]
        own = torch.empty(wanted.shape, device=states.device)
        cross, shift, totals = torch.zeros(len(states), device=states.device), None, []
        for piece, logits in self._parts.logits_by_piece(states, size):
            # All that follows is about a logit of the same size as the largest: sums keep their digits.
            shift = logits.amax(-1, keepdim=True) if shift is None else shift
            logits -= shift
            for prompt, of_prompt, sums in zip(here, logits.split(counts), cross.split(counts), strict=True):
                sums += of_prompt @ self._p_clean[prompt, piece]
            inside = (wanted >= piece.start) & (wanted < piece.stop)
            at = (wanted - piece.start).clamp(0, logits.shape[1] - 1)
            own = torch.where(inside, logits.gather(1, at), own)
            totals.append(logsumexp_(logits))
        log_total = torch.stack(totals).logsumexp(0)
        logp = own - log_total[:, None]
        # Never negative but for rounding.
        kl = (self._negative_entropy[owner] - cross + log_total).clamp(min=0)
        padding = self._padding[owner]
        logp_set = logp[:, 2:].masked_fill(padding, -torch.inf).logsumexp(-1)
        logp_set = logp_set.masked_fill(padding.all(1), torch.nan)
        return torch.stack([logp[:, 0], own[:, 0] - own[:, 1], kl, logp_set])
