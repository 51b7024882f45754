"""What a model makes of prompts: its top guess, and whether it goes on with their targets."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from strata.model.architecture import Parts
from strata.model.batching import batches
from strata.model.capture import not_finite, watching
from strata.progress import Progress, silent


@dataclass(frozen=True)
class Continuation:
    """What a model makes of a prompt.

    ``top_id``: its top guess for the next token. ``p_target``: the probability there of the target's
    first token; ``p_whole_target``: of all its tokens, each given those before it. ``completes``: whether
    its greedy continuation begins with the whole target. None where there is no target.
    """

    top_id: int
    p_target: float | None = None
    p_whole_target: float | None = None
    completes: bool | None = None


@torch.inference_mode()
def continuations(
    parts: Parts,
    prompts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    names: Sequence[str] | None = None,
    max_tokens: int = 1024,
    progress: Progress = silent,
) -> list[Continuation]:
    """Run every prompt once, followed by the tokens of its target, in batches of like length.

    Parameters
    ----------
    prompts : token ids
    targets : token ids, none where a prompt has no target
    names : of the prompts, for errors
    max_tokens : that go through the model at once

    Raises
    ------
    OverflowError
        If logits are not finite: names the prompt, the first depth where a state is not, and the remedy.
    """
    runs = [[*prompt, *target[:-1]] for prompt, target in zip(prompts, targets, strict=True)]
    found: dict[int, Continuation] = {}
    for batch in progress(batches(runs, max_tokens, parts, names), "batches of prompts"):
        # Logits at a prompt's last token and at those of its target: not at all of them.
        at = [range(len(prompts[index]) - 1, len(runs[index])) for index in batch.which]
        rows = [row for row, positions in enumerate(at) for _ in positions]
        states = _last_states(parts, batch.ids)[
            rows, [position for positions in at for position in positions]
        ]
        logits = parts.logits(states).float().split([*map(len, at)])
        for index, own in zip(batch.which, logits, strict=True):
            if not own.isfinite().all():
                name = f"prompt {index}" if names is None else names[index]
                where = _first_not_finite(parts, runs[index])
                raise OverflowError(not_finite(name, where, parts.model.dtype))
            found[index] = _continuation(own, targets[index])
    return [found[index] for index in range(len(runs))]


def _continuation(logits: torch.Tensor, target: Sequence[int]) -> Continuation:
    guesses = logits.argmax(-1).tolist()
    if not target:
        return Continuation(guesses[0])
    logp = logits.log_softmax(-1)[range(len(target)), list(target)]
    return Continuation(guesses[0], logp[0].exp().item(), logp.sum().exp().item(), guesses == list(target))


def _last_states(parts: Parts, ids: torch.Tensor) -> torch.Tensor:
    """States (row, position, channel) of the last depth."""
    kept = []

    def see(depth: int, state: torch.Tensor) -> None:
        if depth == parts.n_layers:
            kept.append(state)

    with watching(parts, resid=see):
        parts.model.base_model(input_ids=ids, use_cache=False)
    return kept[0]


def _first_not_finite(parts: Parts, ids: Sequence[int]) -> str:
    depths = []

    def see(depth: int, state: torch.Tensor) -> None:
        if not state.isfinite().all():
            depths.append(depth)

    with watching(parts, resid=see):
        parts.model.base_model(input_ids=torch.tensor([list(ids)], device=parts.device), use_cache=False)
    return f"the state at depth {depths[0]}" if depths else "its logits"
