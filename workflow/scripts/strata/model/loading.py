"""Loading a model and its tokenizer, from the Hugging Face hub or from a folder."""

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from strata.model.source import load


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
    model = load(
        AutoModelForCausalLM.from_pretrained,
        source,
        revision=revision,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        attn_implementation="eager",
    )
    return model.to(device).eval().requires_grad_(False)


@torch.inference_mode()
def next_token(model: PreTrainedModel, ids: list[int], target_id: int | None) -> tuple[int, float | None]:
    """The model's top guess after a text, and the probability of a target there."""
    device = next(model.parameters()).device
    logits = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0, -1].float()
    p_target = None if target_id is None else logits.softmax(-1)[target_id].item()
    return int(logits.argmax()), p_target
