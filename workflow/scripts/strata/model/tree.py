"""A family read from the module tree of a model that the table does not know.

What the modules are called, and in which order one run meets them, says what they are. That is a guess: it
holds only if `strata.model.equalities.check` finds that it does.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from strata.model.families import Family, UnknownArchitecture

NORM = re.compile(r"norm|(^|_)ln(_|$)", re.IGNORECASE)
ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
MLP = re.compile(r"mlp|ffn|feed_?forward", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class _Call:
    """One call of a module while a model ran: its path, what it was given first, and what it returned."""

    path: str
    module: nn.Module
    given: Tensor | None
    returned: Tensor | None


def read_tree(model: PreTrainedModel) -> Family:
    """The family of a model, from its modules.

    Raises
    ------
    UnknownArchitecture
        If there are no blocks, or blocks without one attention and one MLP that are called so.
    """
    name = type(model).__name__
    lists = [(path, m) for path, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m)]
    if not lists or model.get_output_embeddings() is None:
        raise UnknownArchitecture(
            f"{name} is no known architecture, and has no list of blocks with a readout"
        )
    path, blocks = max(lists, key=lambda named: sum(p.numel() for p in named[1].parameters()))
    paths = {module: path for path, module in model.named_modules()}
    with _recording(model) as calls:
        ids = torch.zeros(1, 3, dtype=torch.long, device=model.device)
        try:
            model(input_ids=ids, use_cache=False)
        # Whatever a model does that wants more than tokens.
        except Exception as error:
            raise UnknownArchitecture(
                f"{name} is no known architecture, and does not run on tokens alone"
            ) from error

    last = f"{path}.{len(blocks) - 1}"
    after = [call for call in calls[_place(calls, last) + 1 :] if not any(call.module.children())]
    final = after[0].path if after and _is_norm(after[0]) else None
    inside = [call for call in calls if call.path.startswith(f"{path}.0.")]
    tokens = model.get_input_embeddings()
    return Family(
        paths[tokens],
        path,
        final,
        **_parts_of_block(name, f"{path}.0.", inside),
        **_position_embedding([call for call in calls if call.module is not tokens]),
    )


def _position_embedding(calls: list[_Call]) -> dict[str, str | int]:
    """The path of an embedding that is given one index after the other, and the first of them."""
    for call in calls:
        if isinstance(call.module, nn.Embedding) and call.given is not None and call.given.numel() > 1:
            indices = call.given.flatten()
            if (indices.diff() == 1).all():
                return {"position_embedding": call.path, "position_offset": int(indices[0])}
    return {}


def _parts_of_block(name: str, prefix: str, calls: list[_Call]) -> dict[str, str | None]:
    """Paths of a block's parts, from the calls within it."""
    own = [call for call in calls if "." not in call.path.removeprefix(prefix)]
    norms = [call for call in own if _is_norm(call)]
    learned = [call for call in own if call not in norms and any(True for _ in call.module.parameters())]
    found = {}
    for part, pattern in (("attention", ATTENTION), ("mlp", MLP)):
        named = [c for c in learned if pattern.search(c.path.removeprefix(prefix))]
        if len(named) != 1:
            has = ", ".join(call.path.removeprefix(prefix) for call in own)
            raise UnknownArchitecture(
                f"{name} is no known architecture, and its blocks have no one {part} that is called so: {has}"
            )
        found[part] = named[0]
    attention, mlp = found["attention"], found["mlp"]

    def relative(call: _Call | None) -> str | None:
        return call and call.path.removeprefix(prefix)

    def norm_before(call: _Call) -> _Call | None:
        return next((norm for norm in norms if norm.returned is call.given), None)

    def norm_after(call: _Call) -> _Call | None:
        return next((norm for norm in norms if norm.given is call.returned), None)

    def last_map(whole: _Call, whats: str) -> _Call:
        inside = [c for c in calls if c.path.startswith(whole.path + ".") and hasattr(c.module, "weight")]
        ends = [call for call in inside if call.returned is whole.returned]
        if not ends:
            raise UnknownArchitecture(
                f"{name} is no known architecture, and its {whats} do not end in one linear map"
            )
        return ends[-1]

    norm1, norm2 = norm_before(attention), norm_before(mlp)
    return {
        "attention": relative(attention),
        "attention_values": relative(last_map(attention, "attentions")),
        "mlp": relative(mlp),
        "mlp_values": relative(last_map(mlp, "MLPs")),
        "norm1": relative(norm1),
        "norm2": relative(norm2) if norm2 is not norm1 else None,
        "attention_out": relative(norm_after(attention)),
        "mlp_out": relative(norm_after(mlp)),
    }


def _is_norm(call: _Call) -> bool:
    return bool(NORM.search(type(call.module).__name__) or NORM.search(call.path.rsplit(".", 1)[-1]))


def _place(calls: list[_Call], path: str) -> int:
    return next(index for index, call in enumerate(calls) if call.path == path)


@contextmanager
def _recording(model: nn.Module) -> Iterator[list[_Call]]:
    """While open, calls of modules are listed in the order in which they return."""
    calls: list[_Call] = []

    def first(values: tuple | Tensor) -> Tensor | None:
        value = values[0] if isinstance(values, tuple) and values else values
        return value if isinstance(value, Tensor) else None

    def recorder(path: str):
        def record(module, args, kwargs, output) -> None:
            given = args or (kwargs.get("hidden_states"),)
            calls.append(_Call(path, module, first(given), first(output)))

        return record

    with ExitStack() as hooks, torch.no_grad():
        for path, module in model.named_modules():
            hooks.enter_context(module.register_forward_hook(recorder(path), with_kwargs=True))
        yield calls
