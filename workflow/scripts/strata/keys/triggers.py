"""MLP keys: the texts that random hidden channels of MLPs answer to most.

An MLP is a memory (Geva et al. 2021): each channel of its hidden layer has a key, which says when it
answers, and a value, which it then adds to the residual stream. The answer is what enters the MLP's last
linear map: past the nonlinearity and, where an MLP is gated, times its gate. Geva et al. had people read
the prefixes that trigger random keys most, and found patterns of words in lower layers and of meaning in
upper ones. Here the prefixes are found, to be read (`strata.keys.tables`), and described crudely by what a
key's triggers have in common (`strata.keys.agreement`).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.keys.names import KEY
from strata.model.architecture import Parts
from strata.model.batching import batches
from strata.model.capture import watching
from strata.names import BEGINNING, LAYER, TOKEN, K
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
    max_tokens: int = 1024,
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
    max_tokens : of a batch, unless one document alone has more

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
    if BEGINNING in text.coords:
        eligible &= ~text[BEGINNING].values
    channels = random_keys(parts, n_keys, seed)
    best = torch.zeros(parts.n_layers, n_keys, k, device=parts.device)
    trigger = torch.full_like(best, -1, dtype=torch.long)
    chosen = [torch.from_numpy(drawn).to(best.device) for drawn in channels]
    places = np.split(
        np.where(eligible, np.arange(len(eligible)), -1), np.cumsum([*map(len, documents)])[:-1]
    )

    def see_answers(layer: int, hidden: Tensor) -> None:
        answers = hidden[..., chosen[layer]].float()
        strongest, position = answers.where(index[..., None] >= 0, 0).max(1)
        values = torch.cat([best[layer], strongest.T], 1)
        tokens = torch.cat([trigger[layer], index.gather(1, position).T], 1)
        best[layer], kept = values.topk(k, 1)
        trigger[layer] = tokens.gather(1, kept)

    with watching(parts, answers=see_answers):
        for batch in progress(batches(documents, max_tokens, parts), "triggers of keys"):
            index = torch.full_like(batch.ids, -1)  # of each token in the text, -1 where it does not count
            index[batch.present] = torch.from_numpy(np.concatenate([places[i] for i in batch.which])).to(
                index
            )
            parts.model.base_model(input_ids=batch.ids, use_cache=False)
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
    drawn = []
    for layer, module in enumerate(parts.mlp_values):
        width = module.weight.numel() // parts.n_channels
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
