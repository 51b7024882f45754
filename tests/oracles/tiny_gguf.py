"""Tiny random models as GGUF files, written as llama.cpp's converter does, and what their tokens must be."""

import json
import re
from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

from strata.organism.tokenizer import train_tokenizer

TEXT = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps in 1984.",
    "the other day the weather there was rather better than the brother thought it would be",
    "Ça va très bien, merci; größer, naïve café.",
]
NORMAL, UNKNOWN, CONTROL, DEFINED, BYTE = 1, 2, 3, 4, 6
DEFINED_PIECES = ["\n", "\n\n", "  ", "   ", "    ", "<td>"]

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def llama(vocab_size: int) -> LlamaForCausalLM:
    return _random(LlamaForCausalLM(LlamaConfig(vocab_size=vocab_size, tie_word_embeddings=False, **SIZES)))


def gemma3(vocab_size: int) -> Gemma3ForCausalLM:
    return _random(Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=vocab_size, head_dim=16, **SIZES)))


def _random(model):
    """Weights of few binary digits, so that adding one to those of a norm, and taking it off, is exact."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randint(-255, 256, weight.shape, generator=generator) / 1024)
    return model.eval()


def byte_level() -> dict:
    """A vocabulary as SmolLM2's."""
    trained = train_tokenizer(TEXT * 20, 400)
    content = trained.get_vocab()
    tokens = sorted(content, key=content.get)
    special = [token for token in tokens if token.startswith("<|")]
    return {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": tokens,
        "types": [CONTROL if token in special else NORMAL for token in tokens],
        "merges": _merges(trained),
        "ids": {"bos": 0, "eos": 0},
        "flags": {"add_bos_token": False, "add_space_prefix": False},
    }


def _merges(tokenizer: Tokenizer) -> list[str]:
    return [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def sentence_pieces(add_space_prefix: bool = False) -> dict:
    """A vocabulary as Gemma's, or as Llama 2's where a space is put before texts."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trained.train_from_iterator(TEXT * 20, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    content = trained.get_vocab()
    pieces = sorted(content, key=lambda piece: (len(piece) == 1, content[piece]))
    control = ["<pad>", "<eos>", "<bos>", "<unk>"]
    in_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    defined = [] if add_space_prefix else DEFINED_PIECES
    return {
        "model": "llama",
        "pre": "default",
        "tokens": [*control, *defined, *in_bytes, *pieces],
        "types": [CONTROL] * 3 + [UNKNOWN] + [DEFINED] * len(defined) + [BYTE] * 256 + [NORMAL] * len(pieces),
        "scores": [-1000.0] * (4 + len(defined)) + [0.0] * 256 + [-float(n) for n in range(len(pieces))],
        "ids": {"bos": 2, "eos": 1, "unk": 3, "pad": 0},
        "flags": {"add_bos_token": True, "add_space_prefix": add_space_prefix},
    }


def write(path: Path, model, vocabulary: dict, kind: str = "F32", **fields: str) -> Path:
    """Write a model; matrices in a type of GGUF."""
    config, arch = model.config, {"llama": "llama", "gemma3_text": "gemma3"}[model.config.model_type]
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if arch == "gemma3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_sliding_window(config.sliding_window)
        writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
    else:
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    for key, value in fields.items():
        writer.add_string(key, value)
    _write_vocabulary(writer, vocabulary)
    for name, weight in model.named_parameters():
        array = _as_converted(name, weight.detach(), config).contiguous().numpy()
        quantised = gguf.GGMLQuantizationType[kind if array.ndim > 1 else "F32"]
        writer.add_tensor(_name(name, arch), gguf.quants.quantize(array, quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_vocabulary(writer: gguf.GGUFWriter, vocabulary: dict) -> None:
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_tokenizer_pre(vocabulary["pre"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["types"])
    if "scores" in vocabulary:
        writer.add_token_scores(vocabulary["scores"])
    if "merges" in vocabulary:
        writer.add_token_merges(vocabulary["merges"])
    for name, id in vocabulary["ids"].items():
        getattr(writer, f"add_{name}_token_id")(id)
    for name, flag in vocabulary["flags"].items():
        writer.add_bool(f"tokenizer.ggml.{name}", flag)


def _name(name: str, arch: str) -> str:
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.*)\.weight", name)
    if not found:
        return f"{NAMES[name.removesuffix('.weight')]}.weight"
    layer, part = found.groups()
    after = {"llama": "ffn_norm", "gemma3": "post_attention_norm"}[arch]
    part = after if part == "post_attention_layernorm" else NAMES[part]
    return f"blk.{layer}.{part}.weight"


def _as_converted(name: str, weight: torch.Tensor, config) -> torch.Tensor:
    """A weight as llama.cpp wants it: Llama's rotary pairs side by side, one added to Gemma's norms."""
    if config.model_type == "gemma3_text":
        return weight + 1 if "norm" in name else weight
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for projection, n_heads in heads.items():
        if projection in name:
            halves = weight.reshape(n_heads, 2, weight.shape[0] // n_heads // 2, -1)
            return halves.transpose(1, 2).reshape(weight.shape)
    return weight


def piece_ids(vocabulary: dict, text: str) -> list[int]:
    """Token ids of a text by SentencePiece's rule: always the two neighbours whose piece scores best."""
    kinds, spelled = vocabulary["types"], [token.replace(" ", "▁") for token in vocabulary["tokens"]]
    ids = {token: id for id, token in enumerate(spelled)}
    defined = sorted((t for t, kind in zip(spelled, kinds, strict=True) if kind == DEFINED), key=len)[::-1]
    score = {
        token: vocabulary["scores"][ids[token]]
        for token, kind in zip(spelled, kinds, strict=True)
        if kind == NORMAL
    }
    text = text.replace(" ", "▁")
    if text and vocabulary["flags"]["add_space_prefix"]:
        text = "▁" + text
    symbols, at = [], 0
    while at < len(text):
        whole = next((piece for piece in defined if text.startswith(piece, at)), None)
        symbols.append((whole or text[at], bool(whole)))
        at += len(symbols[-1][0])
    while True:
        pairs = [
            (score[a + b], -place)
            for place, ((a, fixed_a), (b, fixed_b)) in enumerate(zip(symbols, symbols[1:], strict=False))
            if not fixed_a and not fixed_b and a + b in score
        ]
        if not pairs:
            break
        place = -max(pairs)[1]
        symbols[place : place + 2] = [(symbols[place][0] + symbols[place + 1][0], False)]
    found = []
    for piece, _ in symbols:
        found += [ids[piece]] if piece in ids else [ids[f"<0x{byte:02X}>"] for byte in piece.encode()]
    return found
