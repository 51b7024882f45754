"""Linear probes: what one matrix reads off the hidden states, of the input and of the next token.

Hubinger's question in the comments on the logit lens (nostalgebraist 2020) was whether the input can be
rebuilt linearly from later states, and what the map that does so has to do with the embedding. Probes are
fitted here from the states of one depth, or one *shared* probe from those of all depths together, which
asks for the same directions at every depth. They are tried where the model has to have carried the token:
on held-out tokens whose whole context begins no document that was trained on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from strata.names import COMPONENT, DEPTH, DOCUMENT, SPLIT, TARGET, TOKEN, TOKEN_ID
from strata.probes.names import NMF_COMPONENT
from strata.progress import Progress, silent
from strata.stats.defined import percentiles
from strata.stats.draws import DrawnGroups
from strata.stats.nmf import factorise
from strata.stats.seeding import generator
from strata.stats.svd import svd
from strata.text.documents import SPLITS, documents_of, next_in_document

INPUT, NEXT = TARGETS = ("input", "next")
TRAIN, VALIDATION, TEST = SPLITS

FLOOR = 1e-8
"""Added to the covariance, of the states' mean variance: without positions a token is but one state."""

RANK = 1e-10
"""Of the largest variance: what varies less is rounding (a norm's mean over channels, say)."""

BATCH = 256
STEP = 0.5
"""Adam's first step over the root of the number of channels: a logit moves about as far in any model."""

DEPTHS_OF_TOKEN = 3
"""Depths at which the shared probe's refinement meets each token of the training text, on average."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier: the class of the largest ``weight @ state + bias``.

    ``classes`` (class): token ids, ascending; ``weight`` (class, channel), ``bias`` (class), float32.
    """

    classes: np.ndarray
    weight: Tensor
    bias: Tensor

    def __call__(self, states: Tensor, tile: int = 1024) -> Tensor:
        """Index in ``classes`` (token) said of states (token, channel), ``tile`` tokens at a time."""
        scores = (torch.addmm(self.bias, rows, self.weight.T) for rows in states.split(tile))
        return torch.cat([score.argmax(1) for score in scores])


@dataclass(frozen=True)
class Moments:
    """Sums over labelled states, all that the closed form needs; those of several depths add up.

    ``count`` (class); ``total`` (class, channel), the states' sum; ``product`` (channel, channel), the
    sum of their outer products; float64.
    """

    count: Tensor
    total: Tensor
    product: Tensor

    @classmethod
    def of(cls, states: Tensor, labels: Tensor, n_classes: int, tile: int = 8192) -> "Moments":
        """Sums over states (token, channel) with labels (token) in 0..n_classes - 1, in one pass."""
        n_channels = states.shape[1]
        total = states.new_zeros(n_classes, n_channels, dtype=torch.float64)
        product = states.new_zeros(n_channels, n_channels, dtype=torch.float64)
        for rows, to in zip(states.split(tile), labels.split(tile), strict=True):
            rows = rows.double()
            total.index_add_(0, to, rows)
            product.addmm_(rows.T, rows)
        return cls(torch.bincount(labels, minlength=n_classes).double(), total, product)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.product + other.product)

    @property
    def n(self) -> float:
        """How many states."""
        return self.count.sum().item()

    @property
    def centre(self) -> Tensor:
        """Mean state (channel)."""
        return self.total.sum(0) / self.n

    @property
    def covariance(self) -> Tensor:
        """Covariance of all states about their mean (channel, channel)."""
        return self.product / self.n - torch.outer(self.centre, self.centre)


def oas_shrinkage(covariance: Tensor, n: float) -> float:
    """Oracle approximating shrinkage towards the mean variance (Chen et al. 2010, equation 23).

    scikit-learn's ``oas`` needs the samples themselves; this needs only their covariance and number.
    """
    n_channels = len(covariance)
    mean_square = covariance.pow(2).mean().item()
    square_mean = (covariance.trace().item() / n_channels) ** 2
    spread = (n + 1) * (mean_square - square_mean / n_channels)
    return min(1.0, (mean_square + square_mean) / spread) if spread > 0 else 1.0


def fit(moments: Moments, classes: np.ndarray, shrinkage: float | None = None) -> Probe:
    """Linear discriminant analysis: Gaussian classes with means of their own and one covariance.

    The class of the largest x·S⁻¹μ - μ·S⁻¹μ / 2 + log π, where S is the pooled covariance within
    classes. Every class's samples go into S, so a class needs but one sample to have a mean and a
    row: that suits thousands of tokens most of which are rare. The cost is that of the sums, and of
    one solve with S.

    Parameters
    ----------
    moments : of the states, every class at least once
    classes : token ids (class), ascending
    shrinkage : of S towards its mean variance, in [0, 1]; `oas_shrinkage` if not given

    Raises
    ------
    ValueError
        If no class has two samples, so that there is no spread within classes.
    """
    freedom = moments.n - len(moments.count)
    if freedom <= 0:
        raise ValueError("no class has two samples: the spread within classes is unknown")
    means = moments.total / moments.count[:, None]
    within = (moments.product - moments.total.T @ means) / freedom
    identity = torch.eye(len(within)).to(within)
    within = within + FLOOR * moments.covariance.diagonal().mean() * identity
    if shrinkage is None:
        shrinkage = oas_shrinkage(within, freedom)
    within = (1 - shrinkage) * within + shrinkage * within.diagonal().mean() * identity

    # What all classes share decides nothing; without it the rows are about their own mean.
    means = means - moments.centre
    weight = torch.linalg.solve(within, means.T).T
    bias = (moments.count / moments.n).log() - (weight * means).sum(1) / 2 - weight @ moments.centre
    return Probe(classes, weight.float(), bias.float())


def refine(probe: Probe, moments: Moments, states: Tensor, labels: Tensor, epochs: int, seed: int) -> Probe:
    """Logistic regression from a probe on: a few passes that lower the cross entropy of its softmax.

    States of one token are many clouds rather than one Gaussian, the more so the token to come: where
    the closed form leaves something to gain, one pass brings most of it. Adam, its step falling to
    nothing, in coordinates in which the states are uncorrelated and of one variance.

    Parameters
    ----------
    probe, moments : the beginning, and the sums it was fitted from
    states : (token, channel)
    labels : (token), index of the class
    epochs : passes over them
    seed : of their order
    """
    values, vectors = torch.linalg.eigh(moments.covariance)
    vectors, scale = vectors[:, values > RANK * values[-1]], values[values > RANK * values[-1]].sqrt()
    whitener = (vectors / scale).float()
    centre = moments.centre
    weight = (probe.weight.double() @ (vectors * scale)).float().requires_grad_()
    bias = (probe.bias.double() + probe.weight.double() @ centre).float().requires_grad_()

    torch_generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(states), generator=torch_generator) for _ in range(epochs)])
    batches = order.to(states.device).split(BATCH)
    optimizer = torch.optim.Adam([weight, bias], STEP / len(scale) ** 0.5)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, len(batches))
    for batch in batches:
        whitened = (states[batch] - centre.float()) @ whitener
        loss = cross_entropy(torch.addmm(bias, whitened, weight.T), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    weight = weight.detach().double() @ (vectors / scale).T
    return Probe(probe.classes, weight.float(), (bias.detach().double() - weight @ centre).float())


def fit_better(
    moments: Moments,
    classes: np.ndarray,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    epochs: int,
    seed: int,
) -> tuple[Probe, bool]:
    """The closed form, or its refinement if that is right about more of what it was not fitted on.

    Parameters
    ----------
    moments, classes : as for `fit`
    train, validation : states (token, channel) and the indices of their classes (token); -1 in
        validation is a class that was never trained
    epochs, seed : as for `refine`; 0 epochs leave the closed form

    Returns
    -------
    probe
    refined : whether it is the refinement
    """
    closed = fit(moments, classes)
    states, index = validation
    n_right, n_known = (closed(states) == index).sum(), (index >= 0).sum()
    if not epochs or n_right == n_known:  # nothing to gain
        return closed, False
    refined = refine(closed, moments, *train, epochs, seed)
    return (refined, True) if (refined(states) == index).sum() > n_right else (closed, False)


def unseen_contexts(train: Iterable[Sequence[int]], test: Iterable[Sequence[int]]) -> np.ndarray:
    """Which tokens of ``test`` stand in a context that begins no document of ``train``.

    A token's context is all of its document up to it and with it. One in a context that was seen has
    the very state that was trained on, and tells nothing.

    Parameters
    ----------
    train, test : documents, token ids each

    Returns
    -------
    bool array (token of ``test``, documents in a row)
    """
    nodes: dict[tuple[int, int], int] = {}  # a trie: (node, token) to the node that it leads to
    for document in train:
        node = 0
        for token in document:
            node = nodes.setdefault((node, token), len(nodes) + 1)
    unseen = []
    for document in test:
        node = 0
        for token in document:
            node = nodes.get((node, token), -1)
            unseen.append(node < 0)
    return np.array(unseen, bool)


def accuracy(
    right: np.ndarray, documents: np.ndarray, resamples: int, interval: float, seed: int
) -> xr.Dataset:
    """Share of tokens that are right, with percentiles of a bootstrap over documents.

    Parameters
    ----------
    right : bool (depth, token)
    documents : (token), the document of each
    resamples, interval, seed : of the bootstrap; ``interval`` is a coverage, e.g. 0.95

    Returns
    -------
    Dataset: ``accuracy``, ``accuracy_low``, ``accuracy_high`` (depth); bounds NaN for one document
    """
    drawn = DrawnGroups.of([documents], resamples, generator(seed))
    low, high = percentiles(drawn.shares(right, documents), interval, axis=0)
    means = {"accuracy": right.mean(1), "accuracy_low": low, "accuracy_high": high}
    return xr.Dataset({name: (DEPTH, values) for name, values in means.items()})


def alignment(weight: Tensor, rows: Tensor, draws: int, seed: int) -> xr.Dataset:
    """How far a probe's rows lie along the embeddings of their own tokens.

    Both are taken about their mean: a vector added to all rows of either changes no decision. The
    baseline has Gaussian rows of the embeddings' norms in their place.

    Parameters
    ----------
    weight : (class, channel), of a probe
    rows : (class, channel), the embeddings of its tokens
    draws : of the Gaussian matrix
    seed : of the draws

    Returns
    -------
    Dataset without dims
        ``cosine``, mean over classes of the cosine of a probe's row with its own embedding; ``match``,
        share of rows whose own embedding has the largest cosine with them among all; ``random_cosine``,
        ``random_match``, means over the draws, with ``_low`` and ``_high``, the least and the greatest.
    """
    torch_generator = torch.Generator().manual_seed(seed)
    norms = rows.norm(dim=1, keepdim=True)
    cosine, match = _cosine_and_match(weight, rows)
    gaussians = (norms * torch.randn(rows.shape, generator=torch_generator) for _ in range(draws))
    random = np.array([_cosine_and_match(weight, gaussian) for gaussian in gaussians])
    found = {"cosine": cosine, "match": match}
    for name, values in zip(("random_cosine", "random_match"), random.T, strict=True):
        found |= {name: values.mean(), f"{name}_low": values.min(), f"{name}_high": values.max()}
    return xr.Dataset(found)


def _cosine_and_match(weight: Tensor, rows: Tensor, tile: int = 1024) -> tuple[float, float]:
    weight, rows = (normalize(matrix - matrix.mean(0)) for matrix in (weight, rows))
    nearest = torch.cat([(part @ rows.T).argmax(1) for part in weight.split(tile)])
    own = torch.arange(len(rows))
    return (weight * rows).sum(1).mean().item(), (nearest == own).double().mean().item()


def weight_shares(weight: Tensor, right: np.ndarray, directions: np.ndarray) -> xr.Dataset:
    """Shares of a probe's squared Frobenius norm along the embedding's bases, rows about their mean.

    Parameters
    ----------
    weight : (class, channel)
    right : (component, channel), orthonormal: the embedding's right singular vectors
    directions : (nmf_component, channel), of length 1, not orthogonal: their shares overlap

    Returns
    -------
    Dataset
        ``svd_share`` (component), ``nmf_share`` (nmf_component), ``nmf_span``: that along the span of
        all NMF directions. A weight that favours no direction has a share of 1 / channels along each
        and of nmf_components / channels in the span.
    """
    rows = (weight - weight.mean(0)).double().numpy()
    rows = rows / np.linalg.norm(rows)
    span = np.linalg.qr(directions.T)[0]
    return xr.Dataset(
        {
            "svd_share": (COMPONENT, ((rows @ right.T) ** 2).sum(0)),
            "nmf_share": (NMF_COMPONENT, ((rows @ directions.T) ** 2).sum(0)),
            "nmf_span": ((rows @ span) ** 2).sum(),
        }
    )


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
    resamples: int,
    interval: float,
    seed: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """Fit probes at each depth and at all together, try them on held-out text, hold them to the embedding.

    Fitted on the split ``train``, scored on the tokens of ``test`` that stand in unseen contexts. Where
    ``epochs`` is not 0, each closed form is refined, and the better of the two on ``validation`` kept.

    Parameters
    ----------
    load : depth to states (token, channel), float32, of the whole text. Called anew whenever they are
        needed, so that one depth's are in memory at a time. A shared probe wants states normalised, as
        every part of a model reads them: raw ones grow with depth, and the first is lost among the rest.
    depths : ascending
    text : ``token_id``, ``document``, ``position``, ``split`` (token), as `strata.text.documents.as_dataset`
        returns it
    matrices : for ``input`` the embedding (vocab, channel), for ``next`` the unembedding (times the
        final norm's gain, if the states have been normalised without it)
    epochs : passes of `refine`; 0 leaves the closed form
    nmf_components : of the embedding's NMF, fewer than channels
    nmf_tokens : the most frequent ones, which the NMF is made from
    draws : of the random matrices that alignment is held against
    resamples, interval : of the bootstrap over documents; ``interval`` is a coverage, e.g. 0.95
    seed : of all that is drawn

    Returns
    -------
    Dataset
        By (target, depth), target being ``input`` or ``next``: ``accuracy``, ``accuracy_low``,
        ``accuracy_high`` of the depth's own probe, and what `alignment` and `weight_shares` return of
        it; ``refined``, whether its refinement was kept; ``shared_accuracy`` and its bounds, of the one
        probe of all depths at this depth. By target: the rest with the prefix ``shared_``;
        ``most_frequent``, the accuracy of always saying the most frequent token; ``chance``, that of
        guesses drawn as often as tokens occur in training; ``unknown_share``, of scored tokens whose
        class was never trained, which count as wrong; ``n_scored``, ``n_trained`` (tokens),
        ``n_classes``, ``n_documents`` (scored). By (target, component): ``singular_value``.

    Raises
    ------
    ValueError
        If a split has no token to use, no class has two samples, an argument is impossible, or there
        are as many NMF components as channels.
    """
    if min(resamples, draws) < 1 or epochs < 0 or not 0 < interval < 1:
        raise ValueError(f"impossible: {resamples=}, {draws=}, {epochs=}, {interval=}")
    unseen = in_unseen_context(text)
    labels = {INPUT: text[TOKEN_ID].values, NEXT: next_in_document(text)}
    results = []
    for target in TARGETS:
        task = Task.of(labels[target], text, unseen)
        basis = _Basis.of(matrices[target], task, nmf_components, nmf_tokens, seed)
        pool, own, own_right = _Pool(len(depths), seed), [], []
        for depth in progress(depths, f"probes for the {target} token"):
            states = load(depth)
            train, validation = (task.labelled(states, split) for split in (TRAIN, VALIDATION))
            moments = Moments.of(*train, len(task.classes))
            probe, refined = fit_better(moments, task.classes, train, validation, epochs, seed)
            own.append(basis.relate(probe, draws, seed).assign(refined=refined))
            own_right.append(task.right(probe, states))
            pool.add(moments, train, validation)
        probe, refined = fit_better(pool.moments, task.classes, *pool.samples(), epochs, seed)
        shared_right = [task.right(probe, load(depth)) for depth in progress(depths, "the shared probe")]
        shared = basis.relate(probe, draws, seed).assign(refined=refined)

        by_depth, shared_by_depth = (
            accuracy(np.stack(right), task.documents, resamples, interval, seed)
            for right in (own_right, shared_right)
        )
        spectrum = xr.Dataset({"singular_value": (COMPONENT, basis.values)})
        parts = [xr.concat(own, dim=DEPTH), by_depth, _prefixed(shared), _prefixed(shared_by_depth)]
        results.append(xr.merge([*parts, task.baselines(), spectrum], join="exact"))
    result = xr.concat(results, dim=TARGET, join="exact")
    components = {name: np.arange(result.sizes[name]) for name in (COMPONENT, NMF_COMPONENT)}
    result = result.assign_coords({TARGET: list(TARGETS), DEPTH: np.asarray(depths, float), **components})
    return result.assign_attrs(
        epochs=epochs, interval=interval, n_channels=matrices[INPUT].shape[1], nmf_tokens=nmf_tokens
    )


def in_unseen_context(text: xr.Dataset) -> np.ndarray:
    """Which tokens of the text stand in a context that no training document begins with."""
    train = documents_of(text, TRAIN)
    unseen = np.zeros(text.sizes[TOKEN], bool)
    for split in (VALIDATION, TEST):
        unseen[text[SPLIT].values == split] = unseen_contexts(train, documents_of(text, split))
    return unseen


def _prefixed(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.rename({name: f"shared_{name}" for name in dataset.data_vars})


@dataclass(frozen=True)
class Task:
    """What is probed for, and where.

    ``classes``: token ids, ascending, with their ``counts`` in training. ``index`` (token of the text):
    of its class, -1 where that was never trained. ``rows``: the tokens used, by split. ``documents``:
    of the scored tokens.
    """

    classes: np.ndarray
    counts: np.ndarray
    index: Tensor
    rows: dict[str, Tensor]
    documents: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, text: xr.Dataset, unseen: np.ndarray) -> "Task":
        split = text[SPLIT].values
        usable = (labels >= 0) & ((split == TRAIN) | unseen)
        rows = {name: np.flatnonzero(usable & (split == name)) for name in SPLITS}
        lacking = [name for name in rows if not len(rows[name])]
        if lacking:
            raise ValueError(f"no token of the split {', '.join(lacking)} stands in an unseen context")
        classes, counts = np.unique(labels[rows[TRAIN]], return_counts=True)
        index = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
        index = torch.from_numpy(np.where(classes[index] == labels, index, -1))
        documents = text[DOCUMENT].values[rows[TEST]]
        return cls(classes, counts, index, {s: torch.from_numpy(r) for s, r in rows.items()}, documents)

    def labelled(self, states: Tensor, split: str) -> tuple[Tensor, Tensor]:
        """The states of a split, and the indices of their classes."""
        rows = self.rows[split]
        return states[rows.to(states.device)], self.index[rows].to(states.device)

    def right(self, probe: Probe, states: Tensor) -> np.ndarray:
        """Whether a probe is right about each scored token."""
        scored, index = self.labelled(states, TEST)
        return (probe(scored) == index).cpu().numpy()

    def baselines(self) -> xr.Dataset:
        index = self.index[self.rows[TEST]].numpy()
        share = self.counts / self.counts.sum()
        return xr.Dataset(
            {
                "most_frequent": (index == self.counts.argmax()).mean(),
                "chance": np.where(index >= 0, share[index], 0).mean(),
                "unknown_share": (index < 0).mean(),
                "n_scored": len(index),
                "n_trained": self.counts.sum(),
                "n_classes": len(self.classes),
                "n_documents": len(np.unique(self.documents)),
            }
        )


@dataclass(frozen=True)
class _Basis:
    """What a probe is held to: its tokens' embeddings, and the bases of the embedding matrix."""

    rows: Tensor
    values: np.ndarray
    right: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray, task: Task, n_components: int, n_tokens: int, seed: int) -> "_Basis":
        _, values, right = svd(matrix)
        frequent = task.classes[np.argsort(-task.counts, kind="stable")[:n_tokens]]
        directions = factorise(matrix[frequent], n_components, seed).directions
        return cls(torch.from_numpy(matrix[task.classes]).float(), values, right, directions)

    def relate(self, probe: Probe, draws: int, seed: int) -> xr.Dataset:
        """`alignment` and `weight_shares` of a probe."""
        weight = probe.weight.cpu()
        return alignment(weight, self.rows, draws, seed).merge(
            weight_shares(weight, self.right, self.directions)
        )


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
