"""Small tokenizers of SentencePiece's and of CTRL's kind, made without a network."""

import json
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

PIECES = ["<unk>", "<bos>", "▁", "P", "a", "r", "i", "s", "."]
MERGES = [("P", "a"), ("r", "i"), ("Pa", "ri"), ("Pari", "s"), ("▁", "Paris")]
ASCII = "".join(map(chr, range(ord("!"), ord("~") + 1)))


def sentencepiece(
    folder: Path,
    dummy_space: bool = False,
    letters: str = "",
    bytes_too: bool = True,
    words: Iterable[str] = (),
) -> int:
    """Save one of SentencePiece's kind: a beginning token, spaces in tokens, bytes where letters lack.

    ``words`` are tokens with the space before them.

    Returns
    -------
    its number of tokens
    """
    letters = sorted(set(ASCII + "ï" + letters) - set(PIECES))
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)] if bytes_too else []
    merges = [*MERGES, *dict.fromkeys(pair for word in words for pair in _pairs(["▁", *word]))]
    names = [*PIECES, *letters, *("".join(pair) for pair in merges), *byte_tokens]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys(names))}
    inner = tokenizers.Tokenizer(models.BPE(vocabulary, merges, byte_fallback=bytes_too, unk_token="<unk>"))
    spaces = [normalizers.Replace(" ", "▁")]
    inner.normalizer = normalizers.Sequence(([normalizers.Prepend("▁")] if dummy_space else []) + spaces)
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    inner.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 1)])
    base = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>", unk_token="<unk>")
    base.save_pretrained(folder)
    return len(base)


def ctrl(folder: Path, letters: Iterable[str] = ASCII, words: Iterable[str] = ("the", "cat")) -> int:
    """Save the files of one of CTRL's kind: it has no fast version, and keeps no offsets.

    Returns
    -------
    its number of tokens
    """
    merges = dict.fromkeys(pair for word in words for pair in _pairs([*word[:-1], word[-1] + "</w>"]))
    parts = ["".join(pair) for pair in merges]
    # What goes on has @@ behind it.
    made = [part.removesuffix("</w>") if part.endswith("</w>") else f"{part}@@" for part in parts]
    tokens = dict.fromkeys(["<unk>", *letters, *(f"{letter}@@" for letter in letters), *made])
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges), ""]))
    return len(tokens)


def _pairs(pieces: list[str]) -> list[tuple[str, str]]:
    """The merges that make one piece of several, from the left."""
    return [("".join(pieces[:n]), pieces[n]) for n in range(1, len(pieces))]
