"""How two tokens' spellings are related."""

import unicodedata
from functools import cache

from strata.text.tokens import is_text, plain_text

UNPRINTABLE, TO_UNPRINTABLE = "unprintable bytes", "to unprintable bytes"
SPACE_REMOVED, SPACE_ADDED, CASE, FRAGMENT, OTHER = (
    "space removed",
    "space added",
    "case",
    "fragment",
    "other",
)
KINDS = (SPACE_REMOVED, SPACE_ADDED, CASE, FRAGMENT, UNPRINTABLE, TO_UNPRINTABLE, OTHER)


def relation(token: str, other: str) -> str:
    """How a token's spelling leads to another's, one of `KINDS`: the first of these rules that holds.

    1. *unprintable bytes*: the token stands for no text by itself (part of a character's bytes) or holds
       control characters;
    2. *to unprintable bytes*: the other does;
    3. *space removed*, *space added*: they are equal but for the leading space that the token, or the
       other, has;
    4. *case*: equal but for case, and perhaps a leading space as well;
    5. *fragment*: one's text, without spaces around it, is a part of the other's;
    6. *other*.

    Parameters
    ----------
    token, other : str
        As the vocabulary spells them.
    """
    if not is_printable(token):
        return UNPRINTABLE
    if not is_printable(other):
        return TO_UNPRINTABLE
    a, b = plain_text(token), plain_text(other)
    if a == " " + b:
        return SPACE_REMOVED
    if b == " " + a:
        return SPACE_ADDED
    a, b = a.strip(" "), b.strip(" ")
    if a.casefold() == b.casefold():
        return CASE
    if a and b and (a in b or b in a):
        return FRAGMENT
    return OTHER


@cache  # asked of the same tokens in every shuffle
def is_printable(token: str) -> bool:
    """Whether a token stands for text without control characters; line breaks and tabs are none."""
    return is_text(token) and not any(
        unicodedata.category(c).startswith("C") and c not in "\n\r\t" for c in plain_text(token)
    )
