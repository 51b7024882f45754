import pytest
import torch
from torch import nn

from oracles import tiny_models
from strata.model.architecture import UnknownArchitecture, find_parts, norm_parameters
from strata.model.capture import LAYOUT, by_token, capture, sizes

IDS = torch.tensor([[5, 17, 3, 60, 2], [9, 9, 41, 0, 96]])


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_residual_stream_is_hugging_face_hidden_states(name):
    model = tiny_models.build(name)
    parts = find_parts(model)
    taken = capture(parts, IDS)
    output = model(input_ids=IDS, output_hidden_states=True, use_cache=False)
    assert taken.resid.shape == (tiny_models.LAYERS + 1, *IDS.shape, tiny_models.WIDTH)
    for depth in range(tiny_models.LAYERS):
        torch.testing.assert_close(taken.resid[depth], output.hidden_states[depth], atol=1e-5, rtol=1e-5)
    # transformers may give the last state normed: hold it against the logits instead.
    logits = parts.unembedding(parts.final_norm(taken.resid[-1]))
    torch.testing.assert_close(logits, output.logits, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(taken.logits_last, output.logits[:, -1])
    expected = output.logits.log_softmax(-1)[:, :-1].gather(-1, IDS[:, 1:, None])[..., 0]
    torch.testing.assert_close(taken.logprob_next[:, :-1], expected, atol=1e-5, rtol=1e-5)
    assert taken.logprob_next[:, -1].isnan().all()


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_sub_blocks_add_up_to_the_block(name):
    taken = capture(find_parts(tiny_models.build(name)), IDS)
    total = taken.resid[:-1] + taken.attn_out + taken.mlp_out
    torch.testing.assert_close(total, taken.resid[1:], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_attention_of_the_last_position_is_hugging_faces(name):
    model = tiny_models.build(name)
    taken = capture(find_parts(model), IDS)
    patterns = model(input_ids=IDS, output_attentions=True, use_cache=False).attentions
    for layer in range(tiny_models.LAYERS):
        expected = patterns[layer][:, :, -1].transpose(0, 1)
        torch.testing.assert_close(taken.attention_last[layer], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_a_block_run_by_itself_sees_no_future(name):
    model = tiny_models.build(name)
    parts = find_parts(model)
    taken = capture(parts, IDS)
    for layer in range(tiny_models.LAYERS):
        output = parts.run_block(layer, taken.resid[layer], start=0)
        torch.testing.assert_close(output, taken.resid[layer + 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_norm_parameters_reproduce_the_final_norm(name):
    parts = find_parts(tiny_models.build(name))
    hidden = 3 * torch.randn(4, 7, tiny_models.WIDTH) + 1
    norm = norm_parameters(parts.final_norm)
    torch.testing.assert_close(norm(hidden), parts.final_norm(hidden), atol=1e-5, rtol=1e-5)


def test_layout_names_every_axis():
    parts = find_parts(tiny_models.build("gpt2"))
    arrays = by_token(capture(parts, IDS[:1]))
    expected = sizes(parts, n_tokens=IDS.shape[1])
    for name, dims in LAYOUT.items():
        assert arrays[name].shape == tuple(expected[d] for d in dims), name


def test_unknown_architecture_is_named():
    class Strange(nn.Module):
        pass

    with pytest.raises(UnknownArchitecture, match="Strange is not known; known are CTRLLMHeadModel, GPT2LM"):
        find_parts(Strange())
