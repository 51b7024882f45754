"""Causal tracing to first order: what restoring a state would do, of all states from one backward pass.

Attribution patching (Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale"; Syed, Rager
and Conmy 2023, "Attribution Patching Outperforms Automated Circuit Discovery"): the effect of putting a clean
state back into a corrupted run is about

    (clean state - corrupted state) · gradient of the measure by that state, in the corrupted run.

It is exact where the measure is linear in the state, and wrong where the change is large for the norms,
attention and activations behind it: `strata.trace.approximation` compares it with the exact trace
(`strata.trace.sweep`). The target's probability is no measure to take the gradient of: noise leaves next to
nothing of it, and its slope there is next to nothing too. Its log-odds are followed instead, the target's
logit less the log-sum-exp of all others, and turned back into a probability, which is therefore between 0 and
1 with nothing cut off. For small changes it makes no difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import logsigmoid

from strata.model.architecture import Parts, changed
from strata.model.device import at_once
from strata.model.memory import Fitting
from strata.names import DEPTH
from strata.progress import Progress, nested, silent
from strata.trace.corruption import Prompt, inputs_of
from strata.trace.dataset import Frame, as_dataset
from strata.trace.measures import LOGIT_DIFFERENCE, LOGP_TARGET, MEASURES, ON_GPU, PIECE, Readout
from strata.trace.sweep import Trace, batches, rows_at_once

APPROXIMATED = (LOGP_TARGET, LOGIT_DIFFERENCE)
"""The measures, the first ones of those of exact traces and in their order."""


@dataclass(frozen=True)
class FirstOrder:
    """First-order effects on prompts of one length, in the units of what gradients are taken of.

    ``effects`` (measure, row, depth, position): of the log-odds of the target (nats), and of the logit
    difference. ``log_odds`` (row) of the corrupted runs. ``corrupted`` (measure, row), ``clean`` (measure,
    prompt): `APPROXIMATED`. ``alternative_ids`` (prompt). Rows are the corrupted runs of all prompts.
    """

    effects: Tensor
    log_odds: Tensor
    corrupted: Tensor
    clean: Tensor
    alternative_ids: Sequence[int]


def approximate_many(
    parts: Parts,
    prompts: Sequence[Prompt],
    max_rows: int = 1024,
    progress: Progress = silent,
    *,
    table: pd.DataFrame,
    token_strings: Sequence[Sequence[str]],
    levels: Mapping[str, float],
) -> Iterator[xr.Dataset]:
    """Approximate traces of states, labelled, those of the first prompts, then those of the next.

    Parameters
    ----------
    prompts, max_rows, progress
        See `approximate`.
    table, token_strings, levels
        See `strata.trace.dataset.as_dataset`.

    Returns
    -------
    Those along ``prompt``, after each other, of a dataset as `strata.trace.dataset.as_dataset` makes of exact
    traces of states, with the measures of `APPROXIMATED`; no position from the subject on is left out.
    """
    frame = Frame.of([prompt.labels for prompt in prompts], token_strings, levels)
    size = frame.together(parts.n_layers)
    cut = [slice(start, start + size) for start in range(0, len(prompts), size)]
    progress, inside = nested(progress, cut)
    for some in progress(cut, "prompts, some at a time"):
        traces = approximate(parts, prompts[some], max_rows, inside)
        yield as_dataset(traces, table.iloc[some], token_strings[some], levels, DEPTH, frame)


def approximate(
    parts: Parts, prompts: Sequence[Prompt], max_rows: int = 1024, progress: Progress = silent
) -> list[Trace]:
    """Approximate traces of the states that enter each block, in the order of the prompts.

    Parameters
    ----------
    prompts : sequence of Prompt
    max_rows : int
        Hidden states that go through a block at once, as for `strata.trace.sweep.trace_prompts`.
    progress : callable
        Given the batches and what they are, returns them again.

    Returns
    -------
    list of Trace
        Of `APPROXIMATED`, float32; ``restored`` (measure, row, depth, position) is NaN before the subject.
    """
    traces: dict[int, Trace] = {}
    fitting = Fitting("prompts")

    def together(some: list[int]) -> list[Trace]:
        return _traces(parts, [prompts[index] for index in some])

    for batch in progress(batches(prompts, rows_at_once(parts, max_rows)), "batches of prompts"):
        for some, done in fitting(together, batch):
            traces.update(zip(some, done, strict=True))
    return [traces[index] for index in range(len(prompts))]


def _traces(parts: Parts, prompts: Sequence[Prompt]) -> list[Trace]:
    found = first_order(parts, prompts)
    logp = logsigmoid(found.log_odds[:, None, None] + found.effects[0])
    difference = found.corrupted[1][:, None, None] + found.effects[1]
    restored = torch.stack([logp, difference]).float()
    counts = [len(prompt.labels) for prompt in prompts]
    by_prompt = zip(restored.cpu().split(counts, 1), found.corrupted.cpu().split(counts, 1), strict=True)
    traces = []
    for i, (prompt, (own, corrupted)) in enumerate(zip(prompts, by_prompt, strict=True)):
        own[..., : prompt.subject[0]] = torch.nan
        traces.append(Trace(own, corrupted, found.clean[:, i].cpu(), prompt.labels, found.alternative_ids[i]))
    return traces


def first_order(parts: Parts, prompts: Sequence[Prompt]) -> FirstOrder:
    """First-order effects of restoring every state of prompts of one length.

    One forward of the clean and the corrupted runs, and one backward of the corrupted ones for each measure,
    block by block from the last: what a block keeps for its backward pass is made again when its turn comes,
    so that no more than one block's is held. States times gradients are summed in float32 at least.
    """
    n_clean = len(prompts)
    counts = torch.tensor([len(prompt.labels) for prompt in prompts], device=parts.device)
    owner = torch.arange(n_clean, device=parts.device).repeat_interleave(counts)
    with torch.no_grad():
        states = _states(parts, *inputs_of(prompts, parts.token_embedding.embedding_dim))
        last = states[-1][:n_clean, -1]
        readout = Readout(parts, last, [p.target_id for p in prompts], [()] * n_clean)
        clean = readout(last, torch.arange(n_clean, device=parts.device))
        corrupted = readout(states[-1][n_clean:, -1], owner)
    target = torch.tensor([prompt.target_id for prompt in prompts], device=parts.device)[owner]
    alternative = torch.tensor(readout.alternative_ids, device=parts.device)[owner]
    log_odds, ends = _gradients_of_readout(parts, states[-1][n_clean:, -1], target, alternative)
    gradients = [torch.zeros_like(states[-1][n_clean:]) for _ in ends]
    for gradient, end in zip(gradients, ends, strict=True):
        gradient[:, -1] = end
    by_depth = []
    for layer in reversed(range(parts.n_layers)):
        state = states[layer][n_clean:].detach().requires_grad_()
        with torch.enable_grad():
            out = parts.run_block(layer, state, 0)
        # The first is asked for while what the block kept is needed again.
        again = [True] * (len(gradients) - 1) + [False]
        gradients = [
            torch.autograd.grad(out, state, gradient, retain_graph=keep)[0]
            for gradient, keep in zip(gradients, again, strict=True)
        ]
        change = _wide(states[layer][:n_clean])[owner] - _wide(state.detach())
        by_depth.append(torch.stack([(change * _wide(gradient)).sum(-1) for gradient in gradients]))
    measured = [MEASURES.index(measure) for measure in APPROXIMATED]
    return FirstOrder(
        torch.stack(by_depth[::-1], 2),
        log_odds,
        corrupted[measured],
        clean[measured],
        readout.alternative_ids,
    )


def _states(parts: Parts, ids: Tensor, noise: Tensor) -> list[Tensor]:
    """States (run, position, channel) by depth, the last before the final norm."""
    noise = noise.to(parts.device)
    with changed(parts.token_embedding, lambda embedded: embedded + noise.to(embedded)):
        states = [parts.embed(ids.to(parts.device))]
    for layer in range(parts.n_layers):
        # A clone: blocks may reuse their input.
        states.append(parts.run_block(layer, states[-1].clone(), 0))
    return states


def _gradients_of_readout(
    parts: Parts, final: Tensor, target: Tensor, alternative: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Log-odds (row) of the target, and the gradients of the measures by final states (row, channel)."""
    size = at_once(PIECE, final.device, ON_GPU) // parts.unembedding.out_features
    tiles = zip(
        *(each.split(max(1, size)) for each in (final, target[:, None], alternative[:, None])), strict=True
    )
    odds, gradients = [], []
    for states, own, other in tiles:
        states = states.detach().requires_grad_()
        with torch.enable_grad():
            logits = _wide(parts.logits(states))
            of_target = logits.gather(1, own)[:, 0]
            log_odds = of_target - logits.scatter(1, own, -torch.inf).logsumexp(1)
            difference = of_target - logits.gather(1, other)[:, 0]
        odds.append(log_odds.detach())
        (by_odds,) = torch.autograd.grad(log_odds.sum(), states, retain_graph=True)
        (by_difference,) = torch.autograd.grad(difference.sum(), states)
        gradients.append((by_odds, by_difference))
    return torch.cat(odds), [torch.cat(each) for each in zip(*gradients, strict=True)]


def _wide(values: Tensor) -> Tensor:
    """In float32, or what is wider."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
