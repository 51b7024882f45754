"""Prompts in forms that others publish, made into ours: ROME's two, and templates as LAMA and ParaRel have.

Of an entry no more is read than a prompt needs. What a prompt may not be is refused, or left out and said.

Sources
-------
Meng et al. 2022 (ROME: ``known_1000.json``, CounterFact); Petroni et al. 2019 (LAMA); Elazar et al. 2021
(ParaRel).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unicodedata import normalize

from strata.inputs import BadInput
from strata.text.prompts import occurrences

SLOT, SUBJECT, ANSWER = "{}", "[X]", "[Y]"
"""What stands for the subject in ROME's templates; for subject and answer in LAMA's."""


class Row(NamedTuple):
    """One entry of a file: its file, its place there ("line 3"), and what it says."""

    file: str
    place: str
    values: Any

    def error(self, what: str) -> BadInput:
        return BadInput(f"{self.file}: {self.place}: {what}")

    def text(self, *keys: str) -> str:
        """The text at ``keys``, one inside the other.

        Raises
        ------
        BadInput
            If there is none, or it is empty.
        """
        value, name = self.values, ".".join(keys)
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            raise self.error(f"{name!r} is missing")
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"{name}: {value!r:.80} (expected: text)")
        return value

    def number(self, key: str) -> int | None:
        """The whole number at ``key``, if there is one.

        Raises
        ------
        BadInput
        """
        value = self.values.get(key)
        if value is not None and not re.fullmatch("[0-9]{1,18}", str(value)):
            raise self.error(f"{key}: {value!r:.80} (expected: a whole number)")
        return None if value is None else int(value)


@dataclass
class Made:
    """Prompts as they are made of entries: in order, none twice, with what is to be said of them."""

    file: str
    prompts: list[dict] = field(default_factory=list)
    _seen: set[tuple] = field(default_factory=set)
    _said: dict[str, list[str]] = field(default_factory=dict)

    def add(self, row: Row, before: str, subject: str, after: str, target: str, **others: Any) -> None:
        """Add a prompt whose text is ``before + subject + after``: which occurrence is meant is known.

        Raises
        ------
        BadInput
            If the subject cannot be found there.
        """
        if subject != subject.strip():
            raise row.error(f"subject: {subject!r:.80} (expected: no space around it)")
        text = (before + subject + after).rstrip(" ")
        prompt = {**others, "text": text, "subject": subject, "target": target}
        if text.count(subject) > 1 or text.find(subject) != len(before):
            starts = occurrences(text, subject)
            if len(before) not in starts:
                raise row.error(f"subject: {subject!r:.80} overlaps with itself in {text!r}")
            prompt["occurrence"] = starts.index(len(before)) + 1
        self.keep(row, prompt, after)

    def keep(self, row: Row, prompt: dict, written: str) -> None:
        """Add a prompt, unless it is there; ``written`` is the end of its text before spaces were cut."""
        what = (prompt["text"], prompt["subject"], prompt["target"], prompt.get("occurrence"))
        if what in self._seen:
            self._say("left out, being there already", row)
            return
        self._seen.add(what)
        if written.endswith(" "):
            self._say("cut at the end of the text, where a space was: it begins the target", row)
        self.prompts.append(prompt)

    def _say(self, what: str, row: Row) -> None:
        self._said.setdefault(what, []).append(row.place)

    @property
    def notes(self) -> list[str]:
        """One line for each thing that was mended: how often, and where first."""
        return [
            f"{self.file}: {len(at)} {'prompts' if len(at) > 1 else 'prompt'} {what} (first: {at[0]})"
            for what, at in self._said.items()
        ]


# Facts --------------------------------------------------------------------------------------


def slug(name: str, longest: int = 30) -> str:
    """A name as ids may have it: lower-case letters without accents, digits, hyphens; perhaps empty."""
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:longest].strip("-")


class Facts:
    """Names of facts: of one relation and one subject is one fact, whatever the wording."""

    def __init__(self, category: str):
        self._category = slug(category, 60)
        self._subjects: dict[str, str] = {}
        self._taken: dict[str, int] = {}

    def __call__(self, relation: Any, subject: str) -> str:
        if subject not in self._subjects:
            name = slug(subject) or "subject"
            number = self._taken[name] = self._taken.get(name, 0) + 1
            # No slug has two hyphens.
            self._subjects[subject] = name if number == 1 else f"{name}--{number}"
        return f"{slug(str(relation or '')) or self._category}-{self._subjects[subject]}"


# ROME ---------------------------------------------------------------------------------------


def counterfact(rows: Sequence[Row], category: str, made: Made) -> None:
    """Add CounterFact's prompts: ``requested_rewrite`` with its template, subject and true target.

    Raises
    ------
    BadInput
    """
    facts = Facts(category)
    for n, row in enumerate(rows, 1):
        template = row.text("requested_rewrite", "prompt")
        subject = row.text("requested_rewrite", "subject")
        target = row.text("requested_rewrite", "target_true", "str")
        before, after = _around(row, template, "requested_rewrite.prompt")
        relation = row.values["requested_rewrite"].get("relation_id")
        names = {"id": _id(row, "case", n, category), "fact": facts(relation, subject)}
        made.add(row, before, subject, after, f" {target.strip()}", **names)


def known(rows: Sequence[Row], category: str, made: Made) -> None:
    """Add the prompts of ROME's flat form: ``prompt``, ``subject``, ``attribute``, perhaps ``template``.

    A prompt begins as its template does, and goes on with what GPT-2 XL said before the attribute.

    Raises
    ------
    BadInput
    """
    facts = Facts(category)
    for n, row in enumerate(rows, 1):
        written, subject = row.text("prompt"), row.text("subject")
        target = f" {row.text('attribute').strip()}"
        names = {"id": _id(row, "known", n, category), "fact": facts(row.values.get("relation_id"), subject)}
        before, slot, _ = str(row.values.get("template") or "").partition(SLOT)
        if slot and written.startswith(before + subject):
            made.add(row, before, subject, written[len(before + subject) :], target, **names)
        else:
            prompt = {**names, "text": written.rstrip(" "), "subject": subject, "target": target}
            occurrence = row.number("occurrence")
            made.keep(row, prompt | ({} if occurrence is None else {"occurrence": occurrence}), written)


def _around(row: Row, template: str, name: str) -> list[str]:
    parts = template.split(SLOT)
    if len(parts) != 2:
        raise row.error(f"{name}: {template!r} (expected: {SLOT} once, where the subject stands)")
    return parts


def _id(row: Row, kind: str, n: int, category: str) -> str:
    number = row.number(f"{kind}_id")
    return f"{slug(category, 60)}-{n}" if number is None else f"{kind}-{number}"


# Templates ----------------------------------------------------------------------------------


class Template(NamedTuple):
    """What stands around a subject, and the space before the answer."""

    before: str
    after: str
    space: str

    @classmethod
    def parse(cls, template: str) -> "Template | None":
        """None if the answer cannot be asked for at its end.

        ``[X]`` stands for the subject, once; ``[Y]``, if there is one, for the answer, and nothing but marks
        may follow it. The answer has a space before it where ``[Y]`` has one; without ``[Y]`` it has.
        """
        asked, answer, rest = template.partition(ANSWER)
        before, subject, after = asked.partition(SUBJECT)
        if not subject or SUBJECT in after or any(c.isalnum() for c in rest):
            return None
        return cls(before, after.rstrip(" "), " " if not answer or asked.endswith(" ") else "")


def from_templates(rows: Sequence[Row], category: str, made: Made) -> list[str]:
    """Add the prompts of entries with ``sub_label``, ``obj_label`` and a ``template`` each.

    Returns
    -------
    list of str
        Notes: templates that were left out.

    Raises
    ------
    BadInput
    """
    for row in rows:
        for key in ("sub_label", "obj_label", "template"):
            if row.values.get(key) is None:
                raise row.error(
                    f"{key!r} is missing (expected: sub_label, obj_label and template; or this file in a "
                    "folder, and a category in YAML that names it as its `pairs` or `templates`)"
                )
    texts = [row.text("template") for row in rows]
    parsed, notes = _parsed(texts, made.file)
    _fill(rows, lambda row: parsed[row.values["template"]], category, made)
    return notes


def from_pairs(pairs: Sequence[Row], templates: Sequence[Row], category: str, made: Made) -> list[str]:
    """Add one prompt for each pair of subject and answer in each template of its relation.

    Parameters
    ----------
    pairs
        Entries with ``sub_label`` and ``obj_label``, or ``subject`` and ``target``; their relation is
        ``predicate_id``, or else their file's name if that is as P36.
    templates
        Entries with ``pattern`` or ``template``; those that name a ``relation`` are for its pairs.

    Returns
    -------
    list of str
        Notes: templates that were left out.

    Raises
    ------
    BadInput
    """
    relations = {None, *map(_relation, pairs)}
    wanted: dict[str | None, list[str]] = {}
    for row in templates:
        text = row.text("pattern" if "pattern" in row.values else "template")
        relation = row.text("relation") if "relation" in row.values else None
        if relation in relations:
            wanted.setdefault(relation, []).append(text)
    texts = [text for texts in wanted.values() for text in texts]
    parsed, notes = _parsed(texts, templates[0].file if templates else made.file)

    def of_its_relation(row: Row) -> list[Template]:
        relation = _relation(row)
        texts = wanted.get(None, []) + (wanted.get(relation, []) if relation else [])
        if found := [template for text in texts for template in parsed[text]]:
            return found
        raise row.error(
            f"no template of its relation, {relation!r}, that can be used (expected: one or more)"
        )

    _fill(pairs, of_its_relation, category, made)
    return notes


def _relation(row: Row) -> str | None:
    name = row.values.get("predicate_id") or row.file.rpartition("/")[2].partition(".")[0]
    return name if re.fullmatch(r"P\d+", str(name)) else None


def _parsed(texts: Sequence[str], file: str) -> tuple[dict[str, list[Template]], list[str]]:
    """Each text with its template, or with none if it cannot be used; and what is to be said of those.

    Raises
    ------
    BadInput
        If none can be used.
    """
    found = {text: Template.parse(text) for text in texts}
    parsed = {text: [template] if template else [] for text, template in found.items()}
    out = [text for text, template in found.items() if template is None]
    if not out:
        return parsed, []
    said = (
        f"{file}: {len(out)} of {len(found)} templates left out (expected: {SUBJECT} once, before {ANSWER}; "
        f"{ANSWER} at the end); the first: {out[0]!r}"
    )
    if len(out) == len(found):
        raise BadInput(said)
    return parsed, [said]


def _fill(rows: Sequence[Row], templates: Callable[[Row], list], category: str, made: Made) -> None:
    facts, named = Facts(category), Facts(category)
    numbers: dict[str, int] = {}
    for row in rows:
        keys = ("sub_label", "obj_label") if "sub_label" in row.values else ("subject", "target")
        subject, answer = map(row.text, keys)
        fact, name = facts(_relation(row), subject), named(None, subject)
        for template in templates(row):
            numbers[name] = numbers.get(name, 0) + 1
            names = {"id": f"{name}-{numbers[name]}", "fact": fact}
            target = template.space + answer.strip()
            made.add(row, template.before, subject, template.after, target, **names)
