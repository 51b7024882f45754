"""How large a model is, from its configuration or the head of its GGUF file: no weights are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata.model.families import LEARNED_POSITIONS, PLAIN_MLPS
from strata.model.gguf import Header, read_header
from strata.model.source import ModelUnavailable, cached_folder, is_folder_source, is_gguf_source, read_json

KEYS = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "channels": ("hidden_size", "n_embd"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "vocab": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions"),
    "width": ("intermediate_size", "n_inner", "ffn_dim", "dff", "ffn_hidden_size"),
    "embedded": ("word_embed_proj_dim",),
    "head_channels": ("head_dim",),
}
"""What a configuration calls each size; of several, the first that is there and not null."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model.

    ``layers``, ``channels``, ``heads``, ``vocab``. ``kv_heads`` and ``head_channels``: heads of keys and
    values, and channels of a head. ``width``: hidden channels of an MLP; ``gated``: whether a third matrix
    makes a factor for each. ``embedded``: channels of an embedding. ``tied``: whether the unembedding is the
    embedding. ``positions``: rows of the position embedding, 0 without one; ``context``: tokens that a text
    may have, None where there is no last position.
    """

    layers: int
    channels: int
    heads: int
    vocab: int
    kv_heads: int
    head_channels: int
    width: int
    gated: bool
    embedded: int
    tied: bool
    positions: int
    context: int | None

    @property
    def attention(self) -> int:
        """Entries of the matrices of a layer's attention."""
        return 2 * self.channels * self.head_channels * (self.heads + self.kv_heads)

    @property
    def attention_output(self) -> int:
        """Entries of the last of them."""
        return self.channels * self.head_channels * self.heads

    @property
    def mlp(self) -> int:
        """Entries of the matrices of a layer's MLP."""
        return (3 if self.gated else 2) * self.channels * self.width

    @property
    def block(self) -> int:
        """Entries of the matrices of a layer."""
        return self.attention + self.mlp

    @property
    def embedding(self) -> int:
        """Entries of the token embedding."""
        return self.vocab * self.embedded

    @property
    def parameters(self) -> int:
        """Of the whole model, but for gains and biases."""
        projections = 2 * self.embedded * self.channels if self.embedded != self.channels else 0
        embeddings = self.embedding * (1 if self.tied else 2) + self.positions * self.channels
        return self.layers * self.block + embeddings + projections


def shape_of(source: str, revision: str | None = None) -> Shape:
    """The shape of a model that is here: a folder, a GGUF file, or what was brought from the hub.

    Raises
    ------
    ModelUnavailable
        If its configuration is not here, or lacks a size.
    """
    path = Path(source).expanduser()
    if is_gguf_source(source):
        return of_header(read_header(path))
    folder = path if is_folder_source(source) else cached_folder(source, revision)
    if folder is None:
        raise ModelUnavailable(f"model {source!r} was not brought here yet: its configuration is not known")
    try:
        return of_config(read_json(folder / "config.json"))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"{folder}/config.json does not say how large the model is: {error}"
        ) from error


def of_config(config: Mapping[str, Any]) -> Shape:
    """The shape that a configuration of transformers describes; of a model of several parts, the text's.

    A class that is not known is taken to have gated MLPs, the larger ones.

    Raises
    ------
    KeyError
        Names the size that is lacking.
    """
    kind = (config.get("architectures") or [""])[0]
    config = config.get("text_config", config)

    def size(name: str, otherwise: int | None = None) -> int:
        values = (config[key] for key in KEYS[name] if config.get(key) is not None)
        found = next(values, otherwise)
        if found is None:
            raise KeyError(f"none of {', '.join(KEYS[name])}")
        return found

    channels, heads = size("channels"), size("heads")
    context = size("positions", 0)
    return Shape(
        layers=size("layers"),
        channels=channels,
        heads=heads,
        vocab=size("vocab"),
        kv_heads=_kv_heads(config, heads),
        head_channels=size("head_channels", channels // heads),
        width=size("width", 4 * channels),
        gated=kind not in PLAIN_MLPS,
        embedded=size("embedded", channels),
        tied=config.get("tie_word_embeddings", True),
        positions=context if kind in LEARNED_POSITIONS else 0,
        context=context or None,
    )


def _kv_heads(config: Mapping[str, Any], heads: int) -> int:
    if "new_decoder_architecture" in config:  # two ways of sharing keys among heads, or none
        if config["new_decoder_architecture"]:
            return config["num_kv_heads"] or heads
        return 1 if config["multi_query"] else heads
    return config.get("num_key_value_heads") or heads


def of_header(header: Header) -> Shape:
    """The shape of a GGUF file.

    Raises
    ------
    ModelUnavailable
        If the header lacks a size.
    """
    values, arch, tensors = header.metadata, header.architecture, header.tensors

    def size(key: str, otherwise: int | None = None) -> int:
        found = values.get(f"{arch}.{key}", otherwise)
        if found is None:
            raise ModelUnavailable(f"a GGUF file without {arch}.{key}")
        return found

    channels, heads = size("embedding_length"), size("attention.head_count")
    in_mlp = sum(entries for name, (_, entries, _) in tensors.items() if name.startswith("blk.0.ffn_"))
    context, width = size("context_length", 0), size("feed_forward_length")
    return Shape(
        layers=size("block_count"),
        channels=channels,
        heads=heads,
        vocab=tensors["token_embd.weight"][1] // channels,
        kv_heads=size("attention.head_count_kv", heads),
        head_channels=size("attention.key_length", channels // heads),
        width=width,
        gated=in_mlp > 2.5 * channels * width,  # some files have both matrices that read in one
        embedded=channels,
        tied="output.weight" not in tensors,
        positions=context if header.has_position_embedding else 0,
        context=context or None,
    )
