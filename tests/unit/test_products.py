"""Products by oneDNN are the products that they stand for, and a model with them is the same model."""

import pytest
import torch
from torch.backends import mkldnn
from torch.nn.functional import linear

from oracles import tiny_models
from strata import products
from strata.model.linear_maps import quickened
from strata.products import product, product_into

pytestmark = pytest.mark.skipif(not mkldnn.is_available(), reason="torch is without oneDNN here")

CLOSE = {"atol": 1e-4, "rtol": 1e-5}
"""Of sums of 70 products of about 1, in float32, with those in float64."""


@pytest.fixture(autouse=True)
def onednn(monkeypatch):
    """Multiplies, whatever the processor."""
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


WEIGHTS = {
    "as it lies in memory": lambda: random(33, 70),
    "the other way round": lambda: random(70, 33).T,
    "some of its rows": lambda: random(50, 70)[9:42],
}
ROWS = {
    "rows": lambda: random(5, 70, seed=1),
    "one row": lambda: random(70, seed=1),
    "no row": lambda: random(0, 3, 70, seed=1),
    "rows of positions": lambda: random(4, 3, 70, seed=1),
    "across": lambda: random(3, 4, 70, seed=1).transpose(0, 1),
    "one of several positions": lambda: random(4, 3, 70, seed=1)[:, -1:],
    "some channels": lambda: random(4, 99, seed=1)[:, :70],
    "one row many times": lambda: random(1, 70, seed=1).expand(6, -1),
    "rows of whole steps": lambda: random(2, 8, 70, seed=1),
    "many rows": lambda: random(500, 70, seed=1),
}


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_it_is_the_product_in_double_precision(rows, weight, with_bias):
    rows, weight, bias = rows(), weight(), random(33, seed=2) if with_bias else None
    expected = linear(rows.double(), weight.double(), bias.double() if with_bias else None)
    with torch.inference_mode():
        torch.testing.assert_close(product(rows, weight, bias), expected.float(), **CLOSE)


def test_onednn_multiplies(monkeypatch):
    """Not torch's own: it is refused here."""
    monkeypatch.setattr(products, "linear", None)
    assert product(random(4, 70), random(33, 70)).shape == (4, 33)
    assert product(random(4, 70).requires_grad_(), random(33, 70)).requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_numbers_are_left_to_torch(dtype):
    rows, weight = random(4, 70).to(dtype), random(33, 70).to(dtype)
    assert torch.equal(product(rows, weight), linear(rows, weight))


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(products, "_by_onednn", None)
    with mkldnn.flags(enabled=False):
        assert torch.equal(product(random(4, 70), random(33, 70)), linear(random(4, 70), random(33, 70)))


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
def test_a_product_is_put_where_it_is_wanted(weight):
    whole, rows, weight = torch.zeros(5, 40), random(5, 70, seed=1), weight()
    product_into(whole[:, 4:37], rows, weight)
    torch.testing.assert_close(whole[:, 4:37], linear(rows.double(), weight.double()).float(), **CLOSE)
    assert not whole[:, :4].any() and not whole[:, 37:].any()


@pytest.mark.parametrize("wanted", [(0,), (1,), (0, 1), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("shape", [(5, 70), (4, 3, 70)])
def test_gradients_are_those_in_double_precision(shape, wanted):
    factors = [random(*shape, seed=1), random(33, 70), random(33, seed=2)]
    direction = random(*shape[:-1], 33, seed=3)

    def gradients(function, dtype):
        own = [factor.to(dtype).requires_grad_(i in wanted) for i, factor in enumerate(factors)]
        out = (function(*own) * direction.to(dtype)).sum()
        return torch.autograd.grad(out, [own[i] for i in wanted])

    expected = gradients(linear, torch.float64)
    for found, true in zip(gradients(product, torch.float32), expected, strict=True):
        torch.testing.assert_close(found, true.float(), **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3", "opt-350m", "gpt-neox", "bloom", "ctrl"])
def test_a_model_says_what_it_said(name):
    plain, ours = tiny_models.build(name), quickened(tiny_models.build(name))
    ids = torch.tensor([[5, 17, 3, 60, 2, 44], [7, 7, 2, 90, 33, 12]])
    with torch.inference_mode():
        torch.testing.assert_close(ours(ids).logits, plain(ids).logits, **CLOSE)
    assert [*ours.state_dict()] == [*plain.state_dict()]
    kinds = {type(module).__module__ for module in ours.modules()}
    assert "strata.model.linear_maps" in kinds
    tied = ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
    assert tied == (plain.get_output_embeddings().weight is plain.get_input_embeddings().weight)
