"""Loading: what is read, what is refused, and that a refusal is one line that says what to do."""

import pytest
import torch
from torch.backends import mkldnn

from oracles import tiny_models
from strata.model.loading import load_model
from strata.model.source import ModelUnavailable


@pytest.fixture
def folder(tmp_path):
    tiny_models.build("llama").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refusal(source) -> str:
    with pytest.raises(ModelUnavailable) as raised:
        load_model(str(source))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_folder_gives_the_saved_model_ready_for_inference(folder):
    model, saved = load_model(str(folder)), tiny_models.build("llama")
    ids = torch.tensor([[5, 17, 3]])
    with mkldnn.flags(enabled=False):  # products are torch's own, so that they are the same
        assert torch.equal(model(input_ids=ids).logits, saved(input_ids=ids).logits)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert load_model(str(folder), dtype="bfloat16").dtype == torch.bfloat16


def test_a_folder_below_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_model("~/model").config.model_type == "llama"


@pytest.mark.parametrize("source", ["./nowhere", "/no/where", "some/deep/folder"])
def test_a_missing_folder_is_not_sought_on_the_hub(source):
    assert "does not exist" in refusal(source) and "hf download" not in refusal(source)


def test_an_unreachable_hub_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = refusal("owner/nothing-there")
    assert "hf download owner/nothing-there" in said and "`source`" in said


def test_weights_cut_short(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    assert "cannot be loaded" in refusal(folder)


def test_pickled_weights_are_not_read(folder):
    (folder / "model.safetensors").unlink()
    torch.save(tiny_models.build("llama").state_dict(), folder / "pytorch_model.bin")
    assert "cannot be loaded" in refusal(folder)


@pytest.mark.parametrize("text", [None, "{"])
def test_config_missing_or_broken(folder, text):
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_text(text)
    assert "cannot be loaded" in refusal(folder)
