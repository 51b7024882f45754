"""What the triggers of a key have in common: the token, the next one, parts of speech, the kind of text."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from strata.keys.names import KEY, TAGS
from strata.names import LABEL, LAYER, TOKEN_ID, K
from strata.stats.bootstrap import widened
from strata.stats.defined import ratio
from strata.stats.draws import interval_of_totals, times_drawn
from strata.stats.seeding import generator
from strata.text.documents import next_in_document

THIS, NEXT = "token", "next token"


def describe(
    triggers: xr.Dataset, text: xr.Dataset, *, resamples: int, interval: float, seed: int, known: float = 0.5
) -> xr.Dataset:
    """What the triggers of a key have in common, by key and by layer.

    Two triggers of a key agree in a label if both have the same. Unlike the share of the most common
    label, the share of pairs that agree does not depend on how many triggers have a label at all. A key
    that answers to one token has triggers that agree in much else; so it is counted also among the
    pairs of triggers whose tokens differ.

    Parameters
    ----------
    triggers : as `strata.keys.triggers.find_triggers` returns it, of this text
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
        layer), keys in the mean: bounds are NaN for too few; ``agreement_chance``,
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
        means = interval_of_totals(
            np.nan_to_num(values), np.isfinite(values).astype(float), resamples, interval, generator(seed)
        )
        rises = [widened(*each, interval) for each in zip(resampled.rise(), once.fewest(), strict=True)]
        rises = np.moveaxis(rises, -1, 0)
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
        (upper, n_upper), (lower, n_lower) = self._halves()
        return ratio(upper, n_upper) - ratio(lower, n_lower)

    def fewest(self) -> np.ndarray:
        """How many keys have a value in the half of layers where fewer do, (label)."""
        return np.min([count[:, 0] for _, count in self._halves()], axis=0)

    def _halves(self) -> list[tuple[np.ndarray, np.ndarray]]:
        half = self.total.shape[1] // 2
        halves = (slice(-half, None), slice(half))
        return [(self.total[:, layers].sum(1), self.count[:, layers].sum(1)) for layers in halves]
