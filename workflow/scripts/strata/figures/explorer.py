"""The explorer: the lens over all prompts and passages of a model, and their traces, in one HTML file.

The page loads nothing else. It shows what `strata.figures.lens.draw_grid` draws, in the same colours, and
under the pointer everything that was read out. Its data lie in the page compressed, each prompt by itself
(`strata.figures.explorer_packing`): it is unpacked when it is shown. The letters of base64 cannot end a
script element, and the page writes strings as text only: none can become markup.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
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

from strata.figures import explorer_packing as packing
from strata.figures.explorer_packing import RANK_OF_GUESS, Tokens, encode, pack_prompts, read_traces
from strata.figures.lens import COLOURINGS, NORMS, Colouring
from strata.figures.style import SEQUENTIAL, ink_on, readable
from strata.figures.trace_panels import category_name, noise_name
from strata.lens.comparison import at_whole_depths, has_half_depths
from strata.names import (
    CATEGORY,
    DEPTH,
    NOISE,
    POSITION,
    PROMPT,
    TARGET_ID,
    TOKEN,
    TOKEN_ID,
    TOKEN_STR,
    K,
)
from strata.text.tokens import byte_alphabet, plain_text
from strata.trace.restoration import included, traced_everywhere

DECODERS = {
    "logit": "final norm and unembedding",
    "extended": "the last blocks, final norm and unembedding",
    "tuned": "an affine translator for each depth, final norm and unembedding",
    "jacobian": "the mean Jacobian of each depth, final norm and unembedding",
}
OTHER_DECODER = "a map of its own, final norm and unembedding"
SCRIPTS = ("_words", "_data", "_chooser", "_grid", "_cell", "_chart", "_trace", "")
WHOLE = 1000  # characters of a token: all
ROUNDING = {
    "bend": packing.BEND,
    "steps": packing.STEPS,
    "logitSteps": packing.LOGIT_STEPS,
    "exact": packing.EXACT,
    "rankSteps": packing.RANK_STEPS,
    "probabilitySteps": packing.PROBABILITY_STEPS,
}

_loader = PackageLoader(__package__, "")
_templates = Environment(loader=_loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def build_explorer(
    lenses: Mapping[str, xr.Dataset],
    trace: xr.Dataset | None = None,
    prompts: Collection[str] | None = None,
    model: str = "",
) -> str:
    """The page of some or all prompts and passages, as decoded by one to four decoders.

    On the page ranks count from 1; `strata.figures.explorer_packing` says how numbers are rounded. With
    ``rank_of_guess`` of a decoder a reader can follow every top guess through all depths; without it one
    that is neither the final guess, the input nor the true next token only where it is among the k best.

    Parameters
    ----------
    lenses : decoder's name to its lens, (depth, token, k); attribute ``norm``
    trace : trace/state.nc, (prompt, noise, sample, depth, position); of it the noise levels at which all
        positions are traced
    prompts : the ids of those in the page; all, if not given
    model : its name, for the title

    Returns
    -------
    str
        HTML that needs no other file.

    Raises
    ------
    ValueError
        If there is no lens, the lenses are not of the same tokens at the same whole depths, a prompt is not
        in them or in two places, or a trace is of other tokens than the lens.
    """
    lenses = _checked(lenses, prompts)
    if trace is not None:
        whole = traced_everywhere(trace)
        trace = whole if whole.sizes[NOISE] else None
    first = lenses[0]
    spans = _spans(first[PROMPT].values)
    tokens = Tokens.of(lenses)
    decoders = [_decoder(lens) for lens in lenses]
    header = {
        "model": model,
        "decoders": decoders,
        "depths": first[DEPTH].values.tolist(),
        "k": first.sizes[K],
        "ids": tokens.ids.tolist(),
        "strings": [readable(str(text), WHOLE) for text in tokens.strings],
        **_index(first, spans),
        "colourings": {name: _scale(colouring) for name, colouring in COLOURINGS.items()},
        **_of_all_traces(trace),
        **ROUNDING,
        **_palette(),
    }
    traces = {} if trace is None else read_traces(trace, spans, first[TOKEN_STR].values)
    return _templates.get_template("explorer.html.j2").render(
        model=model,
        decoders=decoders,
        colourings=COLOURINGS,
        half_depths=any(decoder["halves"] for decoder in decoders),
        header=encode(json.dumps(header, separators=(",", ":")).encode()),
        prompts=pack_prompts(lenses, tokens, spans, _own_scales(lenses, spans), traces),
        script=_inline(*(f"explorer{part}.js" for part in SCRIPTS)),
        style=_inline("explorer.css"),
    )


def _checked(lenses: Mapping[str, xr.Dataset], prompts: Collection[str] | None) -> list[xr.Dataset]:
    """The lenses of the wanted prompts, each with its decoder's name."""
    if not lenses:
        raise ValueError("a page shows one decoder at least")
    if prompts is not None and not prompts:
        raise ValueError("a page shows one prompt at least")
    first = next(iter(lenses.values()))
    whole = at_whole_depths(first)
    for name, lens in lenses.items():
        same = at_whole_depths(lens)
        if any(not same[c].equals(whole[c]) for c in (DEPTH, PROMPT, POSITION, TOKEN_ID, TARGET_ID)):
            raise ValueError(f"the lens of {name} is not of the same tokens and depths as the others")
    if prompts is not None:
        if absent := sorted(set(prompts) - set(first[PROMPT].values)):
            raise ValueError(f"there is no prompt {', '.join(absent)} in the lens")
        chosen = np.flatnonzero(first[PROMPT].isin(list(prompts)))
        lenses = {name: lens.isel({TOKEN: chosen}) for name, lens in lenses.items()}
    # Rows that a decoder lacks are packed as those below them, which costs next to nothing, and not shown.
    depths = max((lens[DEPTH] for lens in lenses.values()), key=len)
    return [
        lens.reindex({DEPTH: depths}, method="ffill").assign_attrs(decoder=name, halves=has_half_depths(lens))
        for name, lens in lenses.items()
    ]


def _spans(prompts: np.ndarray) -> dict[str, slice]:
    """Each prompt's tokens, which stand together."""
    starts = np.flatnonzero(np.append(True, prompts[1:] != prompts[:-1]))
    spans: dict[str, slice] = {}
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(prompts)], strict=True):
        if (prompt := str(prompts[start])) in spans:
            raise ValueError(f"prompt {prompt} stands in two places of the lens")
        spans[prompt] = slice(start, end)
    return spans


def _decoder(lens: xr.Dataset) -> dict:
    name, norm = lens.attrs["decoder"], lens.attrs["norm"]
    return {
        "name": name,
        "what": DECODERS.get(name, OTHER_DECODER),
        "norm": NORMS[norm],
        "ranks": RANK_OF_GUESS in lens,
        "halves": lens.attrs["halves"],
    }


def _index(lens: xr.Dataset, spans: Mapping[str, slice]) -> dict:
    """What prompts are found by: id, category, text, and the target where there is one."""
    categories, strings, targets = (lens[name].values for name in (CATEGORY, TOKEN_STR, "target_str"))
    prompts = [
        {
            "id": prompt,
            "category": str(categories[span.start]),
            "text": _text(strings[span]),
            "target": readable(str(targets[span.stop - 1]), WHOLE),
        }
        for prompt, span in spans.items()
    ]
    return {"prompts": prompts, "categories": {p["category"]: category_name(p["category"]) for p in prompts}}


def _text(tokens: Sequence[str]) -> str:
    """The text that tokens spell; what cannot be seen is escaped, but not the ends of lines."""
    # The bytes of a letter may lie in several tokens: byte-level ones are read together.
    runs = groupby(tokens, key=lambda token: all(c in byte_alphabet() for c in token))
    text = "".join(
        plain_text("".join(run)) if by_bytes else "".join(map(plain_text, run)) for by_bytes, run in runs
    )
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


# Scales and colours -------------------------------------------------------------------------


def _scale(colouring: Colouring) -> dict:
    """A colouring's scale, as the page needs it; without its span if every prompt has its own."""
    scale = {
        "caption": colouring.caption,
        "scale": colouring.scale,
        "capped": colouring.scale != "linear",
        "near": colouring.near,
    }
    return scale if colouring.cap is None else scale | _span(colouring, np.zeros(1))


def _own_scales(lenses: Sequence[xr.Dataset], spans: Mapping[str, slice]) -> dict[str, dict]:
    """Of colourings without a cap each prompt's span: that of all decoders from depth 1 on."""
    later = [lens[["top_logit", "top_logprob"]].sel({DEPTH: slice(1, None)}) for lens in lenses]
    own: dict[str, dict] = {prompt: {} for prompt in spans}
    for name, colouring in COLOURINGS.items():
        if colouring.cap is None:
            values = np.stack([colouring.values(lens).transpose(TOKEN, DEPTH).values for lens in later], 1)
            for prompt, span in spans.items():
                own[prompt][name] = _span(colouring, values[span])
    return {prompt: {"scales": scales} for prompt, scales in own.items()}


def _span(colouring: Colouring, values: np.ndarray) -> dict:
    norm = colouring.norm(values)
    low, high = float(norm.vmin), float(norm.vmax)
    ticks = colouring.ticks or MaxNLocator(5).tick_values(low, high).tolist()
    return {"low": low, "high": high, "ticks": [tick for tick in ticks if low <= tick <= high]}


@cache
def _palette() -> dict[str, list[str]]:
    """The colours of the scale from its low end, and the ink that is legible on each."""
    colours = colormaps[SEQUENTIAL].colors
    return {"palette": [to_hex(c) for c in colours], "inks": [ink_on(c) for c in colours]}


# Traces -------------------------------------------------------------------------------------


def _of_all_traces(trace: xr.Dataset | None) -> dict:
    """Noise levels, and the one shown first: that which takes half of the clean probability from most
    prompts; the depths; the scale of restorations."""
    if trace is None:
        return {"noises": [], "noise": None}
    levels = trace[NOISE].values
    return {
        "noises": [{"name": str(level), "label": noise_name(level, trace)} for level in levels],
        "noise": str(levels[included(trace, 0.5).sum(PROMPT).values.argmax()]),
        "traceDepths": trace[DEPTH].values.tolist(),
        "restoration": {
            "caption": "restoration of the target's probability",
            **{"scale": "linear", "low": 0, "high": 1, "ticks": [0, 0.25, 0.5, 0.75, 1]},
            **{"capped": False, "near": False},
        },
    }


@dataclass(frozen=True)
class _Inline:
    """A script or style sheet, and what a Content-Security-Policy knows it by."""

    source: Markup
    hash: str


@cache
def _inline(*names: str) -> _Inline:
    source = "\n".join(_loader.get_source(_templates, name)[0] for name in names)
    digest = b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return _Inline(Markup(source), f"sha256-{digest}")
