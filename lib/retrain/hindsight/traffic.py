"""A team's own traffic, and what the watch and the gate make of it: many runs at once, by the library's own rules.

Rows are independent draws. A model whose F1 is lower by d has precision and recall lower by one and the same factor.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, model_validator

from retrain.checks import Model, exact
from retrain.judgement.watching import F1_CONCENTRATION, SLOW_SECONDS, SLOW_SHARE
from retrain.sections.evaluation_gate import Policy as Gate
from retrain.sections.post_deploy_monitoring import Policy as Watch
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.operating import acts_from, fewest_below, first, first_in_a_row, rows_of_traffic
from retrain.statistics.sequential import SLOW_CONCENTRATION

if TYPE_CHECKING:
    import numpy

    from retrain.statistics.operating import Counts, Flags

__all__ = ["Traffic", "Watched", "draw_scores", "draw_watch", "judge_gate", "judge_watch", "windows_of"]


class Traffic(Model):
    """What comes in, and how good production is while all is well. Shares lie between 0 and 1."""

    requests_per_minute: int = Field(100, ge=1, description="requests a minute")
    labelled_share: float = Field(1.0, gt=0, le=1, description="requests whose label comes while the watch lasts")
    window_minutes: float = Field(1.0, gt=0, description="length of a row of MODEL_METRICS")
    prevalence: float = Field(0.2, gt=0, lt=1, description="share of positives")
    precision: float = Field(0.88, gt=0, le=1, description="production's")
    recall: float = Field(0.88, gt=0, le=1, description="production's")
    baseline_f1: float | None = Field(None, gt=0, le=1, description="as recorded; null: that of precision and recall")
    slow_share: float = Field(0.005, ge=0, le=1, description="requests at or above the ceiling while all is well")
    labels_per_day: float | None = Field(None, gt=0, description="labels the trigger counts; null: all of the above")
    rows_per_day: int | None = Field(None, ge=1, description="rows that drift is measured on; null: all requests")
    reference_rows: int = Field(50_000, ge=1, description="rows of the reference window")
    features: int = Field(10, ge=1, description="features whose PSI is measured")
    holdout_rows: int = Field(10_000, ge=1, description="rows that the gate's figures rest on")
    checks_per_day: int = Field(24, ge=1, le=24, description="how often the triggers are judged")

    @model_validator(mode="after")
    def _is_possible(self) -> Traffic:
        if self.shares() is None:
            raise ValueError("precision is too low for this prevalence and recall: there are not so many negatives")
        return self

    @property
    def f1(self) -> float:
        """Production's true F1."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)

    @property
    def baseline(self) -> float:
        """The baseline F1 that the watch and the trigger compare with."""
        return self.f1 if self.baseline_f1 is None else self.baseline_f1

    def quality(self, drop: float = 0.0) -> tuple[float, float]:
        """Return precision and recall of a model whose F1 is lower by ``drop``."""
        factor = (self.f1 - drop) / self.f1
        return self.precision * factor, self.recall * factor

    def shares(self, drop: float = 0.0) -> tuple[float, float, float, float] | None:
        """Return the shares of TP, FP, FN and TN among the rows, or None where no model can be so bad."""
        precision, recall = self.quality(drop)
        if precision <= 0 or precision > 1 or recall > 1:
            return None
        tp = self.prevalence * recall
        fp = tp * (1 - precision) / precision
        tn = 1 - self.prevalence - fp
        return (tp, fp, self.prevalence - tp, max(tn, 0.0)) if tn > -1e-12 else None


class Watched(NamedTuple):
    """What became of each run: the window, from 1, in which it was rolled back (0: not), and what was not proved.

    ``ended`` is the window after which the watch was over, where nothing was seen.
    """

    f1_seen: Counts
    latency_seen: Counts
    f1_open: Flags
    latency_open: Flags
    ended: Counts

    @property
    def seen(self) -> Counts:
        """The first window in which either was seen; 0 where neither was."""
        import numpy

        f1, latency = self.f1_seen, self.latency_seen
        return numpy.where(f1 * latency > 0, numpy.minimum(f1, latency), numpy.maximum(f1, latency))

    @property
    def inconclusive(self) -> Flags:
        """The runs that end without a regression and without proof of health."""
        still_open: Flags = (self.seen == 0) & (self.f1_open | self.latency_open)
        return still_open


class _Judged(NamedTuple):
    """One metric: the window, from 1, in which it was seen (0: not), and whether it was open after each window."""

    seen: Counts
    still_open: Flags


def windows_of(policy: Watch, traffic: Traffic, *, extended: bool = False) -> int:
    """Return how many whole windows the watch sees, or would see at most where nothing can be concluded."""
    minutes = exact(policy.watch_minutes) + (exact(policy.extension_minutes) if extended else 0)
    return int(minutes // exact(traffic.window_minutes))


def draw_watch(
    rng: numpy.random.Generator, policy: Watch, traffic: Traffic, *, runs: int, drop: float, slow_share: float
) -> tuple[Counts, Counts, int]:
    """Draw labelled rows (runs × windows × 4), slow requests (runs × windows), and tell the requests of a window.

    There are windows for the whole watch and for its extension.
    """
    shares, windows = traffic.shares(drop), windows_of(policy, traffic, extended=True)
    if shares is None:
        raise ValueError(f"no model has an F1 of {traffic.f1 - drop:.3f} at this prevalence")
    requests = round(traffic.requests_per_minute * traffic.window_minutes)
    labelled = round(requests * traffic.labelled_share)
    rows = rows_of_traffic(rng, runs=runs, windows=windows, rows=labelled, shares=shares)
    return rows, rng.binomial(requests, slow_share, size=(runs, windows)), requests


def judge_watch(
    policy: Watch, *, baseline: float, rows: Counts, slow: Counts, requests: int, windows: int | None = None
) -> Watched:
    """Judge every run as ``post_deploy_monitoring.decide`` would at the end of the watch.

    The watch has ``windows`` (all that were drawn, where that is None); those after it are seen only by runs in which
    nothing could be concluded, until it can.
    """
    f1, latency = _judge_f1(policy, baseline, rows), _judge_latency(policy, slow, requests)
    ended = _ended(f1, latency, windows or rows.shape[1], mendable=exact(baseline) > exact(policy.f1_drop_tolerance))
    return Watched(
        f1_seen=f1.seen * (f1.seen <= ended),
        latency_seen=latency.seen * (latency.seen <= ended),
        f1_open=_at(f1.still_open, ended),
        latency_open=_at(latency.still_open, ended),
        ended=ended,
    )


def _ended(f1: _Judged, latency: _Judged, windows: int, *, mendable: bool) -> Counts:
    """Return after which window each watch is over: the first from ``windows`` on with nothing open, else the last."""
    import numpy

    if not mendable:
        return numpy.full(len(f1.seen), windows)
    settled = ~(f1.still_open | latency.still_open)[:, windows - 1 :]
    ended: Counts = windows - 1 + numpy.where(settled.any(axis=1), settled.argmax(axis=1) + 1, settled.shape[1])
    return ended


def _at(flags: Flags, window: Counts) -> Flags:
    """Return each run's flag after its ``window``, from 1."""
    import numpy

    picked: Flags = numpy.take_along_axis(flags, window[:, None] - 1, axis=1)[:, 0]
    return picked


def _judge_f1(policy: Watch, baseline: float, rows: Counts) -> _Judged:
    import numpy

    limit = exact(baseline) - exact(policy.f1_drop_tolerance)
    if limit <= 0:
        return _Judged(numpy.zeros(len(rows), dtype=numpy.int64), numpy.ones(rows.shape[:2], dtype=bool))
    line = Fraction(limit)
    tp, bad = rows[..., 0], rows[..., 1] + rows[..., 2]
    events, all_bad = (tp + bad).cumsum(axis=1), bad.cumsum(axis=1)
    thin = events < policy.minimum_events
    if policy.rule != "exact":
        f1 = 2 * tp / numpy.maximum(2 * tp + bad, 1)
        return _judge_in_a_row(policy, f1 < float(limit), tp + bad > 0, thin)
    below = all_bad >= fewest_below(events, line / (2 - line))
    acts = below.copy()
    alpha, ceiling = policy.false_rollback_rate / 2, 1.0 - jaccard_of(baseline)
    acts[below] = all_bad[below] >= acts_from(events[below], ceiling, alpha=alpha, concentration=F1_CONCENTRATION)
    return _Judged(first(acts), thin | below)


def _judge_latency(policy: Watch, slow: Counts, requests: int) -> _Judged:
    import numpy

    every = requests * numpy.arange(1, slow.shape[1] + 1)
    thin = numpy.broadcast_to(every < policy.minimum_requests, slow.shape)
    if policy.rule != "exact" or policy.latency_p99_ceiling_seconds != SLOW_SECONDS:
        p99_is_slow = slow > requests - math.ceil(Fraction(99, 100) * requests)
        return _judge_in_a_row(policy, p99_is_slow, numpy.ones_like(p99_is_slow), thin)
    total = slow.cumsum(axis=1)
    fewest = acts_from(every, SLOW_SHARE, alpha=policy.false_rollback_rate / 2, concentration=SLOW_CONCENTRATION)
    return _Judged(first(total >= fewest), thin | (total * 100 >= every))


def _judge_in_a_row(policy: Watch, bad: Flags, told: Flags, thin: Flags) -> _Judged:
    needed = 1 if policy.rule == "literal" else policy.consecutive_windows
    seen, rows = first_in_a_row(bad, told, needed)
    return _Judged(seen, (told.cumsum(axis=1) < needed) | (rows > 0) | thin)


def draw_scores(rng: numpy.random.Generator, traffic: Traffic, *, runs: int, drop: float) -> tuple[Counts, Counts]:
    """Score a candidate whose true F1 is lower by ``drop``, and production: runs × (TP, FP, FN, TN) of each.

    Both are scored on one hold-out, with errors of their own.
    """
    positives = rng.binomial(traffic.holdout_rows, traffic.prevalence, size=runs)
    return _scored(rng, traffic, positives, drop), _scored(rng, traffic, positives, 0.0)


def judge_gate(policy: Gate, candidate: Counts, production: Counts) -> Flags:
    """Tell for each run whether F1, precision and recall pass, as ``evaluation_gate.decide`` judges them."""
    ours, theirs = (2 * each[:, 0] / _sum(2 * each[:, 0], each[:, 1], each[:, 2]) for each in (candidate, production))
    tp, fp, fn, _ = candidate.T
    not_worse = ours - theirs + policy.f1_tolerance >= -1e-12  # equal on paper is enough
    precise = (tp / _sum(tp, fp) >= policy.precision_floor) & (tp + fp > 0)
    recalled = (tp / _sum(tp, fn) >= policy.recall_floor) & (tp + fn > 0)
    passed: Flags = not_worse & precise & recalled
    return passed


def _scored(rng: numpy.random.Generator, traffic: Traffic, positives: Counts, drop: float) -> Counts:
    import numpy

    shares = traffic.shares(drop)
    if shares is None:
        raise ValueError(f"no model has an F1 of {traffic.f1 - drop:.3f} at this prevalence")
    negatives = traffic.holdout_rows - positives
    tp = rng.binomial(positives, shares[0] / traffic.prevalence)
    fp = rng.binomial(negatives, min(1.0, shares[1] / (1 - traffic.prevalence)))
    return numpy.stack([tp, fp, positives - tp, negatives - fp], axis=1)


def _sum(*counts: Counts) -> Counts:
    """Add up, and keep a divisor away from zero: nothing of nothing is 0."""
    import numpy

    total: Counts = numpy.maximum(sum(counts[1:], counts[0]), 1)
    return total
