"""Curation: where a prompt's subject lies among a model's tokens, and whether the prompt can be used."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Following = Callable[[str, str], list[int]]
"""A text and what follows it to the tokens of that; raises `JoinedOtherwise`."""

PASSAGES = "passages"
"""The category of long texts for the lens: no subject, no target."""


class JoinedOtherwise(ValueError):
    """A text and what follows it have other tokens together than the text has alone."""


@dataclass(frozen=True)
class Curated:
    """One row of ``prompts.tsv``.

    The subject's tokens are ``subject_start`` to ``subject_position``, all of them noised in a trace;
    ``subject_kind`` says whether there is one or are several. -1 and empty where there is none.
    ``target_id`` is the target's first token behind the text, of ``target_n_tokens``; ``target_ids`` are all,
    with spaces between; ``completes`` says
    whether the model's greedy continuation is the whole target; ``p_target`` and ``p_whole_target`` are the
    clean probabilities of the first token and of all of them. ``pair`` is the id of the prompt that this
    one differs from in filler alone, or in the word that it ``demands`` at its end; empty where it names
    none. ``demanded_id`` is that word's token, ``way_n_tokens`` how many tokens at the end are the pair's
    too (see `strata.text.endings`). ``fact`` is what the prompt asks, the same for every wording of it, and
    for both texts of a pair that demands; the prompt's own id where it names none. ``completions`` names a
    set of completions, ``completion_ids`` are the first tokens of these, ascending, with spaces between.
    """

    id: str
    category: str
    text: str
    subject: str
    target: str
    completions: str
    pair: str
    demands: str
    demanded_id: int
    way_n_tokens: int
    fact: str
    n_tokens: int
    subject_start: int
    subject_position: int
    subject_n_tokens: int
    subject_kind: str
    subject_id: int
    target_id: int
    target_ids: str
    target_n_tokens: int
    completes: bool | None
    completion_ids: str
    p_target: float | None
    p_whole_target: float | None
    top_id: int
    top_str: str
    accepted: bool
    reason: str

    as_row = asdict


def occurrences(text: str, subject: str) -> list[int]:
    """Where a subject begins in a text, one occurrence after the other: "no no" occurs once in "no no no"."""
    return [match.start() for match in re.finditer(re.escape(subject), text)]


def begun(prompt: Mapping, encode: Callable[[str], tuple], prefix: str) -> Mapping:
    """The prompt, with ``prefix`` before its text where the first token is the subject.

    A model treats its first position in a way of its own, so that a subject there cannot be traced.

    Parameters
    ----------
    encode : a text to its token ids and their offsets
    prefix : perhaps empty, for none
    """
    if not prefix or "subject" not in prompt:
        return prompt
    span = subject_span(prompt, encode(prompt["text"])[1])
    if span is None or span[0] > 0:
        return prompt
    before = len(occurrences(prefix, prompt["subject"]))
    return {**prompt, "text": prefix + prompt["text"], "occurrence": prompt.get("occurrence", 1) + before}


def target_tokens(prompt: Mapping, following: Following) -> list[int]:
    """Tokens of a prompt's target behind its text: none for a passage, none if the text's own change."""
    if "target" not in prompt:
        return []
    try:
        return following(prompt["text"], prompt["target"])
    except JoinedOtherwise:
        return []


def first_tokens(text: str, completions: Iterable[str], following: Following) -> set[int]:
    """First tokens of those completions that leave the text's own tokens as they are."""
    found = (target_tokens({"text": text, "target": completion}, following) for completion in completions)
    return {ids[0] for ids in found if ids}


def subject_span(prompt: Mapping, offsets: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """First and last token of the subject, or None if its edges lie inside a token.

    ``offsets`` (start, end) are the tokens' characters in the text; a leading space may belong to
    the token that begins the subject.
    """
    start = occurrences(prompt["text"], prompt["subject"])[prompt.get("occurrence", 1) - 1]
    end = start + len(prompt["subject"])
    covering = [i for i, (left, right) in enumerate(offsets) if right > start and left < end]
    first, last = covering[0], covering[-1]
    before = prompt["text"][offsets[first][0] : start]
    if before.strip() or offsets[last][1] != end:
        return None
    return first, last


def untraceable(span: tuple[int, int] | None, n_tokens: int, target_ids: Sequence[int]) -> list[str]:
    """Why a prompt cannot be traced, whatever the model says of it: nothing, where it can.

    Parameters
    ----------
    span : see `subject_span`
    n_tokens : of the text
    target_ids : none if text and target have others together than the text alone
    """
    if span is None:
        return ["the subject begins or ends inside a token"]
    reasons = {
        "the first token is the subject (put a text before it, as prompts.prefix_first does)": span[0] == 0,
        "the last token is the subject": span[1] == n_tokens - 1,
        "the text's own tokens change where the target follows": not target_ids,
    }
    return [reason for reason, holds in reasons.items() if holds]


def curate(
    prompt: Mapping,
    category: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    target_ids: Sequence[int],
    p_target: float | None,
    p_whole_target: float | None,
    completes: bool | None,
    top_id: int,
    top_str: str,
    completion_ids: Iterable[int] = (),
    whole_target: bool = True,
) -> Curated:
    """Decide on one prompt.

    Accepted if the model goes on with the target on the clean prompt, and the subject is whole tokens,
    not the first token of the prompt and not the last. A passage is always accepted, and so is an
    ending here (`strata.text.endings.settle` decides on pairs).

    Parameters
    ----------
    prompt : mapping
        ``id``, ``text``, and but for passages and endings ``subject``, ``target``, perhaps
        ``occurrence``, ``completions``, ``pair`` and ``fact``; of an ending ``demands`` and ``pair``.
    ids, offsets
        The text's tokens.
    target_ids, p_target, p_whole_target, completes
        Tokens of the target behind the text, the clean probability of the first and of all, whether the
        model's greedy continuation is all of them. No tokens: text and target have others together than the
        text alone.
    top_id, top_str
        The model's top guess.
    completion_ids
        First tokens of the named completions.
    whole_target
        Whether the model must go on with the whole target, or with its first token alone.
    """
    row = {
        "id": prompt["id"],
        "category": category,
        "text": prompt["text"],
        "subject": prompt.get("subject", ""),
        "target": prompt.get("target", ""),
        "completions": prompt.get("completions", ""),
        "pair": prompt.get("pair", ""),
        "demands": prompt.get("demands", ""),
        "demanded_id": -1,
        "way_n_tokens": 0,
        "fact": min(prompt["id"], prompt["pair"])
        if "demands" in prompt
        else prompt.get("fact", prompt["id"]),
        "n_tokens": len(ids),
        "target_id": target_ids[0] if target_ids else -1,
        "target_ids": " ".join(map(str, target_ids)),
        "target_n_tokens": len(target_ids),
        "completes": completes,
        "completion_ids": " ".join(map(str, sorted(set(completion_ids)))),
        "p_target": p_target,
        "p_whole_target": p_whole_target,
        "top_id": top_id,
        "top_str": top_str,
    }
    if "subject" not in prompt:
        place = (-1, -1, 0, "", -1)
        return _row(row, place, True, "")
    span = subject_span(prompt, offsets)
    reasons = untraceable(span, len(ids), target_ids)
    if span is None:
        return _row(row, (-1, -1, 0, "part of a token", -1), False, "; ".join(reasons))
    first, last = span
    n = last - first + 1
    kind = "one token" if n == 1 else f"last of {n} tokens"
    if target_ids and top_id != target_ids[0]:
        reasons.append("the model's top guess is not the target" + _with_space(prompt["target"], top_str))
    elif target_ids and whole_target and not completes:
        reasons.append("the model does not complete the target that it begins (prompts.whole_target)")
    return _row(row, (first, last, n, kind, ids[last]), not reasons, "; ".join(reasons))


def _with_space(target: str, top_str: str) -> str:
    """A question, if the model goes on with the target behind a space that the target lacks."""
    from strata.text.tokens import plain_text  # arrays: not where prompts are only read

    top = plain_text(top_str)
    return f": did you mean {f' {target}'!r}?" if top.strip() and f" {target}".startswith(top) else ""


def _row(row: Mapping, place: tuple, accepted: bool, reason: str) -> Curated:
    names = ("subject_start", "subject_position", "subject_n_tokens", "subject_kind", "subject_id")
    return Curated(**row, **dict(zip(names, place, strict=True)), accepted=accepted, reason=reason)


def accepted(prompts: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of ``prompts.tsv`` that are accepted, passages among them.

    Raises
    ------
    ValueError
        If there is none.
    """
    chosen = prompts[prompts["accepted"]].reset_index(drop=True)
    if chosen.empty:
        raise ValueError(f"none of {len(prompts)} prompts is accepted on this model; see prompts.tsv for why")
    return chosen
