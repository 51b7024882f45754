"""Training the organism: plain next-token prediction, AdamW, one pass over the packed rows.

One thing is not plain. ``early_attention_dropout`` drops the whole output of a block's attention at
a position, with a probability that falls linearly from block 0 to nothing at block
``early_attention_blocks`` (stochastic depth, Huang et al. 2016, on attention alone). Without it the
smallest loss is reached by copying every subject to the last token in block 0; with it the early
blocks are no reliable road between positions.

With ``every_depth`` every block's output is read out, by the final norm and the unembedding, and trained to
give its best guess of the next token. The trained model is an ordinary GPT-2 either way.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel


@dataclass(frozen=True)
class Recipe:
    """Shape of the model and how it is trained (section ``organism`` of config.yaml)."""

    seed: int
    n_layers: int
    n_channels: int
    n_heads: int
    vocab_size: int
    row_length: int
    rows_per_step: int
    steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    early_attention_dropout: float
    early_attention_blocks: int
    every_depth: float
    """Share of tokens, drawn in each step for each depth, whose readout is trained before the last depth."""


def build_model(recipe: Recipe) -> GPT2LMHeadModel:
    """An untrained GPT-2 of the recipe's shape, seeded."""
    torch.manual_seed(recipe.seed)
    end_of_text = recipe.vocab_size - 1
    config = GPT2Config(
        vocab_size=recipe.vocab_size,
        n_positions=recipe.row_length,
        n_embd=recipe.n_channels,
        n_layer=recipe.n_layers,
        n_head=recipe.n_heads,
        activation_function="gelu_pytorch_tanh",
        # GPT-2's 0.02, for its width of 768: queries and keys begin as large as there.
        initializer_range=0.02 * (768 / recipe.n_channels) ** 0.5,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
    )
    # Eager: at this width the fused attention's backward pass takes a third of a step on a CPU.
    config._attn_implementation = "eager"
    return GPT2LMHeadModel(config)


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, a plateau, and a linear fall to nothing over the last fifth."""
    rise = (step + 1) / recipe.warmup_steps
    fall = (recipe.steps - step) / (0.2 * recipe.steps)
    return recipe.learning_rate * min(1.0, rise, fall)


@contextmanager
def early_attention_dropout(model: GPT2LMHeadModel, recipe: Recipe) -> Iterator[None]:
    """While open, early blocks lose their attention output at random positions."""
    generator = torch.Generator().manual_seed(recipe.seed)

    def dropping(rate: float) -> Callable:
        def hook(module, args, output):
            mask = torch.rand(output[0].shape[:2], generator=generator) >= rate
            return (output[0] * (mask / (1 - rate)).unsqueeze(-1).to(output[0].dtype), *output[1:])

        return hook

    handles = []
    for layer in range(recipe.early_attention_blocks):
        rate = recipe.early_attention_dropout * (1 - layer / recipe.early_attention_blocks)
        if rate > 0:
            attention = model.transformer.h[layer].attn
            handles.append(attention.register_forward_hook(dropping(rate)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def within_documents(tokens: Tensor, end_of_text: int) -> tuple[Tensor, Tensor]:
    """Positions and attention mask under which each document of a row is alone.

    Parameters
    ----------
    tokens : (row, position), documents ended by ``end_of_text``

    Returns
    -------
    positions : (row, position), counted from each document's beginning
    mask : (row, 1, query, key), 0 where attention may go and the lowest float elsewhere
    """
    ended = (tokens == end_of_text).long()
    document = ended.cumsum(1) - ended
    index = torch.arange(tokens.shape[1]).expand_as(tokens)
    begins = torch.ones_like(ended)
    begins[:, 1:] = ended[:, :-1]
    positions = index - (index * begins).cummax(1).values
    same = (document[:, :, None] == document[:, None, :]).tril()
    lowest = torch.finfo(torch.float32).min
    return positions, torch.where(same, 0.0, lowest)[:, None]


def _optimiser(model: GPT2LMHeadModel, recipe: Recipe) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def train(
    tokens: np.ndarray, kinds: np.ndarray, kind_names: list[str], recipe: Recipe
) -> Iterator[tuple[int, dict[str, float], GPT2LMHeadModel]]:
    """Train; after every step yield its number, its losses and the model.

    Parameters
    ----------
    tokens, kinds : arrays (row, position)
        As `strata.organism.corpus.pack` makes them; at least ``steps * rows_per_step`` rows.

    Yields
    ------
    step : int
    losses : dict
        Mean next-token loss (nats) of ``all`` and of each kind of document in the step's rows.
    model : GPT2LMHeadModel
        The same object every time.

    Matrix products run in bfloat16 (weights and optimiser stay float32), as those of the shipped weights
    did; in float32 on a processor that would have to imitate bfloat16, forty times as slowly. Both follow
    the same loss curve, within the noise of a step.
    """
    autocast = {"dtype": torch.bfloat16, "enabled": torch.ops.mkldnn._is_mkldnn_bf16_supported()}
    model = build_model(recipe).train()
    optimiser = _optimiser(model, recipe)
    drawn = torch.Generator().manual_seed(recipe.seed)
    with early_attention_dropout(model, recipe):
        for step in range(recipe.steps):
            rows = slice(step * recipe.rows_per_step, (step + 1) * recipe.rows_per_step)
            batch = torch.from_numpy(tokens[rows].astype(np.int64))
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, recipe)
            positions, mask = within_documents(batch, recipe.vocab_size - 1)
            with torch.autocast("cpu", **autocast):
                output = model(
                    input_ids=batch,
                    position_ids=positions,
                    attention_mask=mask,
                    use_cache=False,
                    output_hidden_states=recipe.every_depth > 0,
                )
                targets = batch[:, 1:].reshape(-1)
                each = _next_token_loss(output.logits[:, :-1].flatten(0, 1), targets)
                depths = [each.mean()]
                if recipe.every_depth:
                    states = [depth[:, :-1].flatten(0, 1) for depth in output.hidden_states[1:-1]]
                    depths += _losses_on_the_way(model, states, targets, recipe.every_depth, drawn)
            torch.stack(depths).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            yield step, _losses(each.detach(), kinds[rows, 1:], kind_names), model


def _next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(logits.float(), targets, reduction="none")


def _losses_on_the_way(
    model: GPT2LMHeadModel, depths: list[Tensor], targets: Tensor, share: float, drawn: torch.Generator
) -> list[Tensor]:
    """Mean next-token loss of the readout of each depth (token, channel), at tokens drawn for each."""
    n = max(1, round(share * len(targets)))
    losses = []
    for states in depths:
        chosen = torch.randperm(len(targets), generator=drawn)[:n]
        logits = model.lm_head(model.transformer.ln_f(states[chosen]))
        losses.append(_next_token_loss(logits, targets[chosen]).mean())
    return losses


def _losses(each: torch.Tensor, kinds: np.ndarray, names: list[str]) -> dict[str, float]:
    flat = torch.from_numpy(kinds.reshape(-1).astype(np.int64))
    totals = torch.zeros(len(names)).index_add_(0, flat, each)
    counts = torch.bincount(flat, minlength=len(names))
    by_kind = {name: (totals[i] / counts[i]).item() for i, name in enumerate(names) if counts[i]}
    return {"all": each.mean().item()} | by_kind


LOG_EVERY = 100
"""Steps in one line of the loss table."""


def averaged(
    steps: Iterable[tuple[int, dict[str, float], GPT2LMHeadModel]], recipe: Recipe, every: int
) -> Iterator[tuple[dict[str, float], GPT2LMHeadModel]]:
    """Losses averaged over every so many steps: ``step`` and ``tokens`` seen, ``all``, each kind."""
    since: list[dict[str, float]] = []
    for step, losses, model in steps:
        since.append(losses)
        if len(since) == every or step == recipe.steps - 1:
            names = sorted({name for each in since for name in each}, key=lambda n: (n != "all", n))
            means = {n: float(np.mean([each[n] for each in since if n in each])) for n in names}
            seen = (step + 1) * recipe.rows_per_step * recipe.row_length
            yield {"step": step + 1, "tokens": seen} | means, model
            since = []
