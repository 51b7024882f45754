"""MLP keys: the texts that random hidden channels of MLPs answer to most.

An MLP is a memory (Geva et al. 2021): each channel of its hidden layer has a key, which says when it
answers, and a value, which it then adds to the residual stream. The answer is what enters the MLP's last
linear map: past the nonlinearity and, where an MLP is gated, times its gate. Geva et al. had people read
the prefixes that trigger random keys most, and found patterns of words in lower layers and of meaning in
upper ones. Here the prefixes are found, to be read, and described crudely by what a key's triggers have in
common: the token, its part of speech, the kind of text.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from strata.keys.names import KEY
from strata.model.architecture import Parts, mlp_values
from strata.names import DOCUMENT, KIND, LABEL, LAYER, POSITION, TOKEN, TOKEN_ID, K
from strata.progress import Progress, silent
from strata.stats.defined import percentiles, ratio
from strata.stats.draws import times_drawn
from strata.stats.seeding import generator
from strata.text.documents import documents_of, next_in_document

THIS, NEXT = "token", "next token"
TAGS = {"tag": "tag", "next tag": "next_tag", "role": "role", "kind": KIND}
"""What triggers may have in common besides their tokens, and the coordinate of the text that says it."""

WINDOW = 24
"""Tokens of a trigger's prefix that a table shows."""

SPELLED = {"\n": "↵", "\t": "→"}


# Triggers -----------------------------------------------------------------------------------


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


# What triggers have in common ---------------------------------------------------------------


def describe(
    triggers: xr.Dataset, text: xr.Dataset, *, resamples: int, interval: float, seed: int, known: float = 0.5
) -> xr.Dataset:
    """What the triggers of a key have in common, by key and by layer.

    Two triggers of a key agree in a label if both have the same. Unlike the share of the most common
    label, the share of pairs that agree does not hang on how many triggers have a label at all. A key
    that answers to one token has triggers that agree in much else; so it is counted also among the
    pairs of triggers whose tokens differ.

    Parameters
    ----------
    triggers : as `find_triggers` returns it, of this text
    text : labels are its tokens, the next tokens, and those of `TAGS` that it has
    resamples, interval, seed : of the bootstrap over keys; ``interval`` is a coverage, e.g. 0.95
    known : share of a key's triggers that must have the label

    Returns
    -------
    Dataset
        ``agreement`` and ``beyond_token`` (label, layer, key), shares of pairs, of all and of those with
        different tokens, NaN where too few triggers have the label or no such pair is left;
        ``agreement_mean``, ``beyond_token_mean`` (label, layer) over keys, with ``_low`` and ``_high``;
        ``agreement_rise``, ``beyond_token_rise`` (label), the mean over keys of the upper half of layers
        less that of the lower, with ``_low``, ``_high``; ``agreement_n``, ``beyond_token_n`` (label,
        layer), keys in the mean: bounds are NaN for fewer than two; ``agreement_chance``,
        ``beyond_token_chance`` (label), of pairs of random contexts; ``silent`` (layer), share of keys
        that nothing in the text makes answer.

    Raises
    ------
    ValueError
        If an argument is impossible.
    """
    if resamples < 1 or not 0 < interval < 1 or not 0 <= known <= 1:
        raise ValueError(f"impossible: {resamples=}, {interval=}, {known=}")
    codes = _codes(text)
    chosen, eligible = triggers["trigger"].values, triggers["eligible"].values
    rng, n_keys = generator(seed), triggers.sizes[KEY]
    drawn = times_drawn(rng, n_keys, triggers.sizes[LAYER], resamples)

    fields = {"silent": (LAYER, (chosen < 0).all(-1).mean(-1))}
    for name, tokens in (("agreement", None), ("beyond_token", codes[THIS])):
        values = np.array([_agreement(chosen, labels, tokens, known) for labels in codes.values()])
        once, resampled = (_Sums.of(values, counts) for counts in (np.ones_like(drawn[:, :1]), drawn))
        fields[name] = (LABEL, LAYER, KEY), values
        fields[f"{name}_n"] = (LABEL, LAYER), once.count[..., 0].astype(int)
        fields[f"{name}_mean"] = (LABEL, LAYER), once.mean()[..., 0]
        fields[f"{name}_rise"] = LABEL, once.rise()[..., 0]
        means = np.where(once.count[..., 0] > 1, percentiles(resampled.mean(), interval), np.nan)
        rises = percentiles(resampled.rise(), interval)
        for end, mean, rise in zip(("low", "high"), means, rises, strict=True):
            fields |= {f"{name}_mean_{end}": ((LABEL, LAYER), mean), f"{name}_rise_{end}": (LABEL, rise)}
        chance = [_agreement_of_all(labels, tokens, eligible) for labels in codes.values()]
        fields[f"{name}_chance"] = LABEL, chance
    coords = {LABEL: list(codes), LAYER: triggers[LAYER].values, KEY: triggers[KEY].values}
    return xr.Dataset(fields, coords, {"interval": interval, "known": known, "n_triggers": triggers.sizes[K]})


def _codes(text: xr.Dataset) -> dict[str, np.ndarray]:
    """Labels of tokens as numbers, -1 where there is none."""
    codes = {THIS: text[TOKEN_ID].values, NEXT: next_in_document(text)}
    for label, name in TAGS.items():
        if name in text.coords and (values := text[name].values.astype(str)).any():
            codes[label] = np.where(values == "", -1, np.unique(values, return_inverse=True)[1])
    return codes


def _agreement(
    triggers: np.ndarray, labels: np.ndarray, tokens: np.ndarray | None, known: float
) -> np.ndarray:
    """Share of pairs of triggers with the same label (layer, key), NaN where there is no pair.

    Triggers (layer, key, k) are indices of labels (token); either is -1 for none. With ``tokens``
    (token), of the pairs whose tokens differ.
    """
    of_trigger = np.where(triggers >= 0, labels[triggers], -1)
    one, other = np.triu_indices(triggers.shape[-1], 1)
    pairs = (of_trigger[..., one] >= 0) & (of_trigger[..., other] >= 0)
    if tokens is not None:
        pairs &= tokens[triggers][..., one] != tokens[triggers][..., other]
    same = pairs & (of_trigger[..., one] == of_trigger[..., other])
    n_pairs = pairs.sum(-1)
    enough = (n_pairs > 0) & ((of_trigger >= 0).mean(-1) >= known)
    return np.where(enough, same.sum(-1) / n_pairs.clip(min=1), np.nan)


def _agreement_of_all(labels: np.ndarray, tokens: np.ndarray | None, eligible: np.ndarray) -> float:
    """The same of all pairs of eligible tokens, by counting."""
    known = (labels >= 0) & eligible

    def pairs(*columns: np.ndarray) -> float:
        counts = np.unique([column[known] for column in columns], axis=1, return_counts=True)[1]
        return (counts * (counts - 1.0)).sum()

    same, every = pairs(labels), known.sum() * (known.sum() - 1.0)
    if tokens is not None:
        same, every = same - pairs(labels, tokens), every - pairs(tokens)
    return same / every if every else np.nan


@dataclass(frozen=True)
class _Sums:
    """Sums over keys that have a value, and how many they are: (label, layer, sample)."""

    total: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, drawn: np.ndarray) -> "_Sums":
        """Of values (label, layer, key), each taken as often as drawn (layer, sample, key or 1)."""
        drawn = np.broadcast_to(drawn, (*drawn.shape[:2], values.shape[-1]))
        parts = (np.nan_to_num(values), np.isfinite(values).astype(float))
        return cls(*(np.einsum("alk,lsk->als", part, drawn) for part in parts))

    def mean(self) -> np.ndarray:
        """By layer."""
        return ratio(self.total, self.count)

    def rise(self) -> np.ndarray:
        """Of the upper half of layers, less that of the lower."""
        half = self.total.shape[1] // 2
        upper, lower = (
            ratio(self.total[:, layers].sum(1), self.count[:, layers].sum(1))
            for layers in (slice(-half, None), slice(half))
        )
        return upper - lower


# Tables -------------------------------------------------------------------------------------


def trigger_table(
    triggers: xr.Dataset, text: xr.Dataset, decode: Callable[[list[int]], str], window: int = WINDOW
) -> pd.DataFrame:
    """Every trigger, to be read: a row each, by layer and key; keys that never answer have none.

    Parameters
    ----------
    triggers : as `find_triggers` returns it, of this text
    decode : token ids to text
    window : tokens of the prefix that are shown, the trigger's own the last of them

    Returns
    -------
    Table
        ``layer``, ``channel``, ``rank`` (from 1), ``activation``, ``document``, ``position``, ``token``,
        ``next``, ``prefix`` (it ends with the token), and those of `TAGS` that the text has. Texts are
        one line each: a newline is ``↵``, what does not print is escaped.
    """
    ids, position = text[TOKEN_ID].values, text[POSITION].values
    following = next_in_document(text)
    known = {label: text[name].values for label, name in TAGS.items() if name in text.coords}
    rows = []
    for (layer, key, rank), index in np.ndenumerate(triggers["trigger"].values):
        if index < 0:
            continue
        first = max(index - window + 1, index - position[index])
        cut = "… " if first > index - position[index] else ""
        row = {
            LAYER: triggers[LAYER].values[layer],
            "channel": triggers["channel"].values[layer, key],
            "rank": rank + 1,
            "activation": triggers["activation"].values[layer, key, rank],
            DOCUMENT: text[DOCUMENT].values[index],
            POSITION: position[index],
            "token": _one_line(decode([int(ids[index])])),
            "next": _one_line(decode([int(following[index])])) if following[index] >= 0 else "",
            "prefix": cut + _one_line(decode(ids[first : index + 1].tolist())),
        }
        rows.append(row | {label.replace(" ", "_"): values[index] for label, values in known.items()})
    return pd.DataFrame(rows)


def key_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each key, of a `trigger_table`: its strongest activation, and what its triggers share.

    For ``token``, ``next`` and every label: the most common one, and how many of those triggers that have
    one have it, as in ``the (7 of 10)``.
    """
    labels = [name for name in table if name in ("token", "next", *(t.replace(" ", "_") for t in TAGS))]

    def shared(values: pd.Series) -> str:
        known = [value for value in values if value != ""]
        if not known:
            return ""
        value, count = Counter(known).most_common(1)[0]
        return f"{value} ({count} of {len(known)})"

    keys = table.groupby([LAYER, "channel"])
    return keys.agg({"activation": "max", **dict.fromkeys(labels, shared)}).reset_index()


def _one_line(text: str) -> str:
    return "".join(
        SPELLED.get(c, c if c.isprintable() else c.encode("unicode_escape").decode()) for c in text
    )
