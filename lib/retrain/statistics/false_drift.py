"""How often a year an aggregate PSI is above its ceiling by chance, the data being as they were.

Where nothing has moved, a feature's PSI is (1/n + 1/M) times a chi-squared with B − 1 degrees of freedom. Their mean
over features is taken for a scaled chi-squared of the same mean and variance (Satterthwaite 1946); for the maximum the
features' own rates add up. Looks at a sliding window share most of their rows: separate calls come at the rate that
Siegmund (1985) gives for a process whose correlation falls off linearly. Features are taken as independent; where they
are not, the mean moves more than this says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

__all__ = ["Histogram", "chi_squared_above", "false_drift_a_year"]

DAYS = 365
_NORMAL = NormalDist()


class Histogram(NamedTuple):
    """The bins of one feature, that for NULL among them, and the rows on either side.

    The half row in a bin that is empty on both sides lifts PSI where the sides differ in size; counting the bin makes
    up for it.
    """

    bins: int
    reference_rows: int
    current_rows: int


def false_drift_a_year(
    features: Sequence[Histogram], *, ceiling: float, by_maximum: bool, window_days: int, looks_a_day: int = 1
) -> float:
    """Return the expected number of separate calls a year. Raises ValueError for a feature without bins or rows."""
    told = [(_freedom(each), 1 / each.reference_rows + 1 / each.current_rows) for each in features]
    looks = window_days * looks_a_day
    if not told:
        return 0.0
    if by_maximum:
        return sum(_a_year(freedom, ceiling / scale, looks, looks_a_day) for freedom, scale in told)
    mean = sum(freedom * scale for freedom, scale in told) / len(told)
    variance = sum(2 * freedom * scale * scale for freedom, scale in told) / len(told) ** 2
    if mean == 0:
        return 0.0
    return _a_year(2 * mean * mean / variance, 2 * mean * ceiling / variance, looks, looks_a_day)


def chi_squared_above(value: float, freedom: float) -> float:
    """Return the chance that a chi-squared of ``freedom`` degrees, whole or not, is above ``value``."""
    if value <= 0 or freedom <= 0:
        return float(value <= 0 and freedom > 0)
    shape, x = freedom / 2, value / 2
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        step = 0
        while term > 1e-17 * total:
            step += 1
            term *= x / (shape + step)
            total += term
        return 1 - front * total
    return front * _fraction(shape, x)


def _fraction(shape: float, x: float) -> float:
    """Evaluate the continued fraction of Γ(a, x) (Abramowitz & Stegun 6.5.31) by Lentz's method."""
    b = x + 1 - shape
    c, d = 1e300, 1 / b
    value = d
    for step in range(1, 10_000):
        numerator = -step * (step - shape)
        b += 2
        d = 1 / (numerator * d + b)
        c = b + numerator / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _freedom(each: Histogram) -> int:
    if each.bins < 1 or each.reference_rows < 1 or each.current_rows < 1:
        raise ValueError("bins and rows on both sides are at least 1")
    return each.bins - 1


def _a_year(freedom: float, value: float, looks: int, looks_a_day: int) -> float:
    """Return the looks of a year, each by the chance that it is above and that no later one of its cluster is."""
    if freedom <= 0:
        return 0.0
    chance = chi_squared_above(value, freedom)
    apart = max(value - freedom, 0.0) / math.sqrt(value) / math.sqrt(2 * looks) if value > 0 else 0.0
    last = 2 * apart * apart * _overshoot(2 * apart) if apart > 0 else 0.0
    return DAYS * looks_a_day * chance * max(min(last, 1.0), 1 / looks)


def _overshoot(x: float) -> float:
    """Siegmund's ν, in the approximation of Siegmund & Yakir (2007)."""
    half = x / 2
    return (2 / x) * (_NORMAL.cdf(half) - 0.5) / (half * _NORMAL.cdf(half) + _NORMAL.pdf(half))
