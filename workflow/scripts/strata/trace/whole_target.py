"""Traces followed through the whole target: the probability of all its tokens, each given those before it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from strata.model.architecture import Parts
from strata.progress import Progress, silent
from strata.trace.corruption import Prompt
from strata.trace.measures import LOGP_TARGET, MEASURES
from strata.trace.sites import Restoration
from strata.trace.sweep import Trace, trace_prompts


def follow_targets(
    parts: Parts,
    prompts: Sequence[Prompt],
    restorations: Mapping[str, Restoration],
    traces: Mapping[str, Sequence[Trace]],
    max_rows: int = 1024,
    progress: Progress = silent,
) -> dict[str, list[Trace]]:
    """The same traces with one more measure, the last: log-probability (nats) of the whole target.

    For every later token of a target, the prompt is traced again with the tokens before it written behind the
    final one: what is restored is the same as without them, and they are as any other position of the
    restored run. Where the target has one token, the measure is that token's; where it has several, it is
    NaN between the subject and the final token.

    Parameters
    ----------
    traces : what `strata.trace.sweep.trace_prompts` makes of the prompts
    max_rows, progress : see there
    """
    later = [(i, _written(p, n)) for i, p in enumerate(prompts) for n in range(1, 1 + len(p.rest))]
    written = [prompt for _, prompt in later]
    again = trace_prompts(parts, written, restorations, max_rows, progress, everywhere=())
    at = MEASURES.index(LOGP_TARGET)

    def followed(what: str) -> list[Trace]:
        logp = [[own.restored[at], own.corrupted[at], own.clean[at]] for own in traces[what]]
        for (index, _), trace in zip(later, again[what], strict=True):
            length = len(prompts[index].input_ids)
            added = trace.restored[at, ..., :length], trace.corrupted[at], trace.clean[at]
            logp[index] = [before + next_token for before, next_token in zip(logp[index], added, strict=True)]
        return [
            replace(
                own,
                restored=torch.cat([own.restored, restored[None]]),
                corrupted=torch.cat([own.corrupted, corrupted[None]]),
                clean=torch.cat([own.clean, clean[None]]),
            )
            for own, (restored, corrupted, clean) in zip(traces[what], logp, strict=True)
        ]

    return {what: followed(what) for what in restorations}


def _written(prompt: Prompt, n: int) -> Prompt:
    """A prompt with the first ``n`` tokens of its target behind it, and the next one as target."""
    target = [prompt.target_id, *prompt.rest]
    return replace(prompt, input_ids=[*prompt.input_ids, *target[:n]], target_id=target[n], written=n)
