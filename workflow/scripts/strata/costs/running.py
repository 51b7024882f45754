"""What it costs to run a model, to decode its states, and to trace prompts, from its shape.

Operations are those of the products that are made: `tests/unit/test_costs.py` counts them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from strata.costs.cost import Cost
from strata.model.shape import Shape

BATCH = 1024
"""Tokens that go through a model together, where documents do."""

READ_TILE = 2**21
"""Logits of restored runs that are held together, in `strata.trace.measures`."""


def forward(shape: Shape, lengths: Sequence[int], layers: int | None = None) -> Cost:
    """Texts of so many tokens each through all blocks, or through so many."""
    layers = shape.layers if layers is None else layers
    tokens, pairs = sum(lengths), sum(length * length for length in lengths)
    return Cost(
        tokens=tokens,
        passes=len(lengths),
        operations=layers * (2 * shape.block * tokens + _attending(shape, pairs)),
        values=layers * (_passing(shape) * tokens + 3 * shape.heads * pairs),
        calls=layers * max(1, tokens / BATCH),
    )


def _attending(shape: Shape, pairs: float) -> float:
    """Operations of attention between pairs of positions: scores, and sums of values."""
    return 4 * shape.heads * shape.head_channels * pairs


def _passing(shape: Shape) -> float:
    """Values gone over for a token in a block: norms, sums, copies, the activation."""
    return 6 * shape.channels + (2 if shape.gated else 1) * shape.width


def decode(shape: Shape, states: float, passes_over: float = 3) -> Cost:
    """States to logits, each of which is gone over so often."""
    return Cost(
        operations=2 * states * shape.embedding,
        values=passes_over * states * shape.vocab,
        calls=states * shape.vocab / 2**22,
    )


# Traces -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prompt:
    """A prompt to trace, in tokens.

    ``length``; ``first``, ``last``: positions of its subject's first and last; ``target``: its target's.
    """

    length: int
    first: int
    last: int
    target: int = 1

    def written(self, n: int) -> "Prompt":
        """With so many tokens of its target behind it."""
        return Prompt(self.length + n, self.first, self.last)


@dataclass(frozen=True)
class Sites:
    """What is put back at a position, one thing after the other.

    ``begin`` (site): the layer in which each begins. ``states``: whether these are states; else they are
    outputs, or pieces of them. ``apart``: whether sites that begin in one layer differ in it. ``severed``: of
    states, whether sub-blocks are held.
    """

    begin: tuple[int, ...]
    states: bool = False
    apart: bool = False
    severed: bool = False


def of_states(layers: int, severed: bool = False) -> Sites:
    """The states that enter each layer."""
    return Sites(tuple(range(layers)), states=True, severed=severed)


def of_windows(layers: int, width: int, convention: str) -> Sites:
    """Outputs over windows of layers, see `strata.trace.sites.window`."""
    below = width // 2 if convention == "code" else (width - 1) // 2
    return Sites(tuple(max(0, layer - below) for layer in range(layers)))


def of_pieces(layers: int, pieces: int) -> Sites:
    """So many pieces of each layer's output."""
    return Sites(tuple(layer for layer in range(layers) for _ in range(pieces)), apart=True)


def trace(
    shape: Shape,
    prompts: Sequence[Prompt],
    kinds: Iterable[Sites],
    ends: int,
    everywhere: int = 0,
    max_rows: int = BATCH,
    written: int = 0,
) -> Cost:
    """All kinds of sites of all prompts (`strata.trace.sweep`).

    Parameters
    ----------
    ends : corrupted versions of each prompt that are traced at the subject's tokens and the final one
    everywhere : further versions, traced at the tokens between them too
    max_rows : states that go through a block together
    written : tokens at the end of each prompt that are its target's
    """
    kinds, versions = list(kinds), ends + everywhere
    runs = forward(shape, [prompt.length for prompt in prompts]).times(1 + versions)
    whole = replace(runs, calls=0) + decode(shape, len(prompts) * len(kinds) * (versions + 2))
    alike = Counter(prompts)
    for kind in kinds:
        whole += _restored(shape, kind, alike, ends, everywhere, written)
    return whole + _calls(shape, prompts, kinds, versions, max_rows)


def _restored(
    shape: Shape, kind: Sites, prompts: Mapping[Prompt, int], ends: int, everywhere: int, written: int
) -> Cost:
    """All sites of a kind in all versions of all prompts, given how many there are of each."""
    begin = Counter(kind.begin)
    # Layers in which a site is with all its positions; how often its first is in one alone.
    begun = {layer: n for layer, n in begin.items() if layer} if kind.states else {}
    if not kind.states:
        begun = {layer + 1: n for layer, n in begin.items()}
    alone = 0 if kind.states else len(kind.begin) if kind.apart else len(begin)
    through = sum(n * (shape.layers - layer) for layer, n in begun.items())
    at_last = sum(n for layer, n in begun.items() if layer < shape.layers)
    restored, carried, keys, spared = 0, 0, 0, 0
    for prompt, number in prompts.items():
        final = prompt.length - 1 - written
        # A state at depth 0 is the embedding: where others of the subject stay corrupted, it is a run.
        is_run = kind.states and (prompt.last > prompt.first or kind.severed)
        for position in range(prompt.first, final + 1):
            inside = position <= prompt.last
            n = number * (everywhere + ends * (inside or position == final))
            own = prompt.length - position
            blocks, in_last = through + shape.layers * (is_run and inside), at_last + (is_run and inside)
            restored += n
            carried += n * (own * blocks + alone)
            keys += n * (own * blocks * prompt.length + alone * (position + 1))
            spared += n * (own - 1) * in_last  # only the final token's last maps run in the last layer
    restored *= len(kind.begin)
    of_last = shape.attention_output + shape.mlp
    return decode(shape, restored) + Cost(
        tokens=carried / shape.layers,
        passes=restored,
        operations=2 * (shape.block * carried - of_last * spared) + _attending(shape, keys),
        values=(_passing(shape) + shape.channels) * carried + 3 * shape.heads * keys,
    )


def _calls(
    shape: Shape, prompts: Sequence[Prompt], kinds: Sequence[Sites], versions: int, max_rows: int
) -> Cost:
    """Calls of blocks: prompts of one length go together, as far as there is room."""
    calls, room, length = 0.0, 0, None
    blocks = sum(len(set(kind.begin)) + (0 if kind.states else shape.layers) for kind in kinds)
    sites = sum(len(kind.begin) for kind in kinds)
    for prompt in sorted(prompts, key=lambda prompt: (prompt.length, prompt.first)):
        rows = versions * (prompt.length - prompt.first)
        positions = min(prompt.last - prompt.first + 2, prompt.length - prompt.first)
        pieces = rows * sites / 2 / max_rows
        calls += pieces * shape.layers * positions / max(1, prompt.length - prompt.first)
        if prompt.length != length or rows > room:
            calls += positions * blocks + shape.layers
            room, length = max_rows, prompt.length
        room -= rows
    return Cost(calls=calls)


def follow(
    shape: Shape,
    prompts: Sequence[Prompt],
    kinds: Iterable[Sites],
    versions: int,
    max_rows: int = BATCH,
) -> Cost:
    """The same again for every later token of a target (`strata.trace.whole_target`)."""
    kinds, whole = list(kinds), Cost()
    for n in range(1, max((prompt.target for prompt in prompts), default=1)):
        longer = [prompt.written(n) for prompt in prompts if prompt.target > n]
        whole += trace(shape, longer, kinds, versions, max_rows=max_rows, written=n)
    return whole


def first_order(shape: Shape, prompts: Sequence[Prompt], versions: int, measures: int = 2) -> Cost:
    """States of so many versions of each prompt to first order (`strata.trace.approximate`).

    Clean runs once; versions forth, each block again when it is its turn to go back, and back by measure.
    """
    one = forward(shape, [prompt.length for prompt in prompts])
    pairs = sum(prompt.length**2 for prompt in prompts)
    # Scores, and sums of values, have two sides that change: two products back for one forth.
    back = one + Cost(operations=shape.layers * _attending(shape, pairs))
    runs = one.times(1 + 2 * versions) + back.times(versions * measures)
    return runs + decode(shape, len(prompts) * (2 + versions * (2 + measures)))
