"""The parts of a model, found once; everything else in Strata asks `find_parts`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from strata.model.calls import BlockCalls
from strata.model.families import Family, UnknownArchitecture, family_of
from strata.model.tree import read_tree
from strata.names import HEAD, NEURON
from strata.products import product


@dataclass(frozen=True)
class Parts:
    """The parts of one model, per layer where they belong to a block. What a model lacks is None or empty.

    ``position_embedding`` is None where positions are rotary, a bias, or a fixed function. ``attentions``
    return their patterns; ``attention_outs``, ``mlp_outs``: the modules whose output is added to the
    residual stream, times ``residual_scale``. ``mlps``: the modules that what an MLP reads enters;
    ``activations``: the pointwise functions inside. ``attention_values``, ``mlp_values``: the last linear
    maps; what heads make of what they attend to enters the former side by side.
    ``project_in``, ``project_out``: between the embeddings' channels and the stream's. Logits are multiplied
    by ``logit_scale``, and held within ± ``logit_cap`` by a tanh. ``post_norm``: see
    `strata.model.families.Family`.
    """

    model: PreTrainedModel
    token_embedding: nn.Embedding
    blocks: Sequence[nn.Module]
    attentions: Sequence[nn.Module]
    mlps: Sequence[nn.Module]
    attention_outs: Sequence[nn.Module]
    mlp_outs: Sequence[nn.Module]
    attention_values: Sequence[nn.Module]
    mlp_values: Sequence[nn.Module]
    final_norm: nn.Module
    unembedding: nn.Linear
    norm1s: Sequence[nn.Module] = ()
    norm2s: Sequence[nn.Module] = ()
    activations: Sequence[nn.Module] = ()
    position_embedding: nn.Embedding | None = None
    position_offset: int = 0
    project_in: nn.Linear | None = None
    project_out: nn.Linear | None = None
    post_norm: bool = False
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    logit_cap: float | None = None

    @property
    def device(self) -> torch.device:
        """Where states are kept: where the token embedding runs, whatever devices blocks are spread over."""
        embedding = self.token_embedding
        spread = getattr(getattr(embedding, "_hf_hook", None), "execution_device", None)
        return embedding.weight.device if spread is None else torch.device(spread)

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def n_heads(self) -> int:
        return self.model.config.get_text_config().num_attention_heads

    @property
    def n_channels(self) -> int:
        """Of the residual stream; token embeddings may have fewer."""
        if self.project_in is not None:
            return self.project_in.out_features
        return self.token_embedding.embedding_dim

    @property
    def position_rows(self) -> Tensor | None:
        """The position embedding (position, channel), from the first position on; a view."""
        return self.position_embedding and self.position_embedding.weight[self.position_offset :]

    @cached_property
    def parallel(self) -> bool:
        """Whether a block's MLP reads what enters the block rather than what its attention leaves."""
        read: list[Tensor] = []
        keep = self.mlps[0].register_forward_pre_hook(lambda module, args: read.append(args[0].clone()))
        try:
            hidden = self.embed(torch.zeros(1, 2, dtype=torch.long, device=self.device))
            self.run_block(0, hidden, 0)
            in_full = read[-1]
            with changed(self.attention_outs[0], torch.zeros_like):
                self.run_block(0, hidden, 0)
        finally:
            keep.remove()
        return torch.equal(in_full, read[-1])

    @property
    def halfway(self) -> Sequence[nn.Module]:
        """The modules whose output the state after attention hangs on and nothing else in a block does.

        It is attention's part of the sum, or, where a norm acts on the sum, the state itself.
        """
        return self.norm1s if self.post_norm else self.attention_outs

    def sub_blocks(self, part: str) -> Sequence[nn.Module]:
        """The modules whose output MLPs or attentions add, by layer: ``part`` is "mlp" or "attn"."""
        return {"mlp": self.mlp_outs, "attn": self.attention_outs}[part]

    def last_maps(self, piece: str) -> Sequence[nn.Module]:
        """The last linear maps of attentions or MLPs, by layer, that a "head" or a "neuron" enters."""
        return {HEAD: self.attention_values, NEURON: self.mlp_values}[piece]

    @torch.no_grad()
    def embed(self, input_ids: Tensor) -> Tensor:
        """What enters block 0: depth 0 of the residual stream.

        Parameters
        ----------
        input_ids : (row, position)

        Returns
        -------
        Tensor (row, position, channel)
        """
        entered: list[Tensor] = []

        def keep(module, args, kwargs):
            entered.append(entering(args, kwargs).clone())
            raise _Entered

        handle = self.blocks[0].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            with suppress(_Entered):
                self.model.base_model(input_ids=input_ids, use_cache=False)
        finally:
            handle.remove()
        return entered[0]

    @cached_property
    def _calls(self) -> BlockCalls:
        return BlockCalls(self.model, self.blocks)

    def run_block(self, layer: int, hidden: Tensor, start: int, past: "Past | None" = None) -> Tensor:
        """Run one block on hidden states of positions ``start``, ``start`` + 1, ..., as the model would.

        Parameters
        ----------
        hidden : (row, position, channel)
        start : int
            Position of the first of them in the prompt.
        past : Past, optional
            Keys and values of the positions before ``start``; required when ``start`` > 0.

        Returns
        -------
        Tensor (row, position, channel): the hidden states one depth further.
        """
        n_rows, length, _ = hidden.shape
        args, kwargs = self._calls.of(layer, start, length, n_rows, past)
        return leaving(self.blocks[layer](hidden, *args, **kwargs)).to(hidden.device)

    def normed(self, states: Tensor) -> Tensor:
        """What the unembedding is given of final states (..., channel)."""
        states = self.final_norm(states)
        return states if self.project_out is None else self.project_out(states)

    def logits(self, states: Tensor) -> Tensor:
        """What the model makes of final states (..., channel), before the final norm: (..., vocab)."""
        return self._finished(self.unembedding(self.normed(states)).to(states.device))

    def logits_by_piece(self, states: Tensor, size: int) -> Iterator[tuple[slice, Tensor]]:
        """The same of final states (row, channel), of ``size`` entries of the vocabulary at a time, float32.

        Where the unembedding is not in memory, of all of them at once.
        """
        weight, bias = self.unembedding.weight, self.unembedding.bias
        size = len(weight) if weight.is_meta else size
        rows = self.normed(states)
        for start in range(0, len(weight), size):
            piece = slice(start, min(start + size, len(weight)))
            if weight.is_meta:
                logits = self.unembedding(rows)
            else:
                logits = product(rows.to(weight.device), weight[piece], None if bias is None else bias[piece])
            yield piece, self._finished(logits.to(states.device)).float()

    def _finished(self, logits: Tensor) -> Tensor:
        if self.logit_scale != 1:
            logits = logits * self.logit_scale
        if self.logit_cap is not None:
            logits = self.logit_cap * torch.tanh(logits / self.logit_cap)
        return logits


class _Entered(Exception):
    """The first block has been called."""


def entering(args: tuple, kwargs: dict) -> Tensor:
    """The hidden states that a block is called with."""
    return args[0] if args else kwargs["hidden_states"]


def leaving(output: Tensor | tuple) -> Tensor:
    """The hidden states that a module returns: some return more with them."""
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def changed(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While open, the hidden states that a module returns are changed by a function of them."""

    def hook(module, args, output):
        value = change(leaving(output))
        return (value, *output[1:]) if isinstance(output, tuple) else value

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def given(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While open, the hidden states that a module is called with are changed by a function of them."""
    handle = module.register_forward_pre_hook(lambda module, args: (change(args[0]), *args[1:]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def reading(module: nn.Module, states: Tensor) -> Iterator[None]:
    """While open, a module reads the same hidden states (channel) at every position, whatever comes."""

    def hook(module, args, kwargs):
        own = entering(args, kwargs)
        given = states.to(own).expand_as(own)

        def swapped(value):
            # Some families hand on the same states as queries, keys and values.
            return given if value is own else value

        return tuple(map(swapped, args)), {name: swapped(value) for name, value in kwargs.items()}

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Past:
    """Keys and values (row, head, position, head channel) that a block finds before its own.

    Where the block's own have several times as many rows, each repetition finds the same. Has the one
    method of a transformers cache that an attention module calls.
    """

    keys: Tensor
    values: Tensor

    def update(self, keys: Tensor, values: Tensor, *_args, **_kwargs) -> tuple[Tensor, Tensor]:
        return _after(self.keys, keys), _after(self.values, values)


def _after(past: Tensor, own: Tensor) -> Tensor:
    own = own.unflatten(0, (-1, len(past)))
    return torch.cat([past.to(own).expand(len(own), *past.shape), own], 3).flatten(0, 1)


def find_parts(model: PreTrainedModel) -> Parts:
    """Find the parts of a model: by its family's entry, or else by its module tree.

    What the tree says is a guess until `strata.model.equalities.check` has tried it.

    Raises
    ------
    UnknownArchitecture
        If the model's class is not in the table, and its modules do not say what they are.
    """
    family = family_of(model)
    if family is not None:
        return _parts(model, family)
    try:
        return _parts(model, read_tree(model))
    except AttributeError as error:
        unlike = f"{type(model).__name__} is no known architecture, and its blocks are not alike: {error}"
        raise UnknownArchitecture(unlike) from error


def _parts(model: PreTrainedModel, family: Family) -> Parts:
    blocks = list(attrgetter(family.blocks)(model))
    config = model.config.get_text_config()

    def one(path: str | None) -> nn.Module | None:
        return attrgetter(path)(model) if path else None

    def in_each(path: str | None) -> list[nn.Module]:
        return [attrgetter(path)(block) for block in blocks] if path else []

    return Parts(
        model=model,
        token_embedding=one(family.token_embedding),
        blocks=blocks,
        attentions=in_each(family.attention),
        mlps=in_each(family.mlp),
        attention_outs=in_each(family.attention_out or family.attention),
        mlp_outs=in_each(family.mlp_out or family.mlp),
        attention_values=in_each(family.attention_values),
        mlp_values=in_each(family.mlp_values),
        final_norm=one(family.final_norm) or nn.Identity(),
        unembedding=model.get_output_embeddings(),
        norm1s=in_each(family.norm1),
        norm2s=in_each(family.norm2),
        activations=in_each(family.activation),
        position_embedding=one(family.position_embedding),
        position_offset=family.position_offset,
        project_in=one(family.project_in),
        project_out=one(family.project_out),
        post_norm=family.post_norm,
        residual_scale=getattr(config, "residual_multiplier", None) or 1.0,
        logit_scale=getattr(config, "logit_scale", None)
        or 1 / (getattr(config, "logits_scaling", None) or 1),
        logit_cap=getattr(config, "final_logit_softcapping", None),
    )
