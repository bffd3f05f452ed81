"""Bad windows in a row: the rule of the watch by policy, and where the windows tell F1 and p99 and no counts."""

from __future__ import annotations

from collections.abc import Callable

from retrain.checks import Check, Status, exact, inconclusive
from retrain.facts import Window
from retrain.judgement import worth
from retrain.judgement.watching import Watch
from retrain.judgement.windows import f1_of_window, slow_of_window, tally
from retrain.judgement.words import counted, shown

__all__ = ["f1_in_a_row", "latency_in_a_row"]


def f1_in_a_row(watch: Watch, name: str, wanted: str) -> Check:
    """Judge F1 window by window: bad is strictly below the limit."""
    limit, sums = watch.f1_limit, tally(watch.windows)
    figures = [(window, f1_of_window(window)) for window in watch.windows]
    told = [(window, limit is not None and exact(f1) < limit) for window, f1 in figures if f1 is not None]
    events = sums[-1].events if sums else None
    few = f"{counted(events or 0, 'event')} of {shown(watch.minimum_events)} needed"
    thin = few if events is not None and events < watch.minimum_events else ""
    return _judge(watch, name, wanted, told, thin, worth.of_f1)


def latency_in_a_row(watch: Watch, name: str, wanted: str) -> Check:
    """Judge the p99 window by window, or the share of slow requests where no p99 is told."""
    figures = [(window, _p99_is_bad(watch, window)) for window in watch.windows]
    told = [(window, is_bad) for window, is_bad in figures if is_bad is not None]
    requests = [window.requests for window in watch.windows if window.requests is not None]
    few = f"{counted(sum(requests), 'request')} of {shown(watch.minimum_requests)} needed"
    thin = few if requests and sum(requests) < watch.minimum_requests else ""
    return _judge(watch, name, wanted, told, thin, worth.of_latency)


def _p99_is_bad(watch: Watch, window: Window) -> bool | None:
    seen = window.latency_p99_seconds
    if seen is not None and seen >= 0:
        return exact(seen) >= exact(watch.latency_ceiling)
    slow = slow_of_window(window) if watch.counts_slow else None
    if not slow or not slow[1]:
        return None
    if watch.edition < 2:
        return slow[0] * 100 >= slow[1]
    return slow[0] > slow[1] - -(-99 * slow[1] // 100)  # the p99 by nearest rank is one of the slow ones


def _judge(
    watch: Watch,
    name: str,
    wanted: str,
    told: list[tuple[Window, bool]],
    thin: str,
    worth_of: Callable[[Watch, list[Window]], str],
) -> Check:
    """Look for bad windows in a row; a window without a figure neither breaks nor lengthens a row."""
    rule_is_worth = worth_of(watch, [window for window, _ in told])
    if not told:
        also = f"; {rule_is_worth}" if watch.edition > 1 else ""
        return inconclusive(name, wanted, watch.nothing("no figure") + also, evidence=watch.evidence)
    run, seen = 0, None
    for window, is_bad in told:
        run = run + 1 if is_bad else 0
        if run >= watch.in_a_row:
            seen = window
            break
    observed = f"{sum(is_bad for _, is_bad in told)} bad of {counted(len(told), 'window')}"
    status, reason = Status.PASS, f"never {counted(watch.in_a_row, 'bad window')} in a row"
    if seen is not None:
        status, reason = Status.FAIL, f"{counted(run, 'bad window')} in a row, seen {watch.minute(seen)}"
    elif len(told) < watch.in_a_row or run or thin:
        open_run = f"the last {counted(run, 'window')} bad" if run else f"{counted(len(told), 'window')} in all"
        status, reason = Status.INCONCLUSIVE, thin or open_run
    return Check(
        name=name,
        requirement=wanted,
        observed=observed,
        status=status,
        reason=f"{reason}: {observed}; {rule_is_worth}",
        evidence=watch.evidence,
    )
