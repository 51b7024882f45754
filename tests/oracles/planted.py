"""GPT-2 models with weights set by hand, whose answers are known on paper."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

VOCAB, WIDTH, LAYERS, POSITIONS = 20, 48, 6, 8


def _blank() -> GPT2LMHeadModel:
    """All weights zero, gains one: every block passes its input on."""
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=POSITIONS,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=1,
        tie_word_embeddings=False,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
    return model


def idle_blocks() -> GPT2LMHeadModel:
    """Random embeddings and unembedding; blocks add nothing, so that every depth decodes alike."""
    model = _blank()
    torch.manual_seed(0)
    model.transformer.wte.weight.normal_()
    model.transformer.wpe.weight.normal_()
    model.lm_head.weight.normal_()
    return model


def one_transfer(layer: int, last: int, subject: int) -> GPT2LMHeadModel:
    """The subject's identity is moved to the last position by attention in one block, ``layer``.

    Channels 0..V-1 hold the token, V..V+P-1 the position, V+P.. are unused but for the read-out:
    the unembedding reads channels that only the moved copy writes, so the answer is the subject's
    token, and nothing else in the model brings it there.
    """
    model = _blank()
    assert 2 * VOCAB + POSITIONS == WIDTH
    model.transformer.wte.weight[:, :VOCAB] = torch.eye(VOCAB)
    model.transformer.wpe.weight[:, VOCAB : VOCAB + POSITIONS] = torch.eye(POSITIONS)
    attention = model.transformer.h[layer].attn
    query, key, value = attention.c_attn.weight.split(WIDTH, dim=1)
    # Conv1D: y = x W. The last position asks for the subject's, and finds it beyond doubt.
    query[VOCAB + last, 0] = 30.0
    key[VOCAB + subject, 0] = 30.0
    value[:VOCAB, :VOCAB] = torch.eye(VOCAB)
    attention.c_proj.weight[:VOCAB, VOCAB + POSITIONS :] = 10.0 * torch.eye(VOCAB)
    model.lm_head.weight[:, VOCAB + POSITIONS :] = 3.0 * torch.eye(VOCAB)
    return model


def fact_in_mlp(layer: int, transfer: int, last: int, subject: int) -> GPT2LMHeadModel:
    """The MLP of block ``layer`` knows what follows from the subject; block ``transfer`` tells the last.

    Channels as in `one_transfer`; the rest of them hold the answer, `fact` of the subject's token. At
    the subject's position one MLP writes it, a hidden unit for each token; by attention in one later
    block it is copied to the last position, where the unembedding reads it.
    """
    model = _blank()
    assert 2 * VOCAB + POSITIONS == WIDTH and layer < transfer
    answer = slice(VOCAB + POSITIONS, WIDTH)
    tokens = torch.arange(VOCAB)
    model.transformer.wte.weight[:, :VOCAB] = torch.eye(VOCAB)
    model.transformer.wpe.weight[:, VOCAB : VOCAB + POSITIONS] = torch.eye(POSITIONS)
    mlp = model.transformer.h[layer].mlp
    # After the norm a one is 4.8 and a zero -0.2: a unit needs its token and the subject's position.
    mlp.c_fc.weight[tokens, tokens] = 10.0
    mlp.c_fc.weight[VOCAB + subject, tokens] = 10.0
    mlp.c_fc.bias[tokens] = -70.0
    mlp.c_proj.weight[tokens, answer.start + fact(tokens)] = 0.1
    attention = model.transformer.h[transfer].attn
    query, key, value = attention.c_attn.weight.split(WIDTH, dim=1)
    query[VOCAB + last, 0] = 30.0
    key[VOCAB + subject, 0] = 30.0
    value[answer, answer] = torch.eye(VOCAB)
    attention.c_proj.weight[answer, answer] = 10.0 * torch.eye(VOCAB)
    model.lm_head.weight[:, answer] = 3.0 * torch.eye(VOCAB)
    return model


def fact(token):
    """What follows from a token in `fact_in_mlp`."""
    return (7 * token + 3) % VOCAB
