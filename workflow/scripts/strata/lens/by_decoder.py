"""One question put to every decoder, at whole depths (see `strata.lens.questions`)."""

from collections.abc import Callable, Mapping

import pandas as pd
import xarray as xr

from strata.lens.comparison import at_whole_depths
from strata.lens.names import DECODER
from strata.names import CATEGORY, DEPTH, FACT, LAYER, POSITION, PROMPT, TARGET_ID, TOKEN_ID, TOKEN_STR
from strata.stats.groups import named

Lenses = Mapping[str, xr.Dataset]
"""Name of a decoder to its lens."""

COPYING, REPETITION = "copying", "repetition"
"""Categories: prompts that ask for a word said before, and those of a few words over and over."""


def tokens_of(lenses: Lenses) -> pd.DataFrame:
    """The tokens' coordinates, the same for all decoders; a row each, numbered from 0."""
    first = next(iter(lenses.values()))
    names = (PROMPT, POSITION, CATEGORY, FACT, TOKEN_ID, TOKEN_STR, TARGET_ID)
    return pd.DataFrame({name: first[name].values for name in names})


def by_decoder(lenses: Lenses, ask_one: Callable[[xr.Dataset], xr.Dataset]) -> xr.Dataset:
    """The answers of all decoders, along the dimension ``decoder``."""
    whole = {name: _at_whole_depths(lens) for name, lens in lenses.items()}
    answers = xr.concat([ask_one(lens) for lens in whole.values()], dim=named(DECODER, whole), join="exact")
    depths = next(iter(whole.values()))[DEPTH].values
    coordinates = {DEPTH: depths, LAYER: depths[:-1]}
    return answers.assign_coords({dim: c for dim, c in coordinates.items() if dim in answers.dims})


def _at_whole_depths(lens: xr.Dataset) -> xr.Dataset:
    whole = at_whole_depths(lens)
    return whole.assign_coords({DEPTH: whole[DEPTH].values.astype(int)})
