"""How often a year F1 over a sliding window falls below its limit by chance, the model being as it was.

Labels come as a Poisson stream, so true positives and errors are independent counts, and F1 < c is
TP − r·(FP + FN) < 0 with r = J/(1 − J) at J = c/(2 − c). The chance of that at one look is Lugannani and Rice's
saddlepoint formula (1980), whose saddle is known in closed form here.

Looks share most of their labels. While the window fills, the statistic is a random walk: what was not below at the
first look that may judge falls below later with the chance that a Brownian motion reaches zero. Once it is full, it is
a stationary process whose correlation falls off linearly, and the falls of such a process come at the rate that
Siegmund gives for the boundary of a Gaussian field (*Sequential Analysis*, 1985; ν is his correction for looks that are
apart). After a trigger the window begins anew, and so does the wait for enough labels: a renewal process, by days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

__all__ = ["chance_below", "false_retrainings_a_year"]

DAYS = 365
_NORMAL = NormalDist()
_NEVER = 1e-200
_APART = 0.583
"""How far beyond a boundary a random walk is found on average, in deviations of a step (Siegmund 1985, §10.4)."""


def false_retrainings_a_year(
    *,
    labels_a_day: float,
    shares: Sequence[float],
    limit: float,
    window_days: int,
    minimum_labels: int,
    rest_hours: float = 0,
    looks_a_day: int = 24,
) -> float:
    """Return the expected number of triggers a year by an F1 that only chance has put below ``limit``.

    ``shares`` are those of TP, FP, FN and TN among the labels; the window holds ``window_days`` and no verdict is
    given below ``minimum_labels``; after a trigger the next waits ``rest_hours``. An estimate, within a quarter of what
    simulated years show (``operating.false_f1_triggers``).
    """
    if not 0 < limit < 1:
        return 0.0
    window, a_look = window_days * looks_a_day, labels_a_day / looks_a_day
    begins = max(math.ceil(minimum_labels / a_look), math.ceil(rest_hours * looks_a_day / 24), 1)
    if math.ceil(minimum_labels / a_look) > window:
        return 0.0
    good, bad = a_look * shares[0], a_look * (shares[1] + shares[2])
    ratio = _ratio(limit)
    step = (good - ratio * bad) / math.sqrt(good + ratio * ratio * bad)  # mean of one look's labels, in deviations
    at_once = chance_below(limit, true_positives=good * begins, errors=bad * begins)
    filling = at_once * math.exp(-2 * _APART * max(step, 0.0)) if begins < window else 0.0
    full = chance_below(limit, true_positives=good * window, errors=bad * window)
    return _renewed(at_once, filling, begins, _rate(full, window), window, looks_a_day)


def chance_below(limit: float, *, true_positives: float, errors: float) -> float:
    """Return the chance that F1 lies below ``limit`` where so many true positives and errors are expected."""
    ratio = _ratio(limit)
    if true_positives <= 0 or errors <= 0:
        return float(true_positives <= 0 < errors)
    saddle = math.log(ratio * errors / true_positives) / (1 + ratio)
    good, bad = true_positives * math.exp(saddle), errors * math.exp(-ratio * saddle)
    exponent = good - true_positives + bad - errors
    if abs(saddle) < 1e-6 or exponent > -1e-9:
        mean, deviation = true_positives - ratio * errors, math.sqrt(true_positives + ratio * ratio * errors)
        return _NORMAL.cdf(-mean / deviation)
    w = math.copysign(math.sqrt(-2 * exponent), saddle)
    u = saddle * math.sqrt(good + ratio * ratio * bad)
    found = _NORMAL.cdf(w) + _NORMAL.pdf(w) * (1 / w - 1 / u)
    return min(max(found, 0.0), 1.0)


def _ratio(limit: float) -> float:
    jaccard = limit / (2 - limit)
    return jaccard / (1 - jaccard)


def _rate(full: float, window: int) -> float:
    """Return the chance of falling below at one look, the window being full; ``full`` is that of being below."""
    if full < _NEVER or full >= 0.5:
        return 0.0 if full < _NEVER else 1.0
    boundary = -_NORMAL.inv_cdf(full)
    return boundary * _NORMAL.pdf(boundary) / window * math.exp(-_APART * boundary * math.sqrt(2 / window))


def _renewed(at_once: float, filling: float, begins: int, rate: float, window: int, looks_a_day: int) -> float:
    """Return the expected triggers a year: at the first look, while the window fills (as soon again), and later."""
    by_day, alive = [0.0] * (DAYS + 1), 1.0
    for look in range(begins, DAYS * looks_a_day + 1):
        hazard = at_once if look == begins else rate * alive if look > window else 0.0
        if begins < look <= min(2 * begins, window):
            hazard = filling / (min(2 * begins, window) - begins)
        chance = min(hazard, alive)
        by_day[math.ceil(look / looks_a_day)] += chance
        alive -= chance
    expected = [0.0] * (DAYS + 1)
    for day in range(1, DAYS + 1):
        expected[day] = sum(by_day[after] * (1 + expected[day - after]) for after in range(1, day + 1))
    return expected[DAYS]
