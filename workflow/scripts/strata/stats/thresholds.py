"""Where rules draw their lines, for those who state a rule without applying it."""

ASHMANS_D = 2.0
"""Separation above which two normal distributions are two clusters (Ashman, Bird and Zepf 1994)."""

LEVEL = 0.01
"""Of the test for one mode."""

LEAST_UNITS = 15
"""Units from which on intervals cover what they say (benchmarks/bench_coverage.py); fewer have none."""


LEAST_OF_MIXTURE = 100
"""Numbers from which on the distance of two distributions fitted to them has an interval."""


def enough(units):
    """Whether so many units, a number or an array of them, have an interval: at least `LEAST_UNITS`."""
    return units >= LEAST_UNITS
