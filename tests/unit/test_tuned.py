from dataclasses import replace

import numpy as np
import pytest
import torch

from strata.lens import tuned
from strata.lens.decoders import DepthMaps
from strata.lens.stream import stream_depths
from strata.lens.tuned import KLFromFinal, Whitening
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder
from strata.stats.bootstrap import Bootstrap
from strata.stats.draws import interval_of_mean
from strata.stats.seeding import generator

LAYERS, CHANNELS, VOCAB = 2, 6, 23
DEPTHS = stream_depths(LAYERS)
HOW = Bootstrap(50, 0.9, 0)


def decoder(dtype=torch.float32, with_bias=True):
    torch.manual_seed(1)
    norm = Norm("layer", torch.rand(CHANNELS, dtype=dtype) + 0.5, torch.randn(CHANNELS, dtype=dtype), 1e-5)
    bias = torch.randn(VOCAB, dtype=dtype) if with_bias else None
    return LogitDecoder(norm, torch.randn(VOCAB, CHANNELS, dtype=dtype), bias)


def linear_text(n_tokens, seed, noise=0.0):
    """A stream in which the last depth is an affine map of each depth, and some noise."""
    torch.manual_seed(7)
    maps = torch.linalg.matrix_exp(torch.randn(len(DEPTHS) - 1, CHANNELS, CHANNELS) / 2)
    shift = torch.randn(len(DEPTHS) - 1, CHANNELS)
    torch.manual_seed(seed)
    last = torch.randn(n_tokens, CHANNELS) * torch.tensor([0.5, 1, 1, 2, 5, 10.0])
    states = [torch.linalg.solve(m, (last - b).T).T for m, b in zip(maps, shift, strict=True)]
    stream = torch.stack([*states, last])
    stream[:-1] += noise * torch.randn(stream[:-1].shape)
    return stream, maps, shift


def text(seed=0, n_batches=4, noise=0.0):
    return lambda: (linear_text(50, 100 * seed + i, noise)[0] for i in range(n_batches))


@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("piece", [tuned.PIECE, 180])
def test_kl_and_its_gradient_are_those_of_the_definition(monkeypatch, with_bias, cap, piece):
    """Of rows of two depths; the vocabulary whole, and in pieces of ten with three over."""
    monkeypatch.setattr(tuned, "PIECE", piece)
    # Double precision throughout; far-off rows make probabilities that underflow in single precision.
    lens = replace(decoder(torch.double, with_bias), cap=cap)
    rows = (torch.randn(2, 9, CHANNELS, dtype=torch.double) * 3).requires_grad_()
    final = (torch.randn(9, VOCAB, dtype=torch.double) * 10).softmax(-1)
    kl = KLFromFinal.apply(rows, lens, final)
    bias = 0 if lens.bias is None else lens.bias
    logits = rows @ lens.unembedding.T + bias
    logq = (cap * torch.tanh(logits / cap) if cap else logits).log_softmax(-1)
    expected = (torch.special.xlogy(final, final) - final * logq).sum(-1)
    torch.testing.assert_close(kl, expected)
    weights = torch.rand(2, 9, dtype=torch.double)
    (ours,) = torch.autograd.grad(kl, rows, weights)
    (theirs,) = torch.autograd.grad(expected, rows, weights)
    torch.testing.assert_close(ours, theirs)


def test_least_squares_is_numpys():
    stream, _, _ = linear_text(400, 3, noise=0.5)
    whitening = Whitening.of(stream.split(150, 1), ridge=0.0)
    weight, bias = whitening.unwhiten(whitening.least_squares(), whitening.target_mean.expand(4, -1))
    for depth in range(len(stream) - 1):
        design = np.column_stack([stream[depth].double(), np.ones(400)])
        solution, *_ = np.linalg.lstsq(design, stream[-1].double().numpy(), rcond=None)
        np.testing.assert_allclose(weight[depth], solution[:-1].T, atol=1e-4)
        np.testing.assert_allclose(bias[depth], solution[-1], atol=1e-4)
    white = whitening.whiten(stream)
    for states in white:
        np.testing.assert_allclose(np.cov(states.T, bias=True), np.eye(CHANNELS), atol=1e-3)


def test_planted_maps_are_found():
    maps = tuned.fit(text(0), text(1), decoder(), DEPTHS, steps=5, learning_rate=1e-4)
    numbers, _, _ = report(maps)
    assert (numbers["kl"] < 0.01).all() and (numbers["kl_logit"][:-1] > 0.5).all()


def report(maps, seed=2, noise=0.0):
    stream = torch.cat(list(text(seed, noise=noise)()), 1)
    targets = torch.randint(VOCAB, (stream.shape[1],))
    targets[::7] = -1
    documents = np.arange(len(targets)) // 10
    return tuned.held_out([(stream, targets, documents)], maps, decoder(), DEPTHS, HOW), stream, targets


def test_training_lowers_kl_below_least_squares_and_below_the_logit_lens():
    few = tuned.fit(text(0, 99, 1.0), text(1, 8, 1.0), decoder(), DEPTHS, steps=1, learning_rate=1e-9)
    many = tuned.fit(text(0, 99, 1.0), text(1, 8, 1.0), decoder(), DEPTHS, steps=99, learning_rate=0.02)
    first, second = (report(maps, noise=1.0)[0] for maps in (few, many))
    assert (second["kl"][:-1] <= first["kl"][:-1] * 1.02).all()
    assert second["kl"].mean() < 0.9 * first["kl"].mean()
    assert (second["kl"] <= second["kl_logit"] + 1e-6).all()


def test_a_map_that_does_no_better_is_dropped():
    """The text that is trained on says the opposite of the text that is chosen by."""

    def last_times(sign, seed):
        def batches():
            for i in range(3):
                torch.manual_seed(10 * seed + i)
                last = torch.randn(40, CHANNELS)
                yield torch.stack([*[sign * last] * (len(DEPTHS) - 1), last])

        return batches

    maps = tuned.fit(last_times(-1, 0), last_times(1, 1), decoder(), DEPTHS, 3, 0.01)
    identity = DepthMaps.identity(DEPTHS[:-1], CHANNELS, LAYERS)
    assert torch.equal(maps.weight, identity.weight) and torch.equal(maps.bias, identity.bias)


def test_held_out_numbers_are_means_over_tokens():
    maps = DepthMaps.identity(DEPTHS[:-1], CHANNELS, LAYERS)
    maps.weight[0] *= 2
    numbers, stream, targets = report(maps)
    lens = decoder()
    final = lens.logits(stream[-1]).double().log_softmax(-1)
    logq = lens.logits(2 * stream[0]).double().log_softmax(-1)
    kl = (final.exp() * (final - logq)).sum(-1).mean()
    known = targets >= 0
    bits = -logq[known].gather(-1, targets[known, None]).mean() / np.log(2)
    np.testing.assert_allclose(numbers["kl"][0], kl, rtol=1e-4)
    np.testing.assert_allclose(numbers["bits"][0], bits, rtol=1e-4)
    assert numbers["kl"][-1].item() == pytest.approx(0, abs=1e-5)
    assert numbers.attrs == {"n_tokens": 200, "n_targets": int(known.sum()), "n_documents": 20}
    each = -logq[known].gather(-1, targets[known, None])[:, 0].numpy() / np.log(2)
    ends = interval_of_mean(each, 50, 0.9, generator(0), (np.arange(200) // 10)[known.numpy()])
    np.testing.assert_allclose([numbers["bits_low"][0], numbers["bits_high"][0]], ends, rtol=1e-4)
    assert (numbers["kl_low"][:-1] < numbers["kl"][:-1]).all() and numbers["kl_high"].attrs["units"] == "nat"
    np.testing.assert_allclose(numbers["kl"][1:], numbers["kl_logit"][1:], atol=1e-5)
