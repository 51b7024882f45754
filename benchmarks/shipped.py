"""The shipped prompts that can be traced, in a model's own tokens."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from strata.text.prompt_formats import read_prompt_file
from strata.text.prompts import subject_span, target_tokens, untraceable
from strata.text.tokenizer import load_tokenizer


class Shipped(NamedTuple):
    """``subject``: positions of its first and last token; ``target``: the answer's first token."""

    category: str
    text: str
    words: str
    ids: list[int]
    subject: tuple[int, int]
    target: int


def shipped(model: Path) -> Iterator[Shipped]:
    """All of ``data/prompts`` whose subjects are whole tokens of the model in a folder."""
    tokenizer = load_tokenizer(str(model), None, True)
    for path in sorted(Path("data/prompts").glob("*.yaml")):
        for prompt in read_prompt_file(path).content["prompts"]:
            if not {"subject", "target"} <= set(prompt):
                continue
            ids, offsets = tokenizer.encode_with_offsets(prompt["text"])
            target = target_tokens(prompt, tokenizer.following)
            span = subject_span(prompt, offsets)
            if not untraceable(span, len(ids), target):
                yield Shipped(path.stem, prompt["text"], prompt["subject"], list(ids), span, target[0])
