"""Endings: texts that demand the word they must end with, in pairs that differ in that word alone.

Where one text of a pair says the one demanded word, the other says the other; both words may stand in both.
Behind the last of them the texts are the same: the way to the end, on which the word that is demanded is
held to the one that is not.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from strata.inputs import BadInput
from strata.text.prompts import Curated, Following, target_tokens


def check_ending(prompt: Mapping, other: Mapping, where: str) -> None:
    """Check a text that demands a word, ``prompt``, against the other text of its pair.

    Raises
    ------
    BadInput
        ``where`` begins its line. If both demand one word, or the words do not stand in each other's place.
    """
    own, others = prompt["demands"].strip(), other["demands"].strip()
    if own == others:
        raise BadInput(f"{where}: demands: {own!r}, as its pair does (expected: another word)")
    named = re.compile(rf"(?<!\w)({re.escape(own)}|{re.escape(others)})(?!\w)")
    found = list(named.finditer(prompt["text"]))
    if own not in [word[1] for word in found]:
        raise BadInput(f"{where}: demands: {own!r} is no word of its text")
    if found[-1].end() == len(prompt["text"]):
        raise BadInput(
            f"{where}: demands: nothing follows {found[-1][1]!r} in its text (expected: a way to the end)"
        )
    if named.sub(lambda word: others if word[1] == own else own, prompt["text"]) != other["text"]:
        raise BadInput(
            f"{where}: text: is not that of its pair {other['id']!r} with {own!r} and {others!r} in each "
            "other's place"
        )


def settle(curated: Sequence[Curated], ids: Sequence[Sequence[int]], following: Following) -> list[Curated]:
    """Decide on endings, both texts of a pair together; other prompts stay as they are.

    Accepted if both demanded words are single tokens behind their texts, and the texts have the same number
    of tokens, of which at least two at the end are the same.

    Parameters
    ----------
    curated : of all prompts
    ids : token ids of their texts
    following : a text and what follows it to the tokens of that
    """
    tokens = {row.id: own for row, own in zip(curated, ids, strict=True)}
    asked = {
        row.id: target_tokens({"text": row.text, "target": row.demands}, following)
        for row in curated
        if row.demands
    }

    def way(row: Curated) -> int:
        both = zip(reversed(tokens[row.id]), reversed(tokens[row.pair]), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))

    def not_one_token(word: Sequence[int]) -> str:
        if not word:
            return "the text's own tokens change where the demanded word follows"
        return "" if len(word) == 1 else f"the demanded word is {len(word)} tokens"

    refused = {name: not_one_token(word) for name, word in asked.items()}

    def reason(row: Curated) -> str:
        if refused[row.id]:
            return refused[row.id]
        if refused[row.pair]:
            return f"its pair {row.pair} cannot be used: {refused[row.pair]}"
        if asked[row.id] == asked[row.pair]:
            return "both demanded words of the pair are one token"
        if len(tokens[row.id]) != len(tokens[row.pair]):
            return "the texts of the pair have different numbers of tokens"
        return "" if way(row) > 1 else "only the last token of the text follows the demand"

    def settled(row: Curated) -> Curated:
        why, word = reason(row), -1 if refused[row.id] else asked[row.id][0]
        return replace(row, demanded_id=word, way_n_tokens=way(row), accepted=not why, reason=why)

    return [settled(row) if row.demands else row for row in curated]
