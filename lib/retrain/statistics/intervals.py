"""What a share, an F1, an AUC-ROC or a p99 proves: bounds that hold at any sample size.

Clopper & Pearson (1934) for shares; F1 through J = TP / (TP + FP + FN), which is a share; AUC-ROC by Hoeffding's
bound for two-sample U-statistics (1963, §5a) in its Chernoff form, which needs only the sizes of both classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from retrain.statistics.beta import log_at_least, log_at_most

__all__ = [
    "MOST_TRIALS",
    "auc_bounds",
    "clopper_pearson",
    "difference_bounds",
    "f1_interval",
    "f1_of",
    "fewest",
    "jaccard_of",
    "lower_bound",
    "normal_bounds",
    "requests_to_prove",
    "slow_share_upper",
    "trials_to_prove",
    "upper_bound",
    "wilson",
]

Bounds = tuple[float, float]

MOST_TRIALS = 10**8
"""Beyond so many no sample is looked for."""


def lower_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided lower bound of a share; 0 where nothing was tried."""
    _check(successes, trials, confidence)
    if successes == 0:
        return 0.0
    target = math.log(1 - confidence)
    return _root(lambda share: log_at_least(successes, trials, share) >= target)


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a share; 1 where nothing was tried."""
    _check(successes, trials, confidence)
    if successes == trials:
        return 1.0
    target = math.log(1 - confidence)
    return _root(lambda share: log_at_most(successes, trials, share) <= target)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Bounds:
    """Return the exact two-sided interval of a share."""
    each = (1 + confidence) / 2
    return lower_bound(successes, trials, each), upper_bound(successes, trials, each)


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Bounds:
    """Return Wilson's score interval of a share: shorter than the exact one, and right on average only."""
    _check(successes, trials, confidence)
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = successes / trials, z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def jaccard_of(f1: float) -> float:
    """Return J = F1 / (2 − F1), the share of true positives among all that is not a true negative."""
    return f1 / (2 - f1)


def f1_of(jaccard: float) -> float:
    """Return F1 = 2J / (1 + J)."""
    return 2 * jaccard / (1 + jaccard)


def f1_interval(tp: int, fp: int, fn: int, confidence: float = 0.95) -> Bounds:
    """Return the exact two-sided interval of F1, through J."""
    low, high = clopper_pearson(tp, tp + fp + fn, confidence)
    return f1_of(low), f1_of(high)


def difference_bounds(first: Bounds, second: Bounds) -> Bounds:
    """Return bounds of first − second from an interval of each.

    Conservative: it holds whatever the two have in common, as two models on one hold-out do. With two-sided intervals
    at 95 % each bound of the difference holds at 95 %.
    """
    return first[0] - second[1], first[1] - second[0]


def normal_bounds(estimate: float, standard_error: float, confidence: float = 0.95) -> Bounds:
    """Return the one-sided lower and upper bound, each at ``confidence``, of an estimate with a normal error."""
    if standard_error < 0 or not 0 < confidence < 1:
        raise ValueError(f"a standard error of {standard_error} or a confidence of {confidence} cannot be")
    reach = NormalDist().inv_cdf(confidence) * standard_error
    return estimate - reach, estimate + reach


def auc_bounds(auc: float, positives: int, negatives: int, confidence: float = 0.95) -> Bounds:
    """Return a conservative two-sided interval of an AUC-ROC from the sizes of both classes.

    Each side holds with (1 + confidence) / 2: k·KL(auc ‖ bound) = log(2 / (1 − confidence)) with k the smaller class.
    """
    if not 0 <= auc <= 1 or positives < 0 or negatives < 0:
        raise ValueError(f"an AUC-ROC of {auc} on {positives} positives and {negatives} negatives cannot be")
    smaller = min(positives, negatives)
    if smaller == 0:
        return 0.0, 1.0
    reach = math.log(2 / (1 - confidence)) / smaller
    low = _root(lambda bound: bound >= auc or _divergence(auc, bound) <= reach)
    high = _root(lambda bound: bound > auc and _divergence(auc, bound) >= reach)
    return low, high


def trials_to_prove(share: float, floor: float, confidence: float = 0.95) -> int | None:
    """Return about how many trials at the observed ``share`` would put its lower bound at ``floor`` or above.

    None where no number would: the share itself is not above the floor.
    """
    if share <= floor:
        return None

    def proves(trials: int) -> bool:
        return lower_bound(math.floor(share * trials + 1e-9), trials, confidence) >= floor

    return fewest(proves)


def slow_share_upper(slow: int, requests: int, confidence: float = 0.95) -> float:
    """Return the share of slow requests that ``slow`` of ``requests`` cannot rule out: 0 of 100 proves ≤ 2.95 %."""
    return upper_bound(slow, requests, confidence)


def requests_to_prove(slow: int = 0, share: float = 0.01, confidence: float = 0.95) -> int:
    """Return how many requests, ``slow`` of them slow, prove that at most ``share`` are (299; with one slow 473)."""
    if not 0 < share < 1:
        raise ValueError(f"a share lies between 0 and 1, not at {share}")
    target = math.log(1 - confidence)
    found = fewest(lambda requests: requests > slow and log_at_most(slow, requests, share) <= target)
    if found is None:
        raise ValueError(f"more than {MOST_TRIALS} requests would be needed")
    return found


def fewest(proves: Callable[[int], bool], *, start: int = 1, within: float = 0.0) -> int | None:
    """Return the fewest trials that prove it, but for the jitter of whole numbers; None where 10⁸ would not.

    Doubles from ``start``, then bisects until the answer is known to the share ``within``, 0 for exactly.
    """
    high = max(start, 1)
    while not proves(high):
        high *= 2
        if high > MOST_TRIALS:
            return None
    low = high // 2 if high > start else 0
    while high - low > max(1.0, within * high):
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def _root(holds: Callable[[float], bool]) -> float:
    """Bisect [0, 1] for the point from which on ``holds`` is true, to the last digits."""
    low, high = 0.0, 1.0
    while high - low > 1e-15 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
        if middle in (0.0, 1.0) or high < 1e-300:
            break
    return (low + high) / 2


def _divergence(observed: float, truth: float) -> float:
    """Kullback and Leibler's divergence between two coins."""
    total = 0.0
    for share, other in ((observed, truth), (1 - observed, 1 - truth)):
        if share > 0:
            total += math.inf if other <= 0 else share * math.log(share / other)
    return total


def _check(successes: int, trials: int, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no count")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence}")
