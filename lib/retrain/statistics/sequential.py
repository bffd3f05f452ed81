"""Tests that may be looked at after every window without losing their guarantee.

Each *e-value* is a likelihood ratio, averaged over everything that the null hypothesis excludes. Under the null its
expectation stays at or below one however often it is looked at, so that the chance of its ever reaching 1/α is at
most α (Ville's inequality). Two integers, events and bad events, carry the whole test: sums add up over windows.

F1 is such a count. With J = TP / (TP + FP + FN), F1 = 2J / (1 + J) rises with J, so *F1 < c* is *J < c / (2 − c)*,
and among the events that are not true negatives a true positive is Bernoulli(J). The p99 of the latency lies below
one second when fewer than 1 % of the requests are slow: slow requests are Bernoulli too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from retrain.statistics.beta import log_at_least, log_at_most, log_binomial

__all__ = [
    "SLOW_CONCENTRATION",
    "chance_of_acting",
    "fewest_bad",
    "log_e_above",
    "log_e_bernoulli_below",
    "log_e_slow_requests",
    "log_threshold",
    "power_above",
]

SLOW_CONCENTRATION = 20
"""The mixture for slow requests is Beta(1, 20), cut off at the ceiling: most of its weight is on a few per cent."""

_REACH, _NEGLIGIBLE = 8, 1e-15
"""Counts further than so many standard deviations from their mean are left out, and sums that are hardly possible."""


def log_e_above(bad: int, events: int, ceiling: float, *, concentration: int = 1) -> float:
    """Return log E against the null that the share of bad events is at most ``ceiling``.

    The alternative is a Beta(1, ``concentration``) mixture cut off at the ceiling; 1 is uniform. With n events,
    k of them bad, and the ceiling p0::

        log E = betaln(k+1, n−k+c) + log(1 − betainc(k+1, n−k+c, p0)) + log c − c·log(1−p0)
                − [k·log p0 + (n−k)·log(1−p0)]

    No events at all are no evidence: zero. A ceiling of zero is refuted by the first bad event: infinity.
    """
    _check(bad, events, ceiling, concentration)
    if ceiling == 0:
        return math.inf if bad else math.log(concentration / (events + concentration))
    prior = math.log(concentration / (events + concentration)) - math.log1p(-ceiling)
    beyond = log_at_most(bad, events + concentration, ceiling)
    return prior - log_binomial(bad, events + concentration - 1, ceiling) + beyond


def log_e_bernoulli_below(successes: int, events: int, floor: float, *, concentration: int = 1) -> float:
    """Return log E against the null that the share of successes is at least ``floor``: the mirror of ``log_e_above``.

    With the uniform mixture (``concentration`` 1), S successes of N, and the floor J0 this is
    betaln(S+1, N−S+1) + log betainc(S+1, N−S+1, J0) − log J0 − [S·log J0 + (N−S)·log(1−J0)].
    """
    if not 0 < floor <= 1:
        raise ValueError(f"a floor lies above 0 and at most at 1, not at {floor}")
    return log_e_above(events - successes, events, 1.0 - floor, concentration=concentration)


def log_e_slow_requests(slow: int, requests: int, ceiling: float = 0.01) -> float:
    """Return log E against the null that at most ``ceiling`` of the requests are slow."""
    return log_e_above(slow, requests, ceiling, concentration=SLOW_CONCENTRATION)


def log_threshold(alpha: float) -> float:
    """Return log(1/α): act when log E reaches it."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies between 0 and 1, not at {alpha}")
    return -math.log(alpha)


def fewest_bad(events: int, ceiling: float, *, alpha: float, concentration: int = 1) -> int | None:
    """Return the smallest number of bad events among ``events`` at which the test acts; None where all are too few."""
    limit = log_threshold(alpha)

    def acts(bad: int) -> bool:
        return log_e_above(bad, events, ceiling, concentration=concentration) >= limit

    return _first(acts, events)


def power_above(
    events: int, ceiling: float, truth: float, *, alpha: float, concentration: int = 1, at_least: int = 0
) -> float:
    """Return the chance that the test acts at one look after ``events``, were the share of bad events ``truth``.

    Exact (a binomial tail), and a lower bound for a test that was looked at earlier too. ``at_least`` is a number
    of bad events that must be reached besides, 0 for none.
    """
    fewest = fewest_bad(events, ceiling, alpha=alpha, concentration=concentration)
    if fewest is None:
        return 0.0
    return math.exp(log_at_least(max(fewest, at_least), events, truth))


def chance_of_acting(looks: Sequence[int], fewest: Sequence[int | None], truth: float) -> float:
    """Return the chance that a test acts at one of ``looks``, were the share of bad events ``truth``: exactly.

    ``looks`` are the events that had come by each look, never falling; at each the test acts from its number of
    ``fewest`` bad events on, and never where that is None. A walk over the bad events so far: what has acted is
    counted, and goes no further.
    """
    chances, first, acted, before = [1.0], 0, 0.0, 0
    for events, at in zip(looks, fewest, strict=True):
        start, one = _binomial(events - before, truth)
        cut, chances = _likely(_added(chances, one))
        first, before = first + start + cut, events
        if at is not None and at < first + len(chances):
            keep = max(at - first, 0)
            acted += math.fsum(chances[keep:])
            chances = chances[:keep]
        if not chances:
            break
    return min(acted, 1.0)


@lru_cache(maxsize=256)
def _binomial(events: int, share: float) -> tuple[int, tuple[float, ...]]:
    """Return the first count of ``events`` with a chance worth naming, and the chances from there on."""
    mean, reach = events * share, _REACH * (math.sqrt(events * share * (1 - share)) + 1)
    low, high = max(0, math.floor(mean - reach)), min(events, math.ceil(mean + reach))
    return low, tuple(math.exp(log_binomial(bad, events, share)) for bad in range(low, high + 1))


def _likely(chances: list[float]) -> tuple[int, list[float]]:
    """Return how many counts were cut off in front, and the chances without both far ends."""
    likely = [place for place, chance in enumerate(chances) if chance > _NEGLIGIBLE]
    return (likely[0], chances[likely[0] : likely[-1] + 1]) if likely else (0, [])


def _added(chances: Sequence[float], one: Sequence[float]) -> list[float]:
    """Return the chances of the sum of two counts."""
    total = [0.0] * (len(chances) + len(one) - 1)
    for place, chance in enumerate(chances):
        for more, other in enumerate(one, place):
            total[more] += chance * other
    return total


def _first(acts: Callable[[int], bool], events: int) -> int | None:
    """Bisect for the first count that acts; E rises with every bad event."""
    low, high = 0, events + 1
    while low < high:
        middle = (low + high) // 2
        if middle > events or acts(middle):
            high = middle
        else:
            low = middle + 1
    return low if low <= events else None


def _check(bad: int, events: int, ceiling: float, concentration: int) -> None:
    if not 0 <= bad <= events:
        raise ValueError(f"{bad} of {events} events is no count")
    if not 0 <= ceiling < 1:
        raise ValueError(f"a ceiling lies at 0 or between 0 and 1, not at {ceiling}")
    if concentration < 1:
        raise ValueError(f"the concentration is at least 1, not {concentration}")
