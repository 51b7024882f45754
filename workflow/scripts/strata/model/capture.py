"""What passes through a model: shown while it runs, or kept, of many documents at a time."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from strata.exponentials import exp_relative_
from strata.model.architecture import Parts, entering, leaving
from strata.model.batching import Batch, batches
from strata.model.memory import Fitting
from strata.names import CHANNEL, DEPTH, HEAD, LAYER, TOKEN
from strata.progress import Progress, silent
from strata.stored import FORMS, Form

LAYOUT = {
    "resid": (DEPTH, TOKEN, CHANNEL),
    "attn_out": (LAYER, TOKEN, CHANNEL),
    "mlp_out": (LAYER, TOKEN, CHANNEL),
    "attention_last": (LAYER, HEAD, TOKEN),
    "logprob_next": (TOKEN,),
}
"""Dimensions of what can be kept, with the positions of all prompts in a row as tokens."""

AT_ONCE = 32
"""Tokens whose logits are normalised at once, so that a cache has them."""

See = Callable[[int, Tensor], None]
"""Is shown the depth or layer, and what passes there: only while it runs, so that what is kept is copied."""


@contextmanager
def watching(
    parts: Parts,
    *,
    resid: See | None = None,
    attn_out: See | None = None,
    mlp_out: See | None = None,
    attention_in: See | None = None,
    attention: See | None = None,
    heads: See | None = None,
    answers: See | None = None,
) -> Iterator[None]:
    """While open, runs of the model are shown to whoever is given.

    Parameters
    ----------
    resid : the state at each depth (row, position, channel): depth 0 enters block 0, depth L leaves the
        last block, before the final norm
    attn_out, mlp_out : what the sub-block of each layer adds (row, position, channel), as it arrives in the
        stream: behind norms and factors of its own, and where a norm acts on the sum, what becomes of the
        stream less the stream
    attention_in : what attention of each layer reads (row, position, channel)
    attention : the pattern of each layer (row, head, query, key); there is one under eager attention only,
        which is what `strata.model.loading` loads
    heads, answers : what enters the last linear map of each layer's attention (row, position, head × channel
        of a head), and of its MLP (row, position, hidden channel)
    """

    def at_home(see: See | None) -> See | None:
        """The same, given what a block makes on whatever device where states are kept."""
        return see and (lambda layer, made: see(layer, made.to(parts.device)))

    resid, attn_out, mlp_out, attention_in, attention, heads, answers = map(
        at_home, (resid, attn_out, mlp_out, attention_in, attention, heads, answers)
    )
    entered: dict[int, Tensor] = {}

    def before_block(layer: int) -> Callable:
        def hook(module, args, kwargs) -> None:
            entered[layer] = entering(args, kwargs)
            if resid:
                resid(layer, entered[layer])

        return hook

    def after_last_block(module, args, output) -> None:
        if resid:
            resid(parts.n_layers, leaving(output))

    def before_attention(layer: int) -> Callable:
        return lambda module, args, kwargs: attention_in(layer, entering(args, kwargs))

    def before_values(see: See, layer: int) -> Callable:
        def hook(module, args, kwargs) -> None:
            see(layer, args[0].view(*entered[layer].shape[:2], -1))

        return hook

    def adding(see: See, layer: int) -> Callable:
        def hook(module, args, output) -> None:
            # Some families run their MLP on rows and positions in a row.
            added = leaving(output).view_as(entered[layer])
            see(layer, added if parts.residual_scale == 1 else parts.residual_scale * added)

        return hook

    def norming(see: See | None, layer: int) -> Callable:
        def hook(module, args, output) -> None:
            normed = output.view_as(entered[layer])
            if see:
                see(layer, normed - entered[layer].to(normed))
            entered[layer] = normed

        return hook

    with ExitStack() as hooks:

        def enter(modules: Sequence[nn.Module], make: Callable[[int], Callable]) -> None:
            for layer, module in enumerate(modules):
                hooks.enter_context(module.register_forward_pre_hook(make(layer), with_kwargs=True))

        def leave(modules: Sequence[nn.Module], make: Callable[[int], Callable]) -> None:
            for layer, module in enumerate(modules):
                hooks.enter_context(module.register_forward_hook(make(layer)))

        enter(parts.blocks, before_block)
        leave(parts.blocks[-1:], lambda _: after_last_block)
        if attention_in:
            enter(parts.attentions, before_attention)
        for see, modules in ((heads, parts.attention_values), (answers, parts.mlp_values)):
            if see:
                enter(modules, lambda layer, see=see: before_values(see, layer))
        if attention:
            leave(parts.attentions, lambda layer: lambda module, args, output: attention(layer, output[1]))
        if parts.post_norm:
            leave(parts.norm1s, lambda layer: norming(attn_out, layer))
            leave(parts.norm2s, lambda layer: norming(mlp_out, layer))
        else:
            for see, modules in ((attn_out, parts.attention_outs), (mlp_out, parts.mlp_outs)):
                if see:
                    leave(modules, lambda layer, see=see: adding(see, layer))
        yield


@dataclass(frozen=True)
class Capture:
    """Activations of some prompts; None for what was not to be kept.

    ``resid`` (depth, prompt, position, channel): depth 0 enters block 0, depth L leaves the last
    block, before the final norm. ``attn_out``, ``mlp_out`` (layer, prompt, position, channel): what
    the sub-block adds. ``attention_last`` (layer, head, prompt, position): where the last position
    attends. ``logprob_next`` (prompt, position): log p (nats) of the next token, NaN from a prompt's last
    position on. ``logits_last`` (prompt, vocab), if ``logprob_next`` is kept. ``lengths`` (prompt): beyond
    them, positions are padding.
    """

    lengths: Sequence[int]
    resid: Tensor | None = None
    attn_out: Tensor | None = None
    mlp_out: Tensor | None = None
    attention_last: Tensor | None = None
    logprob_next: Tensor | None = None
    logits_last: Tensor | None = None


@torch.inference_mode()
def capture(
    parts: Parts,
    input_ids: Tensor,
    keep: Collection[str] = tuple(LAYOUT),
    lengths: Sequence[int] | None = None,
) -> Capture:
    """Run prompts (prompt, position) together and keep some of their activations.

    Parameters
    ----------
    keep : names of `LAYOUT`; logits are made only where ``logprob_next`` is among them
    lengths : of the prompts, where some are padded on the right
    """
    n_rows, width = input_ids.shape
    lengths = [width] * n_rows if lengths is None else lengths
    rows = torch.arange(n_rows, device=input_ids.device)
    last = torch.tensor(lengths, device=input_ids.device) - 1
    size = sizes(parts, width)

    def room(name: str) -> Tensor | None:
        """For one of `LAYOUT`, with a dimension for prompts before that of tokens."""
        shape = [n for d in LAYOUT[name] for n in ([n_rows, width] if d == TOKEN else [size[d]])]
        return torch.empty(shape, dtype=parts.model.dtype, device=parts.device) if name in keep else None

    kept = {name: room(name) for name in LAYOUT}
    see = {name: kept[name].__setitem__ for name in ("resid", "attn_out", "mlp_out") if name in keep}
    if "attention_last" in keep:

        def see_pattern(layer: int, pattern: Tensor) -> None:
            kept["attention_last"][layer] = pattern[rows, :, last].transpose(0, 1)

        see["attention"] = see_pattern

    with watching(parts, **see):
        if "logprob_next" not in keep:
            parts.model.base_model(input_ids=input_ids, use_cache=False)
            return Capture(lengths, **kept)
        logits = parts.model(input_ids=input_ids, use_cache=False).logits
    inside = torch.arange(width, device=last.device) < last[:, None]
    following = _logprob(logits.flatten(0, 1), input_ids.roll(-1, 1).flatten()).view_as(input_ids)
    kept["logprob_next"] = following.where(inside, torch.nan)
    return Capture(lengths, **kept, logits_last=logits[rows, last])


def _logprob(logits: Tensor, ids: Tensor) -> Tensor:
    """Log p (token) of ``ids`` (token) by their logits (token, vocab), float32."""
    # Made once: memory that is new costs more than the exponentials in it.
    room = logits.new_empty(min(AT_ONCE, len(ids)), logits.shape[-1], dtype=torch.float32)
    found = []
    for some, own in zip(logits.split(AT_ONCE), ids.split(AT_ONCE), strict=True):
        top, own = (each.float() for each in (some.amax(-1, keepdim=True), some.gather(-1, own[:, None])))
        total = exp_relative_(room[: len(some)].copy_(some), top).sum(-1, keepdim=True)
        found.append(own - top - total.log())
    return torch.cat(found)


def sizes(parts: Parts, n_tokens: int) -> dict[str, int]:
    """Size of every dimension of `LAYOUT` for a model and a number of tokens."""
    return {
        DEPTH: parts.n_layers + 1,
        LAYER: parts.n_layers,
        HEAD: parts.n_heads,
        TOKEN: n_tokens,
        CHANNEL: parts.n_channels,
    }


def not_finite(name: str, where: str, dtype: torch.dtype) -> str:
    """What to say of a prompt on which a model overflows."""
    kind = str(dtype).removeprefix("torch.")
    other = "float32" if dtype == torch.bfloat16 else "bfloat16 or float32"
    remedy = "the model itself is at fault" if dtype == torch.float32 else f"declare it with dtype: {other}"
    return f"{name}: {where} is not finite where the model runs in {kind}; {remedy}"


def by_token(
    captured: Capture, form: Form = FORMS["float32"], names: Sequence[str] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """What was kept of each prompt, in the layout and the form of a file, without padding.

    Parameters
    ----------
    form : of the arrays; what was captured is divided by its scale in place
    names : of the prompts, for errors

    Raises
    ------
    OverflowError
        If a number of a prompt is not finite, or too large for the form; names the prompt, the depth and the
        remedy.
    """
    stored, sizes = _stored(captured, form)
    axes = {kind: LAYOUT[kind].index(TOKEN) for kind in stored}
    for prompt, length in enumerate(captured.lengths):
        for kind, size in sizes.items():
            own = size[:, prompt, :length].amax(-1)
            if not own.le(form.largest).all():
                name = "a prompt" if names is None else names[prompt]
                what, dtype = f"{kind} of {LAYOUT[kind][0]}", getattr(captured, kind).dtype
                raise OverflowError(_overflow(name, what, own, form.largest, dtype))
        yield {
            kind: values[(slice(None),) * axes[kind] + (prompt, slice(length))]
            for kind, values in stored.items()
        }


@torch.inference_mode()
def _stored(captured: Capture, form: Form) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """All prompts' arrays in a form, and the largest number of each (depth or layer, prompt, position)."""
    stored, sizes = {}, {}
    for kind, dims in LAYOUT.items():
        if (values := getattr(captured, kind)) is None:
            continue
        if (axis := dims.index(TOKEN)) > 0:
            # Over heads or channels. No absolute values are made: that takes several times as long.
            other = 1 if axis == 2 else -1
            sizes[kind] = torch.maximum(values.amax(other), -values.amin(other)).float().cpu()
        values = values.float()
        if form.scale != 1:
            values *= 1 / form.scale
        # All prompts in one copy. To the file's type here: HDF5's own conversion takes several times as long.
        stored[kind] = values.to(getattr(torch, form.dtype)).cpu().numpy()
    return stored, sizes


def _overflow(name: str, what: str, sizes: Tensor, largest: float, dtype: torch.dtype) -> str:
    """What to say of the sizes of each depth or layer, of which some are not finite, or too large."""
    index = int((~(sizes <= largest)).nonzero()[0])
    if not sizes[index].isfinite():
        return not_finite(name, f"{what} {index}", dtype)
    return (
        f"{name}: {what} {index} reaches {sizes[index]:.3g}, more than the file holds ({largest:.3g}); "
        "keep it with dtype: float32"
    )


def capture_documents(
    parts: Parts,
    documents: Sequence[Sequence[int]],
    keep: Collection[str] = tuple(LAYOUT),
    form: Form = FORMS["float32"],
    max_tokens: int = 1024,
    progress: Progress = silent,
    names: Sequence[str] | None = None,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Run many documents in batches of like length.

    Parameters
    ----------
    documents : token ids
    names : what errors call them; by their index, if not given
    keep : names of `LAYOUT`
    form : of the arrays
    max_tokens : that go through the model at once

    Returns
    -------
    The index of a document and what `by_token` says of it, of all, the shortest first.
    """
    fitting = Fitting("documents")
    for batch in progress(batches(documents, max_tokens, parts, names), "batches of documents"):

        def captured(rows: range, batch: Batch = batch) -> Capture:
            some = slice(rows.start, rows.stop)
            return capture(parts, batch.ids[some], keep, batch.lengths[some])

        for rows, found in fitting(captured, range(len(batch.which))):
            which = batch.which[rows.start : rows.stop]
            named = [f"document {index}" if names is None else names[index] for index in which]
            yield from zip(which, by_token(found, form, named), strict=True)
