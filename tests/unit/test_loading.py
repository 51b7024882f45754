"""What is loaded is what the files say, or one line says what is wrong with them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config
from transformers.activations import NewGELUActivation

from oracles import tiny_models
from strata.model.architecture import find_parts
from strata.model.capture import capture_documents
from strata.model.continuations import continuations
from strata.model.loading import load_model
from strata.model.source import ModelUnavailable
from strata.model.vocabulary import cut_vocabulary
from strata.stored import Form
from strata.text.tokenizer import load_tokenizer

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
    model, built = load_model(saved(tmp_path, name)), tiny_models.build(name)
    for key, value in built.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    # Other kernels than those of transformers must say the same.
    ids = torch.arange(9)[None]
    torch.testing.assert_close(model(ids).logits, built(ids).logits)
    assert not any(isinstance(module, NewGELUActivation) for module in model.modules())


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
        continuations(find_parts(overflowing()), [[1, 2, 3]], [[]], ["prompt 'x'"])
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
        list(capture_documents(find_parts(model), [[1, 2, 3]], form=Form("float16", 1.0)))


# Continuations ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "opt-350m"])
def test_a_continuation_is_what_generating_token_by_token_gives(name):
    model = tiny_models.build(name).eval()
    prompts, targets, clean, whole = [[5, 3, 8], [7], [2, 9, 9, 1, 4]], [], [], []
    for ids in prompts:
        generated, p_whole = list(ids), 1.0
        for _ in range(4):
            with torch.inference_mode():
                logits = model(torch.tensor([generated])).logits[0, -1]
            if generated == ids:
                clean.append(logits.softmax(-1))
            generated.append(int(logits.argmax()))
            p_whole *= logits.softmax(-1).max().item()
        targets.append(generated[len(ids) :])
        whole.append(p_whole)
    parts = find_parts(model)
    found = continuations(parts, prompts, targets, max_tokens=16)
    for one, target, p, p_whole in zip(found, targets, clean, whole, strict=True):
        assert one.top_id == target[0] and one.completes
        assert one.p_target == pytest.approx(p[target[0]].item(), rel=1e-4)
        assert one.p_whole_target == pytest.approx(p_whole, rel=1e-3) and p_whole < one.p_target
    wrong = [[*target[:2], (target[2] + 1) % 20, target[3]] for target in targets]
    assert not any(one.completes for one in continuations(parts, prompts, wrong))
    assert [one.completes for one in continuations(parts, prompts, [[]] * 3)] == [None] * 3


# Rows beyond the vocabulary -------------------------------------------------------------------


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_a_model_without_its_padding_says_the_same_of_every_token(name):
    ids = torch.tensor([[3, 1, 4, 1, 5, 9]])
    whole = tiny_models.build(name)
    cut = cut_vocabulary(tiny_models.build(name), 90)
    assert torch.allclose(cut(input_ids=ids).logits, whole(input_ids=ids).logits[..., :90], atol=1e-6)
    parts = find_parts(cut)
    assert parts.token_embedding.num_embeddings == parts.unembedding.out_features == 90
    assert not any(parameter.requires_grad for parameter in cut.parameters())


def test_a_model_without_padding_is_left_as_it_is():
    model = tiny_models.build("gpt2")
    before = find_parts(model).token_embedding
    assert find_parts(cut_vocabulary(model, tiny_models.VOCAB + 5)).token_embedding is before
