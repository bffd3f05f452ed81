"""Rules of bad windows in a row: how often they roll a healthy model back, and how often they see a worse one.

Exact, from the chance that one window is bad; windows are independent of one another. They promise nothing: the rates
go up with every window that is looked at, and with every label that a window lacks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from retrain.statistics.beta import log_at_least, log_binomial

__all__ = ["chance_f1_below", "chance_f1_below_of", "chance_in_a_row", "chance_p99_slow"]


def chance_f1_below(limit: Fraction, *, events: int, jaccard: float) -> float:
    """Return the chance that F1 of a window with ``events`` (TP + FP + FN) lies below ``limit``.

    ``jaccard`` is the true share of TP among them. A window without events tells nothing, and is not bad.
    """
    share = limit / (2 - limit)
    most = math.ceil(events * share) - 1  # true positives with which F1 is still below
    return _at_least(events - most, events, 1 - jaccard) if most >= 0 else 0.0


def chance_f1_below_of(rows: int, limit: Fraction, *, event_share: float, jaccard: float) -> float:
    """Return the same for a window of ``rows`` labelled rows, of which a share are events, as they happen to come."""
    return math.fsum(
        math.exp(log_binomial(events, rows, event_share)) * chance_f1_below(limit, events=events, jaccard=jaccard)
        for events in range(1, rows + 1)
    )


def chance_p99_slow(*, requests: int, share: float) -> float:
    """Return the chance that the p99 (nearest rank) of a window's requests is slow where ``share`` of them are."""
    rank = -(-99 * requests // 100)
    return _at_least(requests - rank + 1, requests, share) if requests else 0.0


def chance_in_a_row(bad: Iterable[float], needed: int) -> float:
    """Return the chance of ``needed`` bad windows in a row, each bad with its chance in ``bad``."""
    rows, seen = [1.0] + [0.0] * (needed - 1), 0.0
    for chance in bad:
        seen += rows[-1] * chance
        rows = [math.fsum(rows) * (1 - chance), *(row * chance for row in rows[:-1])]
    return min(seen, 1.0)


def _at_least(bad: int, events: int, share: float) -> float:
    return math.exp(log_at_least(bad, events, share))
