"""What a model leaves of one text, and its own readout, as scripts find them in files."""

import numpy as np
import torch
import xarray as xr

from strata.model.capture import LAYOUT, by_token, capture
from strata.model.readout import decoder_from
from strata.model.weights import weights


def activations_of(parts, ids):
    """The residual stream and what sub-blocks add, of one prompt ``p``."""
    [taken] = by_token(capture(parts, torch.tensor([ids])))
    kept = {name: (LAYOUT[name], taken[name]) for name in ("resid", "attn_out", "mlp_out")}
    of_token = {"prompt": ("token", np.full(len(ids), "p", object)), "token_id": ("token", ids)}
    return xr.Dataset(kept, coords=of_token)


def decoder_of(parts):
    """The model's own final norm and unembedding."""
    return decoder_from(weights(parts.model, lambda ids: [f"t{i}" for i in ids]))
