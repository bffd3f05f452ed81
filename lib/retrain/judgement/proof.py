"""What a row of the gate proves, beside what it decides: *proven*, *by point* or *unknown*.

The literal rule decides on the point estimate. A row is proven where the 95 % bound on its side of the limit is on that
side too, by point where it is not, and unknown where the counts behind the figure were not told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

from retrain.checks import Status, exact
from retrain.facts import Metrics
from retrain.judgement.words import shown
from retrain.statistics.intervals import (
    Bounds,
    auc_bounds,
    difference_bounds,
    f1_interval,
    f1_of,
    fewest,
    lower_bound,
    trials_to_prove,
    upper_bound,
)

__all__ = ["COUNT_TOLERANCE", "auc_proof", "counts_problem", "f1_proof", "share_proof", "unknown"]

COUNT_TOLERANCE = Decimal("0.0005")
"""Two figures that are the same to three decimals differ by no more than this."""


def unknown(why: str) -> str:
    """Return the class of a row whose counts are missing."""
    return f"evidence: unknown ({why})"


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


def share_proof(status: Status, successes: int | None, others: int | None, floor: float, *, of: str) -> str:
    """Class a share (precision, recall) by its exact one-sided bound; ``of`` names what is counted."""
    if successes is None or others is None or successes < 0 or others < 0 or successes + others == 0:
        return unknown("no counts")
    trials = successes + others
    if status is Status.FAIL:
        return _class(upper_bound(successes, trials) < floor, "upper", upper_bound(successes, trials), "")
    low = lower_bound(successes, trials)
    needed = trials_to_prove(successes / trials, floor) if low < floor else None
    return _class(low >= floor, "lower", low, _needed(needed, of))


def f1_proof(status: Status, candidate: Metrics, production: Metrics | None, tolerance: float) -> str:
    """Class a difference of F1: bounds from both intervals, which hold whatever the two models have in common."""
    ours, theirs = _f1_counts(candidate), _f1_counts(production)
    if ours is None or theirs is None:
        return unknown("no counts of the candidate" if ours is None else "no counts of production")

    def bounds(events: int) -> Bounds:
        scale = events / sum(ours)
        return difference_bounds(_scaled_f1(ours, scale), _scaled_f1(theirs, scale))

    return _difference(status, bounds, sum(ours), _point(ours) - _point(theirs), tolerance, of="TP + FP + FN")


def auc_proof(status: Status, candidate: Metrics, production: Metrics | None, tolerance: float) -> str:
    """Class a difference of AUC-ROC by bounds that need nothing but the sizes of both classes."""
    ours, theirs = _classes(candidate), _classes(production)
    if ours is None or theirs is None or production is None:
        return unknown("no counts of the candidate" if ours is None else "no counts of production")
    first, second = candidate.auc_roc, production.auc_roc
    if first is None or second is None or not (0 <= first <= 1 and 0 <= second <= 1):
        return unknown("no AUC-ROC of production")

    def bounds(rows: int) -> Bounds:
        scale = rows / sum(ours)
        return difference_bounds(_scaled_auc(first, ours, scale), _scaled_auc(second, theirs, scale))

    return _difference(status, bounds, sum(ours), first - second, tolerance, of="rows")


def _difference(
    status: Status, bounds: Callable[[int], Bounds], size: int, point: float, tolerance: float, *, of: str
) -> str:
    low, high = bounds(size)
    if status is Status.FAIL:
        return _class(high < -tolerance, "upper", high, "", what="the difference")
    needed = None
    if low < -tolerance < point:
        needed = fewest(lambda trials: bounds(trials)[0] >= -tolerance, start=size, within=0.01)
    return _class(low >= -tolerance, "lower", low, _needed(needed, of), what="the difference")


def _class(proven: bool, side: str, bound: float, needed: str, *, what: str = "") -> str:
    bounded = f"95 % {side} bound{f' of {what}' if what else ''} {shown(round(bound, 4))}"
    return f"evidence: proven ({bounded})" if proven else f"evidence: by point ({bounded}{needed})"


def _needed(trials: int | None, of: str) -> str:
    if trials is None:
        return "; no sample at this figure would prove it"
    digits = max(len(str(trials)) - 2, 0)
    return f"; about {shown(math.ceil(trials / 10**digits) * 10**digits)} {of} at this figure would prove it"


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


def _classes(model: Metrics | None) -> tuple[int, int] | None:
    """Positives and negatives of the hold-out."""
    counts = _f1_counts(model)
    if model is None or counts is None or model.tn is None:
        return None
    return counts[0] + counts[2], counts[1] + model.tn


def _point(counts: tuple[int, int, int]) -> float:
    return f1_of(counts[0] / sum(counts))


def _scaled_f1(counts: tuple[int, int, int], scale: float) -> Bounds:
    tp, fp, fn = (round(count * scale) for count in counts)
    return f1_interval(tp, fp, fn) if tp + fp + fn else (0.0, 1.0)


def _scaled_auc(auc: float, classes: tuple[int, int], scale: float) -> Bounds:
    return auc_bounds(auc, round(classes[0] * scale), round(classes[1] * scale))
