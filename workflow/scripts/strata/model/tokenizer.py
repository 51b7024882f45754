"""A model's tokenizer, alone: no model class is imported to tokenise."""

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from strata.model.source import load


def load_tokenizer(source: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer of a model."""
    return load(AutoTokenizer.from_pretrained, source, revision=revision, use_fast=True)


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Token ids of a text, without any special token added."""
    return tokenizer.encode(text, add_special_tokens=False)


def token_strings(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    """Byte-level (or the vocabulary's own) form of tokens: unlike decoded text, never ambiguous."""
    return [str(token) for token in tokenizer.convert_ids_to_tokens(ids)]
