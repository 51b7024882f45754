"""What the lens reads out of all prompts, or of a share of them, labelled, a piece at a time."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from strata.lens.labels import as_dataset, demanded_words, next_tokens
from strata.lens.readout import Carry, pieces_of, read_pieces
from strata.model.readout import LogitDecoder
from strata.names import TOKEN
from strata.pieces import Pieces
from strata.progress import Progress, silent
from strata.share import ALL, Share


def read_labelled(
    name: str,
    activations: xr.Dataset,
    prompts: pd.DataFrame,
    decoder: LogitDecoder,
    carry: Carry,
    vocabulary: np.ndarray,
    *,
    top_k: int,
    norm: str,
    updates: bool = False,
    stream: bool = False,
    share: Share = ALL,
    progress: Progress = silent,
) -> Pieces:
    """Decode prompts' stream, or what sub-blocks add to it, as `strata.lens.labels.as_dataset` labels it.

    Pieces are cut from all prompts before shares are, so that no digit depends on how many shares there are.

    Parameters
    ----------
    name : of the decoder; ``norm``: which it has
    activations, top_k, updates, progress : see `strata.lens.readout.read_pieces`
    prompts : as `strata.io.read_prompts` reads them
    vocabulary : the tokens' strings
    stream : whether half-depths are read too, and every depth's guess is followed
    share : of the pieces, which is read
    """
    targets, words = next_tokens(activations, prompts), demanded_words(activations, prompts)
    cut = pieces_of(activations)
    rows = share.rows(len(cut), 1)
    cut = cut[rows.start : rows.stop]

    def each() -> Iterator[dict[str, xr.Dataset]]:
        how = {"rank_guesses": stream, "half_depths": stream, "word_ids": words}
        how |= {"cut": cut, "progress": progress}
        for at, fields in read_pieces(activations, decoder, carry, targets, top_k, updates, **how):
            piece = activations.isel({TOKEN: at})
            labelled = as_dataset(fields, piece, targets[at], vocabulary, prompts, updates)
            yield {name: labelled.assign_attrs(decoder=name, norm=norm)}

    n_tokens = sum(prompt.stop - prompt.start for piece in cut for prompt in piece)
    return Pieces([name], TOKEN, n_tokens, each())
