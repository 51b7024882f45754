"""Which token was read and which comes next, by depth: what one matrix reads off the hidden states.

Hubinger's question in the comments on the logit lens (nostalgebraist 2020) was whether the input can be
rebuilt linearly from later states, and what the map that does so has to do with the embedding. Probes are
fitted here from the states of one depth, or one *shared* probe from those of all depths together, which
asks for the same directions at every depth. How far a depth's own probe serves at other depths says the same
pair by pair: what is written in the same directions is read there too.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.names import COMPONENT, DEPTH, TARGET, TOKEN_ID
from strata.probes.bases import Basis
from strata.probes.linear import Moments, fit_better
from strata.probes.names import FITTED_DEPTH, NMF_COMPONENT
from strata.probes.task import (
    INPUT,
    NEXT,
    TARGETS,
    TEST,
    TRAIN,
    VALIDATION,
    Task,
    accuracy,
    in_unseen_context,
)
from strata.progress import Progress, silent
from strata.stats.seeding import generator
from strata.text.documents import next_in_document

DEPTHS_OF_TOKEN = 3
"""Depths at which the shared probe's refinement meets each token of the training text, on average."""


def analyse(
    load: Callable[[float], Tensor],
    depths: Sequence[float],
    text: xr.Dataset,
    matrices: Mapping[str, np.ndarray],
    *,
    epochs: int,
    nmf_components: int,
    nmf_tokens: int,
    draws: int,
    elsewhere: int,
    resamples: int,
    interval: float,
    seed: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """Fit probes at each depth and at all together, try them on held-out text and against the embedding.

    Fitted on the split ``train``, scored on the tokens of ``test`` that stand in unseen contexts. Where
    ``epochs`` is not 0, each closed form is refined, and the better of the two on ``validation`` kept.

    Parameters
    ----------
    load : depth to states (token, channel), float32, of the whole text. Called whenever they are
        needed, so that one depth's are in memory at a time. A shared probe wants states normalised, as
        every part of a model reads them: raw ones grow with depth, and the first is lost among the rest.
    depths : ascending
    text : ``token_id``, ``document``, ``position``, ``split`` (token), as `strata.text.documents.as_dataset`
        returns it
    matrices : for ``input`` the embedding (vocab, channel), for ``next`` the unembedding (times the
        final norm's gain, if the states have been normalised without it)
    epochs : passes of `strata.probes.linear.refine`; 0 leaves the closed form
    nmf_components : of the embedding's NMF, fewer than channels
    nmf_tokens : the most frequent ones, which the NMF is made from
    draws : of the random matrices that alignment is compared with
    elsewhere : scored tokens on which the probe of one depth is tried at all, drawn evenly if there are more
    resamples, interval : of the bootstrap over documents; ``interval`` is a coverage, e.g. 0.95
    seed : of all that is drawn

    Returns
    -------
    Dataset
        By (target, depth), target being ``input`` or ``next``: ``accuracy``, ``accuracy_low``,
        ``accuracy_high`` of the depth's own probe, and what `alignment` and `weight_shares` of
        `strata.probes.bases` return of it; ``refined``, whether its refinement was kept;
        ``shared_accuracy`` and its bounds, of the one probe of all depths at this depth. By (target,
        fitted_depth, depth): ``elsewhere_accuracy`` and its bounds, of the probe of one depth. By target: the
        rest with the prefix ``shared_``; ``most_frequent``, the accuracy of always saying the most
        frequent token; ``chance``, that of guesses drawn as often as tokens occur in training;
        ``unknown_share``, of scored tokens whose class was never trained, which count as wrong;
        ``n_scored``, ``n_elsewhere``, ``n_trained`` (tokens), ``n_classes``, ``n_documents`` (scored). By
        (target, component): ``singular_value``.

    Raises
    ------
    ValueError
        If a split has no token to use, no class has two samples, an argument is impossible, or there
        are as many NMF components as channels.
    """
    if min(resamples, draws, elsewhere) < 1 or epochs < 0 or not 0 < interval < 1:
        raise ValueError(f"impossible: {resamples=}, {draws=}, {elsewhere=}, {epochs=}, {interval=}")
    unseen = in_unseen_context(text)
    labels = {INPUT: text[TOKEN_ID].values, NEXT: next_in_document(text)}
    results = []
    for target in TARGETS:
        task = Task.of(labels[target], text, unseen)
        basis = Basis.of(matrices[target], task, nmf_components, nmf_tokens, seed)
        some = _drawn(len(task.documents), elsewhere, seed)
        scored = [task.labelled(load(depth), TEST)[0][some] for depth in depths]
        pool, own, own_right, right_elsewhere = _Pool(len(depths), seed), [], [], []
        for depth in progress(depths, f"probes for the {target} token"):
            states = load(depth)
            train, validation = (task.labelled(states, split) for split in (TRAIN, VALIDATION))
            moments = Moments.of(*train, len(task.classes))
            probe, refined = fit_better(moments, task.classes, train, validation, epochs, seed)
            own.append(basis.relate(probe, draws, seed).assign(refined=refined))
            own_right.append(task.right(probe, states))
            right_elsewhere.append([task.right_about(probe, there, some) for there in scored])
            pool.add(moments, train, validation)
        probe, refined = fit_better(pool.moments, task.classes, *pool.samples(), epochs, seed)
        shared_right = [task.right(probe, load(depth)) for depth in progress(depths, "the shared probe")]
        shared = basis.relate(probe, draws, seed).assign(refined=refined)

        by_depth, shared_by_depth = (
            accuracy(np.stack(right), task.documents, resamples, interval, seed)
            for right in (own_right, shared_right)
        )
        pairs = accuracy(
            np.array(right_elsewhere), task.documents[some], resamples, interval, seed, (FITTED_DEPTH, DEPTH)
        )
        spectrum = xr.Dataset({"singular_value": (COMPONENT, basis.values)})
        parts = [xr.concat(own, dim=DEPTH), by_depth, _prefixed(shared), _prefixed(shared_by_depth)]
        parts += [_prefixed(pairs, "elsewhere"), task.baselines().assign(n_elsewhere=len(some)), spectrum]
        results.append(xr.merge(parts, join="exact"))
    result = xr.concat(results, dim=TARGET, join="exact")
    components = {name: np.arange(result.sizes[name]) for name in (COMPONENT, NMF_COMPONENT)}
    components |= {DEPTH: np.asarray(depths, float), FITTED_DEPTH: np.asarray(depths, float)}
    result = result.assign_coords({TARGET: list(TARGETS), **components})
    return result.assign_attrs(
        epochs=epochs, interval=interval, n_channels=matrices[INPUT].shape[1], nmf_tokens=nmf_tokens
    )


def _prefixed(dataset: xr.Dataset, prefix: str = "shared") -> xr.Dataset:
    return dataset.rename({name: f"{prefix}_{name}" for name in dataset.data_vars})


def _drawn(n: int, at_most: int, seed: int) -> np.ndarray:
    """Indices of at most so many of n, ascending, drawn evenly."""
    return np.sort(generator(seed, "elsewhere").choice(n, min(n, at_most), replace=False))


class _Pool:
    """What the shared probe is fitted from, gathered depth by depth.

    The sums are over all states; its refinement has a sample of each depth's, since those of all depths
    together need not fit in memory.
    """

    def __init__(self, n_depths: int, seed: int):
        self.moments: Moments | None = None
        self._share = min(1.0, DEPTHS_OF_TOKEN / n_depths)
        self._generator = torch.Generator().manual_seed(seed)
        self._parts: list[list[tuple[Tensor, Tensor]]] = []

    def add(self, moments: Moments, *parts: tuple[Tensor, Tensor]) -> None:
        """Sums over a depth's training states; states and labels to train on, and to choose by."""
        self.moments = self.moments + moments if self.moments else moments
        self._parts.append([self._some(*part) for part in parts])

    def samples(self) -> list[tuple[Tensor, Tensor]]:
        """Of each of the parts, states and labels from all depths."""
        return [
            tuple(torch.cat(tensors) for tensors in zip(*part, strict=True))
            for part in zip(*self._parts, strict=True)
        ]

    def _some(self, states: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        drawn = torch.randperm(len(index), generator=self._generator).to(index.device)
        drawn = drawn[: max(1, round(self._share * len(index)))]
        return states[drawn], index[drawn]
