"""A GGUF file made into a folder that everything else reads: config.json, safetensors, tokenizer."""

import logging
import shutil
import struct
import tempfile
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from tokenizers.decoders import ByteFallback, Fuse, Replace, Sequence
from tokenizers.pre_tokenizers import Digits, Metaspace
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from strata.model.gguf import MAGIC, Header, check_gguf
from strata.model.source import ModelUnavailable

TOKENS = [f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "merges")]
"""The lists that the tokenizer is made of."""

AS_GPT2 = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "gigachat", "mellum"}
"""``tokenizer.ggml.pre`` of vocabularies whose texts are split as GPT-2's are."""
DIGITS_APART = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
"""The same, and every digit by itself."""


def unpack_gguf(path: str | Path, folder: str | Path) -> None:
    """Write a GGUF file's model and tokenizer as transformers reads them.

    The weights are those that transformers dequantises, in the smallest type that holds every one of them
    exactly (float32, where they were quantised). The tokenizer is one that is all in its tokenizer.json.

    Raises
    ------
    ModelUnavailable
        If the file cannot be used, or if transformers would leave out some of it or make some of it up.
    """
    header = check_gguf(path)
    read_tokenizer(path).save_pretrained(folder)
    model = read_model(path, header, folder)
    model.to(_exact_dtype(model)).save_pretrained(folder, max_shard_size="1000TB")


def read_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file, as transformers converts it, its texts split as its kind demands.

    transformers splits texts as GPT-2 does where it does not know the kind, and does not know those whose
    digits stand apart.

    Raises
    ------
    ModelUnavailable
        If the file has no tokenizer of a known kind.
    """
    try:
        architecture, parts, settings = get_gguf_tokenizer(str(path))
        tokenizer, _ = convert_gguf_tokenizer(architecture, parts)
    except (ValueError, KeyError) as error:
        raise ModelUnavailable(f"{path}: no tokenizer can be made of it: {error}") from error
    kind, split = parts["tokenizer_type"], parts.get("pre_tokenizer_type")
    if kind == "gpt2" and split in DIGITS_APART:
        apart = [Digits(individual_digits=True), tokenizer.pre_tokenizer]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(apart)
    elif kind == "gpt2" and not (split in {*AS_GPT2, *GGUF_PRE_TOKENIZER_SPLITS} or architecture == "gpt2"):
        raise ModelUnavailable(f"{path}: no rule is known by which {split!r} tokenizers split texts")
    elif isinstance(tokenizer.pre_tokenizer, Metaspace) and not parts.get("add_prefix_space", True):
        tokenizer.pre_tokenizer = Metaspace(prepend_scheme="never", split=False)
        tokenizer.decoder = Sequence([Replace("▁", " "), ByteFallback(), Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def read_model(path: str | Path, header: Header, scratch: str | Path) -> PreTrainedModel:
    """The model of a GGUF file in float32, as transformers converts it, in a form that can be saved.

    Parameters
    ----------
    scratch : a folder with room for a copy of the file, for a while

    Raises
    ------
    ModelUnavailable
        If the file does not hold exactly the weights of the model that transformers makes of it.
    """
    values = header.metadata
    # It warns of a vocabulary whose size is not stated: that is set below.
    logging.getLogger("transformers.modeling_gguf_pytorch_utils").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        _without_vocabulary(path, header, Path(folder, "model.gguf"))
        try:
            config = AutoConfig.from_pretrained(folder, gguf_file="model.gguf")
            config.vocab_size = values.get(f"{header.architecture}.vocab_size", values[TOKENS[0]])
            found, told = AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file="model.gguf",
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelUnavailable(f"{path}: transformers makes no model of it: {reason}") from error
    n_weights = len(list(found.parameters()))  # one that is used twice is counted once
    if told["missing_keys"] or told["mismatched_keys"] or n_weights != len(header.tensors):
        raise ModelUnavailable(
            f"{path}: {len(header.tensors)} tensors, and the model that transformers makes of it has "
            f"{n_weights} (lacking: {', '.join(sorted(told['missing_keys'])) or 'none'})"
        )
    # What came from GGUF does not let itself be saved: the same weights in a model that did not.
    config = found.config
    del config.quantization_config
    with torch.device("meta"):
        model = type(found)(config)
    model.load_state_dict(found.state_dict(), assign=True)
    model.tie_weights()
    return model


def _without_vocabulary(path: str | Path, header: Header, to: Path) -> None:
    """A copy of a GGUF file without its tokens, over which transformers would walk twice: minutes."""
    kept = [place for key, place in header.fields.items() if key not in TOKENS]
    with Path(path).open("rb") as source, to.open("wb") as copy:
        copy.write(MAGIC + struct.pack("<IQQ", 3, len(header.tensors), len(kept)))
        for start, end in (*kept, header.table):
            source.seek(start)
            copy.write(source.read(end - start))
        copy.write(bytes(-copy.tell() % header.alignment))
        source.seek(header.data)
        shutil.copyfileobj(source, copy, 1 << 24)


def _exact_dtype(model: PreTrainedModel) -> torch.dtype:
    """The smallest type that holds all of a model's weights exactly."""
    for dtype in (torch.bfloat16, torch.float16):
        if all(torch.equal(weight, weight.to(dtype).float()) for weight in model.parameters()):
            return dtype
    return torch.float32
