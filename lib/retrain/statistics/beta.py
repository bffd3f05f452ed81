"""Binomial and beta probabilities in logarithms, for counts from none to tens of millions.

``scipy.special.betainc`` underflows to zero where a healthy model's evidence lives, and the logarithm of that is
no number to keep in a record; hence these few lines.

Sources: C. Loader, *Fast and Accurate Computation of Binomial Probabilities* (2000), for the probability of one
count; Abramowitz & Stegun 26.5.8, evaluated by Lentz's method, for the incomplete beta function.
"""

from __future__ import annotations

import math

__all__ = ["log_at_least", "log_at_most", "log_betainc", "log_binomial"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_SMALL = 15
_TINY = 1e-300
_PRECISION = 1e-15


def log_binomial(successes: int, trials: int, probability: float) -> float:
    """Return the logarithm of the chance of exactly ``successes`` in ``trials``."""
    return _log_binomial(successes, trials, probability, 1.0 - probability)


def log_betainc(a: int, b: int, x: float) -> float:
    """Return log I_x(a, b), the regularised incomplete beta function, for whole a, b ≥ 1."""
    if a < 1 or b < 1:
        raise ValueError(f"a and b must be at least 1, not {a} and {b}")
    return _log_betainc(a, b, x, 1.0 - x)


def log_at_least(successes: int, trials: int, probability: float) -> float:
    """Return the logarithm of the chance of ``successes`` or more in ``trials``."""
    if successes <= 0:
        return 0.0
    if successes > trials:
        return -math.inf
    return log_betainc(successes, trials - successes + 1, probability)


def log_at_most(successes: int, trials: int, probability: float) -> float:
    """Return the logarithm of the chance of ``successes`` or fewer in ``trials``."""
    if successes >= trials:
        return 0.0
    if successes < 0:
        return -math.inf
    return _log_betainc(trials - successes, successes + 1, 1.0 - probability, probability)


def _log_binomial(k: int, n: int, p: float, q: float) -> float:
    if k == 0:
        return 0.0 if n == 0 else n * (math.log1p(-p) if p < q else math.log(q)) if q > 0 else -math.inf
    if k == n:
        return n * (math.log1p(-q) if q < p else math.log(p)) if p > 0 else -math.inf
    if p <= 0 or q <= 0:
        return -math.inf
    correction = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    deviance = _deviance(k, n * p) + _deviance(n - k, n * q)
    return correction - deviance + 0.5 * math.log(n / (k * (n - k))) - _HALF_LOG_TWO_PI


def _stirling_error(n: int) -> float:
    """log n! less Stirling's approximation of it."""
    if n <= _SMALL:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - _HALF_LOG_TWO_PI
    squared = n * n
    series = 1 / 1260 - (1 / 1680 - (1 / 1188) / squared) / squared
    return (1 / 12 - (1 / 360 - series / squared) / squared) / n


def _deviance(observed: float, expected: float) -> float:
    """observed · log(observed / expected) + expected − observed, without cancellation where both are close."""
    difference = observed - expected
    if abs(difference) >= 0.1 * (observed + expected):
        return observed * math.log(observed / expected) - difference
    ratio = difference / (observed + expected)
    total, term, power = difference * ratio, 2 * observed * ratio, 1
    while True:
        term *= ratio * ratio
        power += 2
        if total + term / power == total:
            return total
        total += term / power


def _log_betainc(a: int, b: int, x: float, y: float) -> float:
    """log I_x(a, b) with y = 1 − x, which the caller may know more exactly."""
    if x <= 0 or y <= 0:
        return -math.inf if x <= 0 else 0.0
    if x > (a + 1) / (a + b + 2):
        return math.log1p(-math.exp(_log_betainc(b, a, y, x)))
    front = _log_binomial(a - 1, a + b - 2, x, y) + math.log((a + b - 1) / a)
    return front + math.log(x) + math.log(y) + math.log(_fraction(a, b, x))


def _fraction(a: int, b: int, x: float) -> float:
    """Evaluate the continued fraction of I_x(a, b), which settles in about √max(a, b) steps below the mean."""
    c, d = 1.0, 1.0 / _apart(1.0 - (a + b) * x / (a + 1))
    value = d
    for step in range(1, 1000 + 20 * math.isqrt(max(a, b))):
        twice = a + 2 * step
        for term in (
            step * (b - step) * x / ((twice - 1) * twice),
            -(a + step) * (a + b + step) * x / (twice * (twice + 1)),
        ):
            d = 1.0 / _apart(1.0 + term * d)
            c = _apart(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            return value
    raise ArithmeticError(f"the continued fraction of I_{x}({a}, {b}) did not settle")


def _apart(value: float) -> float:
    """Keep a denominator of Lentz's method away from zero."""
    return value if abs(value) > _TINY else _TINY
