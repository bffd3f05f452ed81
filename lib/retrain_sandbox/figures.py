"""A model's figures on rows whose labels are known: counts, F1, precision, recall, AUC-ROC, latency p99."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Counts", "Figures", "auc_difference_error", "auc_roc", "choose_threshold", "count", "p99"]

PRECISION_FLOOR, RECALL_FLOOR = 0.85, 0.80  # what a promotion needs; the threshold is chosen to leave room above both
ROOM = 0.03
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Counts:
    """Rows by decision and truth."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP); None when nothing was called positive."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN); None when nothing is positive."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None when all rows are true negatives."""
        events = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / events if events else None


@dataclass(frozen=True)
class Figures:
    """What the status of a training, its comparison and a promotion row tell of one model."""

    f1: float | None
    precision: float | None
    recall: float | None
    auc_roc: float | None
    latency_p99_seconds: float | None
    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def of(cls, labels: Array, scores: Array, threshold: float, *, latency_p99_seconds: float | None) -> Figures:
        """Count ``scores`` ≥ ``threshold`` against ``labels``."""
        counts = count(labels, scores, threshold)
        return cls(
            f1=counts.f1,
            precision=counts.precision,
            recall=counts.recall,
            auc_roc=auc_roc(labels, scores),
            latency_p99_seconds=latency_p99_seconds,
            **asdict(counts),
        )


def count(labels: Array, scores: Array, threshold: float) -> Counts:
    """Return the counts of ``scores`` ≥ ``threshold``; a score that is not a number is a negative."""
    called, truth = scores >= threshold, labels > 0
    return Counts(
        tp=int(np.sum(called & truth)),
        fp=int(np.sum(called & ~truth)),
        fn=int(np.sum(~called & truth)),
        tn=int(np.sum(~called & ~truth)),
    )


def auc_roc(labels: Array, scores: Array) -> float | None:
    """Return the area under the ROC curve by ranks (ties share theirs); None when a class is empty."""
    positive = labels > 0
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return None
    return float((_ranks(scores)[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def auc_difference_error(labels: Array, one: Array, other: Array) -> float | None:
    """Return the standard error of the difference of two AUC-ROCs on one sample; None with fewer than two of a class.

    DeLong, DeLong & Clarke-Pearson (1988): each positive's share of negatives below it, each negative's of positives
    above it; by ranks as Sun & Xu (2014) do, so that no pair is looked at.
    """
    positive = labels > 0
    ups, downs = int(positive.sum()), int((~positive).sum())
    if min(ups, downs) < 2:
        return None
    parts = []
    for scores in (one, other):
        ranks = _ranks(scores)
        above = (ranks[positive] - _ranks(scores[positive])) / downs
        below = 1 - (ranks[~positive] - _ranks(scores[~positive])) / ups
        parts.append((above, below))
    variances = [float(np.var(first - second, ddof=1)) for first, second in zip(*parts, strict=True)]
    return math.sqrt(variances[0] / ups + variances[1] / downs)


def _ranks(scores: Array) -> Array:
    """Return each score's rank from 1, equal ones sharing theirs."""
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    return ranks


def choose_threshold(labels: Array, scores: Array) -> float:
    """Return the threshold with the best F1 among those above both floors with room, else the one nearest to them."""
    best, chosen = (-math.inf, -math.inf), 0.5
    for threshold in np.linspace(0.05, 0.95, 181):
        counts = count(labels, scores, float(threshold))
        short = min((counts.precision or 0) - PRECISION_FLOOR, (counts.recall or 0) - RECALL_FLOOR) - ROOM
        if (rank := (min(short, 0.0), counts.f1 or 0.0)) > best:
            best, chosen = rank, float(threshold)
    return round(chosen, 6)


def p99(seconds: Sequence[float]) -> float | None:
    """Return the smallest latency that at least 99 % do not exceed; None without any."""
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1] if seconds else None
