"""Rows of what is fitted: tuned lens and probes against their products, Jacobians against backward passes."""

from collections.abc import Iterator

import numpy as np
import torch
from frame import Row, Turns, without_strata
from of_lens import bare_product
from shapes import SHAPES, random_decoder, random_model

from strata.lens import jacobian, tuned
from strata.probes.linear import BATCH, Moments, fit, refine
from strata.products import product

STEPS = 5
CLASSES, TOKENS = 3000, 10_000


def rows(shape: str, device: torch.device, rounds: int, quick: bool) -> Iterator[Row]:
    yield _tuned(shape, device, rounds)
    yield _probes(shape, device, rounds)
    if shape == "small":
        yield _jacobian(device, rounds)


def _tuned(shape: str, device: torch.device, rounds: int, tokens: int = 64) -> Row:
    config = SHAPES[shape]
    depths, channels, vocab = config.num_hidden_layers + 1, config.hidden_size, config.vocab_size
    decoder = random_decoder(channels, vocab, device)
    stream = torch.randn(depths, tokens, channels, device=device)
    everything = torch.randn(depths, 3 * channels, channels, device=device)
    whitening = tuned.Whitening.of([everything])
    training = tuned.Training(whitening, decoder, 10**6, 1e-3)
    maps = [torch.randn(channels, channels, device=device) for _ in range(depths - 1)]
    # Logits of every depth and their gradient; a map, its whitening and its gradient.
    logits = bare_product(stream.flatten(0, 1), decoder.unembedding)
    back = bare_product(
        torch.randn((depths - 1) * tokens, vocab, device=device), decoder.unembedding.T.contiguous()
    )

    def products() -> None:
        logits()
        back()
        for states, weight in zip(stream, maps, strict=False):
            product(states, weight)
            product(states, weight)
            product(states.T, states.T)

    turns = Turns({"products": products, "step": lambda: training.step(stream)}, rounds)
    told = f"{shape}, {depths} depths, {tokens} tokens"
    return Row(
        "tuned lens, a step", told, "its products", turns.ratio("step", "products"), "<= 1.4", "<= 1.2"
    )


def _probes(shape: str, device: torch.device, rounds: int) -> Row:
    channels = SHAPES[shape].hidden_size
    # Token frequencies fall as in text, and every token occurs.
    often = torch.multinomial(1 / torch.arange(1, CLASSES + 1), TOKENS - CLASSES, replacement=True)
    labels = torch.cat([torch.arange(CLASSES), often]).to(device)
    states = torch.randn(CLASSES, channels, device=device)[labels] + torch.randn(
        TOKENS, channels, device=device
    )
    sums = Moments.of(states, labels, CLASSES)
    probe = fit(sums, np.arange(CLASSES))
    weight = probe.weight.clone()

    def products() -> None:
        _, vectors = torch.linalg.eigh(sums.covariance)
        weight.double() @ vectors @ vectors.T  # to coordinates in which states are white, and back
        for batch in states.split(BATCH):
            whitened = product(batch, weight[:channels])
            product(product(whitened, weight).T, whitened.T)

    def epoch() -> None:
        refine(probe, sums, states, labels, epochs=1, seed=0)

    turns = Turns({"products": products, "epoch": epoch}, rounds)
    told = f"{shape}, {CLASSES} classes, {BATCH} tokens"
    return Row("probes, a step", told, "their products", turns.ratio("epoch", "products"), "<= 1.4", "<= 1.2")


def _jacobian(device: torch.device, rounds: int, length: int = 32, documents: int = 4) -> Row:
    """Of the organism's shape: every channel costs a backward pass."""
    parts = random_model("organism", device)
    texts = torch.randint(parts.token_embedding.num_embeddings, (documents, length + 1)).tolist()

    def own() -> None:
        jacobian.fit(parts, texts, skip=4)

    def plain() -> None:
        with without_strata():
            embedded = parts.embed(torch.tensor(texts, device=device)[:, :-1]).requires_grad_()
            hidden = embedded
            for layer in range(parts.n_layers):
                hidden = parts.run_block(layer, hidden, 0)
            for channel in range(parts.n_channels):
                torch.autograd.grad(hidden[..., channel].sum(), embedded, retain_graph=True)

    turns = Turns({"plain": plain, "fit": own}, rounds)
    told = f"organism, {documents} documents of {length} tokens"
    return Row("Jacobian lens", told, "as many plain backward passes", turns.ratio("fit", "plain"), "<= 1.15")
