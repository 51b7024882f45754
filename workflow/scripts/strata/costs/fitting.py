"""What it costs to fit decoders and probes, and to compare a vocabulary with itself, from a model's shape.

Products of float64 numbers count twice: they take twice as long as those of float32.
"""

from collections.abc import Sequence

from strata.costs.cost import Cost
from strata.costs.running import decode, forward
from strata.model.shape import Shape

PROBE_BATCH = 256
DOUBLE = 2


def tuned_step(shape: Shape, tokens: int) -> Cost:
    """One step of the tuned lens: all depths' KL on so many tokens, and its gradient."""
    c, v = shape.channels, shape.embedding
    maps = tokens * shape.layers * 6 * c * c  # whitening, the map, its gradient
    kl = tokens * shape.layers * 4 * v  # to the logits and back
    return Cost(
        operations=maps + kl + 4 * tokens * v,  # the last depth: its logits, and their share of the gradient
        values=6 * tokens * shape.layers * shape.vocab + 12 * shape.layers * c * c,
        calls=shape.layers,
        memory=4 * (8 * shape.layers * c * c + 3 * tokens * shape.vocab),
    )


def tuned(shape: Shape, steps: int, tokens: int, train: int, held_out: int) -> Cost:
    """The tuned lens: moments of the training text, steps, choice and report on held-out text."""
    c, depths = shape.channels, shape.layers + 1
    moments = DOUBLE * 4 * train * depths * c * c
    solved = DOUBLE * 5 * shape.layers * c**3
    carried = 3 * 2 * held_out * shape.layers * c * c
    chosen = decode(shape, 3 * held_out * shape.layers)
    reported = decode(shape, 2 * held_out * depths)
    fitted = Cost(
        operations=moments + solved + carried,
        values=4 * train * depths * c,
        memory=40 * shape.layers * c * c + 4 * 4 * tokens * shape.vocab,
        disk=4 * shape.layers * c * c,
    )
    return fitted + chosen + reported + tuned_step(shape, tokens).times(steps)


def jacobian(shape: Shape, lengths: Sequence[int], max_tokens: int, threads: int = 1) -> Cost:
    """The Jacobian lens: a backward pass for each channel of the last depth, to the states of every depth.

    ``threads``: passes at a time.
    """
    c, own = shape.channels, [length - 1 for length in lengths]
    there = forward(shape, own)
    batches = max(1, -(-sum(own) // max_tokens))
    # Back to the states alone: one product for each matrix, twice as many in attention.
    pairs = sum(length * length for length in own)
    back = shape.layers * (2 * shape.block * sum(own) + 8 * shape.heads * shape.head_channels * pairs)
    drawn = 2 * shape.layers * sum(own) * c
    at_once = min(sum(own), max_tokens)
    graph = 4 * shape.layers * at_once * ((13 + threads) * c + 4 * shape.width)
    return there + Cost(
        passes=c * len(lengths),
        tokens=c * sum(own),
        operations=c * (back + drawn),
        values=c * there.values,
        calls=c * batches * shape.layers * 2,
        memory=graph + 4 * shape.layers * c * c,
        disk=4 * shape.layers * c * c,
    )


def probe(shape: Shape, classes: int, train: int, held_out: int, epochs: int) -> Cost:
    """One linear probe: the closed form, its refinement, and trials on held-out text."""
    c = shape.channels
    moments = DOUBLE * 2 * (train + classes) * c * c
    solved = DOUBLE * (2 * classes * c * c + 12 * c**3)
    tried = 3 * 2 * held_out * classes * c
    refined = epochs * train * (6 * classes * c + 2 * c * c)
    steps = epochs * train / PROBE_BATCH
    return Cost(
        operations=moments + solved + tried + refined,
        values=4 * epochs * train * classes + 3 * held_out * classes + 8 * steps * classes * c,
        calls=steps,
        memory=4 * 8 * classes * c + 8 * train * c + 3 * 4 * PROBE_BATCH * classes,
    )


def beside_embedding(shape: Shape, classes: int, draws: int) -> Cost:
    """A probe's rows held to the embedding: cosines with it and with random rows, shares of its bases."""
    c = shape.channels
    return Cost(
        operations=DOUBLE * 2 * classes * c * c + (1 + draws) * 2 * classes * 512 * c,
        values=draws * 20 * classes * c,
        memory=3 * 4 * classes * c,
    )


def token_by_token(shape: Shape, products: float, rows: int, columns: int) -> Cost:
    """Every token's row against every other's, so many times over (the model without its layers)."""
    pairs = products * shape.vocab**2
    return Cost(
        operations=2 * pairs * shape.channels,
        values=3 * pairs,
        calls=pairs / (rows * columns),
        memory=2 * 4 * shape.embedding + 3 * 4 * rows * columns,
    )
