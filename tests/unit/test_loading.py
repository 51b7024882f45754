"""What is loaded is what the files say, or one line says what is wrong with them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CTRLConfig, GPT2Config

from oracles import tiny_models
from strata.model.architecture import find_parts
from strata.model.capture import capture_documents
from strata.model.loading import continuation, load_model
from strata.model.source import ModelUnavailable
from strata.text.tokenizer import encode_with_offsets, load_tokenizer, token_strings
from strata.text.tokens import NO_TOKEN, is_text, plain_text

ORGANISM = Path("data/models/organism")


def saved(folder, name, change=lambda tensors: tensors, **config):
    """A tiny model saved with changed tensors, and a changed configuration."""
    tiny_models.build(name).save_pretrained(folder)
    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return str(folder)


def without(*parts):
    return lambda tensors: {k: v for k, v in tensors.items() if not any(part in k for part in parts)}


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_a_whole_checkpoint_is_loaded(tmp_path, name):
    model = load_model(saved(tmp_path, name))
    for key, value in tiny_models.build(name).state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("name", "change", "config", "said"),
    [
        ("gpt2", without("h.1.mlp.c_fc.weight"), {}, ["it lacks transformer.h.1.mlp.c_fc.weight"]),
        (
            "gpt2",
            lambda t: {f"module.{k}": v for k, v in t.items()},
            {},
            ["it lacks", "more", "module.transf"],
        ),
        ("gpt2", lambda t: t, {"n_layer": 9}, ["it lacks transformer.h.4."]),
        ("gpt2", lambda t: t, {"n_layer": 1}, ["it holds transformer.h.1.", "the model knows nothing"]),
        ("gpt2", lambda t: t, {"n_positions": 5}, ["transformer.wpe.weight is (", "not (5, "]),
        ("llama", without("lm_head"), {"tie_word_embeddings": False}, ["it lacks lm_head.weight"]),
    ],
)
def test_a_checkpoint_that_is_not_its_configurations_is_refused(tmp_path, name, change, config, said):
    source = saved(tmp_path, name, change, **config)
    with pytest.raises(ModelUnavailable) as error:
        load_model(source)
    message = str(error.value)
    assert "\n" not in message and source in message and all(part in message for part in said), message


def test_a_tied_unembedding_and_old_masks_are_no_fault(tmp_path):
    def old(tensors):
        masks = {
            "transformer.h.0.attn.bias": torch.ones(1),
            "transformer.h.0.attn.masked_bias": torch.ones(1),
        }
        return without("lm_head")(tensors) | masks

    load_model(saved(tmp_path, "gpt2", old))


def test_a_folder_without_a_tokenizer_says_so(tmp_path):
    GPT2Config(vocab_size=9).save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailable, match=f"^no tokenizer in {tmp_path}.*tokenizer.json"):
        load_tokenizer(str(tmp_path))


# Numbers ------------------------------------------------------------------------------------


def overflowing():
    """A float16 model whose states at depth 1 just fit, and at depth 2 do not."""
    model = tiny_models.build("gpt2").half()
    for block in model.transformer.h[:2]:
        block.mlp.c_proj.bias.data.fill_(6e4)
    return model


def test_a_model_that_overflows_is_refused_with_the_depth_and_the_dtype_to_use():
    with pytest.raises(
        OverflowError, match="prompt 'x': the state at depth 2 is not finite.*float16.*float32"
    ):
        continuation(overflowing(), [1, 2, 3], (), "prompt 'x'")
    parts = find_parts(overflowing())
    with pytest.raises(
        OverflowError, match="prompt 'y': resid of depth 2 is not finite.*bfloat16 or float32"
    ):
        list(capture_documents(parts, [[1, 2, 3]], names=["prompt 'y'"]))


def test_activations_that_do_not_fit_the_file_are_refused():
    model = tiny_models.build("gpt2")
    model.transformer.h[0].mlp.c_proj.bias.data.fill_(7e4)
    found = dict(capture_documents(find_parts(model), [[1, 2, 3]]))
    assert abs(found[0]["resid"]).max() > 65504
    with pytest.raises(OverflowError, match=r"document 0: resid of depth 1 reaches 7e\+04.*dtype: float32"):
        list(capture_documents(find_parts(model), [[1, 2, 3]], dtype="float16"))


# Continuations ------------------------------------------------------------------------------


def test_a_continuation_is_what_generating_token_by_token_gives():
    model, ids = tiny_models.build("gpt2").eval(), [5, 3, 8]
    generated = list(ids)
    for _ in range(4):
        with torch.inference_mode():
            generated.append(int(model(torch.tensor([generated])).logits[0, -1].argmax()))
    target = generated[3:]
    found = continuation(model, ids, target)
    assert found.top_id == target[0] and found.completes
    with torch.inference_mode():
        clean = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
    assert found.p_target == pytest.approx(clean[target[0]].item(), rel=1e-5)
    wrong = [*target[:2], (target[2] + 1) % 20, target[3]]
    assert not continuation(model, ids, wrong).completes
    assert continuation(model, ids).completes is None


# Tokens -------------------------------------------------------------------------------------


def test_rows_beyond_the_tokenizer_are_no_tokens():
    tokenizer = load_tokenizer(str(ORGANISM))
    size = len(tokenizer)
    strings = token_strings(tokenizer, [0, size - 1, size, size + 7])
    assert strings[2:] == [f"{NO_TOKEN}{size}", f"{NO_TOKEN}{size + 7}"]
    assert not any(string.startswith(NO_TOKEN) for string in strings[:2])


@pytest.fixture
def ctrl(tmp_path):
    """A tokenizer of CTRL's kind: it has no fast version, and keeps no offsets."""
    CTRLConfig(vocab_size=9).save_pretrained(tmp_path)
    tokens = ["<unk>", "the", "cat", "c@@", "h@@", "a@@", "t@@", "s", "."]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\nc a\nca t</w>\n")
    return load_tokenizer(str(tmp_path))


def test_a_tokenizer_without_offsets_finds_its_tokens_in_the_text(ctrl):
    assert not ctrl.is_fast
    text = "the cat  chats ."
    ids, offsets = encode_with_offsets(ctrl, text)
    assert [text[start:end] for start, end in offsets] == ["the", "cat", "c", "h", "a", "t", "s", "."]
    assert [plain_text(token) for token in token_strings(ctrl, ids)][:4] == ["the ", "cat ", "c", "h"]


def test_offsets_of_a_fast_tokenizer_are_its_own():
    tokenizer = load_tokenizer(str(ORGANISM))
    text = "The capital of France is Paris."
    ids, offsets = encode_with_offsets(tokenizer, text)
    expected = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert (ids, offsets) == (expected["input_ids"], expected["offset_mapping"])


def test_letters_of_a_sentencepiece_vocabulary_are_no_bytes(tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<unk>", "▁für", "für", "é", "▁", "r", "<0xE9>", "naïve"]
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [], unk_token="<unk>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    strings = token_strings(tokenizer, list(range(len(tokens))))
    assert [plain_text(token) for token in strings[1:6]] == [" für", "für", "é", " ", "r"]
    assert plain_text(strings[7]) == "naïve" and all(map(is_text, strings[1:6]))
    assert not is_text(strings[6])


def test_a_byte_of_a_byte_level_vocabulary_stays_a_byte():
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM)
    byte = tokenizer.convert_tokens_to_ids("é")
    assert token_strings(tokenizer, [byte]) == ["é"] and not is_text("é")
