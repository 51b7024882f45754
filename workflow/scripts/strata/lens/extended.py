"""The extended decoder: the last blocks as part of what decodes (nostalgebraist 2020, extension).

If the decoder is the last n blocks, the final norm and the unembedding, then a hidden state is
decoded by running it through those blocks, as if the blocks in between were not there. Blocks attend,
so they are run in context: over the states of all positions of a prompt at that depth, under the
causal mask. With "mlp" the decoder begins half-way through the last block: it adds the last MLP (its
norm before it) and nothing else. The attention of that block then belongs to the model, not to the
decoder, and from half-depth L - ½ on the readout is the model's own.

Depths beyond the decoder's beginning lie within it. What it does from there is what the model does:
their readout is the final one.
"""

import numpy as np
import torch
from torch import Tensor

from strata.lens.readout import Carry
from strata.lens.stream import stream_depths
from strata.model.architecture import Parts, changed

MLP = "mlp"


def first_depth(n_layers: int, last: int | str) -> float:
    """The depth at which the decoder begins.

    Raises
    ------
    ValueError
        If ``last`` is neither ``mlp`` nor a number of blocks that the model has.
    """
    if last == MLP:
        return n_layers - 0.5
    if not isinstance(last, int) or not 0 <= last <= n_layers:
        raise ValueError(f"the extended decoder takes 0 to {n_layers} blocks or {MLP!r}, not {last!r}")
    return float(n_layers - last)


def carry_through(
    parts: Parts, last: int | str, max_rows: int = 4096, depths: np.ndarray | None = None
) -> Carry:
    """What the extended decoder does before the norm.

    Parameters
    ----------
    last : whole blocks in the decoder, or ``mlp`` for the last MLP alone
    max_rows : hidden states that go through a block at once
    depths : (depth) of the stream, the last one L; those of `stream_depths`, if not given

    Returns
    -------
    Carry
        Of the stream, what lies within the decoder is given its end; what sub-blocks add is taken
        as a state, and run.

    Raises
    ------
    ValueError
        If the decoder is impossible, or ``mlp`` for a model whose MLPs run parallel to its attention.
    """
    begin = first_depth(parts.n_layers, last)
    if last == MLP and parts.parallel:
        raise ValueError("this model's MLPs run parallel to its attention: no decoder begins between them")
    before = (stream_depths(parts.n_layers) if depths is None else depths) <= begin

    @torch.inference_mode()
    def carry(stream: Tensor, updates: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
        carried = stream[-1].expand_as(stream).clone()
        carried[before] = _in_context(parts, stream[before], lengths, last, max_rows)
        return carried, _in_context(parts, updates, lengths, last, max_rows) if len(updates) else updates

    return carry


def _in_context(parts: Parts, states: Tensor, lengths: list[int], last: int | str, max_rows: int) -> Tensor:
    """Run states (state, token, channel) of whole prompts through the decoder's blocks."""
    prompts = [
        torch.cat([_run(parts, rows, last) for rows in prompt.split(max(1, max_rows // prompt.shape[1]))])
        for prompt in states.split(lengths, 1)
    ]
    return torch.cat(prompts, 1)


def _run(parts: Parts, states: Tensor, last: int | str) -> Tensor:
    """The same for states (row, position, channel) of one prompt."""
    hidden = states.to(parts.device, parts.model.dtype)
    if last == MLP:
        # The last block without its attention.
        alone = torch.zeros_like if not parts.post_norm else lambda normed: hidden
        with changed(parts.halfway[-1], alone):
            hidden = parts.run_block(parts.n_layers - 1, hidden, 0)
    else:
        for layer in range(parts.n_layers - last, parts.n_layers):
            hidden = parts.run_block(layer, hidden, 0)
    return hidden.to(states)
