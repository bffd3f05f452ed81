"""What the exact tests of the watch could have seen with the counts that came: said beside every finding.

The chance is that of acting at any of the looks so far, worked out exactly from the numbers of events at each. From
some thousands of events on it is that of one look at the end, which is a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from retrain.checks import exact
from retrain.judgement.watching import F1_CONCENTRATION, SLOW_SHARE, Watch
from retrain.judgement.words import shown
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.sequential import SLOW_CONCENTRATION, chance_of_acting, fewest_bad, power_above

__all__ = ["drops_to_see", "fewest_below", "of_f1", "of_latency", "probability"]

_MOST_EVENTS, _CERTAIN = 5_000, 0.995


def of_f1(watch: Watch, events: Sequence[int]) -> str:
    """Say how likely drops of the tolerance and of twice it would have been seen; ``events`` are summed, look by look.

    Empty where no drop can be looked for. Edition 1 looks once, at the end.
    """
    told = [(drop, chance_to_see_drop(watch, events, drop)) for drop in drops_to_see(watch)]
    if not told:
        return "no drop to look for"
    if watch.edition < 2:
        listed = " and ".join(f"of {shown(drop)} with probability {chance:.2f}" for drop, chance in told)
        return f"with the labels so far a drop {listed} would have been seen"
    (drop, chance), *more = told
    also = "".join(f", and of {shown(other)} with {probability(seen)}" for other, seen in more)
    seen = f"would have been seen with probability {probability(chance)}{also}"
    return f"with the labels so far a drop of {shown(drop)} {seen}"


def of_latency(watch: Watch, requests: Sequence[int]) -> str:
    """Say how likely twice the budget of slow requests would have been seen; ``requests`` are summed, look by look."""
    looks = tuple(requests) if watch.edition > 1 else tuple(requests[-1:])
    power = _chance(looks, (0,) * len(looks), SLOW_SHARE, 2 * SLOW_SHARE, watch.alpha, SLOW_CONCENTRATION)
    chance = probability(power) if watch.edition > 1 else f"{power:.2f}"
    return f"with the requests so far 2 % slow would have been seen with probability {chance}"


def chance_to_see_drop(watch: Watch, events: Sequence[int], drop: Decimal) -> float:
    """Return the chance that the exact test had acted by now, were F1 lower than the baseline by ``drop``."""
    baseline, limit = exact(watch.baseline_f1 or 0), watch.f1_limit
    if limit is None or not 0 < drop < baseline:
        return 0.0
    looks = tuple(events) if watch.edition > 1 else tuple(events[-1:])
    at_least = tuple(fewest_below(number, Fraction(limit)) for number in looks)
    null, truth = 1 - jaccard_of(float(baseline)), 1 - jaccard_of(float(baseline - drop))
    return _chance(looks, at_least, null, truth, watch.alpha, F1_CONCENTRATION)


def drops_to_see(watch: Watch) -> tuple[Decimal, ...]:
    """Return the tolerance and twice the tolerance, where F1 can fall so far."""
    baseline, tolerance = exact(watch.baseline_f1 or 0), exact(watch.f1_drop_tolerance)
    return tuple(drop for drop in dict.fromkeys((tolerance, 2 * tolerance)) if 0 < drop < baseline)


def fewest_below(events: int, limit: Fraction) -> int:
    """Return the fewest bad ones of ``events`` with which F1 lies below ``limit``."""
    return math.floor(events * (1 - limit / (2 - limit))) + 1


def probability(chance: float) -> str:
    """Write a chance with two decimals; what is nearly certain is not called certain."""
    return "more than 0.99" if chance > _CERTAIN else f"{chance:.2f}"


@lru_cache(maxsize=64)
def _chance(
    looks: tuple[int, ...],
    at_least: tuple[int, ...],
    null: float,
    truth: float,
    alpha: float,
    concentration: int,
) -> float:
    """Return the chance of acting at one of ``looks``, each of which wants ``at_least`` so many bad events besides."""
    if not looks or looks[-1] == 0:
        return 0.0
    last = power_above(looks[-1], null, truth, alpha=alpha, concentration=concentration, at_least=at_least[-1])
    if len(looks) == 1 or last > _CERTAIN or looks[-1] > _MOST_EVENTS:
        return last
    fewest = [fewest_bad(number, null, alpha=alpha, concentration=concentration) for number in looks]
    acts = [None if bad is None else max(bad, least) for bad, least in zip(fewest, at_least, strict=True)]
    return chance_of_acting(looks, acts, truth)
