"""Tokens as vocabularies spell them, and the text that they stand for."""

import re
from functools import lru_cache

import numpy as np
import xarray as xr

from strata.names import BEGINNING, SPECIAL, TOKEN, TOKEN_STR, VOCAB

NO_TOKEN = "<no token>"
"""What a row of the embedding that belongs to no token is called, with its number behind."""

SPACE_MARKS = ("Ġ", "▁", " ")  # how byte-level BPE and sentencepiece write a leading space


def plain_text(token: str) -> str:
    """A token as a vocabulary spells it, as the text that it stands for.

    Byte-level tokens (GPT-2's) are turned back into text; bytes that are no text by themselves are
    escaped (``\\xe2``).
    """
    if _is_sentencepiece(token):
        token = re.sub("^<0x(..)>$", lambda byte: chr(int(byte[1], 16)), token)
        return token.replace("▁", " ")
    if token.endswith("</w>"):  # plain BPE with marked ends of words
        return token.removesuffix("</w>") + " "
    if _is_byte_level(token):
        return _bytes(token).decode(errors="backslashreplace")
    return token


def is_text(token: str) -> bool:
    """Whether a token stands for text, and not for a part of a character's bytes."""
    if _is_sentencepiece(token):
        return not re.fullmatch("<0x[89A-F][0-9A-F]>", token)
    if _is_byte_level(token):
        try:
            _bytes(token).decode()
        except UnicodeDecodeError:
            return False
    return True


def respelled(token: str) -> str:
    """A token of a vocabulary that is not byte-level, spelled so that nobody takes it for one that is.

    Its é is a letter, and not GPT-2's name for the byte E9.
    """
    if token.isascii() or _is_sentencepiece(token) or not _is_byte_level(token):
        return token
    names = {byte: character for character, byte in byte_alphabet().items()}
    return "".join(names[byte] for byte in token.encode())


def ordinary(weights: xr.Dataset) -> xr.Dataset:
    """The rows of ``weights.h5`` of tokens that were learned from text: no padding, no ``special`` token."""
    chosen = np.array([not str(token).startswith(NO_TOKEN) for token in weights[TOKEN_STR].values])
    if SPECIAL in weights:
        chosen &= ~weights[SPECIAL].values
    return weights if chosen.all() else weights.isel({VOCAB: chosen})


def of_text(dataset: xr.Dataset) -> xr.Dataset:
    """A text's own tokens: all but those that a tokenizer puts before it (``beginning``)."""
    if BEGINNING not in dataset.coords or not dataset[BEGINNING].values.any():
        return dataset
    return dataset.isel({TOKEN: ~dataset[BEGINNING].values})


@lru_cache
def byte_alphabet() -> dict[str, int]:
    """GPT-2's character for each byte: itself where it prints, else one from U+0100 on."""
    printing = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)}
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(b): b for b in printing} | {chr(256 + i): b for i, b in enumerate(others)}


def _is_sentencepiece(token: str) -> bool:
    return "▁" in token or bool(re.fullmatch("<0x[0-9A-F]{2}>", token))


def _is_byte_level(token: str) -> bool:
    return all(c in byte_alphabet() for c in token)


def _bytes(token: str) -> bytes:
    return bytes(byte_alphabet()[c] for c in token)


def has_leading_space(token_str: xr.DataArray) -> xr.DataArray:
    """Which tokens begin with a space, from their byte-level (or sentencepiece) strings."""
    flags = [str(text).startswith(SPACE_MARKS) for text in token_str.values]
    return token_str.copy(data=np.array(flags, dtype=bool))
