"""One text through the lens."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from strata.lens.extended import carry_through
from strata.lens.labels import as_dataset, next_tokens
from strata.lens.readout import carry_by, read_activations
from strata.lens.stream import stream_depths
from strata.model.capture import LAYOUT, capture_documents
from strata.model.readout import decoder_from
from strata.names import BEGINNING, CATEGORY, FACT, POSITION, PROMPT, TARGET_ID, TOKEN, TOKEN_ID, TOKEN_STR
from strata.notebook.load import Model, loaded
from strata.notebook.pictured import Pictured, drawn, title
from strata.progress import bar, silent
from strata.text.prompts import PASSAGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOGIT, EXTENDED = DECODERS = ("logit", "extended")
"""The decoders that nothing has to be fitted for."""


class LensDataset(Pictured):
    """What `lens` reads of a text, with its picture."""

    __slots__ = ()

    def figure(
        self,
        window: tuple[int, int] = (0, 24),
        colouring: str = "logit",
        stride: int = 1,
        half_depths: bool = False,
        input_row: bool = True,
    ) -> "Figure":
        """The text, depth by depth: see `strata.figures.lens.draw_grid`."""
        from strata.figures.lens import draw_grid

        prompt = str(self[PROMPT].values[0])
        return drawn(partial(draw_grid, self, prompt, window, colouring, stride, half_depths, input_row))


def lens(
    model: Model | str | Path,
    text: str,
    decoder: str = LOGIT,
    top_k: int = 10,
    *,
    norm: str = "whole",
    last: int | str = 2,
    device: str | None = None,
    dtype: str | None = None,
    progress: bool = True,
) -> LensDataset:
    """Decode every depth of every token of a text (nostalgebraist 2020).

    Parameters
    ----------
    model : what `strata.notebook.load` has loaded; or what it loads: a folder, a ``.gguf`` file, a hub id
    decoder : ``logit`` or ``extended``; the others are fitted on a text, which the pipeline does
    top_k : guesses kept for each depth and token
    norm : ``whole``, the model's final norm; or ``plain``, without its learned gain and bias
    last : of the extended decoder, the blocks at the end that belong to it, or ``mlp``
    device, dtype : of a model that is not loaded yet: ``auto`` and ``float32``, if not given
    progress : whether to show bars

    Returns
    -------
    LensDataset
        With the dims and variables of ``lens/DECODER.nc`` (docs/outputs.md): ``top_id``, ``top_str``,
        ``top_logit``, ``top_logprob`` (depth, token, k), ``entropy``, ``kl_final``, ``kl_input`` (depth,
        token; nat), ranks and log probabilities. ``depth`` is 0, ½, 1, ..., L, of the extended decoder 0, 1,
        ..., L. ``target_id`` (token) is the text's own next token, -1 at its end. ``prompt`` is the text,
        cut to a title's length.

    Raises
    ------
    ValueError
        If the text is empty, or longer than the model has positions for; if decoder, norm or last is none of
        these; if a device or a dtype is given for a model that is loaded.
    OverflowError
        If the model overflows in this dtype.
    ModelUnavailable
        See `strata.notebook.load.load`.
    """
    if decoder not in DECODERS:
        raise ValueError(
            f"decoder is {' or '.join(DECODERS)}, not {decoder!r}: those that are fitted on a text are the "
            "pipeline's, and strata.open(MODEL, 'lens/DECODER') has what they read"
        )
    model, show = loaded(model, device, dtype, progress), bar if progress else silent
    activations = _activations(model, text)
    prompts = pd.DataFrame([{"id": title(text), TARGET_ID: -1, CATEGORY: PASSAGES, FACT: title(text)}])
    n_layers, is_logit = model.parts.n_layers, decoder == LOGIT
    depths = stream_depths(n_layers, half_depths=is_logit)
    if is_logit:
        carry = carry_by(n_layers=n_layers, depths=depths)
    else:
        carry = carry_through(model.parts, last, depths=depths)
    fields = read_activations(
        activations,
        decoder_from(model.weights, norm).to(model.parts.device),
        carry,
        targets := next_tokens(activations, prompts),
        top_k,
        rank_guesses=is_logit,
        half_depths=is_logit,
        progress=show,
    )
    dataset = as_dataset(fields, activations, targets, model.weights[TOKEN_STR].values, prompts)
    return LensDataset.of(dataset.assign_attrs(decoder=decoder, norm=norm, model=model.source))


def _activations(model: Model, text: str) -> xr.Dataset:
    """The stream and what attention adds in one run, labelled as in ``activations.h5``.

    Raises
    ------
    ValueError
        See `lens`.
    """
    ids = model.tokenizer.encode(text)
    n, n_beginning = len(ids), len(model.tokenizer.beginning)
    if n == n_beginning:
        raise ValueError("the text is empty")
    [(_, kept)] = capture_documents(model.parts, [ids], ("resid", "attn_out"), names=["the text"])
    return xr.Dataset(
        {name: (LAYOUT[name], values) for name, values in kept.items()},
        coords={
            PROMPT: (TOKEN, np.full(n, title(text), object)),
            POSITION: (TOKEN, np.arange(n)),
            BEGINNING: (TOKEN, np.arange(n) < n_beginning),
            TOKEN_ID: (TOKEN, ids),
            TOKEN_STR: (TOKEN, model.tokenizer.strings(ids)),
        },
    )
