"""A byte-level BPE trained like GPT-2's: no normaliser, GPT-2's split, a leading space per word."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from strata.organism.corpus import END_OF_TEXT


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE of ``vocab_size`` entries, the last of them the end-of-text token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def as_pretrained(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer as transformers loads it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        bos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=max_length,
    )


def count_tokens(tokens: np.ndarray, tokenizer: Tokenizer) -> pd.DataFrame:
    """How often each token occurs in the corpus: ``token_id``, ``token_str``, ``count``."""
    counts = np.bincount(tokens.ravel(), minlength=tokenizer.get_vocab_size())
    strings = [tokenizer.id_to_token(i) for i in range(len(counts))]
    return pd.DataFrame({"token_id": range(len(counts)), "token_str": strings, "count": counts})
