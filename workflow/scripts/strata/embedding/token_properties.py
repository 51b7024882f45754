"""What a token is, from its string: case, digits, script, whether it begins a word."""

import unicodedata
from collections.abc import Mapping

import numpy as np
import xarray as xr

from strata.embedding.names import LEADING_SPACE, PROPERTY
from strata.names import VOCAB
from strata.text.tokens import has_leading_space, is_text, plain_text

UNKNOWN = ""
"""In the place of a class: none, or not known."""


def describe_tokens(
    token_str: xr.DataArray,
    count: xr.DataArray | None = None,
    part_of_speech: xr.DataArray | None = None,
) -> xr.Dataset:
    """The properties of every token.

    All but the leading space are those of the text without spaces around it.

    Parameters
    ----------
    token_str : DataArray (vocab)
        As the vocabulary spells them.
    count : DataArray (vocab), optional
        How often each was seen; NaN where that is not known.
    part_of_speech : DataArray (vocab), optional
        Strings, empty where not known.

    Returns
    -------
    Dataset
        ``flag`` (property, vocab): "leading space"; "capitalised" (first letter only), "upper case", "lower
        case"; "digits", "punctuation" (or symbols) and nothing else; "fragment" (letters that go on with a
        word: no leading space, in a vocabulary that marks them); "not text" (a part of a character's
        bytes); "never seen", if ``count`` is given. ``length`` (vocab) in characters, NaN for what is not
        text. ``script`` (vocab) of the first letter by its name in Unicode ("latin"), empty where there is
        none; ``part_of_speech`` (vocab), if given.
    """
    spelled = [str(token) for token in token_str.values]
    text = np.array([is_text(token) for token in spelled])
    bare = [plain_text(token).strip() if kept else "" for token, kept in zip(spelled, text, strict=True)]
    space = has_leading_space(token_str).values
    flags = {
        LEADING_SPACE: space,
        "capitalised": [word[:1].isupper() and word[1:].islower() for word in bare],
        "upper case": [word.isupper() for word in bare],
        "lower case": [word.islower() for word in bare],
        "digits": [word.isdigit() for word in bare],
        "punctuation": [_is_punctuation(word) for word in bare],
        "fragment": np.array([word.isalpha() for word in bare]) & ~space & space.any(),
        "not text": ~text,
    }
    if count is not None:
        flags["never seen"] = count.values == 0
    length = np.where(text, [len(word) for word in bare], np.nan)
    result = xr.Dataset(
        {
            "flag": ((PROPERTY, VOCAB), np.array(list(flags.values()), dtype=bool)),
            "length": (VOCAB, length),
            "script": (VOCAB, np.array([_script(word) for word in bare], dtype=object)),
        },
        coords={PROPERTY: list(flags)},
    )
    if part_of_speech is not None:
        result["part_of_speech"] = (VOCAB, part_of_speech.values.astype(object))
    return result


def parts_of_speech(token_str: xr.DataArray, words: Mapping[str, set[str]]) -> xr.DataArray:
    """The part of speech (vocab) of tokens that are a whole word of a lexicon, else empty.

    Whole is a token with a leading space, and a capitalised one without, which begins a text; the latter is
    looked up in lower case as well. Words that may be several parts of speech are left out.

    Parameters
    ----------
    words : mapping
        A word to all the parts of speech that it may have.
    """
    space = has_leading_space(token_str).values
    tags = []
    for token, spaced in zip(token_str.values, space, strict=True):
        word = plain_text(str(token)).strip()
        begins = word[:1].isupper()
        found = words.get(word, set()) if spaced or begins else set()
        if not found and begins and not spaced:
            found = words.get(word.lower(), set())
        tags.append(next(iter(found)).lower() if len(found) == 1 else UNKNOWN)
    return token_str.copy(data=np.array(tags, dtype=object))


def _is_punctuation(word: str) -> bool:
    return bool(word) and all(unicodedata.category(c)[0] in "PS" for c in word)


def _script(word: str) -> str:
    letter = next((c for c in word if c.isalpha()), "")
    return unicodedata.name(letter, UNKNOWN).split(" ")[0].lower() if letter else UNKNOWN
