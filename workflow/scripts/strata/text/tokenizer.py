"""A model's tokenizer, alone: no model class is imported to tokenise, and where it can be done no torch."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from strata.model.source import ModelUnavailable, is_folder_source, load
from strata.text.tokens import NO_TOKEN, byte_alphabet, plain_text, respelled

GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""What transformers calls a tokenizer that is all in its ``tokenizer.json``: now, and formerly."""

CONTINUED = "@@"
"""How CTRL's vocabulary marks a token that its word goes on after."""


def load_tokenizer(source: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model, the fast one where there is one.

    Raises
    ------
    ModelUnavailable
        If the source is not there or cannot be reached, or a folder has no tokenizer.
    """
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


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text, without any special token added."""
    return tokenizer.encode(text, add_special_tokens=False)


def encode_with_offsets(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of a text, and of each token its first character and the one past the last.

    A tokenizer that does not keep them (CTRL's) is asked for its tokens' texts, which are looked for one
    after the other; a token that is not found (an unknown one) has no characters.
    """
    if tokenizer.is_fast:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return encoded["input_ids"], encoded["offset_mapping"]
    ids, offsets, end = encode(tokenizer, text), [], 0
    for token in token_strings(tokenizer, ids):
        piece = plain_text(token)
        piece = piece.strip(" ") or piece
        start = text.find(piece, end)
        start, end = (end, end) if start < 0 else (start, start + len(piece))
        offsets.append((start, end))
    return ids, offsets


def token_strings(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Tokens as the vocabulary spells them: unlike decoded text, never ambiguous.

    Where the spelling can only be understood with the whole vocabulary, it is changed to one that
    `strata.text.tokens.plain_text` understands. Rows of the embedding that belong to no token are called
    `strata.text.tokens.NO_TOKEN` and their number.
    """
    spell, known = _spelling(tokenizer), _ids(tokenizer)
    tokens = tokenizer.convert_ids_to_tokens([id if id in known else 0 for id in ids])
    return [
        spell(str(token)) if id in known else f"{NO_TOKEN}{id}" for token, id in zip(tokens, ids, strict=True)
    ]


@cache
def _ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    return frozenset(tokenizer.get_vocab().values())


@cache
def _spelling(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str]:
    vocabulary = tokenizer.get_vocab()
    if all(character in vocabulary for character in byte_alphabet()):
        return str
    if any(token.endswith(CONTINUED) for token in vocabulary):
        return lambda token: (
            token.removesuffix(CONTINUED) if token.endswith(CONTINUED) or token.isspace() else token + "</w>"
        )
    return respelled
