"""Tokenizers of GPT-2's, SentencePiece's and CTRL's kind: what is before a text, and what follows it."""

from pathlib import Path

import pytest
from tokenizers import processors
from transformers import AutoTokenizer, CTRLConfig, CTRLTokenizer

from oracles import tiny_tokenizers
from strata.model.source import ModelUnavailable
from strata.text.tokenizer import load_tokenizer
from strata.text.tokens import NO_TOKEN, byte_alphabet, is_text, plain_text

ORGANISM = Path("data/models/organism")


def sentencepiece(folder, **options):
    """A tokenizer of SentencePiece's kind."""
    tiny_tokenizers.sentencepiece(folder, **options)
    return load_tokenizer(str(folder))


@pytest.fixture
def ctrl(tmp_path):
    """A tokenizer of CTRL's kind."""
    CTRLConfig(vocab_size=tiny_tokenizers.ctrl(tmp_path, "Thecats12,nïvdr.")).save_pretrained(tmp_path)
    return load_tokenizer(str(tmp_path))


# A beginning token ----------------------------------------------------------------------------


def test_what_stands_before_a_text_in_training_stands_there(tmp_path):
    tokenizer = sentencepiece(tmp_path)
    assert tokenizer.beginning == (1,) and tokenizer.encode("Paris")[0] == 1
    ids, offsets = tokenizer.encode_with_offsets("capital Paris")
    assert offsets[0] == (0, 0) and ids[1:] == tokenizer.encode_alone(["capital Paris"])[0]
    assert tokenizer.strings(ids)[:2] == ["<bos>", "c"] and 1 in tokenizer.special


def test_a_key_turns_it_off(tmp_path):
    sentencepiece(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), beginning=False)
    assert tokenizer.beginning == () and tokenizer.encode("Paris") == tokenizer.encode_alone(["Paris"])[0]


def test_gpt2s_kind_has_none():
    assert load_tokenizer(str(ORGANISM)).beginning == ()


def test_what_a_tokenizer_puts_behind_a_text_is_left_out(tmp_path):
    base = sentencepiece(tmp_path).base
    ends = [("<bos>", 1), ("<unk>", 0)]
    base.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "<bos> $A <unk>", special_tokens=ends
    )
    base.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).beginning == (1,)


# What follows a text --------------------------------------------------------------------------


def test_a_target_is_what_follows_the_text(tmp_path):
    tokenizer = sentencepiece(tmp_path, dummy_space=True)
    alone = tokenizer.encode_alone([" Paris"])[0]
    [follows] = tokenizer.following("The capital is", " Paris")
    # Alone it is a space, and the word with the space that every text gets before it.
    assert tokenizer.strings(alone) == ["\u2581", "\u2581Paris"]
    assert tokenizer.strings([follows]) == ["\u2581Paris"]


def test_of_a_byte_level_tokenizer_it_is_the_target_alone():
    tokenizer = load_tokenizer(str(ORGANISM))
    for text, target in (("The capital of France is", " Paris"), ("import numpy as", " np")):
        assert tokenizer.following(text, target) == tokenizer.encode(target)


@pytest.mark.parametrize("text,continuation", [("The Pa", "ris"), ("Paris", "")])
def test_a_text_whose_own_tokens_change_has_no_continuation(tmp_path, text, continuation):
    with pytest.raises(ValueError, match="has other tokens where"):
        sentencepiece(tmp_path).following(text, continuation)


# How tokens are spelled -----------------------------------------------------------------------


def test_rows_beyond_the_tokenizer_are_no_tokens():
    tokenizer = load_tokenizer(str(ORGANISM))
    size = len(tokenizer)
    strings = tokenizer.strings([0, size - 1, size, size + 7])
    assert strings[2:] == [f"{NO_TOKEN}{size}", f"{NO_TOKEN}{size + 7}"]
    assert not any(string.startswith(NO_TOKEN) for string in strings[:2])


def test_a_tokenizer_without_offsets_finds_its_tokens_in_the_text(ctrl):
    assert not ctrl.base.is_fast
    text = "the cat  chats ."
    ids, offsets = ctrl.encode_with_offsets(text)
    assert [text[start:end] for start, end in offsets] == ["the", "cat", "c", "h", "a", "t", "s", "."]
    assert [plain_text(token) for token in ctrl.strings(ids)][:4] == ["the ", "cat ", "c", "h"]


def test_offsets_of_a_fast_tokenizer_are_its_own():
    tokenizer = load_tokenizer(str(ORGANISM))
    text = "The capital of France is Paris."
    expected = tokenizer.base(text, add_special_tokens=False, return_offsets_mapping=True)
    assert tokenizer.encode_with_offsets(text) == (expected["input_ids"], expected["offset_mapping"])


def test_a_tokenizer_whose_tokens_are_not_in_the_text_is_refused(ctrl, tmp_path, monkeypatch):
    split = CTRLTokenizer._tokenize
    monkeypatch.setattr(CTRLTokenizer, "_tokenize", lambda self, text: split(self, text.replace("a", "ï")))
    with pytest.raises(ModelUnavailable, match="'ï' of the text .* cannot be found"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("letters", ["éü", "".join(byte_alphabet())])
def test_letters_of_a_sentencepiece_vocabulary_are_no_bytes(tmp_path, letters):
    """Also where the vocabulary happens to have every letter that GPT-2 names bytes by."""
    tokenizer = sentencepiece(tmp_path, letters=letters)
    ids = tokenizer.encode_alone(["é Paris"])[0]
    strings = tokenizer.strings(ids)
    assert [plain_text(token) for token in strings] == ["é", " Paris"] and all(map(is_text, strings))
    byte = tokenizer.base.convert_tokens_to_ids("<0xE9>")
    assert not is_text(tokenizer.strings([byte])[0])


def test_a_byte_of_a_byte_level_vocabulary_stays_a_byte():
    tokenizer = load_tokenizer(str(ORGANISM))
    byte = AutoTokenizer.from_pretrained(ORGANISM).convert_tokens_to_ids("é")
    assert tokenizer.strings([byte]) == ["é"] and not is_text("é")
