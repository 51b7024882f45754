"""How much text a model of config.yaml is given: at most, from what people wrote.

No array library is imported here: this may run at every start of the pipeline.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strata.costs.running import Prompt

BYTES = 3
"""Of a token, on average over the prompts: the organism's tokenizer, whose vocabulary is small, has 3.6."""

KINDS = 0.5
"""Share of different tokens in a text, at most: the organism has 0.18 in 10,000, SmolLM2 0.22 in 20,000."""

SPLIT = (0.7, 0.15, 0.15)
"""Shares of a text's documents: to fit on, to choose by, to report."""

TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Counts:
    """What goes through a model.

    ``traced``: prompts with a subject, by category; ``shown``: those whose own trace is drawn. Tokens:
    ``candidates``, of each prompt and passage that is tried, with its target; ``texts``, of each that is
    accepted; ``text``, ``tagged``, of each document of the model's text, and of its tagged text. ``kinds``:
    different tokens in what of the text is for fitting. ``told``: where all this is from.
    """

    traced: Mapping[str, Sequence[Prompt]]
    shown: Sequence[Prompt]
    candidates: Sequence[int]
    texts: Sequence[int]
    text: Sequence[int]
    tagged: Sequence[int] = ()
    kinds: int = 0
    told: str = ""


def at_most(config: Mapping, model: str, prompts: Mapping[str, Mapping], vocab: int) -> Counts:
    """An upper bound: every prompt is accepted, every document as long as it may be.

    Parameters
    ----------
    prompts : contents of files of data/prompts
    vocab : tokens of the model
    """
    section, text, tagged = config["models"][model], config["text"], config["syntax"]
    every = [(content["category"], prompt) for content in prompts.values() for prompt in content["prompts"]]
    asked = [(category, prompt) for category, prompt in every if _traced(prompt)]
    texts = [_tokens(prompt["text"]) for _, prompt in every]
    tokens = text["documents"] * text["max_tokens"]
    return Counts(
        **grouped([(c, p["id"], _prompt(p)) for c, p in asked], config["trace"]["shown"]),
        candidates=[
            length + _tokens(prompt.get("target", ""))
            for length, (_, prompt) in zip(texts, every, strict=True)
        ],
        texts=texts,
        text=[text["max_tokens"]] * text["documents"],
        tagged=[tagged["max_tokens"]] * tagged["documents"] if section.get("tagged_text") else (),
        kinds=min(vocab, round(KINDS * SPLIT[TRAIN] * tokens)),
        told=f"all {len(every)} prompts and passages, at {BYTES} bytes a token",
    )


def number_of_traced(prompts: Mapping[str, Mapping]) -> int:
    """How many prompts have a subject and a target."""
    return sum(_traced(prompt) for content in prompts.values() for prompt in content["prompts"])


def number_of_all(prompts: Mapping[str, Mapping]) -> int:
    """How many prompts and passages there are."""
    return sum(len(content["prompts"]) for content in prompts.values())


def _traced(prompt: Mapping) -> bool:
    return "subject" in prompt and "target" in prompt


def grouped(prompts: Iterable[tuple[str, str, Prompt]], shown: Sequence[str]) -> dict[str, Any]:
    """The fields ``traced`` and ``shown`` of `Counts`, of prompts each with its category and id."""
    traced: dict[str, list[Prompt]] = {}
    chosen = []
    for category, name, prompt in prompts:
        traced.setdefault(category, []).append(prompt)
        chosen += [prompt] if name in shown else []
    return {"traced": traced, "shown": chosen}


def _tokens(text: str) -> int:
    return math.ceil(len(text.encode()) / BYTES)


def _prompt(prompt: Mapping) -> Prompt:
    """Its subject is where it is first written: behind a later one there would be fewer states."""
    begins = prompt["text"].index(prompt["subject"])
    first, length = len(prompt["text"][:begins].encode()) // BYTES, _tokens(prompt["text"])
    last = min(first + _tokens(prompt["subject"]), length) - 1
    return Prompt(length, min(first, last), last, _tokens(prompt["target"]))
