"""Loading a model and its tokenizer, from the Hugging Face hub or from a folder."""

import re
from collections.abc import Mapping, Sequence

import torch
from accelerate.utils import get_max_memory
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.activations import ACT2FN, FastGELUActivation, NewGELUActivation

from strata.model.architecture import find_parts
from strata.model.device import require
from strata.model.equalities import check
from strata.model.families import UnknownArchitecture, family_of
from strata.model.linear_maps import quickened
from strata.model.source import ModelUnavailable, load


def load_model(
    source: str, revision: str | None = None, dtype: str = "float32", device: str = "cpu"
) -> PreTrainedModel:
    """Load a causal language model, ready for inference.

    Only safetensors are read and no code of the model's repository is run. ``device`` ``auto``
    is a GPU where there is one; a model that is too large for it is spread over all GPUs, what they leave
    over stays in the CPU's memory or on disk and is brought to a GPU whenever it runs.

    Raises
    ------
    ModelUnavailable
        If the source is not there, cannot be reached, has no safetensors weights, or these are not
        exactly the tensors of the model that its configuration describes; or if the architecture is not
        known and cannot be read either.
    """
    require(device)
    place = {"device_map": SPREAD, "max_memory": _room()} if device == "auto" else {}
    model, told = load(
        AutoModelForCausalLM.from_pretrained,
        source,
        revision=revision,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        attn_implementation="eager",
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **place,
    )
    _check_whole(source, told)
    model = fast((model if place else model.to(device)).eval().requires_grad_(False))
    if family_of(model) is None:
        try:
            check(find_parts(model))
        except UnknownArchitecture as error:
            raise ModelUnavailable(f"model {source}: {error}") from error
    return model


def fast(model: PreTrainedModel) -> PreTrainedModel:
    """The model as it runs fastest here: the same function; numbers differ by rounding.

    Linear maps are those of `strata.model.linear_maps`. GPT-2's GELU is the one kernel that torch has for it:
    seven of them cost as much as a product.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation | FastGELUActivation):
                setattr(module, name, ACT2FN["gelu_pytorch_tanh"])
    return quickened(model)


SPREAD = "sequential"
"""A device is filled before the next is used, so that a model which fits on one is not split."""

FOR_WEIGHTS = 0.8
"""Share of a device's free memory that weights may take; states and logits need the rest."""


def _room() -> dict[int | str, int]:
    """Bytes for weights on every device, by its number, and on the CPU; what is over goes to disk."""
    return {device: int(FOR_WEIGHTS * free) for device, free in get_max_memory().items()}


BUFFERS = re.compile(r"(attn|attention)\.(masked_)?bias$|rotary_emb\.inv_freq$")
"""Masks and frequencies that old checkpoints hold and models now compute."""


def _check_whole(source: str, told: Mapping) -> None:
    """Refuse a checkpoint that transformers has completed with random weights, or used in part."""
    missing = sorted(told["missing_keys"])
    unexpected = sorted(name for name in told["unexpected_keys"] if not BUFFERS.search(name))
    shapes = [f"{name} is {tuple(has)}, not {tuple(needs)}" for name, has, needs in told["mismatched_keys"]]
    faults = []
    if missing:
        faults.append(f"it lacks {_few(missing)}")
    if unexpected:
        faults.append(f"it holds {_few(unexpected)}, of which the model knows nothing")
    if shapes:
        faults.append(_few(sorted(shapes)))
    if faults:
        raise ModelUnavailable(
            f"model {source}: the checkpoint is not that of its config.json: {'; '.join(faults)}"
        )


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
