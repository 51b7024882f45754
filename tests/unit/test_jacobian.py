from types import SimpleNamespace

import pytest
import torch
from torch import nn

from oracles import tiny_models
from oracles.tail import stream_of
from strata.lens import jacobian
from strata.model.architecture import Parts, find_parts

LINEAR_CHANNELS, LINEAR_LAYERS = 5, 3


class LinearBlock(nn.Module):
    """h + M h V, then h + h W: a position mixture (lower triangular) and an MLP without a bend."""

    def __init__(self, mixture, value, mlp):
        super().__init__()
        self.mixture, self.value, self.mlp, self.attention = mixture, value, mlp, nn.Identity()

    def forward(self, hidden):
        n = hidden.shape[1]
        middle = hidden + self.attention(self.mixture[:n, :n] @ hidden @ self.value)
        return middle + middle @ self.mlp


def linear_parts():
    torch.manual_seed(0)
    c = LINEAR_CHANNELS
    blocks = [
        LinearBlock(torch.randn(9, 9).tril() / 3, torch.randn(c, c) / 2, torch.randn(c, c) / 2)
        for _ in range(LINEAR_LAYERS)
    ]
    embedding = nn.Embedding(20, c).requires_grad_(False)

    class Model(nn.Module):
        config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(max_position_embeddings=99))
        device = torch.device("cpu")

        def base_model(self, input_ids, use_cache):
            hidden = embedding(input_ids)
            for block in blocks:
                hidden = block(hidden)

    return Parts(
        model=Model(),
        token_embedding=embedding,
        blocks=blocks,
        attentions=blocks,
        mlps=blocks,
        attention_outs=[block.attention for block in blocks],
        mlp_outs=blocks,
        attention_values=blocks,
        mlp_values=blocks,
        final_norm=nn.Identity(),
        unembedding=nn.Linear(c, 20),
    )


def reduced(full, skip):
    """Of ∂h_L[t, i] / ∂h_d[s, j] as (t, i, s, j): sum over valid t, mean over valid s."""
    valid = slice(skip, full.shape[0] - 1)
    return full[valid][:, :, valid].sum(0).mean(1)


def test_a_linear_network_in_closed_form():
    parts, document, skip = linear_parts(), [3, 1, 4, 1, 5, 9], 1
    n, c = len(document), LINEAR_CHANNELS
    maps = jacobian.fit(parts, [document], skip)
    # Row-major states (position, channel): h + M h V acts as I + M x V^T, h + h W as I + I x W^T.
    steps = []
    for block in parts.blocks:
        eye = torch.eye(n * c)
        steps.append(eye + torch.kron(block.mixture[:n, :n].contiguous(), block.value.T.contiguous()))
        steps.append(eye + torch.kron(torch.eye(n), block.mlp.T.contiguous()))
    tail = torch.eye(n * c)
    for i in reversed(range(len(steps))):
        tail = tail @ steps[i]
        if i % 2 == 0:  # whole blocks from there on
            expected = reduced(tail.view(n, c, n, c), skip)
            torch.testing.assert_close(maps.weight[i // 2], expected, atol=1e-4, rtol=1e-4)
    assert maps.depths.tolist() == [0, 1, 2] and not maps.bias.any()


KINDS = ["gpt2", "gpt-neox", "opt-350m", "bloom", "gemma2", "olmo2"]
"""A family of every kind of block: sequential, parallel, returning sums, normed on sums and before them."""


@pytest.mark.parametrize("family", KINDS)
def test_the_whole_jacobian_by_brute_force(family):
    model = tiny_models.build(family)
    parts = find_parts(model)
    document, skip = [5, 17, 3, 88, 42], 1
    maps = jacobian.fit(parts, [document], skip)
    stream, _ = stream_of(model, parts, document)
    for layer in range(parts.n_layers):

        def whole_depth(state, layer=layer):
            hidden = state[None]
            for following in range(layer, parts.n_layers):
                hidden = parts.run_block(following, hidden, 0)
            return hidden[0]

        full = torch.autograd.functional.jacobian(whole_depth, stream[2 * layer])
        torch.testing.assert_close(maps.weight[layer], reduced(full, skip), atol=2e-4, rtol=1e-3)


def test_documents_count_equally_however_they_are_batched():
    parts = find_parts(tiny_models.build("gpt2"))
    documents = [[5, 17, 3, 88, 42, 7, 9], [1, 2, 3], [9, 8, 7, 6, 5]]
    together = jacobian.fit(parts, documents, 1)
    apart = torch.stack([jacobian.fit(parts, [document], 1).weight for document in documents]).mean(0)
    torch.testing.assert_close(together.weight, apart, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(
        jacobian.fit(parts, documents, 1, max_tokens=8).weight, apart, atol=2e-5, rtol=1e-4
    )


def test_skipped_positions_and_short_documents_do_not_count():
    parts = find_parts(tiny_models.build("gpt2"))
    assert jacobian.usable([[1, 2, 3], [1, 2, 3, 4]], 2) == [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match="more than 4 tokens"):
        jacobian.fit(parts, [[1, 2, 3]], 3)
    document = [5, 17, 3, 88, 42]
    few, many = (jacobian.fit(parts, [document], skip).weight for skip in (0, 2))
    assert not torch.allclose(few, many, atol=1e-3)
