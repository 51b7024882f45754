"""Products of float32 matrices on a CPU, by the faster of the two libraries that torch brings.

torch multiplies dense float32 matrices with MKL, which uses AVX2 on AMD's processors even where they know
AVX-512; oneDNN uses what there is, and takes less than half the time there (docs/benchmarks.md). Everywhere
else, and for all other types of numbers, the product is torch's own. Both are float32 throughout: results
differ by rounding. ``torch.backends.mkldnn.flags(enabled=False)`` leaves all to MKL.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import linear


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN uses instructions of this processor that MKL does not: AVX-512, not made by Intel."""
    known = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 has none
    unused = known.get("avx512_f", False) and "Intel" not in known.get("cpu_name", "Intel")
    return unused and torch.backends.mkldnn.is_available()


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows`` (..., channel) times ``weight`` (output, channel), transposed, plus ``bias`` (output).

    As `torch.nn.functional.linear`, gradients included.

    Returns
    -------
    Tensor (..., output)
    """
    if not _for_onednn(rows, weight):
        return linear(rows, weight, bias)
    return _OneDNN.apply(rows, weight, bias) if torch.is_grad_enabled() else _by_onednn(rows, weight, bias)


def product_into(out: Tensor, rows: Tensor, weight: Tensor) -> None:
    """Fill ``out`` (row, output) with the `product` of ``rows`` (row, channel) and ``weight``."""
    if _for_onednn(rows, weight):
        out.copy_(_by_onednn(rows, weight, None))
    else:
        torch.mm(rows, weight.T, out=out)


def _for_onednn(*matrices: Tensor) -> bool:
    if not (onednn_is_faster() and torch.backends.mkldnn.enabled):
        return False
    return all(each.dtype == torch.float32 and each.device.type == "cpu" for each in matrices)


STEP, LONG = 16, 256
"""Rows are filled up to whole steps, which are twice as large above so many rows. For each number of rows
oneDNN makes a kernel, which takes as long as a product of a hundred rows; half a megabyte is kept of each."""


def filled(n_rows: int) -> int:
    """So many rows as are multiplied on a CPU for a product of ``n_rows``."""
    if not onednn_is_faster():
        return n_rows
    step = STEP if n_rows <= LONG else 2 * STEP
    return -(-n_rows // step) * step


def _by_onednn(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    n_channels = rows.shape[-1]
    flat = rows.reshape(rows.numel() // n_channels, n_channels)
    n = len(flat)
    if n != filled(n):
        flat, few = flat.new_empty(filled(n), n_channels), flat
        flat[:n] = few
        flat[n:] = 0
    made = torch.ops.mkldnn._linear_pointwise(flat, weight, bias, "none", [], "")
    return made[:n].view(*rows.shape[:-1], len(weight))


class _OneDNN(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        of_weight = ctx.needs_input_grad[1]
        ctx.save_for_backward(rows if of_weight else None, weight)
        return _by_onednn(rows, weight, bias)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        flat = gradient.flatten(0, -2)
        return (
            product(gradient, weight.T) if of_rows else None,
            product(flat.T, rows.flatten(0, -2).T) if of_weight else None,
            flat.sum(0) if of_bias else None,
        )
