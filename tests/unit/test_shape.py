"""Sizes of models, read without their weights, against the weights of tiny models of every family."""

import json

import pytest
import torch

from oracles import tiny_gguf
from oracles.tiny_models import NAMES, build
from strata.model.architecture import find_parts
from strata.model.shape import of_config, shape_of
from strata.model.source import ModelUnavailable
from strata.model.unpacking import unpack_gguf


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return build(request.param)


def test_sizes_are_those_of_the_weights(model):
    shape = of_config(model.config.to_dict() | {"architectures": [type(model).__name__]})
    parts = find_parts(model)
    assert (shape.layers, shape.channels, shape.heads) == (parts.n_layers, parts.n_channels, parts.n_heads)
    assert shape.embedding == parts.token_embedding.weight.numel()
    assert shape.tied == (parts.token_embedding.weight is parts.unembedding.weight)
    matrices = [p for p in parts.blocks[0].parameters() if p.dim() > 1]
    assert shape.block == sum(matrix.numel() for matrix in matrices)
    assert parts.mlp_values[0].weight.numel() == shape.channels * shape.width
    # Rows of positions that none takes (OPT has two) are left out.
    others = parts.position_offset * parts.position_embedding.weight.shape[1] if shape.positions else 0
    whole = sum(p.numel() for p in model.parameters() if p.dim() > 1) - others
    assert shape.parameters == whole


def test_heads_of_keys_are_those_of_the_cache(model):
    shape = of_config(model.config.to_dict() | {"architectures": [type(model).__name__]})
    cache = model(torch.tensor([[1, 2, 3]]), use_cache=True).past_key_values
    keys = cache.layers[0].keys
    assert keys.shape[-1] == shape.head_channels
    assert keys.shape[1] in (shape.kv_heads, shape.heads)  # some repeat them before they are kept


@pytest.mark.parametrize(
    ("build", "vocabulary"),
    [(tiny_gguf.llama, tiny_gguf.byte_level), (tiny_gguf.gemma3, tiny_gguf.sentence_pieces)],
)
def test_a_gguf_file_says_the_same_as_the_folder_made_of_it(tmp_path, build, vocabulary):
    words = vocabulary()
    path = tiny_gguf.write(tmp_path / "tiny.gguf", build(len(words["tokens"])), words, "F32")
    unpack_gguf(path, tmp_path / "model")
    assert shape_of(str(path)) == shape_of(str(tmp_path / "model"))


@pytest.mark.parametrize("config", [{}, {"hidden_size": 4, "num_attention_heads": 2, "vocab_size": 9}])
def test_a_configuration_that_lacks_a_size_is_refused(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match=r"config\.json does not say how large the model is.*none of"):
        shape_of(str(tmp_path))


def test_a_model_that_is_not_here_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnavailable, match="was not brought here yet"):
        shape_of("nobody/nothing")
