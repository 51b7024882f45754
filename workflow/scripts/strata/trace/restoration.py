"""Statistics of causal traces: how much of the answer one restored state brings back.

A trace gives the target's probability ``p`` with one state put back in the corrupted run (ROME,
Meng et al. 2022, section 2). Normalised, 0 is the corrupted run and 1 the clean one:

    restoration = (mean p - mean p_corrupted) / (p_clean - mean p_corrupted)

with means over the noise samples of one prompt (those it has: where there are fewer subjects to put
in the place of its own than draws of noise, the rest is NaN). It is a ratio of means, not a mean of ratios: a
single sample in which the noise did little has a denominator near zero and would swamp the rest.
Other measures of the answer (`MEASURES`) are normalised likewise. Prompts count equally in a
category's average. A prompt whose noise takes away less than ``min_gap`` of its clean value is left
out (``included``), since there is nothing to restore.

What is restored is a state, indexed by depth, or the output of a window of layers, indexed by layer.
"""

from dataclasses import dataclass

import xarray as xr

from strata.names import CATEGORY, DEPTH, LAYER, NOISE, POSITION, PROMPT, SAMPLE, SITE
from strata.stats.draws import check_resampling
from strata.stats.groups import named
from strata.trace.names import N_TOKENS, SUBJECT_POSITION, SUBJECT_START


@dataclass(frozen=True)
class Measure:
    """Where a trace keeps the clean and corrupted values of a measure of the answer.

    ``clean`` is None where the clean value is 0 by definition; the probability of the target then
    decides which prompts are left out.
    """

    label: str
    clean: str | None
    corrupted: str


PROBABILITY = "p_target"
MEASURES = {
    PROBABILITY: Measure("probability of the target", "p_clean", "p_corrupted"),
    "logit_difference": Measure(
        "logit above the clean top alternative",
        "logit_difference_clean",
        "logit_difference_corrupted",
    ),
    "kl_clean": Measure("KL from the clean distribution", None, "kl_clean_corrupted"),
    "p_set": Measure("probability of the named completions", "p_set_clean", "p_set_corrupted"),
    "p_whole": Measure("probability of the whole target", "p_whole_clean", "p_whole_corrupted"),
}
SUBJECT, FINAL = SITES = ("subject", "final")
PIECE = 64  # prompts whose values at all positions are in memory at once


def corrupted_gap(trace: xr.Dataset, measure: str = PROBABILITY) -> xr.DataArray:
    """What the noise takes away, clean - mean corrupted, (prompt, noise), in the measure's unit."""
    with xr.set_options(arithmetic_join="exact"):
        return clean_values(trace, measure) - corrupted_values(trace, measure).mean(SAMPLE)


def taken_share(trace: xr.Dataset, measure: str = PROBABILITY) -> xr.DataArray:
    """Share of the clean value that each draw of noise takes away, (prompt, noise, sample).

    Of a measure whose clean value is 0, the share of the target's probability.
    """
    if MEASURES[measure].clean is None:
        measure = PROBABILITY
    with xr.set_options(arithmetic_join="exact"):
        clean = clean_values(trace, measure)
        return ((clean - corrupted_values(trace, measure)) / clean).transpose(PROMPT, NOISE, SAMPLE)


def included(trace: xr.Dataset, min_gap: float, measure: str = PROBABILITY) -> xr.DataArray:
    """Whether the noise takes at least ``min_gap`` of the clean value, (prompt, noise).

    Raises
    ------
    ValueError
        If ``min_gap`` is not a share above 0 and at most 1.
    """
    if not 0 < min_gap <= 1:
        raise ValueError(f"min_gap is a share of the clean probability in (0, 1], not {min_gap}")
    return taken_share(trace, measure).mean(SAMPLE) >= min_gap


def normalise(trace: xr.Dataset, min_gap: float, measure: str = PROBABILITY) -> xr.DataArray:
    """Restoration of every site of every prompt, a ratio of sample means.

    Parameters
    ----------
    trace : Dataset
        ``p_target`` (prompt, noise, sample, depth or layer, position), ``p_clean`` (prompt) and
        ``p_corrupted`` (prompt, noise, sample), where one sample is one draw of noise in both; or
        the variables of another measure.
    min_gap : float
        Share of the clean value that the noise must take away, in (0, 1].
    measure : str
        A key of `MEASURES`.

    Returns
    -------
    DataArray (prompt, noise, depth or layer, position)
        No unit; NaN for excluded prompts, before the subject and after the prompt's end.
    """
    with xr.set_options(arithmetic_join="exact"):
        lift = (trace[measure].astype(float) - corrupted_values(trace, measure)).mean(SAMPLE)
        return lift / corrupted_gap(trace, measure).where(included(trace, min_gap, measure))


def still_guessed(trace: xr.Dataset) -> xr.Dataset:
    """A trace of states without the values of prompts whose clean run guesses another token than the target.

    After a prefix, say: what is restored there is not the answer any more. ``still_guessed`` (prompt)
    says which have kept theirs.
    """
    kept = (trace["logit_difference_clean"] > 0).reset_coords(drop=True)
    values = {name: trace[name].where(kept) for name in ("p_corrupted", "p_clean")}
    return trace.assign(values).assign_coords(still_guessed=kept)


def traced_everywhere(trace: xr.Dataset) -> xr.Dataset:
    """The noise levels of a trace at which tokens between subject and final token are traced, of some prompts
    at least, and the prompts of which none is left out there.
    """
    position = xr.DataArray(range(trace.sizes[POSITION]), dims=POSITION)
    asked = (position >= trace[SUBJECT_START]) & (position < trace[N_TOKENS]) & trace["p_corrupted"].notnull()
    others = [dim for dim in trace["p_target"].dims if dim not in (NOISE, PROMPT)]
    whole = ~(asked & trace["p_target"].isnull()).any(others)
    inside = (position > trace[SUBJECT_POSITION]) & (position < trace[N_TOKENS] - 1)
    telling = inside.any(POSITION)
    levels = (whole & telling).any(PROMPT).values | (not telling.any())
    return trace.isel({NOISE: levels, PROMPT: whole.isel({NOISE: levels}).all(NOISE).values})


def at_sites(values: xr.DataArray, trace: xr.Dataset) -> xr.DataArray:
    """``values`` (prompt, ..., position) at the subject and at the final token: (prompt, ..., site)."""
    where = {SUBJECT: trace[SUBJECT_POSITION], FINAL: trace[N_TOKENS] - 1}
    positions = [position.reset_coords(drop=True) for position in where.values()]
    return at_position(values, xr.concat(positions, dim=named(SITE, where), join="exact"))


def depth_or_layer(values: xr.Dataset | xr.DataArray, variable: str | None = None) -> str:
    """Which of the two indexes the sites: states are by depth, windows of layers by layer."""
    dims = values.dims if variable is None else values[variable].dims
    return LAYER if LAYER in dims else DEPTH


def clean_values(trace: xr.Dataset, measure: str) -> xr.DataArray:
    """The measure in the clean run, (prompt) or 0 without dims."""
    name = MEASURES[measure].clean
    return xr.DataArray(0.0) if name is None else trace[name].astype(float)


def corrupted_values(trace: xr.Dataset, measure: str) -> xr.DataArray:
    """The measure in the corrupted runs, (prompt, noise, sample)."""
    return trace[MEASURES[measure].corrupted].astype(float)


def at_position(values: xr.DataArray, position: xr.DataArray) -> xr.DataArray:
    """``values`` (prompt, ..., position) at one position of each prompt, or at several (prompt, ...).

    Of values that are not loaded, some prompts' are at a time.
    """
    values = values.reset_coords(drop=True).drop_vars(POSITION, errors="ignore")
    position = position.astype(int).reset_coords(drop=True)
    pieces = [{PROMPT: slice(start, start + PIECE)} for start in range(0, values.sizes[PROMPT], PIECE)]
    picked = [values.isel(piece).load().isel({POSITION: position.isel(piece)}) for piece in pieces]
    return xr.concat(picked, dim=PROMPT, join="exact")


def noise_coords(trace: xr.Dataset) -> dict[str, xr.DataArray]:
    """What the trace says of its noise levels, (noise)."""
    return {name: coord for name, coord in trace.coords.items() if coord.dims == (NOISE,)}


def check_trace(trace: xr.Dataset, measure: str, n_resamples: int, interval: float) -> None:
    """Refuse a trace that cannot be averaged, or impossible options.

    Raises
    ------
    ValueError
        If the measure is not known, a dimension is missing, or an argument is impossible.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure is one of {', '.join(MEASURES)}, not {measure!r}")
    variables = MEASURES[measure]
    axis = depth_or_layer(trace, measure) if measure in trace else DEPTH
    needed = {
        measure: (PROMPT, NOISE, SAMPLE, axis, POSITION),
        variables.corrupted: (PROMPT, NOISE, SAMPLE),
        variables.clean: (PROMPT,),
        CATEGORY: (PROMPT,),
        SUBJECT_POSITION: (PROMPT,),
        N_TOKENS: (PROMPT,),
    }
    for name, dims in needed.items():
        found = trace[name].dims if name in trace else None
        if name is not None and (found is None or set(found) != set(dims)):
            raise ValueError(f"the trace's {name} must have dims {dims}, found {found}")
    check_resampling(n_resamples, interval)
