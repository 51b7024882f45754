"""Traces of many prompts as one labelled dataset, as averages and figures read it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import (
    CATEGORY,
    FACT,
    NOISE,
    POSITION,
    PROMPT,
    SAMPLE,
    TARGET,
    TARGET_ID,
    TOKEN_STR,
)
from strata.share import GROUP
from strata.text.prompts import accepted
from strata.trace.measures import KL_CLEAN, LOGIT_DIFFERENCE, LOGP_SET, LOGP_TARGET, LOGP_WHOLE, MEASURES
from strata.trace.names import N_TOKENS, SUBJECT_POSITION, SUBJECT_START
from strata.trace.sweep import Trace

COMPRESSED = {"zlib": True, "complevel": 1}

VALUES = 2**20
"""Of one measure that are in memory at once: 4 MB."""


def traceable(prompts: pd.DataFrame) -> pd.DataFrame:
    """The accepted prompts that have a subject and a target.

    Raises
    ------
    ValueError
        If there is none: the model completes no prompt as it should.
    """
    return accepted(prompts[prompts[TARGET_ID] >= 0])


VARIABLES = {
    LOGP_TARGET: ("p_target", "p_corrupted", "p_clean"),
    LOGIT_DIFFERENCE: ("logit_difference", "logit_difference_corrupted", "logit_difference_clean"),
    KL_CLEAN: ("kl_clean", "kl_clean_corrupted", None),
    LOGP_SET: ("p_set", "p_set_corrupted", "p_set_clean"),
    LOGP_WHOLE: ("p_whole", "p_whole_corrupted", "p_whole_clean"),
}
"""Variables of each measure: of restored, corrupted and clean runs. The clean run's KL is 0."""


@dataclass(frozen=True)
class Frame:
    """What all prompts have room in: noise levels, samples of each, and tokens."""

    noises: list[str]
    n_samples: int
    width: int

    def together(self, n_sites: int) -> int:
        """How many prompts are traced together, a group.

        Depends on nothing but what all prompts have room in: groups of some are groups of all.
        """
        each = len(self.noises) * self.n_samples * self.width * n_sites
        return max(1, min(GROUP, VALUES // each))

    @classmethod
    def of(
        cls,
        labels: Iterable[Sequence[tuple[str, int]]],
        token_strings: Sequence[Sequence[str]],
        levels: Mapping[str, float],
    ) -> "Frame":
        """Of the levels and samples of every prompt, and their tokens."""
        found = {label for own in labels for label in own}
        noises = [*levels, *sorted({noise for noise, _ in found} - set(levels))]
        return cls(noises, 1 + max(sample for _, sample in found), max(map(len, token_strings)))


def as_dataset(
    traces: Sequence[Trace],
    prompts: pd.DataFrame,
    token_strings: Sequence[Sequence[str]],
    levels: Mapping[str, float],
    dim: str,
    frame: Frame | None = None,
) -> xr.Dataset:
    """Label the traces of many prompts, padded with NaN to the longest.

    A prompt with fewer corrupted versions than others (subjects to put in its subject's place run
    out) has NaN in the samples that it lacks. The padding is compressed where the dataset is written.

    Parameters
    ----------
    traces : a trace for each row of ``prompts``
    token_strings : (prompt, position)
    levels : mapping
        Name of a noise level to its standard deviation.
    dim : str
        ``depth`` or ``layer``: `strata.trace.sites.Restoration.dim`.
    frame : Frame, optional
        Of more prompts than these.

    Returns
    -------
    xr.Dataset
        ``p_target`` (prompt, noise, sample, depth or layer, position), ``p_corrupted`` (prompt, noise,
        sample), ``p_clean`` (prompt): probabilities of the target's first token. Likewise
        ``logit_difference``, ``logit_difference_corrupted``, ``logit_difference_clean``: its logit less
        that of the clean run's best other token (coordinate ``alternative_id``); ``kl_clean``,
        ``kl_clean_corrupted``: KL(clean ‖ run), nats; ``p_set``, ``p_set_corrupted``, ``p_set_clean``:
        summed probability of a prompt's named set of completions, NaN where it names none; ``p_whole``,
        ``p_whole_corrupted``, ``p_whole_clean``: that of the whole target, if it was followed. Coordinate
        ``noise_sd`` (noise): standard deviation of the noise, NaN where subjects are replaced.
    """
    frame = frame or Frame.of([trace.labels for trace in traces], token_strings, levels)
    noises, width, n_sites = frame.noises, frame.width, traces[0].restored.shape[2]
    by_sample = (len(traces), len(noises), frame.n_samples)

    variables = {}
    measured = [*MEASURES, LOGP_WHOLE][: len(traces[0].clean)]
    for index, measure in enumerate(measured):
        restored, corrupted, clean = VARIABLES[measure]
        sites = np.full((*by_sample, n_sites, width), np.nan, np.float32)
        runs = np.full(by_sample, np.nan, np.float32)
        for prompt, trace in enumerate(traces):
            noise, sample = zip(
                *((noises.index(level), sample) for level, sample in trace.labels), strict=True
            )
            sites[prompt, noise, sample, :, : trace.restored.shape[-1]] = trace.restored[index]
            runs[prompt, noise, sample] = trace.corrupted[index]
        ends = np.array([trace.clean[index] for trace in traces])
        in_unit = np.exp if measure in (LOGP_TARGET, LOGP_SET, LOGP_WHOLE) else np.asarray
        variables[restored] = ((PROMPT, NOISE, SAMPLE, dim, POSITION), in_unit(sites), {}, COMPRESSED)
        variables[corrupted] = ((PROMPT, NOISE, SAMPLE), in_unit(runs))
        if clean:
            variables[clean] = (PROMPT, in_unit(ends))

    strings = np.full((len(traces), width), "", object)
    for prompt, tokens in enumerate(token_strings):
        strings[prompt, : len(tokens)] = tokens
    numbers = (SUBJECT_START, SUBJECT_POSITION, N_TOKENS)
    texts = (CATEGORY, FACT, TARGET, "top_str")
    return xr.Dataset(
        variables,
        coords={
            PROMPT: prompts["id"].to_numpy(dtype=object),
            NOISE: np.array(noises, dtype=object),
            "noise_sd": (NOISE, [levels.get(noise, np.nan) for noise in noises]),
            dim: np.arange(n_sites),
            TOKEN_STR: ((PROMPT, POSITION), strings),
            "alternative_id": (PROMPT, [trace.alternative_id for trace in traces]),
            **{name: (PROMPT, prompts[name].to_numpy()) for name in numbers},
            **{name: (PROMPT, prompts[name].to_numpy(dtype=object)) for name in texts},
        },
    )


def after_prefix(
    prompts: pd.DataFrame, ids: Sequence[Sequence[int]], prefix: Sequence[int], n_beginning: int = 0
) -> tuple[pd.DataFrame, list[list[int]]]:
    """The same prompts with some tokens before each: rows of ``prompts.tsv``, and token ids.

    The ``n_beginning`` tokens that stand before every text stand before the prefix.

    What stands at the first position then is not the prompt's own, so that noise on a subject near
    the beginning cannot disturb the attention sink there.
    """
    moved = {name: prompts[name] + len(prefix) for name in (SUBJECT_START, SUBJECT_POSITION, N_TOKENS)}
    return prompts.assign(**moved), [[*own[:n_beginning], *prefix, *own[n_beginning:]] for own in ids]
