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
    MOST_TRIALS,
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


_Side = Literal["lower", "upper"]


class Proof(NamedTuple):
    """What one row proves. ``interval`` is of ``what``, each end a 95 % bound of its own, ``side`` the one that counts.

    ``needed`` is how many ``of`` with the same figure would prove a row that passes, or ``fails``, by point: None where
    the row is proven, and where none can be named. ``why`` says that, and what is missing where the class is unknown.
    """

    evidence: Literal["proven", "by point", "unknown"]
    why: str = ""
    what: str = ""
    interval: Bounds | None = None
    side: _Side = "lower"
    needed: int | None = None
    of: str = ""
    fails: bool = False

    @property
    def text(self) -> str:
        """The class in words, with both bounds and the sample that would prove it."""
        if self.interval is None:
            return f"evidence: unknown ({self.why})"
        low, high = (shown(round(bound, 4)) for bound in self.interval)
        more = self.why and f"; {self.why}"
        if self.needed is not None:
            it = "that it fails" if self.fails else "it"
            more = f"; about {shown(self.needed)} {self.of} at this figure would prove {it}"
        return f"evidence: {self.evidence} (95 % bounds{self._of_what} {low} to {high}{more})"

    @property
    def first_text(self) -> str:
        """The class in the words of the rules' first edition: one bound, and no sample for a row that fails."""
        if self.interval is None:
            return self.text
        bound = self.interval[self.side == "upper"]
        more = "" if self.evidence == "proven" or self.fails else "; no sample at this figure would prove it"
        if more and self.needed is not None:
            more = f"; about {shown(self.needed)} {self.of} at this figure would prove it"
        return f"evidence: {self.evidence} (95 % {self.side} bound{self._of_what} {shown(round(bound, 4))}{more})"

    @property
    def _of_what(self) -> str:
        return f" of {self.what}" if self.what else ""


def unknown(why: str) -> Proof:
    """Return the class of a row whose counts are missing."""
    return Proof("unknown", why)


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
    trials, fails = successes + others, status is Status.FAIL
    share = successes / trials
    low, high = lower_bound(successes, trials), upper_bound(successes, trials)

    def proves_failure(trials: int) -> bool:
        return upper_bound(math.ceil(share * trials - 1e-9), trials) < floor

    proven, beyond = (high < floor, share < floor) if fails else (low >= floor, share > floor)
    needed = None
    if beyond and not proven:
        needed = fewest(proves_failure, start=trials) if fails else trials_to_prove(share, floor)
    return _class((low, high), proven, needed, of=of, fails=fails, beyond=beyond, side=_side(fails))


def latency_proof(status: Status, scored: Scored | None, ceiling_seconds: float) -> Proof:
    """Class a p99 by its requests: p99 < 1 s says that fewer than one request in a hundred takes a second or more."""
    timed, slow = (scored.timed_requests, scored.slow_requests) if scored is not None else (None, None)
    if timed is None or slow is None or not 0 <= slow <= timed or timed == 0:
        return unknown("a p99 without counts")
    if ceiling_seconds != SLOW_SECONDS:
        return unknown(f"slow requests are counted from {shown(SLOW_SECONDS)} s")
    fails, share = status is Status.FAIL, slow / timed
    low, high = lower_bound(slow, timed), upper_bound(slow, timed)

    def proves(trials: int) -> bool:
        if fails:
            return lower_bound(math.floor(share * trials + 1e-9), trials) >= SLOW_SHARE
        return upper_bound(math.ceil(share * trials - 1e-9), trials) < SLOW_SHARE

    proven, beyond = (low >= SLOW_SHARE, share > SLOW_SHARE) if fails else (high < SLOW_SHARE, share < SLOW_SHARE)
    needed = fewest(proves, start=timed) if beyond and not proven else None
    what, side = "the share of slow requests", _side(not fails)
    return _class((low, high), proven, needed, of="requests", what=what, fails=fails, beyond=beyond, side=side)


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
    fails = status is Status.FAIL

    def proves(trials: int) -> bool:
        low, high = bounds(trials)
        return high < -tolerance if fails else low >= -tolerance

    proven, beyond = proves(size), point < -tolerance if fails else point > -tolerance
    needed = fewest(proves, start=size, within=0.01) if beyond and not proven else None
    what, side = "the difference", _side(fails)
    return _class(bounds(size), proven, needed, of=of, what=what, fails=fails, beyond=beyond, side=side)


def _side(upper: bool) -> _Side:
    return "upper" if upper else "lower"


def _class(
    interval: Bounds,
    proven: bool,
    needed: int | None,
    *,
    of: str,
    what: str = "",
    fails: bool,
    beyond: bool,
    side: _Side,
) -> Proof:
    """Return the class of a row with counts; ``beyond``: the figure itself is on its side of the limit, not at it."""
    if proven:
        return Proof("proven", "", what, interval, side, fails=fails)
    why = "" if needed is not None else _unnamed(beyond, of)
    return Proof("by point", why, what, interval, side, None if needed is None else _rounded(needed), of, fails)


def _unnamed(beyond: bool, of: str) -> str:
    """Say why no sample can be named that would prove a figure."""
    if beyond:
        return f"more than {shown(MOST_TRIALS)} {of} at this figure would be needed to prove it"
    return "no sample would prove it: the figure is at its limit, or its counts say otherwise"


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
