"""What probes are asked for, on which tokens, and how often they are right.

They are fitted on training text, and tried where the model has to have carried what is asked: on held-out
tokens whose whole context begins no document that was trained on.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.model.readout import LogitDecoder
from strata.names import DEPTH, DOCUMENT, SPLIT, TOKEN
from strata.probes.linear import Probe
from strata.stats.draws import interval_of_mean
from strata.stats.seeding import generator
from strata.text.documents import SPLITS, documents_of

INPUT, NEXT = TARGETS = ("input", "next")
"""Of the current token or word, and of the next one."""

TRAIN, VALIDATION, TEST = SPLITS

T = TypeVar("T", bound=Hashable)


def normalised(resid: xr.DataArray, decoder: LogitDecoder) -> Callable[[float], Tensor]:
    """Loads the states (token, channel) of a depth, normed as the decoder does, where the decoder is.

    Parameters
    ----------
    resid : (depth, token, channel), best opened lazily
    """
    device = decoder.unembedding.device

    def load(depth: float) -> Tensor:
        return decoder.norm(torch.from_numpy(resid.sel({DEPTH: depth}).values).to(device))

    return load


def in_unseen_context(text: xr.Dataset) -> np.ndarray:
    """Which tokens of the text stand in a context that no training document begins with."""
    train = documents_of(text, TRAIN)
    unseen = np.zeros(text.sizes[TOKEN], bool)
    for split in (VALIDATION, TEST):
        unseen[text[SPLIT].values == split] = unseen_contexts(train, documents_of(text, split))
    return unseen


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

    def used(self, states: Tensor) -> dict[str, Tensor]:
        """The states that are used, by split."""
        return {split: states[rows.to(states.device)] for split, rows in self.rows.items()}

    def labels(self, split: str) -> Tensor:
        """The indices of their classes in one split."""
        return self.index[self.rows[split]]

    def labelled(self, states: Tensor, split: str) -> tuple[Tensor, Tensor]:
        """The states of a split, and the indices of their classes."""
        rows = self.rows[split]
        return states[rows.to(states.device)], self.labels(split).to(states.device)

    def right(self, probe: Probe, states: Tensor) -> np.ndarray:
        """Whether a probe is right about each scored token."""
        return self.right_about(probe, self.labelled(states, TEST)[0])

    def right_about(self, probe: Probe, scored: Tensor, some: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The same, of the states of the scored tokens alone, or of some of them."""
        return (probe(scored) == self.labels(TEST)[some].to(scored.device)).cpu().numpy()

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


def on_the_same_tokens(tasks: Mapping[T, Task]) -> list[dict[T, Task]]:
    """Tasks by the tokens that they use: those together share the states, and differ in their labels."""
    groups: dict[bytes, dict[T, Task]] = defaultdict(dict)
    for name, task in tasks.items():
        groups[b" ".join(rows.numpy().tobytes() for rows in task.rows.values())][name] = task
    return list(groups.values())


def accuracy(
    right: np.ndarray,
    documents: np.ndarray,
    resamples: int,
    interval: float,
    seed: int,
    dims: tuple[str, ...] = (DEPTH,),
) -> xr.Dataset:
    """Share of tokens that are right, with the interval of a mean whose documents are drawn again.

    Parameters
    ----------
    right : bool (..., token), before the tokens ``dims``
    documents : (token), the document of each
    resamples, interval, seed : of the bootstrap; ``interval`` is a coverage, e.g. 0.95

    Returns
    -------
    Dataset: ``accuracy``, ``accuracy_low``, ``accuracy_high`` (..., of ``dims``; bounds NaN for few)
    """
    low, high = interval_of_mean(right, resamples, interval, generator(seed), documents)
    means = {"accuracy": right.mean(-1), "accuracy_low": low, "accuracy_high": high}
    return xr.Dataset({name: (dims, values) for name, values in means.items()})
