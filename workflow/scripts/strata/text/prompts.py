"""Curation: where a prompt's subject lies among a model's tokens, and whether the prompt can be used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

PASSAGES = "passages"
"""The category of long texts for the lens: no subject, no target."""


@dataclass(frozen=True)
class Curated:
    """One row of ``prompts.tsv``.

    The subject's tokens are ``subject_start`` to ``subject_position``, all of them noised in a trace;
    ``subject_kind`` says whether there is one or are several. -1 and empty where there is none.
    ``completions`` names a set of completions, ``completion_ids`` are the first tokens of these, ascending,
    with spaces between.
    """

    id: str
    category: str
    text: str
    subject: str
    target: str
    completions: str
    n_tokens: int
    subject_start: int
    subject_position: int
    subject_n_tokens: int
    subject_kind: str
    subject_id: int
    target_id: int
    completion_ids: str
    p_target: float | None
    top_id: int
    top_str: str
    accepted: bool
    reason: str

    as_row = asdict


def subject_span(prompt: Mapping, offsets: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """First and last token of the subject, or None if its edges lie inside a token.

    ``offsets`` (start, end) are the tokens' characters in the text; a leading space may belong to
    the token that begins the subject.
    """
    start = -1
    for _ in range(prompt.get("occurrence", 1)):
        start = prompt["text"].index(prompt["subject"], start + 1)
    end = start + len(prompt["subject"])
    covering = [i for i, (left, right) in enumerate(offsets) if right > start and left < end]
    first, last = covering[0], covering[-1]
    before = prompt["text"][offsets[first][0] : start]
    if before.strip() or offsets[last][1] != end:
        return None
    return first, last


def curate(
    prompt: Mapping,
    category: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    target_id: int | None,
    p_target: float | None,
    top_id: int,
    top_str: str,
    completion_ids: Iterable[int] = (),
) -> Curated:
    """Decide on one prompt.

    Accepted if the model's top guess on the clean prompt is the target's first token, and the
    subject is whole tokens, not the first token of the prompt and not the last. A passage is
    always accepted.

    Parameters
    ----------
    prompt : mapping
        ``id``, ``text``, and but for passages ``subject``, ``target``, perhaps ``occurrence`` and
        ``completions``.
    ids, offsets
        The text's tokens.
    target_id, p_target, top_id, top_str
        First token of the target and its clean probability; the model's top guess.
    completion_ids
        First tokens of the named completions.
    """
    row = {
        "id": prompt["id"],
        "category": category,
        "text": prompt["text"],
        "subject": prompt.get("subject", ""),
        "target": prompt.get("target", ""),
        "completions": prompt.get("completions", ""),
        "n_tokens": len(ids),
        "target_id": -1 if target_id is None else target_id,
        "completion_ids": " ".join(map(str, sorted(set(completion_ids)))),
        "p_target": p_target,
        "top_id": top_id,
        "top_str": top_str,
    }
    if "subject" not in prompt:
        place = (-1, -1, 0, "", -1)
        return _row(row, place, True, "")
    span = subject_span(prompt, offsets)
    if span is None:
        place = (-1, -1, 0, "part of a token", -1)
        return _row(row, place, False, "the subject begins or ends inside a token")
    first, last = span
    n = last - first + 1
    kind = "one token" if n == 1 else f"last of {n} tokens"
    reasons = []
    if first == 0:
        reasons.append("the first token is the subject")
    if last == len(ids) - 1:
        reasons.append("the last token is the subject")
    if top_id != target_id:
        reasons.append("the model's top guess is not the target")
    return _row(row, (first, last, n, kind, ids[last]), not reasons, "; ".join(reasons))


def _row(row: Mapping, place: tuple, accepted: bool, reason: str) -> Curated:
    names = ("subject_start", "subject_position", "subject_n_tokens", "subject_kind", "subject_id")
    return Curated(**row, **dict(zip(names, place, strict=True)), accepted=accepted, reason=reason)
