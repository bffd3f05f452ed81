"""Operating characteristics by simulation: many runs at once, in arrays of runs × windows.

The tests are those of ``sequential``: where they act is looked up, count by count, in its own ``log_e_above``. numpy is
imported late, so that rules which need none of this start at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from retrain.statistics.sequential import log_e_above, log_threshold

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Counts = NDArray[numpy.int64]
    Flags = NDArray[numpy.bool_]
    Shares = NDArray[numpy.float64]

__all__ = [
    "acts_from",
    "false_drift_triggers",
    "false_f1_triggers",
    "fewest_below",
    "first",
    "first_in_a_row",
    "psi_of",
    "rows_of_traffic",
]

OUTCOMES = 4
"""TP, FP, FN, TN: the last axis of labelled rows."""


def rows_of_traffic(
    rng: numpy.random.Generator, *, runs: int, windows: int, rows: int, shares: Sequence[float]
) -> Counts:
    """Draw labelled rows: runs × windows × (TP, FP, FN, TN), ``rows`` in each window, in the given ``shares``."""
    drawn: Counts = rng.multinomial(rows, shares, size=(runs, windows))
    return drawn


def acts_from(events: Counts, ceiling: float, *, alpha: float, concentration: int = 1) -> Counts:
    """Return for each number of ``events`` the fewest bad ones at which the sequential test acts.

    One more than the events where no count would do. The answer never falls as events are added, so each search starts
    where the one before ended: a few e-values for each number.
    """
    import numpy

    limit = log_threshold(alpha)
    known, places = numpy.unique(events, return_inverse=True)
    found, bad, before = [], 0, 0
    for number in (int(each) for each in known):
        bad += int((number - before) * ceiling)  # a first guess; the steps below go either way
        bad, before = min(bad, number), number
        while bad > 0 and log_e_above(bad - 1, number, ceiling, concentration=concentration) >= limit:
            bad -= 1
        while bad <= number and log_e_above(bad, number, ceiling, concentration=concentration) < limit:
            bad += 1
        found.append(bad)
        bad = min(bad, number)
    fewest: Counts = numpy.array(found, dtype=numpy.int64)[places].reshape(events.shape)
    return fewest


def fewest_below(events: Counts, floor: Fraction) -> Counts:
    """Return the fewest bad events with which the share of good ones lies below ``floor``, exactly."""
    line = 1 - floor
    fewest: Counts = events * line.numerator // line.denominator + 1
    return fewest


def first(acts: Flags) -> Counts:
    """Return for each run the first window, from 1, in which it ``acts`` (runs × windows); 0 where in none."""
    import numpy

    return numpy.where(acts.any(axis=1), acts.argmax(axis=1) + 1, 0)


def first_in_a_row(bad: Flags, told: Flags, needed: int) -> tuple[Counts, Counts]:
    """Return the first window with ``needed`` bad ones in a row (0: none), and the row that is open after each window.

    A window in which nothing was told neither breaks nor lengthens a row.
    """
    import numpy

    row = numpy.zeros(len(bad), dtype=numpy.int64)
    rows = numpy.zeros(bad.shape, dtype=numpy.int64)
    for window in range(bad.shape[1]):
        row = numpy.where(told[:, window], numpy.where(bad[:, window], row + 1, 0), row)
        rows[:, window] = row
    return first(rows >= needed), rows


def false_f1_triggers(
    rng: numpy.random.Generator,
    *,
    runs: int,
    steps: int,
    labels_a_step: float,
    shares: Sequence[float],
    window_steps: int,
    rest_steps: int,
    minimum_labels: int,
    limit: float,
) -> Counts:
    """Return for each run how often F1 over a sliding window falls below ``limit`` though the model is as it was.

    Labels come as a Poisson stream. After each trigger the window begins anew, as it does for a new version, and the
    trigger rests.
    """
    import numpy

    means = [labels_a_step * share for share in shares]
    drawn = rng.poisson(means, size=(runs, steps, OUTCOMES))
    sums = numpy.concatenate([numpy.zeros((runs, 1, OUTCOMES), dtype=numpy.int64), drawn.cumsum(axis=1)], axis=1)
    every, began, found = numpy.arange(runs), numpy.zeros(runs, dtype=numpy.int64), numpy.zeros(runs, dtype=numpy.int64)
    for step in range(1, steps + 1):
        counts = sums[:, step] - sums[every, numpy.maximum(step - window_steps, began)]
        tp, fp, fn = counts[:, 0], counts[:, 1], counts[:, 2]
        f1 = 2 * tp / numpy.maximum(2 * tp + fp + fn, 1)
        enough = (counts.sum(axis=1) >= minimum_labels) & (tp + fp + fn > 0)
        acts = enough & (f1 < limit) & (step - began >= rest_steps)
        found += acts
        began = numpy.where(acts, step, began)
    return found


def false_drift_triggers(
    rng: numpy.random.Generator,
    *,
    runs: int,
    days: int,
    rows_a_day: int,
    reference_rows: int,
    features: int,
    bins: int,
    window_days: int,
    rest_days: float,
    minimum_rows: int,
    ceiling: float,
    by_maximum: bool,
) -> Counts:
    """Return for each run how often the aggregate PSI of independent features is above ``ceiling`` without drift.

    The bins are the reference's quantiles, which are themselves a sample's (Dirichlet), and one for NULL. Looked at
    once a day. After each trigger reference and window begin anew.
    """
    import numpy

    if reference_rows < minimum_rows:
        return numpy.zeros(runs, dtype=numpy.int64)
    each = numpy.full(bins, reference_rows / bins)
    reference = numpy.append(each, 0.0)
    shares, began = rng.dirichlet(each, size=(runs, features)), numpy.zeros(runs, dtype=numpy.int64)
    sums = numpy.zeros((days + 1, runs, features, bins + 1), dtype=numpy.int64)
    every, found = numpy.arange(runs), numpy.zeros(runs, dtype=numpy.int64)
    for day in range(1, days + 1):
        sums[day] = sums[day - 1]
        sums[day, ..., :bins] += rng.multinomial(rows_a_day, shares)
        current = sums[day] - sums[numpy.maximum(day - window_days, began), every]
        psi = psi_of(reference, current)
        aggregate = psi.max(axis=1) if by_maximum else psi.mean(axis=1)
        acts = (aggregate > ceiling) & (day - began >= rest_days) & (current[:, 0].sum(axis=1) >= minimum_rows)
        found += acts
        began = numpy.where(acts, day, began)
        shares[acts] = rng.dirichlet(each, size=(int(acts.sum()), features))
    return found


def psi_of(reference: Any, current: Any) -> Shares:
    """Return the PSI of histograms over the last axis: ``psi.psi``, for many at once."""
    import numpy

    def share(counts: Any) -> Shares:
        counts = numpy.asarray(counts, dtype=float)
        shares: Shares = (counts + 0.5) / (counts.sum(axis=-1, keepdims=True) + 0.5 * counts.shape[-1])
        return shares

    p, q = share(reference), share(current)
    total: Shares = ((p - q) * numpy.log(p / q)).sum(axis=-1)
    return total
