"""A model's tokenizer, alone: no model class is imported to tokenise, and where it can be done no torch."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from strata.model.source import ModelUnavailable, is_folder_source, load
from strata.text.prompts import JoinedOtherwise
from strata.text.tokens import NO_TOKEN, byte_alphabet, plain_text, respelled

GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""What transformers calls a tokenizer that is all in its ``tokenizer.json``: now, and formerly."""

CONTINUED = "@@"
"""How CTRL's vocabulary marks a token that its word goes on after."""

BYTE = "<0x0A>"
"""A token by which a SentencePiece vocabulary with bytes is known: it may have all of GPT-2's letters too."""

NAMED_BYTES = 200
"""Of GPT-2's 256 names of bytes: a vocabulary with as many is byte-level."""

Offsets = list[tuple[int, int]]
"""Of each token its first character in the text and the one past the last; the same where it has none."""


@dataclass(frozen=True)
class Tokenizer:
    """A model's tokenizer, and what its model is used to see before a text.

    ``base``: that of transformers. ``beginning``: tokens that stand before every text, as in the model's
    training (Gemma's ``<bos>``); GPT-2 has none.
    """

    base: PreTrainedTokenizerBase
    beginning: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Tokens that it knows: rows of an embedding beyond them are padding."""
        return len(self.base)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, the beginning before them."""
        return self.encode_with_offsets(text)[0]

    def encode_alone(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, without the beginning."""
        return self.base(list(texts), add_special_tokens=False, verbose=False)["input_ids"]

    def encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        """Token ids of a text, the beginning before them, and where in the text they are.

        A tokenizer that does not keep offsets (CTRL's) is given one word after the other, and each token is
        looked for in its word; one that is not found (an unknown one) has no characters.

        Raises
        ------
        ModelUnavailable
            If the words have other tokens together than one by one.
        """
        if self.base.is_fast:
            encoded = self.base(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        else:
            [ids], own, offsets = self.encode_alone([text]), [], []
            for word in re.finditer(r"\S+\n?", text):
                [tokens] = self.encode_alone([word.group()])
                own += tokens
                offsets += _places(word.group(), word.start(), self.strings(tokens))
            if own != ids:
                raise ModelUnavailable(f"the tokens of {text!r} are not those of its words, one by one")
        return [*self.beginning, *ids], [(0, 0)] * len(self.beginning) + offsets

    def following(self, text: str, continuation: str) -> list[int]:
        """The tokens by which a text goes on with a continuation.

        They are not those of the continuation alone: of " Paris" some tokenizers make "▁" and "▁Paris".

        Raises
        ------
        JoinedOtherwise
            If the text's own tokens change when the continuation is written behind it.
        """
        own, together = self.encode_alone([text, text + continuation])
        if together[: len(own)] != own or len(together) == len(own):
            raise JoinedOtherwise(f"{text!r} has other tokens where {continuation!r} follows")
        return together[len(own) :]

    def strings(self, ids: Sequence[int]) -> list[str]:
        """Tokens as the vocabulary spells them: unlike decoded text, never ambiguous.

        Where the spelling can only be understood with the whole vocabulary, it is changed to one that
        `strata.text.tokens.plain_text` understands. Ids that belong to no token are called
        `strata.text.tokens.NO_TOKEN` and their number.
        """
        known, spell = self._known, self._spelling
        tokens = self.base.convert_ids_to_tokens([id if id in known else 0 for id in ids])
        return [
            spell(str(token)) if id in known else f"{NO_TOKEN}{id}"
            for token, id in zip(tokens, ids, strict=True)
        ]

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of tokens that stand for no text, or that were added to those learned from text."""
        return frozenset(self.base.all_special_ids) | frozenset(self.base.added_tokens_decoder)

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(self.base.get_vocab().values())

    @cached_property
    def _spelling(self) -> Callable[[str], str]:
        vocabulary = self.base.get_vocab()
        if BYTE in vocabulary:
            return respelled
        # A vocabulary may lack the names of bytes that no text has; SmolLM2's has 235 of 256.
        if sum(character in vocabulary for character in byte_alphabet()) >= NAMED_BYTES:
            return str
        if any(token.endswith(CONTINUED) for token in vocabulary):
            return _with_marked_ends
        return respelled


def load_tokenizer(source: str, revision: str | None = None, beginning: bool = True) -> Tokenizer:
    """Load the tokenizer of a model, the fast one where there is one.

    Parameters
    ----------
    beginning : whether a text begins with the tokens that the tokenizer puts there by default

    Raises
    ------
    ModelUnavailable
        If the source is not there or cannot be reached, or a folder has no tokenizer, or its tokens cannot be
        found in a text.
    """
    base = _load(source, revision)
    tokenizer = Tokenizer(base, _beginning(base) if beginning else ())
    _check_aligned(tokenizer, source)
    return tokenizer


SAMPLE = "The 12 cats, naïve as ever, sat."
"""A text by which tokenizers are tried."""


def _beginning(base: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What a tokenizer puts before a text by default; not what it puts behind one, since the text goes on."""
    alone, whole = base.encode(SAMPLE, add_special_tokens=False), base.encode(SAMPLE)
    for start in range(len(whole) - len(alone) + 1):
        if whole[start : start + len(alone)] == alone:
            return tuple(whole[:start])
    return ()


def _check_aligned(tokenizer: Tokenizer, source: str) -> None:
    """Refuse a tokenizer whose tokens cannot be found in the text; one that is unknown stands for any."""
    ids, offsets = tokenizer.encode_with_offsets(SAMPLE)
    known = {*ids[len(tokenizer.beginning) :]} - {tokenizer.base.unk_token_id}
    lost = [id for id, (start, end) in zip(ids, offsets, strict=True) if start == end and id in known]
    if lost:
        raise ModelUnavailable(
            f"model {source}: its token {plain_text(tokenizer.strings(lost)[0])!r} of the text {SAMPLE!r} "
            "cannot be found in that text: its tokenizer has no fast version, and changes what it reads"
        )


def _load(source: str, revision: str | None) -> PreTrainedTokenizerBase:
    folder = Path(source).expanduser()
    if _is_generic(folder):
        return load(PreTrainedTokenizerFast.from_pretrained, source, revision=revision)
    # It reads the model's configuration to choose a class, and so imports torch.
    from transformers import AutoTokenizer

    tokenizer = load(AutoTokenizer.from_pretrained, source, revision=revision)
    if is_folder_source(source):
        files = ["tokenizer.json", *tokenizer.vocab_files_names.values()]
        if not any((folder / file).is_file() for file in files):
            raise ModelUnavailable(
                f"no tokenizer in {source} (expected: {' or '.join(dict.fromkeys(files))})"
            )
    return tokenizer


def _is_generic(folder: Path) -> bool:
    """Whether this is a folder with a tokenizer that needs no class of its own."""
    settings = folder / "tokenizer_config.json"
    if not (settings.is_file() and (folder / "tokenizer.json").is_file()):
        return False
    found = json.loads(settings.read_text(encoding="utf-8"))
    return found.get("tokenizer_class") in GENERIC and "auto_map" not in found


def _places(word: str, start: int, tokens: Sequence[str]) -> Offsets:
    """Where a word's tokens stand in its text, each after the one before; ``start`` is that of the word."""
    offsets, end = [], 0
    for token in tokens:
        piece = plain_text(token)
        piece = piece.strip(" ") or piece
        at = word.find(piece, end)
        if at >= 0:
            offsets.append((start + at, start + at + len(piece)))
            end = at + len(piece)
        else:
            offsets.append((start + end, start + end))
    return offsets


def _with_marked_ends(token: str) -> str:
    """A token of CTRL's vocabulary, with the ends of words marked and not what goes on."""
    if token.endswith(CONTINUED) or token.isspace():
        return respelled(token.removesuffix(CONTINUED))
    return token + "</w>"
