"""What the logit lens's author and readers asked (nostalgebraist 2020), answered with numbers.

Every question is put to every decoder, at whole depths: between two of them a readout may lack the
block's MLP, and "how many blocks does it take" has a whole answer. Unless said otherwise a prompt is the
unit, its value the mean over its tokens, and an interval comes from drawing again what prompts ask, their
facts. A depth that does not exist (a target that never arrives) is left out of a mean and counted.

Each answer is a Dataset in which ``x`` has its interval's ends in ``x_low`` and ``x_high`` (NaN for too
few units) and the number of its units in ``x_n``. Dims: ``decoder``; ``category``, all prompts
together ("all") and each category; ``depth``, 0 to L; and those named. Ranks count from 0, and their
logarithm is log10(rank + 1). Where a value by depth, ``x``, is also given as ``x_overall``, that is of the
mean over depths 1 to L: at depth 0 the input stands unchanged.
"""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from strata.lens.comparison import at_whole_depths, check_comparable
from strata.lens.questions_of_endings import endings
from strata.lens.questions_of_input import commas, first_instance, input_kept
from strata.lens.questions_of_output import first_block, prediction_depth, repetition, target_depth
from strata.names import DEPTH
from strata.stats.bootstrap import Bootstrap


def ask(
    lenses: Mapping[str, xr.Dataset],
    prompts: pd.DataFrame,
    counts: pd.Series | None,
    *,
    resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Put every question to every decoder.

    Parameters
    ----------
    lenses : mapping
        Name of a decoder to its lens (depth, token, k), all over the same tokens. Whole depths are asked.
    prompts : DataFrame
        As `strata.io.read_prompts` reads it.
    counts : Series or None
        How often each token of the vocabulary was met in training, by token id; None where nobody
        knows: what is asked of frequencies is then not answered.
    resamples, interval, seed
        See `Bootstrap`.

    Returns
    -------
    Dataset
        What `input_kept`, `commas` and `first_instance` of `strata.lens.questions_of_input` return, and
        `first_block`, `target_depth`, `repetition` and `prediction_depth` of `.questions_of_output`; where a
        text demands a word, `endings` of `.questions_of_endings`. Attributes: ``interval`` and the lenses'
        ``norm``.

    Raises
    ------
    ValueError
        If decoders were read out on different tokens, at different depths or with different norms, a
        token is not in ``counts``, a category is called "all", or an argument is impossible.
    """
    bootstrap = Bootstrap(resamples, interval, seed)
    lenses = {name: at_whole_depths(lens) for name, lens in lenses.items()}
    check_comparable(lenses, DEPTH)
    parts = [
        first_block(lenses, bootstrap),
        commas(lenses, bootstrap),
        target_depth(lenses, prompts, bootstrap),
        repetition(lenses, bootstrap),
        prediction_depth(lenses, bootstrap),
    ]
    if counts is not None:
        parts += [
            input_kept(lenses, counts, bootstrap),
            first_instance(lenses, prompts, counts, bootstrap),
        ]
    first = next(iter(lenses.values()))
    if "logprob_word" in first:
        parts.append(endings(lenses, prompts, bootstrap))
    norm = first.attrs["norm"]
    return xr.merge(parts, join="exact", compat="no_conflicts").assign_attrs(norm=norm, interval=interval)
