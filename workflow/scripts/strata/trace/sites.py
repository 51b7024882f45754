"""What is put back in a corrupted run, and in which layers."""

from dataclasses import dataclass

from strata.names import DEPTH, HEAD, LAYER, NEURON
from strata.trace.neuron_groups import NeuronGroups

WHATS = ("state", "mlp", "attn", "state_severed_mlp", "state_severed_attn")
CONVENTIONS = ("code", "paper")


@dataclass(frozen=True)
class Restoration:
    """What is done to a corrupted run at one position, for every index along ``dim``.

    ``restores_state``: the state entering the first of the site's layers is the clean one. ``part``:
    "mlp", "attn" or None, the sub-block whose output is held at that position in all of the site's
    ``layers``: at its clean value, or, where the state is restored, at its corrupted one (severed). Or
    "head", "neuron": held is what one of attention's heads makes, or a group of the MLP's neurons, before the
    last linear map; ``pieces`` has the number of each site's, ``grouping`` says what groups there are. Sites
    are in the order of the layers in which they begin.
    """

    restores_state: bool
    part: str | None
    layers: tuple[range, ...]
    pieces: tuple[int, ...] = ()
    grouping: NeuronGroups | None = None

    @property
    def dim(self) -> str:
        return DEPTH if self.restores_state else LAYER


def restoration(what: str, n_layers: int, width: int = 1, convention: str = "code") -> Restoration:
    """A restoration by name.

    ``state``: the state entering each layer. ``mlp``, ``attn``: the output of the MLP or of attention
    over a window of layers around each layer. ``state_severed_mlp``, ``state_severed_attn``: the state
    entering each layer, while the MLP's (attention's) outputs at the same position are held at their
    corrupted values from that layer on: ROME's path-specific test.

    Parameters
    ----------
    width, convention
        Of the windows; see `window`.

    Raises
    ------
    ValueError
        If the name is not known.
    """
    if what not in WHATS:
        raise ValueError(f"what is restored must be one of {', '.join(WHATS)}, not {what!r}")
    if what in ("mlp", "attn"):
        windows = (window(layer, width, n_layers, convention) for layer in range(n_layers))
        return Restoration(False, what, tuple(windows))
    severed = what.removeprefix("state").removeprefix("_severed_") or None
    return Restoration(True, severed, tuple(range(depth, n_layers) for depth in range(n_layers)))


def of_heads(n_layers: int, n_heads: int) -> Restoration:
    """What one head makes in one layer: a site for each head, layer after layer."""
    return Restoration(False, HEAD, _each_layer(n_layers, n_heads), tuple(range(n_heads)) * n_layers)


def of_neurons(grouping: NeuronGroups) -> Restoration:
    """What one group of an MLP's neurons makes in one layer: a site for each group, layer after layer."""
    n_layers, n = len(grouping.sizes), grouping.n_groups + 1
    return Restoration(False, NEURON, _each_layer(n_layers, n), tuple(range(n)) * n_layers, grouping)


def _each_layer(n_layers: int, n_pieces: int) -> tuple[range, ...]:
    return tuple(range(layer, layer + 1) for layer in range(n_layers) for _ in range(n_pieces))


def window(layer: int, width: int, n_layers: int, convention: str = "code") -> range:
    """The layers of a window around ``layer``, cut off at the model's ends.

    An even window cannot be symmetric. ROME's ``code`` takes one more layer below: l-5 ... l+4 of
    ten; its ``paper`` says one more above: l-4 ... l+5. An odd window is symmetric under both.

    Raises
    ------
    ValueError
        If the width is below 1 or the convention is not known.
    """
    if width < 1:
        raise ValueError(f"a window is at least 1 layer wide, not {width}")
    if convention not in CONVENTIONS:
        raise ValueError(f"a window's convention is one of {', '.join(CONVENTIONS)}, not {convention!r}")
    below = width // 2 if convention == "code" else (width - 1) // 2
    return range(max(0, layer - below), min(n_layers, layer - below + width))
