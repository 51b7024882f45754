"""Loading a model and its tokenizer, from the Hugging Face hub or from a folder."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from strata.validation import is_folder_source


class ModelUnavailable(RuntimeError):
    """A model cannot be loaded; the message is one line and says what to do."""


def load_tokenizer(source: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer of a model."""
    return _load(AutoTokenizer.from_pretrained, source, revision=revision, use_fast=True)


def load_model(
    source: str, revision: str | None = None, dtype: str = "float32", device: str = "cpu"
) -> PreTrainedModel:
    """Load a causal language model, ready for inference.

    Only safetensors are read and no code of the model's repository is run. ``device`` ``auto``
    is a GPU where there is one.

    Raises
    ------
    ModelUnavailable
        If the source is not there, cannot be reached, or has no safetensors weights.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _load(
        AutoModelForCausalLM.from_pretrained,
        source,
        revision=revision,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        attn_implementation="eager",
    )
    return model.to(device).eval().requires_grad_(False)


def _load(loader, source: str, revision: str | None, **options):
    folder = is_folder_source(source)
    if folder:
        source = str(Path(source).expanduser())
        if not Path(source).is_dir():
            raise ModelUnavailable(f"model folder {source} does not exist")
    try:
        return loader(source, revision=revision or "main", trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError) as error:
        if folder:
            reason = str(error).splitlines()[0]
            raise ModelUnavailable(f"model folder {source} cannot be loaded: {reason}") from error
        raise ModelUnavailable(
            f"model {source!r} is neither a folder here nor to be had from the Hugging Face hub; without "
            f"a network, run `hf download {source} --local-dir FOLDER` where there is one, bring the "
            "folder, and name it as the model's `source` in config.yaml"
        ) from error


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Token ids of a text, without any special token added."""
    return tokenizer.encode(text, add_special_tokens=False)


def token_strings(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    """Byte-level (or the vocabulary's own) form of tokens: unlike decoded text, never ambiguous."""
    return [str(token) for token in tokenizer.convert_ids_to_tokens(ids)]


@torch.inference_mode()
def next_token(model: PreTrainedModel, ids: list[int], target_id: int | None) -> tuple[int, float | None]:
    """The model's top guess after a text, and the probability of a target there."""
    device = next(model.parameters()).device
    logits = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0, -1].float()
    p_target = None if target_id is None else logits.softmax(-1)[target_id].item()
    return int(logits.argmax()), p_target
