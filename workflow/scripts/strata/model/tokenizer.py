"""A model's tokenizer, alone: no model class is imported to tokenise, and where it can be done no torch."""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from strata.model.source import load

GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""What transformers calls a tokenizer that is all in its ``tokenizer.json``: now, and formerly."""


def load_tokenizer(source: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer of a model."""
    if _is_generic(Path(source).expanduser()):
        return load(PreTrainedTokenizerFast.from_pretrained, source, revision=revision)
    # It reads the model's configuration to choose a class, and so imports torch.
    from transformers import AutoTokenizer

    return load(AutoTokenizer.from_pretrained, source, revision=revision)


def _is_generic(folder: Path) -> bool:
    """Whether this is a folder with a tokenizer that needs no class of its own."""
    settings = folder / "tokenizer_config.json"
    if not (settings.is_file() and (folder / "tokenizer.json").is_file()):
        return False
    found = json.loads(settings.read_text(encoding="utf-8"))
    return found.get("tokenizer_class") in GENERIC and "auto_map" not in found


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Token ids of a text, without any special token added."""
    return tokenizer.encode(text, add_special_tokens=False)


def token_strings(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    """Byte-level (or the vocabulary's own) form of tokens: unlike decoded text, never ambiguous."""
    return [str(token) for token in tokenizer.convert_ids_to_tokens(ids)]
