"""Direct logit attribution: what each part of a model adds to the answer's logit at the final position.

The final state is a sum: embeddings, and what every head and every MLP adds. With the divisor that the final
norm had in the run, the readout is linear, so that the logit of the target less that of its best rival is a
sum over the same parts (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", on the
direct path to the logits). What a part does through later layers is not in it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from accelerate.utils import align_module_device
from torch import Tensor, nn

from strata.model.architecture import Parts
from strata.model.batching import Batch, batches
from strata.model.capture import See, watching
from strata.model.weights import norm_parameters
from strata.names import CATEGORY, FACT, HEAD, LAYER, PROMPT, TARGET_ID
from strata.progress import Progress, silent

DIMS = {
    "attention": (PROMPT, LAYER, HEAD),
    "attention_bias": (PROMPT, LAYER),
    "mlp": (PROMPT, LAYER),
    "mlp_bias": (PROMPT, LAYER),
    "token_embedding": (PROMPT,),
    "position_embedding": (PROMPT,),
    "constant": (PROMPT,),
}
"""The parts whose sum is ``logit_difference``; those that a model lacks are absent."""


@torch.inference_mode()
def attribute(
    parts: Parts,
    ids: Sequence[Sequence[int]],
    prompts: pd.DataFrame,
    max_tokens: int = 1024,
    progress: Progress = silent,
) -> xr.Dataset:
    """Attribute the logit difference of every prompt to the parts of the model, in one run.

    Norms behind attention, MLPs or sums are held to their divisors too, logits are those before a cap.

    Parameters
    ----------
    ids : (prompt, position)
    prompts : DataFrame
        Rows of ``prompts.tsv`` with a target: ``id``, ``category``, ``fact``, ``target_id``.
    max_tokens : that go through the model at once

    Returns
    -------
    Dataset, in logits
        ``logit_difference`` (prompt): of the target less the alternative, the best other token.
        ``attention`` (prompt, layer, head): each head, its slice of attention's last linear map;
        ``attention_bias``, ``mlp``, ``mlp_bias`` (prompt, layer): the biases are those of the last linear
        maps; ``token_embedding`` (prompt): depth 0 less the ``position_embedding``; ``constant`` (prompt):
        biases of norms and of the unembedding. Coordinates ``category``, ``fact``, ``target_id``,
        ``alternative_id`` (prompt).
    """
    rows: list[dict[str, Tensor]] = []
    order: list[int] = []
    targets = torch.tensor(prompts[TARGET_ID].to_numpy(), device=parts.device)
    for batch in progress(batches(ids, max_tokens, parts, prompts["id"].tolist()), "batches of prompts"):
        rows.append(_attribute_together(parts, batch, targets[batch.which]))
        order.extend(batch.which)
    back = np.argsort(order)
    found = {name: torch.cat([row[name] for row in rows]).cpu().numpy()[back] for name in rows[0]}
    lacking = {
        "position_embedding": parts.position_embedding is None,
        "attention_bias": _unbiased(parts.attention_values),
        "mlp_bias": _unbiased(parts.mlp_values),
    }
    kept = {name: (dims, found[name]) for name, dims in DIMS.items() if not lacking.get(name)}
    return xr.Dataset(
        kept | {"logit_difference": (PROMPT, found["logit_difference"])},
        coords={
            PROMPT: prompts["id"].to_numpy(dtype=object),
            **{name: (PROMPT, prompts[name].to_numpy(dtype=object)) for name in (CATEGORY, FACT)},
            LAYER: np.arange(parts.n_layers),
            HEAD: np.arange(parts.n_heads),
            TARGET_ID: (PROMPT, prompts[TARGET_ID].to_numpy()),
            "alternative_id": (PROMPT, found["alternative_id"]),
        },
    )


def _unbiased(modules: Sequence[nn.Module]) -> bool:
    return all(getattr(module, "bias", None) is None for module in modules)


def _attribute_together(parts: Parts, batch: Batch, target: Tensor) -> dict[str, Tensor]:
    """The same of the prompts of one batch."""
    row = torch.arange(len(target), device=target.device)
    last = torch.tensor(batch.lengths, device=target.device) - 1
    states, heads, answers = [], [], []

    def keep(kept: list[Tensor]) -> See:
        return lambda index, passing: kept.append(passing[row, last])

    with watching(parts, resid=keep(states), heads=keep(heads), answers=keep(answers)):
        parts.model.base_model(input_ids=batch.ids, use_cache=False)
    logits = parts.unembedding(parts.normed(states[-1])).to(target.device).double() * parts.logit_scale
    alternative = logits.scatter(1, target[:, None], -torch.inf).argmax(1)

    way = _WayBack(parts, target, alternative)
    way.through(parts.final_norm, states[-1])
    found: dict[str, list[Tensor]] = {name: [] for name, dims in DIMS.items() if LAYER in dims}
    for layer in reversed(range(parts.n_layers)):
        attention, mlp = parts.attention_values[layer], parts.mlp_values[layer]
        each_head, attention_bias = _taken_apart(attention, heads[layer], parts.n_heads)
        [whole], mlp_bias = _taken_apart(mlp, answers[layer], 1)
        of_attention, of_mlp = each_head.sum(0) + attention_bias, whole + mlp_bias
        if parts.post_norm:
            halfway = states[layer].double() + of_attention
            normed = parts.norm1s[layer](halfway.to(states[layer])).to(of_mlp)
            way.through(parts.norm2s[layer], normed + of_mlp)
        towards = way.inside(parts.mlp_outs[layer], (parts.mlps[layer], mlp), of_mlp)
        found["mlp"].append(_along(whole, towards))
        found["mlp_bias"].append(_along(mlp_bias, towards))
        if parts.post_norm:
            way.through(parts.norm1s[layer], halfway)
        towards = way.inside(parts.attention_outs[layer], (parts.attentions[layer], attention), of_attention)
        found["attention"].append(_along(each_head, towards).T)
        found["attention_bias"].append(_along(attention_bias, towards))

    position = torch.zeros_like(way.direction)
    if parts.position_embedding is not None:
        with align_module_device(parts.position_embedding):
            position = parts.position_rows[last.to(parts.position_rows.device)].to(position)
    return {name: torch.stack(by_layer[::-1], 1) for name, by_layer in found.items()} | {
        "token_embedding": _along(states[0].double() - position, way.direction),
        "position_embedding": _along(position, way.direction),
        "constant": way.constant,
        "logit_difference": logits[row, target] - logits[row, alternative],
        "alternative_id": alternative,
    }


def _along(added: Tensor, direction: Tensor) -> Tensor:
    return (added * direction).sum(-1)


def _taken_apart(module: nn.Module, entering: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """What a linear map makes of each of ``n`` slices (n, row, channel), and its bias (channel), float64."""
    own = torch.eye(n, device=entering.device, dtype=entering.dtype)[:, None, :, None]
    slices = (own * entering.unflatten(-1, (n, -1))).flatten(-2)
    # The module itself is asked: it may keep its weights on another device, or the other way round.
    bias = module(torch.zeros_like(entering[:1]))[0].to(entering.device).double()
    return module(slices.flatten(0, 1)).to(entering.device).double().unflatten(0, (n, -1)) - bias, bias


class _WayBack:
    """The direction that makes the logit difference, followed back from the logits through norms.

    ``direction`` (row, channel): of the stream where the way has come to. ``constant`` (row): what biases
    on the way add. float64.
    """

    def __init__(self, parts: Parts, target: Tensor, alternative: Tensor):
        self._parts, unembedding = parts, parts.unembedding

        def difference(of: Tensor) -> Tensor:
            given = target.to(of.device), alternative.to(of.device)
            return parts.logit_scale * (of[given[0]].double() - of[given[1]].double()).to(target.device)

        with align_module_device(unembedding):
            self.direction = difference(unembedding.weight)
            self.constant = torch.zeros_like(self.direction[:, 0])
            if unembedding.bias is not None:
                self.constant += difference(unembedding.bias)
        if parts.project_out is not None:
            with align_module_device(parts.project_out):
                self.direction = self.direction @ parts.project_out.weight.to(self.direction)

    def through(self, norm: nn.Module, state: Tensor) -> None:
        """Go on to what the stream was before a norm of it: a state (row, channel)."""
        self.direction = self._before(norm, state, self.direction)

    def inside(self, out: nn.Module, own: Sequence[nn.Module], added: Tensor) -> Tensor:
        """The direction (row, channel) of what the last linear map of a sub-block makes.

        Parameters
        ----------
        out : the module whose output joins the stream: one of the sub-block's ``own``, or a norm behind it
        added : (row, channel), what the map makes
        """
        direction = self.direction * self._parts.residual_scale
        return direction if out in own else self._before(out, added, direction)

    def _before(self, norm: nn.Module, state: Tensor, direction: Tensor) -> Tensor:
        with align_module_device(norm):
            known = norm_parameters(norm, self._parts.n_channels)
        if known.bias is not None:
            self.constant = self.constant + direction @ known.bias.to(direction)
        return known.pulled_back(direction, state.double())
