"""The lens in shards: whatever their number and order, what is gathered of them is the file made at once."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from strata.lens import labelled
from strata.lens.labelled import read_labelled
from strata.lens.readout import carry_by, pieces_of
from strata.lens.stream import stream_depths
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder
from strata.pieces import gather, write_pieces
from strata.share import ALL, Share

LENGTHS = [3, 5, 2, 4, 6]
LAYERS, WIDTH, VOCAB = 2, 8, 200
PIECE = 7 * 4 * (4 * LAYERS + 1) * WIDTH
"""Bytes of the states of seven tokens."""


@pytest.fixture
def given():
    """What all is read of: every thing that `read_labelled` takes before its options."""
    rng = np.random.default_rng(0)
    names, dims = [f"p{n}" for n in range(len(LENGTHS))], ("token", "channel")
    of_layers = {name: ("layer", LAYERS) for name in ("attn_out", "mlp_out")}
    states = {
        name: ((along, *dims), rng.standard_normal((n, sum(LENGTHS), WIDTH)).astype("float32"))
        for name, (along, n) in ({"resid": ("depth", LAYERS + 1)} | of_layers).items()
    }
    coords = {
        "prompt": ("token", np.repeat(names, LENGTHS).astype(object)),
        "position": ("token", np.concatenate([np.arange(n) for n in LENGTHS])),
        "token_id": ("token", rng.integers(VOCAB, size=sum(LENGTHS))),
    }
    columns = {"category": "c", "fact": names, "target_id": [1, -1, 2, 3, -1], "accepted": True}
    prompts = pd.DataFrame({"id": names, **columns, "demands": "", "pair": ""})
    torch.manual_seed(0)
    decoder = LogitDecoder(Norm("rms", torch.ones(WIDTH), None, 1e-5), torch.randn(VOCAB, WIDTH))
    vocabulary = np.array(["w" * (1 + n % 9) for n in range(VOCAB)], dtype=object)
    carry = carry_by(n_layers=LAYERS, depths=stream_depths(LAYERS))
    return xr.Dataset(states, coords), prompts, decoder, carry, vocabulary


def write(given, path, share=ALL, shard=False):
    found = read_labelled("logit", *given, top_k=3, norm="whole", stream=True, share=share)
    write_pieces(found, {"logit": path}, shard, model={"name": "tiny"})


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_gathered_shards_are_the_file_made_at_once(given, tmp_path, monkeypatch, n):
    """Four pieces, one of two prompts; of seven shards some are empty."""
    monkeypatch.setattr(labelled, "pieces_of", lambda activations: pieces_of(activations, PIECE))
    monkeypatch.chdir(tmp_path)
    assert [len(piece) for piece in pieces_of(given[0], PIECE)] == [1, 2, 1, 1]
    write(given, "logit.nc")
    expected = (tmp_path / "logit.nc").read_bytes()
    shards = [f"{number}.nc" for number in range(n)]
    for number in reversed(range(n)):
        write(given, shards[number], Share(number, n), shard=True)
    gather(shards, "logit.nc")
    assert (tmp_path / "logit.nc").read_bytes() == expected
