"""What a rule of bad windows in a row is worth: the healthy models it rolls back and the drops it sees, in one watch.

Worked out exactly for the windows that came, as many as the whole watch has. Where they do not tell how much they hold,
for a hundred requests a window, all labelled, 22 of them true positives, false positives or false negatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from retrain.facts import Window
from retrain.judgement.power import drops_to_see
from retrain.judgement.watching import SLOW_SHARE, Watch
from retrain.judgement.windows import tp_fp_fn
from retrain.judgement.words import counted, shown
from retrain.statistics.in_a_row import chance_f1_below, chance_f1_below_of, chance_in_a_row, chance_p99_slow
from retrain.statistics.intervals import jaccard_of

__all__ = ["of_f1", "of_latency"]

_ROWS, _EVENT_SHARE = 100, 0.22
"""The traffic that is assumed where the windows do not tell theirs."""


def of_f1(watch: Watch, told: Sequence[Window]) -> str:
    """Say what the rule is worth for F1, from the events of the windows that were ``told``."""
    if watch.edition < 2:
        return _in_edition_1(watch, ", 22 events a window: 16 % of healthy models")
    baseline, line = watch.baseline_f1 or 0.0, Fraction(watch.f1_limit or 0)
    counts = [tp_fp_fn(window) for window in told]
    events = [sum(each) for each in counts if each is not None]
    known = 0 < len(events) == len(told)

    def bad(drop: float) -> float:
        jaccard = jaccard_of(baseline - drop)
        if not known:
            return chance_f1_below_of(_ROWS, line, event_share=_EVENT_SHARE, jaccard=jaccard)
        return _mean([chance_f1_below(line, events=each, jaccard=jaccard) for each in events])

    traffic = f"{counted(round(_mean(events)), 'event')} a window" if known else "22 events a window (none are told)"
    drop = max(drops_to_see(watch), default=None)
    sees = "" if drop is None else f"a drop of {shown(drop)}"
    return _said(watch, told, traffic, bad(0.0), sees, bad(float(drop or 0)))


def of_latency(watch: Watch, told: Sequence[Window]) -> str:
    """Say what the rule is worth for p99: healthy is half the budget of slow requests."""
    if watch.edition < 2:
        return _in_edition_1(watch, "")
    requests = [window.requests for window in told if window.requests]
    known = 0 < len(requests) == len(told)

    def bad(share: float) -> float:
        return _mean([chance_p99_slow(requests=each, share=share) for each in (requests if known else [_ROWS])])

    traffic = f"{counted(round(_mean(requests)), 'request')} a window, 0.5 % of them slow," if known else ""
    assumed = f"{_ROWS} requests a window (none are told), 0.5 % of them slow,"
    return _said(watch, told, traffic or assumed, bad(SLOW_SHARE / 2), "2 % slow", bad(2 * SLOW_SHARE))


def _said(watch: Watch, told: Sequence[Window], traffic: str, healthy: float, sees: str, worse: float) -> str:
    windows = _planned(watch, told)
    rolled_back, seen = (_percent(chance_in_a_row([bad] * windows, watch.in_a_row)) for bad in (healthy, worse))
    decides = "one bad window decides" if watch.in_a_row == 1 else f"{watch.in_a_row} in a row decide"
    fallback = "the windows tell no counts, so " if watch.rule == "exact" else ""
    also = f" and see {sees} in {seen}" if sees else ""
    return (
        f"{fallback}{decides}, without a guaranteed rate of false roll backs: at {traffic} "
        f"{counted(windows, 'window')} roll back {rolled_back} of healthy models{also}"
    )


def _planned(watch: Watch, told: Sequence[Window]) -> int:
    """Return how many windows as long as the last one the whole watch has; as many as came, where those are more."""
    if not told:
        return math.floor(watch.watch_minutes)
    last = (told[-1].window_end - told[-1].window_start).total_seconds() / 60
    return max(len(told), math.floor(watch.watch_minutes / last))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _percent(chance: float) -> str:
    if chance < 0.001:
        return "under 0.1 %"
    return f"{100 * chance:.1f} %" if chance <= 0.999 else "over 99.9 %"


def _in_edition_1(watch: Watch, measured: str) -> str:
    if watch.in_a_row == 1:
        return "one bad window decides, which rolls back nearly every healthy model that has few rows a window"
    fallback = "the windows tell no counts, so " if watch.rule == "exact" else ""
    known = f" (three in a row{measured})" if measured and watch.in_a_row == 3 else ""
    return f"{fallback}{watch.in_a_row} in a row decide, without a guaranteed rate of false roll backs{known}"
