"""MLP keys: the texts that random hidden channels of MLPs answer to most.

An MLP is a memory (Geva et al. 2021): each channel of its hidden layer has a key, which says when it
answers, and a value, which it then adds to the residual stream. The answer is what enters the MLP's last
linear map: past the nonlinearity and, where an MLP is gated, times its gate. Geva et al. had people read
the prefixes that trigger random keys most, and found patterns of words in lower layers and of meaning in
upper ones. Here the prefixes are found, to be read (`strata.keys.tables`), and described crudely by what a
key's triggers have in common (`strata.keys.agreement`).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from strata.keys.names import KEY
from strata.model.architecture import Parts, mlp_values
from strata.names import LAYER, TOKEN, K
from strata.progress import Progress, silent
from strata.stats.seeding import generator
from strata.text.documents import documents_of


@torch.inference_mode()
def find_triggers(
    parts: Parts,
    text: xr.Dataset,
    *,
    n_keys: int,
    k: int,
    seed: int,
    batch: int = 8,
    progress: Progress = silent,
) -> xr.Dataset:
    """The contexts that random keys of every layer answer to most, each in a document of its own.

    All documents run through the model, and the ``k`` largest activations of each key so far are kept:
    memory holds those and one batch. A document has one trigger of a key at most, or one that repeats
    itself would have them all; what documents have in common at their beginnings counts once.

    Parameters
    ----------
    text : as `strata.text.documents.as_dataset` or `strata.text.tagged.sample` returns it
    n_keys : drawn in each layer
    k : triggers kept of each
    seed : of the keys
    batch : documents at a time

    Returns
    -------
    Dataset
        ``activation`` (layer, key, k), largest first; ``trigger`` (layer, key, k), index of its token in
        the text, -1 where nothing makes the key answer, that is with an activation above 0; ``channel``
        (layer, key), of the MLP's hidden layer; ``eligible`` (token), whether a token's context is the
        first of its kind.

    Raises
    ------
    ValueError
        If a layer has fewer keys, or the text fewer documents, than are asked for.
    """
    documents = documents_of(text)
    if not 0 < k <= len(documents):
        raise ValueError(f"{k} triggers, from a text of {len(documents)} documents")
    eligible = first_contexts(documents)
    channels = random_keys(parts, n_keys, seed)
    best = torch.zeros(parts.n_layers, n_keys, k, device=parts.model.device)
    trigger = torch.full_like(best, -1, dtype=torch.long)
    batches = _batches(documents, eligible, batch)
    with _answers(parts, channels) as answers:
        for ids, index in progress(batches, "triggers of keys"):
            ids, index = ids.to(best.device), index.to(best.device)
            parts.model(input_ids=ids, use_cache=False)
            for layer in range(parts.n_layers):
                strongest, position = answers[layer].float().where(index[..., None] >= 0, 0).max(1)
                values = torch.cat([best[layer], strongest.T], 1)
                tokens = torch.cat([trigger[layer], index.gather(1, position).T], 1)
                best[layer], chosen = values.topk(k, 1)
                trigger[layer] = tokens.gather(1, chosen)
    trigger[best <= 0] = -1
    return xr.Dataset(
        {
            "activation": ((LAYER, KEY, K), best.cpu().numpy()),
            "trigger": ((LAYER, KEY, K), trigger.cpu().numpy()),
            "channel": ((LAYER, KEY), np.stack(channels)),
            "eligible": (TOKEN, eligible),
        },
        {LAYER: np.arange(parts.n_layers), KEY: np.arange(n_keys), K: np.arange(k)},
    )


def random_keys(parts: Parts, n_keys: int, seed: int) -> list[np.ndarray]:
    """Hidden channels of each layer's MLP drawn without replacement, ascending.

    Raises
    ------
    ValueError
        If a layer has fewer.
    """
    n_channels = parts.token_embedding.embedding_dim
    drawn = []
    for layer, module in enumerate(mlp_values(parts)):
        width = module.weight.numel() // n_channels
        if not 0 < n_keys <= width:
            raise ValueError(f"{n_keys} keys of layer {layer}, which has {width}")
        drawn.append(np.sort(generator(seed, layer).choice(width, n_keys, replace=False)))
    return drawn


def first_contexts(documents: Iterable[Sequence[int]]) -> np.ndarray:
    """Which tokens (documents in a row) stand in a context that no document before begins with.

    The same context has the same activations, and would fill a key's triggers with one prefix.
    """
    nodes: dict[tuple[int, int], int] = {}  # a trie: (node, token) to the node that it leads to
    first = []
    for document in documents:
        node = 0
        for token in document:
            first.append((node, token) not in nodes)
            node = nodes.setdefault((node, token), len(nodes) + 1)
    return np.array(first, bool)


def _batches(
    documents: Sequence[Sequence[int]], eligible: np.ndarray, size: int
) -> list[tuple[Tensor, Tensor]]:
    """Documents of like length, padded at the end, which a causal model does not see from before.

    Each has token ids (row, position), and their index in the text, -1 where they do not count.
    """
    starts = np.cumsum([0, *map(len, documents)])
    index = torch.from_numpy(np.where(eligible, np.arange(starts[-1]), -1))
    rows = [(torch.tensor(ids), index[a:b]) for ids, (a, b) in zip(documents, pairwise(starts), strict=True)]
    rows.sort(key=lambda row: len(row[0]))
    return [
        tuple(
            pad_sequence(part, batch_first=True, padding_value=blank)
            for part, blank in zip(zip(*rows[i : i + size], strict=True), (0, -1), strict=True)
        )
        for i in range(0, len(rows), size)
    ]


@contextmanager
def _answers(parts: Parts, channels: Sequence[np.ndarray]) -> Iterator[dict[int, Tensor]]:
    """By layer, the activations (row, position, key) of chosen channels in the latest run."""
    answers: dict[int, Tensor] = {}

    def listener(layer: int):
        chosen = torch.from_numpy(channels[layer]).to(parts.model.device)

        def listen(module, args):
            answers[layer] = args[0][..., chosen]

        return listen

    handles = [
        module.register_forward_pre_hook(listener(layer)) for layer, module in enumerate(mlp_values(parts))
    ]
    try:
        yield answers
    finally:
        for handle in handles:
            handle.remove()
