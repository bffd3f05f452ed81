"""The two questions of the watch after a swap: has F1 dropped, are too many requests slow?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from retrain.checks import Check, Evidence, Status, exact, inconclusive
from retrain.facts import Window
from retrain.judgement.windows import Tally, f1_of_window, is_f1_figure, slow_of_window, tally, tp_fp_fn
from retrain.judgement.words import counted, shown
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.sequential import (
    SLOW_CONCENTRATION,
    log_e_bernoulli_below,
    log_e_slow_requests,
    log_threshold,
    power_above,
)

__all__ = ["F1_CONCENTRATION", "SLOW_SECONDS", "SLOW_SHARE", "Watch", "f1_check", "flip", "latency_check"]

F1_CONCENTRATION = 2
"""The mixture over lower F1 leans a little to small drops: with half of α, and 22 events a minute, a drop of 0.10 is
then seen after 4 minutes (median), and after 5 with the uniform one; healthy models rolled back: 0.5 %, and 0.4 %."""

SLOW_SECONDS = 1.0
"""MODEL_METRICS counts a request as slow from here on."""

SLOW_SHARE = 0.01
"""p99 < 1 s says: fewer than one request in a hundred is slow."""


@dataclass(frozen=True)
class Watch:
    """Windows in order of time, and the limits in force. ``alpha`` is one metric's share of the false-rollback rate."""

    windows: tuple[Window, ...]
    swapped_at: datetime | None
    baseline_f1: float | None
    f1_drop_tolerance: float
    latency_ceiling: float
    rule: Literal["exact", "consecutive", "literal"]
    in_a_row: int
    alpha: float
    minimum_events: int
    minimum_requests: int
    evidence: tuple[Evidence, ...] = ()

    @property
    def f1_limit(self) -> Decimal | None:
        """Baseline less tolerance, exactly; None without a baseline that F1 could fall from."""
        if self.baseline_f1 is None or not 0 < self.baseline_f1 <= 1:
            return None
        limit = exact(self.baseline_f1) - exact(self.f1_drop_tolerance)
        return limit if limit > 0 else None

    def minute(self, window: Window) -> str:
        """Name the minute since the swap at which ``window`` ended."""
        if self.swapped_at is None:
            return "at an unknown minute"
        return f"at minute {shown(round((window.window_end - self.swapped_at).total_seconds() / 60, 1))}"


def f1_check(watch: Watch, name: str) -> Check:
    """Judge F1: the exact test where the windows tell counts, bad windows in a row where they tell figures only."""
    limit = watch.f1_limit
    if limit is None:
        wanted = "F1 not below baseline − tolerance"
        if watch.baseline_f1 is None:
            return inconclusive(name, wanted, "no baseline F1 is known", evidence=watch.evidence)
        reason = f"no F1 can fall {shown(watch.f1_drop_tolerance)} below a baseline of {shown(watch.baseline_f1)}"
        return inconclusive(name, wanted, reason, evidence=watch.evidence)
    wanted = f"F1 ≥ baseline {shown(watch.baseline_f1 or 0)} − {shown(watch.f1_drop_tolerance)} = {shown(limit)}"
    if watch.rule == "exact" and not any(is_f1_figure(window) for window in watch.windows):
        return _f1_exact(watch, name, wanted, limit)
    sums = tally(watch.windows)
    events = sums[-1].events if sums else None
    few = f"{counted(events or 0, 'event')} of {shown(watch.minimum_events)} needed"
    thin = few if events is not None and events < watch.minimum_events else ""
    return _in_a_row(watch, name, wanted, f1_of_window, lambda f1: exact(f1) < limit, thin)


def latency_check(watch: Watch, name: str) -> Check:
    """Judge latency: the exact test on slow requests, or bad windows in a row where only p99 is told."""
    wanted = f"latency p99 < {shown(watch.latency_ceiling)} s"
    by_count = watch.latency_ceiling == SLOW_SECONDS
    only_p99 = any(w.latency_p99_seconds is not None and slow_of_window(w) is None for w in watch.windows)
    if watch.rule == "exact" and by_count and not only_p99:
        return _latency_exact(watch, name, wanted)

    def p99_is_bad(window: Window) -> float | None:
        seen = window.latency_p99_seconds
        if seen is not None and seen >= 0:
            return float(exact(seen) >= exact(watch.latency_ceiling))
        slow = slow_of_window(window) if by_count else None
        return float(_too_slow(*slow)) if slow and slow[1] else None

    requests = [window.requests for window in watch.windows if window.requests is not None]
    few = f"{counted(sum(requests), 'request')} of {shown(watch.minimum_requests)} needed"
    thin = few if requests and sum(requests) < watch.minimum_requests else ""
    return _in_a_row(watch, name, wanted, p99_is_bad, bool, thin)


def flip(watch: Watch) -> str:
    """Say what would have turned it, while nothing is found."""
    if watch.rule != "exact":
        return f"With {counted(watch.in_a_row, 'bad window')} in a row: regressed."
    limit = f", and F1 < {shown(watch.f1_limit)}" if watch.f1_limit is not None else ""
    return f"With an e-value of {shown(round(1 / watch.alpha, 2))} for slow requests or for F1{limit}: regressed."


def _f1_exact(watch: Watch, name: str, wanted: str, limit: Decimal) -> Check:
    counted_windows = [window for window in watch.windows if tp_fp_fn(window) is not None]
    sums = tally(counted_windows)
    if not sums or sums[-1].events == 0:
        return inconclusive(name, wanted, _nothing(watch, "no labelled event"), evidence=watch.evidence)
    floor, line = jaccard_of(watch.baseline_f1 or 0.0), Fraction(limit)
    looks = [log_e_bernoulli_below(s.tp, s.events, floor, concentration=F1_CONCENTRATION) for s in sums]
    acts = [_below(each, line) and look >= log_threshold(watch.alpha) for each, look in zip(sums, looks, strict=True)]
    seen = acts.index(True) if True in acts else None
    total = sums[seen] if seen is not None else sums[-1]
    log_e = looks[seen] if seen is not None else looks[-1]
    status, what = _f1_status(watch, total, line, None if seen is None else counted_windows[seen])
    reason = f"{what}; {_e_value(log_e, watch.alpha)}; {_f1_power(watch, total, limit)}; {_rates(total)}"
    observed = f"F1 {_figure(total)} on {counted(total.events, 'event')}"
    return Check(
        name=name, requirement=wanted, observed=observed, status=status, reason=reason, evidence=watch.evidence
    )


def _f1_status(watch: Watch, total: Tally, line: Fraction, seen: Window | None) -> tuple[Status, str]:
    counts = f"F1 {_figure(total)} (TP {total.tp}, FP {total.fp}, FN {total.fn})"
    if seen is not None:
        return Status.FAIL, f"a drop was seen {watch.minute(seen)}: {counts}"
    if total.events < watch.minimum_events:
        few = f"{counted(total.events, 'event')} of {shown(watch.minimum_events)} needed"
        return Status.INCONCLUSIVE, f"{few}: {counts}"
    if _below(total, line):
        return Status.INCONCLUSIVE, f"below the limit by point, and not beyond chance: {counts}"
    return Status.PASS, f"no drop was seen: {counts}"


def _latency_exact(watch: Watch, name: str, wanted: str) -> Check:
    rows = [(window, counts) for window in watch.windows if (counts := slow_of_window(window)) is not None]
    slow = requests = 0
    seen, log_e = None, 0.0
    for window, counts in rows:
        slow, requests = slow + counts[0], requests + counts[1]
        log_e = log_e_slow_requests(slow, requests, SLOW_SHARE)
        if log_e >= log_threshold(watch.alpha):
            seen = window
            break
    if not requests:
        return inconclusive(name, wanted, _nothing(watch, "no request"), evidence=watch.evidence)
    status, what = _latency_status(watch, slow, requests, seen)
    reason = f"{what}; {_e_value(log_e, watch.alpha)}; {_latency_power(watch, requests)}"
    observed = f"{shown(slow)} slow of {counted(requests, 'request')}"
    return Check(
        name=name, requirement=wanted, observed=observed, status=status, reason=reason, evidence=watch.evidence
    )


def _latency_status(watch: Watch, slow: int, requests: int, seen: Window | None) -> tuple[Status, str]:
    share = f"{100 * slow / requests:.2f} % of {counted(requests, 'request')} took 1 s or more"
    if seen is not None:
        return Status.FAIL, f"a spike was seen {watch.minute(seen)}: {share}"
    if requests < watch.minimum_requests:
        return Status.INCONCLUSIVE, f"{shown(requests)} of {shown(watch.minimum_requests)} requests needed: {share}"
    if _too_slow(slow, requests):
        return Status.INCONCLUSIVE, f"1 % or more are slow by point, and not beyond chance: {share}"
    return Status.PASS, f"no spike was seen: {share}"


def _in_a_row(
    watch: Watch,
    name: str,
    wanted: str,
    figure: Callable[[Window], float | None],
    bad: Callable[[float], bool],
    thin: str,
) -> Check:
    """Look for bad windows in a row; a window without a figure neither breaks nor lengthens a row."""
    told = [(window, bad(value)) for window in watch.windows if (value := figure(window)) is not None]
    if not told:
        return inconclusive(name, wanted, _nothing(watch, "no figure"), evidence=watch.evidence)
    run, seen = 0, None
    for window, is_bad in told:
        run = run + 1 if is_bad else 0
        if run >= watch.in_a_row:
            seen = window
            break
    total = sum(is_bad for _, is_bad in told)
    observed = f"{total} bad of {counted(len(told), 'window')}"
    status, reason = Status.PASS, f"never {counted(watch.in_a_row, 'bad window')} in a row: {observed}"
    if seen is not None:
        status, reason = Status.FAIL, f"{counted(run, 'bad window')} in a row, seen {watch.minute(seen)}: {observed}"
    elif len(told) < watch.in_a_row or run or thin:
        open_run = f"the last {counted(run, 'window')} bad" if run else f"{counted(len(told), 'window')} in all"
        status, reason = Status.INCONCLUSIVE, f"{thin or open_run}: {observed}"
    worth = _worth(watch, by_f1=figure is f1_of_window)
    return Check(
        name=name,
        requirement=wanted,
        observed=observed,
        status=status,
        reason=f"{reason}; {worth}",
        evidence=watch.evidence,
    )


def _worth(watch: Watch, *, by_f1: bool) -> str:
    """Say what a rule of windows is worth; the share was measured at 22 labelled events a window."""
    if watch.in_a_row == 1:
        return "one bad window decides, which rolls back nearly every healthy model that has few rows a window"
    fallback = "the windows tell no counts, so " if watch.rule == "exact" else ""
    measured = " (three in a row, 22 events a window: 16 % of healthy models)" if by_f1 and watch.in_a_row == 3 else ""
    return f"{fallback}{watch.in_a_row} in a row decide, without a guaranteed rate of false roll backs{measured}"


def _nothing(watch: Watch, what: str) -> str:
    if not watch.windows:
        return "MODEL_METRICS holds no window of the new version since the swap"
    return f"{what} in {counted(len(watch.windows), 'window')} since the swap"


def _below(total: Tally, line: Fraction) -> bool:
    return total.f1 is not None and total.f1 < line


def _too_slow(slow: int, requests: int) -> bool:
    return slow * 100 >= requests


def _figure(total: Tally) -> str:
    return shown(round(float(total.f1), 4)) if total.f1 is not None else "unknown"


def _e_value(log_e: float, alpha: float) -> str:
    limit = shown(round(1 / alpha, 2))
    if log_e > math.log(1e6) or log_e < math.log(1e-3):
        value = "∞" if math.isinf(log_e) else f"10^{log_e / math.log(10):.1f}".replace("-", "−")
    else:
        value = shown(float(f"{math.exp(log_e):.3g}"))
    return f"e-value {value}, acts at {limit}"


def _f1_power(watch: Watch, total: Tally, limit: Decimal) -> str:
    """The chance that a drop of twice the tolerance would have been seen by one look at these labels, and of one."""
    told = []
    baseline, tolerance = exact(watch.baseline_f1 or 0), exact(watch.f1_drop_tolerance)
    line = Fraction(limit)
    at_least = math.floor(total.events * (1 - line / (2 - line))) + 1
    for drop in dict.fromkeys((tolerance, 2 * tolerance)):
        if not 0 < drop < baseline:
            continue
        power = power_above(
            total.events,
            1 - jaccard_of(float(baseline)),
            1 - jaccard_of(float(baseline - drop)),
            alpha=watch.alpha,
            concentration=F1_CONCENTRATION,
            at_least=at_least,
        )
        told.append(f"of {shown(drop)} with probability {power:.2f}")
    return f"with the labels so far a drop {' and '.join(told)} would have been seen" if told else "no drop to look for"


def _latency_power(watch: Watch, requests: int) -> str:
    power = power_above(requests, SLOW_SHARE, 2 * SLOW_SHARE, alpha=watch.alpha, concentration=SLOW_CONCENTRATION)
    return f"with the requests so far 2 % slow would have been seen with probability {power:.2f}"


def _rates(total: Tally) -> str:
    """Prevalence, recall and false-positive rate: F1 falls with the prevalence alone."""
    positives = total.tp + total.fn
    recall = f"recall {shown(round(total.tp / positives, 4))}" if positives else "no positives"
    if total.tn is None:
        return f"{recall}, prevalence unknown (no true negatives told)"
    rows, negatives = total.events + total.tn, total.fp + total.tn
    rate = f"false-positive rate {shown(round(total.fp / negatives, 4))}" if negatives else "no negatives"
    return f"prevalence {shown(round(positives / rows, 4))}, {recall}, {rate}"
