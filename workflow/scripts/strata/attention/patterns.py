"""Where attention goes: the final token's in every prompt, and every token's in long texts.

From activations alone, no model: how the final token's attention is shared between the first token, the
subject and itself; its entropy; where in depth the first token takes attention over and lets it go; and
whether a subject is looked at in the layer where causal traces say that its answer is handed over.

From a model and texts: attention on the first token by position; attention variability (Vig and Belinkov
2019), that is how much a head looks at content rather than at positions; and channels with outsized values
at the first position, which serve attention as a place to rest (Xiao et al. 2023; Sun et al. 2024).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy import stats
from scipy.special import entr
from torch import Tensor

from strata.attention.names import HEADS
from strata.embedding.channels import position_active
from strata.embedding.gains import NORMS, gain_outliers
from strata.names import (
    CATEGORY,
    CHANNEL,
    CHANNEL_SET,
    DEPTH,
    HEAD,
    LAYER,
    NOISE,
    POSITION,
    PROMPT,
    SITE,
    TOKEN,
)
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap, masks_by_category

if TYPE_CHECKING:  # what needs no model starts without transformers
    from strata.model.architecture import Parts

FIRST, SUBJECT, SUBJECT_MAX, FINAL = SITES = ("first", "subject", "subject_max", "final")
"""What is attended to: first token; all of the subject's, summed; its most attended one; the final token."""

MEAN, BEST = HEAD_CHOICES = ("mean", "best")
"""A layer's heads taken together, or the one of them that attends the most."""

CHANNEL_SETS = (*NORMS, "position")


# The final token, from activations ----------------------------------------------------------


def analyse(
    activations: xr.Dataset,
    prompts: pd.DataFrame,
    transition: xr.DataArray,
    *,
    resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Everything about the final token's attention.

    Parameters
    ----------
    activations, prompts
        See `final_token`.
    transition : DataArray (prompt, noise)
        Transition depths, NaN where undefined; a prompt that is missing counts as undefined.
    resamples, interval, seed
        Of the bootstrap over prompts; ``interval`` is a coverage, e.g. 0.95.

    Returns
    -------
    Dataset, float32
        What `final_token` (names ending in ``_prompt``), `average`, `subject_peaks` and
        `peaks_against_transition` return.
    """
    bootstrap = Bootstrap(resamples, interval, seed)
    by_prompt = final_token(activations, prompts)
    peaks = subject_peaks(by_prompt)
    parts = [
        average(by_prompt, bootstrap),
        by_prompt.rename({name: f"{name}_prompt" for name in by_prompt.data_vars}),
        peaks,
        peaks_against_transition(peaks, transition, bootstrap),
    ]
    everything = xr.merge(parts, join="exact", compat="no_conflicts")
    return _as_float32(everything).assign_attrs(resamples=resamples, interval=interval, seed=seed)


def final_token(activations: xr.Dataset, prompts: pd.DataFrame) -> xr.Dataset:
    """Where the final token of every prompt that is accepted and has a subject attends.

    Parameters
    ----------
    activations : Dataset
        ``attention_last`` (layer, head, token) with ``prompt`` (token): how much each prompt's last
        position attends to each of its tokens, which stand in a row.
    prompts : DataFrame
        As `strata.io.read_prompts` reads it.

    Returns
    -------
    Dataset
        ``attention`` (prompt, site, layer, head): share of the final token's attention on the sites named
        by `SITES`; a subject that begins a prompt is the first token too. ``entropy`` (prompt, layer,
        head) in nats, ``entropy_relative`` as a share of the logarithm of the number of positions (1:
        spread evenly). Coordinates ``prompt_category`` and ``n_positions`` (prompt).

    Raises
    ------
    ValueError
        If no prompt is accepted and has a subject.
    KeyError
        If such a prompt has no tokens.
    """
    chosen = prompts[prompts["accepted"] & (prompts["subject_position"] >= 0)]
    if chosen.empty:
        raise ValueError("no prompt is accepted and has a subject")
    patterns = activations["attention_last"].transpose(LAYER, HEAD, TOKEN)
    every = patterns.values.astype(float)
    tokens = pd.Series(range(every.shape[-1]), index=activations[PROMPT].values).groupby(level=0)
    start, end = tokens.min(), tokens.max() + 1
    shares, entropies = [], []
    for row in chosen.itertuples():
        pattern = every[..., start.loc[row.id] : end.loc[row.id]]
        subject = pattern[..., row.subject_start : row.subject_position + 1]
        shares.append([pattern[..., 0], subject.sum(-1), subject.max(-1), pattern[..., -1]])
        entropies.append(entr(pattern).sum(-1))
    entropy = xr.DataArray(entropies, dims=(PROMPT, LAYER, HEAD))
    n_positions = xr.DataArray((end - start).loc[chosen["id"]].to_numpy(), dims=PROMPT)
    return xr.Dataset(
        {
            "attention": ((PROMPT, SITE, LAYER, HEAD), shares),
            "entropy": entropy,
            "entropy_relative": entropy / np.log(n_positions),
        },
        coords={
            PROMPT: chosen["id"].to_numpy(object),
            "prompt_category": (PROMPT, chosen["category"].to_numpy(object)),
            "n_positions": n_positions,
            SITE: list(SITES),
            LAYER: patterns[LAYER].values,
            HEAD: patterns[HEAD].values,
        },
    )


def average(by_prompt: xr.Dataset, bootstrap: Bootstrap) -> xr.Dataset:
    """Means over prompts by category, and over all, with bootstrap intervals.

    Parameters
    ----------
    by_prompt : Dataset
        As `final_token` returns it.

    Returns
    -------
    Dataset
        Each x with ``x_low``, ``x_high`` (NaN for fewer than two prompts) and ``x_n`` (category), the
        number of prompts. ``attention`` (category, site, layer), the mean over heads;
        ``attention_by_head`` (category, site, layer, head); ``entropy`` and ``entropy_relative``
        (category, layer, head). ``onset`` and ``release`` (category, heads) of attention on the first
        token beyond its share if attention were spread evenly, see `onset_and_release`: of the mean over a
        layer's heads, and of whichever head of a layer attends to it the most. (A head's number means
        nothing from layer to layer.)
    """
    groups = masks_by_category(by_prompt["prompt_category"].values)
    attention, first = by_prompt["attention"], by_prompt["attention"].sel({SITE: FIRST}, drop=True)
    averages = [
        _means("attention", attention.mean(HEAD), groups, bootstrap),
        _means("attention_by_head", attention, groups, bootstrap),
        _means("entropy", by_prompt["entropy"], groups, bootstrap),
        _means("entropy_relative", by_prompt["entropy_relative"], groups, bootstrap),
    ]
    # In a prompt of four tokens the first has a quarter of attention that is spread evenly.
    beyond_even = (first - 1 / by_prompt["n_positions"]).transpose(LAYER, HEAD, PROMPT).values
    for end, name in enumerate(("onset", "release")):

        def statistic(values: np.ndarray, axis: int, end: int = end) -> np.ndarray:
            share = values.mean(axis)  # (layer, head, ...)
            return np.stack([onset_and_release(s)[end] for s in (share.mean(1), share.max(1))])

        averages.append(bootstrap.by_category(name, statistic, beyond_even, groups, dims=(HEADS,)))
    labels = {name: by_prompt[name] for name in (SITE, LAYER, HEAD)} | {HEADS: list(HEAD_CHOICES)}
    return xr.merge(averages, join="exact").assign_coords(labels)


def onset_and_release(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in depth attention sets in, and where it lets go.

    The rule: at half of its maximum over layers. The onset is where the share first reaches it, on a
    straight line from the layer below; the release where it last has it, on a straight line to the layer
    above. In between it may fall below. The layers before the onset and after the release are those
    whose attention is spread elsewhere.

    Parameters
    ----------
    share : array (layer, ...)

    Returns
    -------
    onset, release : arrays (...), in layers
        0 and L - 1 where the share has half of its maximum in the first or last layer already; NaN where
        it is nowhere above 0.
    """
    top = len(share) - 1
    highest = share.max(axis=0)
    half = highest / 2
    enough = share >= half
    first = enough.argmax(axis=0)
    last = top - enough[::-1].argmax(axis=0)

    def at(layer: np.ndarray) -> np.ndarray:
        return np.take_along_axis(share, np.clip(layer, 0, top)[None], axis=0)[0]

    def part(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """How far on the way from low to high the half is."""
        return np.divide(half - low, high - low, out=np.zeros_like(half), where=high > low)

    onset = np.where(first == 0, 0, first - 1 + part(at(first - 1), at(first)))
    release = np.where(last == top, top, last + 1 - part(at(last + 1), at(last)))
    return np.where(highest > 0, onset, np.nan), np.where(highest > 0, release, np.nan)


# The subject and the transition -------------------------------------------------------------


def subject_peaks(by_prompt: xr.Dataset) -> xr.Dataset:
    """The layer in which the final token attends the most to the subject.

    Parameters
    ----------
    by_prompt : Dataset
        As `final_token` returns it.

    Returns
    -------
    Dataset
        ``peak_layer`` (heads, prompt), the first of them where several tie, and ``peak_share``, the
        attention there: of the mean over a layer's heads, and of the best head of all; ``peak_head``
        (prompt), which head of its layer that is.
    """
    subject = by_prompt["attention"].sel({SITE: SUBJECT}, drop=True)
    choices = xr.DataArray(list(HEAD_CHOICES), dims=HEADS, name=HEADS)
    by_layer = xr.concat([subject.mean(HEAD), subject.max(HEAD)], dim=choices)
    layer = by_layer.idxmax(LAYER)
    best = subject.sel({LAYER: layer.sel({HEADS: BEST}, drop=True)})
    return xr.Dataset(
        {"peak_layer": layer, "peak_share": by_layer.max(LAYER), "peak_head": best.idxmax(HEAD)}
    ).drop_vars(LAYER, errors="ignore")


def peaks_against_transition(peaks: xr.Dataset, transition: xr.DataArray, bootstrap: Bootstrap) -> xr.Dataset:
    """Does the subject's peak lie deeper in prompts whose answer is handed over deeper?

    Block l reads the states at depth l, so a layer and a depth of the same number belong together.

    Parameters
    ----------
    peaks : Dataset
        As `subject_peaks` returns it.
    transition : DataArray (prompt, noise)
        In depths, NaN where undefined; a prompt that is missing counts as undefined.

    Returns
    -------
    Dataset
        By (heads, category, noise): ``rho``, Spearman's rank correlation of ``peak_layer`` and transition
        depth; ``rho_low`` and ``rho_high``, percentiles of a bootstrap over prompts; ``rho_p``, two-sided;
        ``rho_n`` prompts with a transition. NaN for fewer than three prompts or where one side is
        constant; the interval also where one side is nearly so, and constant in more resamples than lie
        outside of the interval. Also ``transition_depth`` (prompt, noise).
    """
    groups = masks_by_category(peaks["prompt_category"].values)
    depths = transition.reindex({PROMPT: peaks[PROMPT].values}).transpose(PROMPT, NOISE)
    layers = peaks["peak_layer"].transpose(HEADS, PROMPT)
    shape = (layers.sizes[HEADS], len(groups), depths.sizes[NOISE])
    table = np.full((5, *shape), np.nan)
    for cell in np.ndindex(shape):
        heads, category, noise = cell
        x, y = layers.values[heads], depths.values[:, noise]
        kept = list(groups.values())[category] & np.isfinite(y)
        table[(slice(None), *cell)] = _rank_correlation(x[kept], y[kept], bootstrap)
    fields = dict(zip(("rho", "rho_low", "rho_high", "rho_p"), table, strict=False))
    dims = (HEADS, CATEGORY, NOISE)
    return xr.Dataset(
        {name: (dims, values) for name, values in fields.items()} | {"rho_n": (dims, table[4].astype(int))},
        coords={HEADS: layers[HEADS].values, CATEGORY: list(groups)},
    ).assign(transition_depth=depths.drop_vars("prompt_category", errors="ignore"))


def _rank_correlation(x: np.ndarray, y: np.ndarray, bootstrap: Bootstrap) -> tuple[float, ...]:
    """Spearman's correlation, the ends of its interval, its p and the number of pairs."""
    n = len(x)
    if n < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return np.nan, np.nan, np.nan, np.nan, n
    found = stats.spearmanrho(x, y)
    with warnings.catch_warnings():
        # A resample may draw one value only.
        warnings.simplefilter("ignore", (stats.ConstantInputWarning, stats.DegenerateDataWarning))
        drawn = stats.bootstrap(
            (x, y),
            lambda x, y, axis: stats.spearmanrho(x, y, axis=axis).statistic,
            n_resamples=bootstrap.resamples,
            paired=True,
            method="percentile",
            rng=bootstrap.seed,
        ).bootstrap_distribution
    tail = (1 - bootstrap.interval) / 2
    ends = np.nan, np.nan
    if np.isnan(drawn).mean() <= 2 * tail:
        ends = np.nanquantile(drawn, [tail, 1 - tail])
    return found.statistic, *ends, found.pvalue, n


# Texts, with the model ----------------------------------------------------------------------


@torch.inference_mode()
def over_text(
    parts: "Parts",
    documents: Sequence[Sequence[int]],
    skip: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """Sums over texts: attention on the first token by position, and the size of channels at the first.

    One document goes through the model at a time, and of what a layer computes only sums are kept: memory
    is that of one document's attention in one layer, and of the result.

    Parameters
    ----------
    documents : token ids, each no longer than the model's context
    skip : positions left out of the means over positions: a short text has nowhere else to look

    Returns
    -------
    Dataset, float32
        ``first_by_position`` (layer, head, position): mean over documents of the attention that a query
        at that position pays to the first; ``n_documents`` (position), how many are that long.
        Means over all tokens from position ``skip`` on: ``first_in_text`` (layer, head), attention on the
        first token, and ``entropy_in_text`` (layer, head), entropy as a share of its largest possible
        value; ``onset_in_text`` and ``release_in_text`` (heads) of the former, as in `average`;
        ``n_tokens_in_text``. By (depth, channel): ``magnitude_first``, mean |h| at position 0, and
        ``magnitude_others``, at all others.

    Raises
    ------
    ValueError
        If no document is longer than ``skip`` tokens, or ``skip`` is below 1.
    """
    longest = max(map(len, documents), default=0)
    if not 1 <= skip < longest:
        raise ValueError(f"skip is at least 1 and below the longest document's {longest} tokens, not {skip}")
    n_layers, n_heads = parts.n_layers, parts.model.config.num_attention_heads
    device = parts.token_embedding.weight.device
    double = {"dtype": torch.float64, "device": device}
    first = torch.zeros(n_layers, n_heads, longest, **double)
    entropy = torch.zeros(n_layers, n_heads, **double)
    largest_entropy = torch.arange(1, longest + 1, **double).log()
    magnitude = torch.zeros(2, n_layers + 1, parts.token_embedding.embedding_dim, **double)

    def see_pattern(layer: int, patterns: Tensor) -> None:
        pattern = patterns[0].float()  # (head, query, key)
        n = pattern.shape[-1]
        first[layer, :, :n] += pattern[:, :, 0]
        late = torch.special.entr(pattern[:, skip:]).sum(-1)
        entropy[layer] += (late / largest_entropy[skip:n]).sum(-1)

    def see_state(depth: int, states: Tensor) -> None:
        size = states[0].abs().double()
        magnitude[0, depth] += size[0]
        magnitude[1, depth] += size[1:].sum(0)

    with _watching(parts, see_pattern, see_state):
        for document in progress(documents, "documents"):
            parts.model.base_model(input_ids=torch.tensor([document], device=device), use_cache=False)

    lengths = np.array([len(document) for document in documents])
    n_documents = (lengths[:, None] > np.arange(longest)).sum(0)
    n_late = int(n_documents[skip:].sum())
    total = first.cpu().numpy()
    in_text = total[..., skip:].sum(-1) / n_late
    even = (n_documents / np.arange(1, longest + 1))[skip:].sum() / n_late
    onset, release = onset_and_release(np.stack([in_text.mean(1), in_text.max(1)], axis=1) - even)
    at_first, at_others = magnitude.cpu().numpy()
    return _as_float32(
        xr.Dataset(
            {
                "first_by_position": ((LAYER, HEAD, POSITION), total / n_documents),
                "n_documents": (POSITION, n_documents),
                "first_in_text": ((LAYER, HEAD), in_text),
                "entropy_in_text": ((LAYER, HEAD), entropy.cpu().numpy() / n_late),
                "onset_in_text": (HEADS, onset),
                "release_in_text": (HEADS, release),
                "n_tokens_in_text": n_late,
                "magnitude_first": ((DEPTH, CHANNEL), at_first / len(documents)),
                "magnitude_others": ((DEPTH, CHANNEL), at_others / n_documents[1:].sum()),
            },
            coords={
                LAYER: np.arange(n_layers),
                HEAD: np.arange(n_heads),
                POSITION: np.arange(longest),
                DEPTH: np.arange(n_layers + 1),
                CHANNEL: np.arange(at_first.shape[1]),
                HEADS: list(HEAD_CHOICES),
            },
            attrs={"skip": skip},
        )
    )


@torch.inference_mode()
def variability(
    parts: "Parts",
    documents: Sequence[Sequence[int]],
    n_first: int = 10,
    batch: int = 64,
    progress: Progress = silent,
) -> xr.Dataset:
    """How much each head's attention varies with content at the same positions.

    Attention variability of Vig and Belinkov 2019 ("Analyzing the Structure of Attention in a Transformer
    Language Model"), the mean absolute deviation scaled to lie between 0 and 1:

        sum_x sum_i sum_(j <= i) |a_ij(x) - mean_x a_ij| / (2 sum_x sum_i sum_(j <= i) a_ij(x))

    where a_ij(x) is how much position i of text x attends to position j. 0: the head looks at positions,
    whatever stands there. Only the first positions are taken, so that each has enough texts. They leave
    out attention on the first token, where a head rests that finds nothing; both are given here.

    Parameters
    ----------
    documents : token ids; those with fewer than ``n_first`` tokens are left out
    n_first : positions, 10 in the paper
    batch : documents at a time

    Returns
    -------
    Dataset, float32
        ``variability`` and ``variability_beyond_first`` (layer, head), the latter over j > 0, NaN where
        nothing is attended to there; ``n_texts``.

    Raises
    ------
    ValueError
        If fewer than two documents are long enough, or ``n_first`` is below 2.
    """
    device = parts.token_embedding.weight.device
    texts = torch.tensor([d[:n_first] for d in documents if len(d) >= n_first], device=device)
    if n_first < 2 or len(texts) < 2:
        raise ValueError(
            f"{len(texts)} documents have {n_first} tokens; two documents and two tokens are needed"
        )
    shape = (parts.n_layers, parts.model.config.num_attention_heads, n_first, n_first)
    total, deviation = torch.zeros(2, *shape, dtype=torch.float64, device=device)

    def add(layer: int, patterns: Tensor) -> None:
        total[layer] += patterns.float().sum(0)

    def deviate(layer: int, patterns: Tensor) -> None:
        mean = (total[layer] / len(texts)).float()
        deviation[layer] += (patterns.float() - mean).abs().sum(0)

    # The mean has to be known before anything can deviate from it.
    for see, what in ((add, "mean attention"), (deviate, "deviations")):
        with _watching(parts, see):
            for rows in progress(texts.split(batch), what):
                parts.model.base_model(input_ids=rows, use_cache=False)

    def ratio(first_key: int) -> np.ndarray:
        varying, all_of_it = (x[..., first_key:].sum((-1, -2)) for x in (deviation, total))
        return (varying / (2 * all_of_it)).cpu().numpy()

    return _as_float32(
        xr.Dataset(
            {
                "variability": ((LAYER, HEAD), ratio(0)),
                "variability_beyond_first": ((LAYER, HEAD), ratio(1)),
                "n_texts": len(texts),
            },
            coords={LAYER: np.arange(shape[0]), HEAD: np.arange(shape[1])},
            attrs={"n_first": n_first},
        )
    )


@contextmanager
def _watching(
    parts: "Parts",
    see_pattern: Callable[[int, Tensor], None],
    see_state: Callable[[int, Tensor], None] | None = None,
) -> Iterator[None]:
    """Show each layer's pattern (row, head, query, key) and each depth's states (row, position, channel)."""

    def pattern_hook(layer: int) -> Callable:
        return lambda module, args, output: see_pattern(layer, output[1])

    def state_hook(depth: int) -> Callable:
        return lambda module, args, kwargs: see_state(depth, args[0] if args else kwargs["hidden_states"])

    with ExitStack() as hooks:
        for layer, module in enumerate(parts.attentions):
            hooks.enter_context(module.register_forward_hook(pattern_hook(layer)))
        for depth, module in enumerate([*parts.blocks, parts.final_norm] if see_state else []):
            hooks.enter_context(module.register_forward_pre_hook(state_hook(depth), with_kwargs=True))
        yield


# Outsized channels --------------------------------------------------------------------------


def outsized_channels(
    in_text: xr.Dataset, weights: xr.Dataset, *, among_channels: float, among_positions: float, share: float
) -> xr.Dataset:
    """Which channels carry outsized values at the first position, and are they known otherwise?

    Outsized at a depth is a channel whose mean |h| at position 0 is at least ``among_channels`` times the
    median channel's there, and whose ratio of that to its mean |h| at other positions is at least
    ``among_positions`` times the median channel's ratio. A set's overlap with them is compared with chance:
    as many channels drawn at random (hypergeometric).

    Parameters
    ----------
    in_text : Dataset
        As `over_text` returns it.
    weights : Dataset
        ``norm1_gain``, ``norm2_gain`` (layer, channel), and ``position_embedding`` (position, channel)
        unless the model has none.
    share : float
        Of the depths 1 to L at which a channel has to be outsized to be so altogether, and of the layers
        in which its gain has to be an outlier (see `gain_outliers`) to be in a set.

    Returns
    -------
    Dataset
        ``outsized`` (depth, channel), ``outsized_overall`` (channel), ``relative_magnitude`` (depth,
        channel); ``outlier_layers`` (channel_set, channel), the share of layers in which the gain is an
        outlier (NaN for positions); ``in_set`` (channel_set, channel), see `CHANNEL_SETS`. By
        (channel_set, depth): ``n_overlap``, ``n_expected`` by chance, ``p_overlap`` of as many or more by
        chance; the same with ``_overall`` (channel_set). Where the model has no position embedding, or
        its channels make no two groups (see `position_active`), that set is empty and the attribute
        ``position_set`` says why.

    Raises
    ------
    ValueError
        If ``share`` is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is above 0 and at most 1, not {share}")
    first, others = in_text["magnitude_first"].astype(float), in_text["magnitude_others"].astype(float)
    ratio = first / others
    large = first >= among_channels * first.median(CHANNEL)
    outsized = large & (ratio >= among_positions * ratio.median(CHANNEL))
    overall = outsized.isel({DEPTH: slice(1, None)}).mean(DEPTH) >= share

    active, position_set = np.zeros(first.sizes[CHANNEL], bool), "no position embedding"
    if "position_embedding" in weights:
        active, position_set = position_active(weights["position_embedding"])
    outlying = [gain_outliers(weights[name]).mean(LAYER).values for name in NORMS]
    members = np.stack([*(layers >= share for layers in outlying), active])
    sets = xr.DataArray(members, dims=(CHANNEL_SET, CHANNEL), coords={CHANNEL_SET: list(CHANNEL_SETS)})
    layers = sets.copy(data=np.stack([*outlying, np.full(len(active), np.nan)]))
    return _as_float32(
        xr.Dataset(
            {
                "outsized": outsized,
                "outsized_overall": overall,
                "relative_magnitude": ratio,
                "outlier_layers": layers,
                "in_set": sets,
                **_overlap(sets, outsized, ""),
                **_overlap(sets, overall, "_overall"),
            },
            attrs={
                "among_channels": among_channels,
                "among_positions": among_positions,
                "share": share,
                "position_set": position_set,
            },
        )
    )


def _overlap(sets: xr.DataArray, outsized: xr.DataArray, end: str) -> dict[str, xr.DataArray]:
    n_channels = sets.sizes[CHANNEL]
    n_set, n_outsized = sets.sum(CHANNEL), outsized.sum(CHANNEL)
    n_overlap = (sets & outsized).sum(CHANNEL)

    def chance(overlap: np.ndarray, members: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return stats.hypergeom.sf(overlap - 1, n_channels, members, drawn)

    return {
        f"n_overlap{end}": n_overlap,
        f"n_expected{end}": n_set * n_outsized / n_channels,
        f"p_overlap{end}": xr.apply_ufunc(chance, n_overlap, n_set, n_outsized),
    }


# Shared -------------------------------------------------------------------------------------


def _means(
    name: str, values: xr.DataArray, groups: dict[str, np.ndarray], bootstrap: Bootstrap
) -> xr.Dataset:
    values = values.transpose(..., PROMPT)
    return bootstrap.by_category(name, np.mean, values.values, groups, dims=values.dims[:-1])


def _as_float32(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.map(lambda v: v.astype("float32") if v.dtype.kind == "f" else v, keep_attrs=True)
