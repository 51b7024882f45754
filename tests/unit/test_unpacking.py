"""A GGUF file unpacked is what transformers makes of it, and what was written into it."""

import re

import gguf
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from oracles import tiny_gguf
from strata.model.loading import load_model
from strata.model.source import ModelUnavailable
from strata.model.unpacking import read_tokenizer, unpack_gguf
from strata.text.tokenizer import _is_generic, load_tokenizer

STRINGS = [
    *tiny_gguf.TEXT,
    *("", " ", "  ", "     ", "a  b", "a   b c", " the", "the  other   day", "x\n\ny", "\n\n\n", "a \n b"),
    *("in 1984", "in   1984", "n  5", "1 2", "naïve café größer", "日本", "\t\tx", "🙂 the", "<td>the<td>"),
    *("the▁other", "the" * 20, "\r\n", "I'm we'll", "<0x41>", "\x00"),
]
MODELS = {
    "llama": (tiny_gguf.llama, tiny_gguf.byte_level),
    "gemma3": (tiny_gguf.gemma3, tiny_gguf.sentence_pieces),
}


def write(folder, name, kind="F32", change=lambda vocabulary: vocabulary, **fields):
    build, vocabulary = MODELS[name]
    vocabulary = change(vocabulary())
    model = build(len(vocabulary["tokens"]))
    return tiny_gguf.write(folder / "tiny.gguf", model, vocabulary, kind, **fields), model, vocabulary


# Weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0"])
def test_every_tensor_is_that_of_transformers(tmp_path, caplog, name, kind):
    path, _, _ = write(tmp_path, name, kind)
    unpack_gguf(path, tmp_path / "model")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    ours = load_model(str(tmp_path / "model"))
    assert type(ours) is type(theirs) and len(ours.state_dict()) == len(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
    ids = torch.tensor([[5, 17, 3, 9]])
    theirs.config._attn_implementation = "eager"
    assert torch.equal(ours(ids).logits, theirs(ids).logits)


@pytest.mark.parametrize("name", MODELS)
def test_the_model_that_was_written_comes_back(tmp_path, name):
    path, model, _ = write(tmp_path, name)
    unpack_gguf(path, tmp_path / "model")
    found = load_model(str(tmp_path / "model"))
    for key, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key
    ids = torch.tensor([[5, 17, 3, 9]])
    model.config._attn_implementation = "eager"
    assert torch.equal(found(ids).logits, model(ids).logits)


def test_quantised_weights_are_those_that_the_file_states(tmp_path):
    vocabulary = tiny_gguf.byte_level()
    model = tiny_gguf.llama(len(vocabulary["tokens"])).requires_grad_(False)
    for weight in model.parameters():
        weight /= 3
    path = tiny_gguf.write(tmp_path / "tiny.gguf", model, vocabulary, "Q4_0")
    unpack_gguf(path, tmp_path / "model")
    name, kind = "model.layers.1.mlp.up_proj.weight", gguf.GGMLQuantizationType.Q4_0
    stated = gguf.quants.dequantize(gguf.quants.quantize(model.state_dict()[name].numpy(), kind), kind)
    found = load_file(tmp_path / "model/model.safetensors")[name]
    assert found.dtype == torch.float32 and (found.numpy() == stated).all()
    assert not torch.equal(found, model.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (lambda weight: weight, torch.bfloat16),  # eight binary digits at most
        (lambda weight: weight + 1 / 4096, torch.float16),  # ten
        (lambda weight: weight / 3, torch.float32),
    ],
)
def test_weights_are_written_in_the_smallest_type_that_holds_them(tmp_path, change, dtype):
    vocabulary = tiny_gguf.byte_level()
    model = tiny_gguf.llama(len(vocabulary["tokens"])).requires_grad_(False)
    for weight in model.parameters():
        weight.copy_(change(weight))
    unpack_gguf(tiny_gguf.write(tmp_path / "tiny.gguf", model, vocabulary), tmp_path / "model")
    assert {weight.dtype for weight in load_file(tmp_path / "model/model.safetensors").values()} == {dtype}
    for key, value in model.state_dict().items():
        assert torch.equal(load_model(str(tmp_path / "model")).state_dict()[key], value), key


@pytest.mark.parametrize("said", ["blk.0.rope_freqs", "lacking"])
def test_a_file_that_is_not_the_whole_model_or_more_is_refused(tmp_path, monkeypatch, said):
    add = gguf.GGUFWriter.add_tensor

    def changed(self, name, *arguments, **options):
        if name != "blk.1.ffn_up.weight" or said != "lacking":
            add(self, name, *arguments, **options)
        if name == "output_norm.weight" and said != "lacking":
            add(self, said + ".weight", *arguments, **options)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", changed)
    path, _, _ = write(tmp_path, "llama")
    with pytest.raises(ModelUnavailable, match=r"\d+ tensors, and the model .* has \d+") as error:
        unpack_gguf(path, tmp_path / "model")
    lacking = "mlp.up_proj.weight" if said == "lacking" else "none"
    assert lacking in str(error.value) and "\n" not in str(error.value)


# Tokens -------------------------------------------------------------------------------------


def both(folder, name, change=lambda vocabulary: vocabulary):
    """Our tokenizer, loaded from where it is saved, that of transformers, and the vocabulary."""
    path, _, vocabulary = write(folder, name, change=change)
    read_tokenizer(path).save_pretrained(folder / "model")
    theirs = AutoTokenizer.from_pretrained(folder, gguf_file=path.name)
    assert _is_generic(folder / "model")  # so that no torch is needed
    return load_tokenizer(str(folder / "model")).base, theirs, vocabulary


def pieces_of_llama_2(_):
    return tiny_gguf.sentence_pieces(add_space_prefix=True)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("llama", lambda v: v | {"pre": "gpt-2"}),
        ("llama", lambda v: v | {"pre": "qwen2"}),
        ("llama", pieces_of_llama_2),
        ("gemma3", lambda v: v),
    ],
)
def test_tokens_are_those_of_transformers(tmp_path, name, change):
    ours, theirs, _ = both(tmp_path, name, change)
    assert ours.get_vocab() == theirs.get_vocab()
    for text in STRINGS:
        assert ours(text).input_ids == theirs(text).input_ids, text
        ids = ours(text, add_special_tokens=False).input_ids
        assert ids == theirs(text, add_special_tokens=False).input_ids, text
        assert ours.decode(ids) == theirs.decode(ids), text
    for token in ("bos_token", "eos_token"):
        assert getattr(ours, token) == getattr(theirs, token)


@pytest.mark.parametrize(
    ("name", "add_space_prefix", "other"),
    [
        ("gemma3", False, r" {5}"),  # longer runs of spaces than there are pieces for
        ("llama", False, "▁|   "),
        ("llama", True, "▁|^ |   "),  # no second space is put before a first one
    ],
)
def test_pieces_are_joined_by_their_scores(tmp_path, name, add_space_prefix, other):
    """SentencePiece's rule, but for a few texts that transformers treats otherwise (a pattern)."""
    ours, _, vocabulary = both(tmp_path, name, lambda _: tiny_gguf.sentence_pieces(add_space_prefix))
    texts = [text for text in STRINGS if not re.search(other, text)]
    assert len(texts) > 20
    for text in texts:
        ids = ours(text, add_special_tokens=False).input_ids
        assert ids == tiny_gguf.piece_ids(vocabulary, text), text
    assert ours("the").input_ids[0] == vocabulary["ids"]["bos"]


def test_digits_stand_apart_where_the_kind_says_so(tmp_path):
    """SmolLM2's: no token is made of a digit and what is before it, be it spaces alone."""
    ours, theirs, _ = both(tmp_path, "llama")
    differ = {text for text in STRINGS if ours(text).input_ids != theirs(text).input_ids}
    assert differ and all(any(character.isdigit() for character in text) for text in differ)
    assert ours.tokenize("n   5")[-1] == "5" and ours.tokenize("in   1984")[-4:] == list("1984")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("llama", {"pre": "glm4"}, "no rule is known by which 'glm4' tokenizers split texts"),
        ("gemma3", {"model": "bert"}, "no tokenizer can be made of it: .*'bert'"),
    ],
)
def test_a_tokenizer_of_unknown_kind_is_refused(tmp_path, name, change, said):
    path, _, _ = write(tmp_path, name, change=lambda vocabulary: vocabulary | change)
    with pytest.raises(ModelUnavailable, match=said):
        unpack_gguf(path, tmp_path / "model")
