"""What a row of the gate proves, beside what it decides: *proven*, *by point* or *unknown*.

The literal rule decides on the point estimate. A row is proven where the 95 % bound on its side of the limit is on that
side too, by point where it is not, and unknown where the counts behind the figure were not told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Literal, NamedTuple

from retrain.checks import Status, exact
from retrain.facts import Metrics, Scored
from retrain.judgement.watching import SLOW_SECONDS, SLOW_SHARE
from retrain.judgement.words import shown
from retrain.statistics.intervals import (
    Bounds,
    auc_bounds,
    difference_bounds,
    f1_interval,
    f1_of,
    fewest,
    lower_bound,
    normal_bounds,
    trials_to_prove,
    upper_bound,
)

__all__ = [
    "COUNT_TOLERANCE",
    "Proof",
    "auc_proof",
    "classes",
    "counts_problem",
    "f1_proof",
    "latency_proof",
    "share_proof",
    "unknown",
]

COUNT_TOLERANCE = Decimal("0.0005")
"""Two figures that are the same to three decimals differ by no more than this."""


class Proof(NamedTuple):
    """What one row proves. ``interval`` is of ``what``, each end a 95 % bound of its own; ``why`` says what is missing.

    ``needed`` is how many ``of`` would prove a row that passes by point: None where the row is proven or fails, or
    where no sample at this figure would.
    """

    evidence: Literal["proven", "by point", "unknown"]
    text: str
    what: str = ""
    interval: Bounds | None = None
    needed: int | None = None
    of: str = ""


def unknown(why: str) -> Proof:
    """Return the class of a row whose counts are missing."""
    return Proof("unknown", f"evidence: unknown ({why})")


def counts_problem(model: Metrics) -> str:
    """Return what the counts say against the figures that came with them, or an empty string."""
    counts = {"TP": model.tp, "FP": model.fp, "FN": model.fn, "TN": model.tn}
    if any(count is not None and count < 0 for count in counts.values()):
        return "a count is negative"
    told = [
        f"{name} {shown(figure)} is told and {shown(round(counted, 6))} counted"
        for name, figure, counted in _counted(model)
        if figure is not None and abs(exact(figure) - exact(counted)) > COUNT_TOLERANCE
    ]
    return " and ".join(told)


def share_proof(status: Status, successes: int | None, others: int | None, floor: float, *, of: str) -> Proof:
    """Class a share (precision, recall) by its exact one-sided bound; ``of`` names what is counted."""
    if successes is None or others is None or successes < 0 or others < 0 or successes + others == 0:
        return unknown("no counts")
    trials = successes + others
    low, high = lower_bound(successes, trials), upper_bound(successes, trials)
    if status is Status.FAIL:
        return _class(high < floor, "upper", (low, high))
    proven = low >= floor
    return _class(
        proven, "lower", (low, high), None if proven else (trials_to_prove(successes / trials, floor),), of=of
    )


def latency_proof(status: Status, scored: Scored | None, ceiling_seconds: float) -> Proof:
    """Class a p99 by its requests: p99 < 1 s says that fewer than one request in a hundred takes a second or more."""
    timed, slow = (scored.timed_requests, scored.slow_requests) if scored is not None else (None, None)
    if timed is None or slow is None or not 0 <= slow <= timed or timed == 0:
        return unknown("a p99 without counts")
    if ceiling_seconds != SLOW_SECONDS:
        return unknown(f"slow requests are counted from {shown(SLOW_SECONDS)} s")
    interval = lower_bound(slow, timed), upper_bound(slow, timed)
    what = "the share of slow requests"
    if status is Status.FAIL:
        return _class(interval[0] >= SLOW_SHARE, "lower", interval, what=what)
    proven = interval[1] < SLOW_SHARE
    share = slow / timed
    needed = None
    if not proven and share < SLOW_SHARE:
        needed = fewest(lambda trials: upper_bound(math.ceil(share * trials - 1e-9), trials) < SLOW_SHARE, start=timed)
    return _class(proven, "upper", interval, None if proven else (needed,), of="requests", what=what)


def f1_proof(status: Status, candidate: Metrics, production: Metrics | None, tolerance: float) -> Proof:
    """Class a difference of F1: bounds from both intervals, which hold whatever the two models have in common."""
    ours, theirs = _f1_counts(candidate), _f1_counts(production)
    if ours is None or theirs is None:
        return unknown("no counts of the candidate" if ours is None else "no counts of production")

    def bounds(events: int) -> Bounds:
        scale = events / sum(ours)
        return difference_bounds(_scaled_f1(ours, scale), _scaled_f1(theirs, scale))

    return _difference(status, bounds, sum(ours), _point(ours) - _point(theirs), tolerance, of="TP + FP + FN")


def auc_proof(
    status: Status,
    candidate: Metrics,
    production: Metrics | None,
    tolerance: float,
    *,
    standard_error: float | None = None,
) -> Proof:
    """Class a difference of AUC-ROC: by its standard error, else by bounds that need only the sizes of both classes.

    ``standard_error`` is that of the difference, both models scored on the same rows; the bounds are then those of a
    normal distribution.
    """
    ours, theirs = classes(candidate), classes(production)
    if ours is None or theirs is None or production is None:
        return unknown("no counts of the candidate" if ours is None else "no counts of production")
    first, second = candidate.auc_roc, production.auc_roc
    if first is None or second is None or not (0 <= first <= 1 and 0 <= second <= 1):
        return unknown("no AUC-ROC of production")

    def bounds(rows: int) -> Bounds:
        scale = rows / sum(ours)
        if standard_error is not None and standard_error >= 0:
            return normal_bounds(first - second, standard_error / math.sqrt(scale))
        return difference_bounds(_scaled_auc(first, ours, scale), _scaled_auc(second, theirs, scale))

    return _difference(status, bounds, sum(ours), first - second, tolerance, of="rows")


def classes(model: Metrics | None) -> tuple[int, int] | None:
    """Return the positives and negatives of the hold-out, or None where the counts do not tell."""
    counts = _f1_counts(model)
    if model is None or counts is None or model.tn is None:
        return None
    return counts[0] + counts[2], counts[1] + model.tn


def _difference(
    status: Status, bounds: Callable[[int], Bounds], size: int, point: float, tolerance: float, *, of: str
) -> Proof:
    low, high = bounds(size)
    if status is Status.FAIL:
        return _class(high < -tolerance, "upper", (low, high), what="the difference")
    needed = None
    if low < -tolerance < point:
        needed = fewest(lambda trials: bounds(trials)[0] >= -tolerance, start=size, within=0.01)
    return _class(low >= -tolerance, "lower", (low, high), (needed,), of=of, what="the difference")


def _class(
    proven: bool,
    side: Literal["lower", "upper"],
    interval: Bounds,
    needed: tuple[int | None] | None = None,
    *,
    of: str = "",
    what: str = "",
) -> Proof:
    """Word a proof. ``needed`` holds the sample that would prove it (None: none would); without it, none was sought."""
    bound = interval[0] if side == "lower" else interval[1]
    bounded = f"95 % {side} bound{f' of {what}' if what else ''} {shown(round(bound, 4))}"
    if proven:
        return Proof("proven", f"evidence: proven ({bounded})", what, interval)
    more = "" if needed is None else _needed(needed[0], of)
    rounded = None if needed is None or needed[0] is None else _rounded(needed[0])
    return Proof("by point", f"evidence: by point ({bounded}{more})", what, interval, rounded, of)


def _needed(trials: int | None, of: str) -> str:
    if trials is None:
        return "; no sample at this figure would prove it"
    return f"; about {shown(_rounded(trials))} {of} at this figure would prove it"


def _rounded(trials: int) -> int:
    """Round up to two digits: the sample that would prove a figure is no more exact than the figure."""
    place: int = 10 ** max(len(str(trials)) - 2, 0)
    return math.ceil(trials / place) * place


def _counted(model: Metrics) -> list[tuple[str, float | None, float]]:
    """The figures that the counts give, beside those that were told."""
    tp, fp, fn = model.tp, model.fp, model.fn
    found: list[tuple[str, float | None, float]] = []
    if tp is not None and fp is not None and tp + fp > 0:
        found.append(("precision", model.precision, tp / (tp + fp)))
    if tp is not None and fn is not None and tp + fn > 0:
        found.append(("recall", model.recall, tp / (tp + fn)))
    if tp is not None and fp is not None and fn is not None and tp + fp + fn > 0:
        found.append(("F1", model.f1, 2 * tp / (2 * tp + fp + fn)))
    return found


def _f1_counts(model: Metrics | None) -> tuple[int, int, int] | None:
    if model is None or model.tp is None or model.fp is None or model.fn is None or counts_problem(model):
        return None
    counts = (model.tp, model.fp, model.fn)
    return counts if sum(counts) else None


def _point(counts: tuple[int, int, int]) -> float:
    return f1_of(counts[0] / sum(counts))


def _scaled_f1(counts: tuple[int, int, int], scale: float) -> Bounds:
    tp, fp, fn = (round(count * scale) for count in counts)
    return f1_interval(tp, fp, fn) if tp + fp + fn else (0.0, 1.0)


def _scaled_auc(auc: float, sizes: tuple[int, int], scale: float) -> Bounds:
    return auc_bounds(auc, round(sizes[0] * scale), round(sizes[1] * scale))
