"""The lens over one text as an interactive page: one HTML file that loads nothing else.

The page shows what `strata.figures.lens.draw_grid` draws, in the same colours, and under the pointer
everything that was read out. Its data travel in one gzip stream, spelled in base64: a header in
JSON, a line's end, then 32-bit integers cut into their four bytes (all lowest bytes first), which
compress far better apart. ``lens_page.js`` undoes what `_integers` does. The letters of base64 cannot
end a script element, and the page writes token strings as text only: none can become markup.
"""

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator

from strata.figures.lens import COLOURINGS, NORMS, Colouring
from strata.figures.style import SEQUENTIAL, ink_on, readable
from strata.lens.names import DECODER, GUESS
from strata.names import CATEGORY, DEPTH, POSITION, PROMPT, TARGET_ID, TOKEN, TOKEN_ID, TOKEN_STR, K
from strata.text.tokens import byte_alphabet, plain_text

DECODERS = {
    "logit": "final norm and unembedding",
    "extended": "the last blocks, final norm and unembedding",
    "tuned": "an affine translator for each depth, final norm and unembedding",
    "jacobian": "the mean Jacobian of each depth, final norm and unembedding",
}
LOGIT_STEPS = 100  # to a unit of logit
BEND, STEPS = 5, 450  # x nats are told as STEPS log(1 + BEND x), rounded
WHOLE = 1000  # characters of a token: all

_loader = PackageLoader(__package__, "")
_templates = Environment(loader=_loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def build_page(lenses: Mapping[str, xr.Dataset]) -> str:
    """The page of one prompt or passage, as decoded by one to four decoders.

    On the page ranks count from 1. Its nats, and so its probabilities, are rounded the finer the
    smaller they are: a probability of 99 % to 0.03 %, of 50 % to 0.05 %, of 1 % to 0.006 %; a
    divergence of 1 nat to 0.002 nat, of 10 nat to 0.012 nat. Logits are right to 0.02 among guesses
    of more than 0.1 %.

    Parameters
    ----------
    lenses : decoder's name to its lens, (depth, token, k) and (depth, token, guess)
        The tokens of one prompt; attribute ``norm``.

    Returns
    -------
    str
        HTML that needs no other file.

    Raises
    ------
    ValueError
        If there is no lens, a decoder is unknown, or the lenses are not of the same tokens of one
        prompt at the same depths.
    """
    lens = _side_by_side(lenses)
    tokens = _Tokens.of(lens)
    decoders = [
        {"name": name, "what": DECODERS[name], "norm": NORMS[one.attrs["norm"]]}
        for name, one in lenses.items()
    ]
    header = {
        "decoders": decoders,
        "depths": lens[DEPTH].values.tolist(),
        "positions": lens[POSITION].values.tolist(),
        "k": lens.sizes[K],
        "ids": tokens.ids.tolist(),
        "strings": tokens.strings,
        "input": tokens.input.tolist(),
        "target": tokens.target.tolist(),
        "colourings": {name: _scale(colouring, lens) for name, colouring in COLOURINGS.items()},
        "logitSteps": LOGIT_STEPS,
        "bend": BEND,
        "steps": STEPS,
        **_palette(),
    }
    return _templates.get_template("lens_page.html.j2").render(
        prompt=str(lens[PROMPT].values[0]),
        category=str(lens[CATEGORY].values[0]).replace("_", " "),
        text=_text(lens[TOKEN_STR].values),
        decoders=decoders,
        colourings=COLOURINGS,
        half_depths=bool((lens[DEPTH] % 1 != 0).any()),
        packed=_pack(header, _integers(lens, tokens)),
        script=_inline("lens_page.js"),
        style=_inline("lens_page.css"),
    )


def _side_by_side(lenses: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """All decoders in one dataset: (decoder, token, depth[, k]) and (decoder, token, guess, depth)."""
    if not lenses:
        raise ValueError("a page shows one decoder at least")
    if unknown := sorted(set(lenses) - set(DECODERS)):
        raise ValueError(f"decoders are {', '.join(DECODERS)}, not {', '.join(unknown)}")
    names = xr.DataArray(list(lenses), dims=DECODER, name=DECODER)
    strictly = {"data_vars": "all", "coords": "minimal", "compat": "equals", "join": "exact"}
    try:
        lens = xr.concat(list(lenses.values()), names, combine_attrs="drop", **strictly)
    except ValueError as error:
        raise ValueError(f"the decoders' lenses are not of the same tokens and depths: {error}") from error
    prompts = sorted(set(lens[PROMPT].values))
    if len(prompts) != 1:
        raise ValueError(f"a page shows one prompt, not {len(prompts)}")
    return lens.transpose(DECODER, TOKEN, GUESS, DEPTH, K)


@dataclass(frozen=True)
class _Tokens:
    """Every token of the page once, frequent ones first (``ids``, ``strings``), and where each stands:
    ``top`` (decoder, token, depth, k), ``input`` (token), ``target`` (token), -1 where there is none."""

    ids: np.ndarray
    strings: list[str]
    top: np.ndarray
    input: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, lens: xr.Dataset) -> "_Tokens":
        ids = [lens[name].values for name in ("top_id", TOKEN_ID, TARGET_ID)]
        spelled = [lens[name].values for name in ("top_str", TOKEN_STR, "target_str")]
        flat = np.concatenate([array.ravel() for array in ids])
        found, first, entry, count = np.unique(
            flat, return_index=True, return_inverse=True, return_counts=True
        )
        order = np.argsort(-count, kind="stable")
        order = order[found[order] >= 0]  # -1, no target, is no token
        place = np.full(len(found), -1)
        place[order] = np.arange(len(order))
        texts = np.concatenate([array.ravel().astype(object) for array in spelled])[first[order]]
        strings = [readable(str(text), WHOLE) for text in texts]
        pieces = np.split(place[entry], np.cumsum([array.size for array in ids])[:-1])
        return cls(found[order], strings, *(p.reshape(a.shape) for p, a in zip(pieces, ids, strict=True)))


def _scale(colouring: Colouring, lens: xr.Dataset) -> dict:
    """A colouring's scale, as the page needs it; without a cap it spans all decoders from depth 1 on."""
    norm = colouring.norm(colouring.values(lens.sel({DEPTH: slice(1, None)})).values)
    low, high = float(norm.vmin), float(norm.vmax)
    ticks = colouring.ticks or MaxNLocator(5).tick_values(low, high).tolist()
    return {
        "caption": colouring.caption,
        "scale": colouring.scale,
        "low": low,
        "high": high,
        "capped": colouring.scale != "linear",
        "near": colouring.near,
        "ticks": [tick for tick in ticks if low <= tick <= high],
    }


@cache
def _palette() -> dict[str, list[str]]:
    """The colours of the scale from its low end, and the ink that is legible on each."""
    colours = colormaps[SEQUENTIAL].colors
    return {"palette": [to_hex(c) for c in colours], "inks": [ink_on(c) for c in colours]}


def _integers(lens: xr.Dataset, tokens: _Tokens) -> Sequence[np.ndarray]:
    """What the page reads of all decoders, in its order; 0 stands for what it can tell from the rest."""
    # A guess is told by its place among those of the depth below, if it is one of them.
    here, below = tokens.top[:, :, 1:], tokens.top[:, :, :-1]
    same = here[..., :, None] == below[..., None, :]
    guesses = tokens.top.copy()
    guesses[:, :, 1:] = np.where(same.any(-1), same.argmax(-1), here + lens.sizes[K])

    # Ranks are told once of each token of a position: at the first depth whose top guess it is.
    top = tokens.top[..., 0]
    first = (top[..., :, None] == top[..., None, :]).argmax(-1) == np.arange(top.shape[-1])
    own, target = tokens.input[:, None], tokens.target[:, None]
    guessed = {"input": (top == own).any(-1, keepdims=True), "target": (top == target).any(-1, keepdims=True)}
    final = top[..., -1:]
    told = {"final": False, "input": own == final, "target": (target == final) | (target == own)}
    return [
        guesses,
        np.diff(_bent(-lens["top_logprob"]), axis=-1, prepend=0),
        np.rint(lens["top_logit"].isel({K: 0}).values * LOGIT_STEPS),
        *(_bent(lens[name]) for name in ("entropy", "kl_final", "kl_input")),
        np.where(first[..., None], lens["rank_of_guess"].values, 0),
        *(np.where(known, 0, lens[f"rank_of_{of}"].values) for of, known in guessed.items()),
        *(np.where(known, 0, _bent(-lens[f"logprob_{of}"])) for of, known in told.items()),
    ]


def _bent(nats: xr.DataArray) -> np.ndarray:
    """Nats from 0 up as whole numbers, closer where they are small; NaN is 0."""
    return np.rint(STEPS * np.log1p(BEND * np.maximum(np.nan_to_num(nats.values), 0)))


def _pack(header: dict, arrays: Sequence[np.ndarray]) -> str:
    integers = np.concatenate([array.ravel() for array in arrays]).astype("<i4")
    planes = integers.view(np.uint8).reshape(-1, 4).T.tobytes()
    stream = json.dumps(header, separators=(",", ":")).encode() + b"\n" + planes
    return b64encode(gzip.compress(stream, mtime=0)).decode()


def _text(tokens: Sequence[str]) -> str:
    """The text that tokens spell; what cannot be seen is escaped, but not the ends of lines."""
    # The bytes of a letter may lie in several tokens: byte-level ones are read together.
    runs = groupby(tokens, key=lambda token: all(c in byte_alphabet() for c in token))
    text = "".join(
        plain_text("".join(run)) if by_bytes else "".join(map(plain_text, run)) for by_bytes, run in runs
    )
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class _Inline:
    """A script or style sheet, and what a Content-Security-Policy knows it by."""

    source: Markup
    hash: str


@cache
def _inline(name: str) -> _Inline:
    source, _, _ = _loader.get_source(_templates, name)
    digest = b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return _Inline(Markup(source), f"sha256-{digest}")
