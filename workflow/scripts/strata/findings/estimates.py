"""A number with its interval, and what it says of a statement."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import hypot, isnan, nan

import xarray as xr

HOLDS, FAILS, UNDECIDED, NOT_ASKED = "holds", "does not hold", "undecided", "cannot be asked"
OF_MANY = {HOLDS: "hold", FAILS: "do not hold", UNDECIDED: "are undecided", NOT_ASKED: "cannot be asked"}
"""Verdicts on several statements."""

UNDEFINED = "too few units"
CHANCE = "chance"
"""As a threshold: what the estimate itself says that chance reaches."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of one model.

    ``low`` and ``high`` are the ends of its interval, NaN where there are too few units for one; ``n``
    units. ``p`` is of its test and ``chance`` what chance reaches, NaN where there is none. Where the
    statistic cannot be had, ``missing`` says why and all else is NaN; where what it would measure was looked
    for and is not there, so does ``refuted``.
    """

    value: float = nan
    low: float = nan
    high: float = nan
    n: int = 0
    p: float = nan
    chance: float = nan
    missing: str = ""
    refuted: str = ""
    exact: bool = False

    @classmethod
    def of_weights(cls, value: float, n: int) -> "Estimate":
        """A property of the weights alone: nothing is drawn, and the interval is the value."""
        return cls(value, value, value, n, exact=True)

    def of(self, whole: float) -> "Estimate":
        """The same as a share of ``whole``, for instance of the number of layers."""
        return replace(self, value=self.value / whole, low=self.low / whole, high=self.high / whole)

    def reversed(self) -> "Estimate":
        """The same with its sign changed."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)


def read(data: xr.Dataset, name: str, n: int | None = None, **where) -> Estimate:
    """A variable with ``_low``, ``_high`` and ``_n`` beside it, at one place.

    Parameters
    ----------
    n : units, where the variable has none beside it
    where : the place, labels by dimension; a label that is not there is missing
    """
    for dim, label in where.items():
        if dim not in data.coords or label not in data[dim].values:
            return Estimate(missing=f"no {dim} {label} in the results")

    def at(key: str):
        return data[key].sel({dim: label for dim, label in where.items() if dim in data[key].dims}).item()

    if name not in data or isnan(at(name)):
        return Estimate(missing=UNDEFINED)
    counted = int(at(f"{name}_n")) if n is None else n
    return Estimate(*(float(at(key)) for key in (name, f"{name}_low", f"{name}_high")), counted)


def read_mean(data: xr.Dataset, name: str, n: int) -> Estimate:
    """The mean of a variable over all its dims, and of its ends: an interval that is wide.

    NaN where any of these is.
    """
    return Estimate(*(float(data[f"{name}{end}"].mean(skipna=False)) for end in ("", "_low", "_high")), n)


def verdict(estimate: Estimate, holds: Mapping[str, float | str]) -> str:
    """What an estimate says of a statement: the whole interval decides, not the value.

    Parameters
    ----------
    holds : mapping of one relation to its threshold
        ``above`` or ``below`` a number: holds if the whole interval is there, fails if it is on the other
        side, and is undecided where it reaches the threshold or there is no interval. ``apart_from`` a
        number: holds if the interval leaves it out, and is undecided otherwise. ``between`` two numbers:
        holds if the whole interval is there, fails if it is outside, and is undecided otherwise. The
        threshold ``chance`` is the estimate's own.
    """
    ((relation, threshold),) = holds.items()
    threshold = estimate.chance if threshold == CHANCE else threshold
    if estimate.missing:
        return NOT_ASKED
    if estimate.refuted:
        return FAILS
    if relation == "between":
        least, most = threshold
        if estimate.high < least or estimate.low > most:
            return FAILS
        return HOLDS if least <= estimate.low and estimate.high <= most else UNDECIDED
    higher, lower = estimate.low > threshold, estimate.high < threshold
    if relation == "apart_from":
        return HOLDS if higher or lower else UNDECIDED
    agrees, differs = {"above": (higher, lower), "below": (lower, higher)}[relation]
    return HOLDS if agrees else FAILS if differs else UNDECIDED


def independent_difference(one: Estimate, other: Estimate) -> Estimate:
    """One estimate less another, their errors taken as independent (Zou and Donner 2008)."""
    for each in (one, other):
        if each.missing:
            return each
    value = one.value - other.value
    down = hypot(one.value - one.low, other.high - other.value)
    up = hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, value - down, value + up, min(one.n, other.n))


def number(value: float, decimals: int = 3) -> str:
    """A number with so many decimals; a dash for NaN."""
    return "–" if isnan(value) else f"{value:.{decimals}f}".replace("-", "−")


def interval(estimate: Estimate) -> str:
    """The ends of an interval; what stands in their place where there are none."""
    if isnan(estimate.low):
        return "none"
    if estimate.exact:
        return "none: exact"
    return f"{number(estimate.low)} to {number(estimate.high)}"


def p_value(p: float) -> str:
    """A p value with two significant digits; a dash for NaN."""
    return "–" if isnan(p) else f"{p:.2g}"
