"""Intervals of a mean over prompts that ask facts, in plain Python loops."""

import math
from statistics import NormalDist


def mean_and_error(facts):
    """Mean over all prompts and its standard error; ``facts``: lists of values, NaN where one is left out."""
    facts = [[value for value in fact if not math.isnan(value)] for fact in facts]
    facts = [fact for fact in facts if fact]
    n = sum(map(len, facts))
    if not n:
        return math.nan, math.nan
    mean = sum(map(sum, facts)) / n
    if len(facts) < 2:
        return mean, math.nan
    squares = sum(sum(value - mean for value in fact) ** 2 for fact in facts)
    return mean, math.sqrt(squares * len(facts) / (len(facts) - 1)) / n


def studentised(found, draws, interval):
    """Low and high end of the mean of ``found``, from ``draws`` of it, each like it."""
    mean, error = mean_and_error(found)
    t = []
    for draw in draws:
        drawn, own_error = mean_and_error(draw)
        apart = drawn - mean
        if abs(apart) < 1e-9:
            t.append(0.0 if not math.isnan(own_error) else math.nan)
        elif own_error == 0:
            t.append(math.copysign(math.inf, apart))
        else:
            t.append(apart / own_error)
    t = sorted(value for value in t if not math.isnan(value))
    tail = (1 - interval) / 2
    low, high = t[math.floor(tail * len(t))], t[math.ceil((1 - tail) * len(t)) - 1]
    furthest = 2.2 * NormalDist().inv_cdf(1 - tail)
    low, high = max(low, -furthest), min(high, furthest)
    return (mean - high * error, mean - low * error) if error > 0 else (mean, mean)
