"""The clean and the corrupted runs of prompts, which all that is restored is put together from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor
from transformers import DynamicCache

from strata.model.architecture import Parts, leaving
from strata.model.capture import watching
from strata.names import HEAD, NEURON
from strata.trace.corruption import Prompt, inputs_of

PIECES = {HEAD: "heads", NEURON: "answers"}
"""What is put back before a last linear map, as `strata.model.capture.watching` calls it."""


@dataclass(frozen=True)
class Runs:
    """Whole runs of prompts of one length.

    ``states`` by depth, the last before the final norm, and ``outputs`` of a kind of sub-block by
    layer: (run, position, channel). ``keys``, ``values`` by layer: (run, head, position, head channel).
    ``pieces`` of clean runs alone: what enters the last linear map of attention ("head") or the MLP
    ("neuron"), likewise.
    """

    states: list[Tensor]
    outputs: dict[str, list[Tensor]]
    keys: list[Tensor]
    values: list[Tensor]
    pieces: dict[str, list[Tensor]] = field(default_factory=dict)

    def __getitem__(self, runs) -> "Runs":
        return Runs(
            [state[runs] for state in self.states],
            {part: [output[runs] for output in by_layer] for part, by_layer in self.outputs.items()},
            [keys[runs] for keys in self.keys],
            [values[runs] for values in self.values],
        )


def run(parts: Parts, prompts: Sequence[Prompt], wanted: Iterable[str | None]) -> tuple[Runs, Runs]:
    """The clean and the corrupted runs of prompts of one length."""
    device, n_clean = parts.device, len(prompts)
    ids, noise = (each.to(device) for each in inputs_of(prompts, parts.token_embedding.embedding_dim))
    states: list[Tensor] = []
    pieces: dict[str, list[Tensor]] = {part: [] for part in wanted if part in PIECES}
    outputs: dict[str, list[Tensor]] = {part: [] for part in wanted if part and part not in PIECES}

    def keeper(part):
        def keep(module, args, output):
            outputs[part].append(leaving(output).reshape(*noise.shape[:2], -1).clone().to(device))

        return keep

    handles = []
    for part in outputs:
        handles += [module.register_forward_hook(keeper(part)) for module in parts.sub_blocks(part)]
    # On the token's embedding itself, before positions or any scaling.
    handles.append(
        parts.token_embedding.register_forward_hook(lambda module, args, output: output + noise.to(output))
    )
    seen = {"resid": lambda depth, state: states.append(state.clone())}
    for part, kept in pieces.items():
        seen[PIECES[part]] = lambda layer, entering, kept=kept: kept.append(entering[:n_clean].clone())
    cache = DynamicCache()
    try:
        # The base model: logits of all positions are not wanted.
        # Clones: blocks may reuse their input.
        with watching(parts, **seen):
            parts.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
    finally:
        for handle in handles:
            handle.remove()
    keys = [layer.keys.to(device) for layer in cache.layers]
    values = [layer.values.to(device) for layer in cache.layers]
    runs = Runs(states, outputs, keys, values)
    return replace(runs[:n_clean], pieces=pieces), runs[n_clean:]
