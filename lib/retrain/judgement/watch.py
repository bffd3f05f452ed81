"""The two questions of the watch after a swap: has F1 dropped, are too many requests slow?"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from retrain.checks import Check, Status, inconclusive
from retrain.judgement import power, prevalence
from retrain.judgement.in_a_row import f1_in_a_row, latency_in_a_row
from retrain.judgement.looks import F1Look, SlowLook, e_value, f1_looks, rising, slow_looks, until_it_acts
from retrain.judgement.watching import SLOW_SECONDS, Watch
from retrain.judgement.windows import Tally, slow_of_window
from retrain.judgement.words import counted, shown

__all__ = ["f1_check", "flip", "latency_check"]


def f1_check(watch: Watch, name: str) -> Check:
    """Judge F1: the exact test of the windows that tell counts, bad windows in a row where none does."""
    limit = watch.f1_limit
    if limit is None:
        wanted = "F1 not below baseline − tolerance"
        if watch.baseline_f1 is None:
            return inconclusive(name, wanted, "no baseline F1 is known", evidence=watch.evidence)
        reason = f"no F1 can fall {shown(watch.f1_drop_tolerance)} below a baseline of {shown(watch.baseline_f1)}"
        return inconclusive(name, wanted, reason, evidence=watch.evidence)
    wanted = f"F1 ≥ baseline {shown(watch.baseline_f1 or 0)} − {shown(watch.f1_drop_tolerance)} = {shown(limit)}"
    if watch.tests_f1:
        return _f1_exact(watch, name, wanted, limit)
    return f1_in_a_row(watch, name, wanted)


def latency_check(watch: Watch, name: str) -> Check:
    """Judge latency: the exact test of the windows that tell slow requests, bad windows in a row where none does."""
    wanted = f"latency p99 < {shown(watch.latency_ceiling)} s"
    if watch.tests_latency:
        return _latency_exact(watch, name, wanted)
    if watch.edition < 3 or watch.rule != "exact" or watch.counts_slow:
        return latency_in_a_row(watch, name, wanted)
    return _of_another_ceiling(watch, latency_in_a_row(replace(watch, rule="consecutive"), name, wanted))


def flip(watch: Watch) -> str:
    """Say what would have turned it, while nothing is found."""
    if watch.rule != "exact":
        return f"With {counted(watch.in_a_row, 'bad window')} in a row: regressed."
    limit = f", and F1 < {shown(watch.f1_limit)}" if watch.f1_limit is not None else ""
    return f"With an e-value of {shown(round(1 / watch.alpha, 2))} for slow requests or for F1{limit}: regressed."


def _f1_exact(watch: Watch, name: str, wanted: str, limit: Decimal) -> Check:
    looks = until_it_acts(f1_looks(watch))
    seen_so_far = power.of_f1(watch, rising(watch, [look.total.events for look in looks]))
    if not looks or looks[-1].total.events == 0:
        return _nothing(watch, name, wanted, "no labelled event", seen_so_far)
    total = looks[-1].total
    status, what = _f1_status(watch, looks[-1], Fraction(limit))
    explained = prevalence.alone(total, watch.baseline, limit)
    parts = (
        what,
        e_value(looks[-1].log_e, watch.alpha),
        explained,
        seen_so_far,
        prevalence.rates(total, watch.baseline),
    )
    observed = f"F1 {_figure(total)} on {counted(total.events, 'event')}"
    return Check(
        name=name,
        requirement=wanted,
        observed=observed,
        status=status,
        reason="; ".join(part for part in parts if part),
        evidence=watch.evidence,
    )


def _f1_status(watch: Watch, last: F1Look, line: Fraction) -> tuple[Status, str]:
    total = last.total
    counts = f"F1 {_figure(total)} (TP {total.tp}, FP {total.fp}, FN {total.fn})"
    if last.acts:
        return Status.FAIL, f"a drop was seen {watch.minute(last.window)}: {counts}"
    if total.events < watch.minimum_events:
        few = f"{counted(total.events, 'event')} of {shown(watch.minimum_events)} needed"
        return Status.INCONCLUSIVE, f"{few}: {counts}"
    if total.f1 is not None and total.f1 < line:
        return Status.INCONCLUSIVE, f"below the limit by point, and not beyond chance: {counts}"
    return Status.PASS, f"no drop was seen: {counts}"


def _latency_exact(watch: Watch, name: str, wanted: str) -> Check:
    looks = until_it_acts(slow_looks(watch))
    seen_so_far = power.of_latency(watch, rising(watch, [look.requests for look in looks]))
    if not looks or not looks[-1].requests:
        return _nothing(watch, name, wanted, "no request", seen_so_far)
    last = looks[-1]
    status, what = _latency_status(watch, last)
    return Check(
        name=name,
        requirement=wanted,
        observed=f"{shown(last.slow)} slow of {counted(last.requests, 'request')}",
        status=status,
        reason=f"{what}; {e_value(last.log_e, watch.alpha)}; {seen_so_far}",
        evidence=watch.evidence,
    )


def _of_another_ceiling(watch: Watch, check: Check) -> Check:
    """Say why counts of slow requests that were told are not tested."""
    if all(slow_of_window(window) is None for window in watch.windows):
        return check
    counts = f"slow requests are counted from {shown(SLOW_SECONDS)} s on, which does not answer for this ceiling"
    return check.model_copy(update={"reason": f"{check.reason}; {counts}"})


def _latency_status(watch: Watch, last: SlowLook) -> tuple[Status, str]:
    share = f"{100 * last.slow / last.requests:.2f} % of {counted(last.requests, 'request')} took 1 s or more"
    if last.acts:
        return Status.FAIL, f"a spike was seen {watch.minute(last.window)}: {share}"
    if last.requests < watch.minimum_requests:
        needed = f"{shown(last.requests)} of {shown(watch.minimum_requests)} requests needed"
        return Status.INCONCLUSIVE, f"{needed}: {share}"
    if last.slow * 100 >= last.requests:
        return Status.INCONCLUSIVE, f"1 % or more are slow by point, and not beyond chance: {share}"
    return Status.PASS, f"no spike was seen: {share}"


def _nothing(watch: Watch, name: str, wanted: str, what: str, seen_so_far: str) -> Check:
    reason = watch.nothing(what) if watch.edition < 2 else f"{watch.nothing(what)}; {seen_so_far}"
    return inconclusive(name, wanted, reason, evidence=watch.evidence)


def _figure(total: Tally) -> str:
    return shown(round(float(total.f1), 4)) if total.f1 is not None else "unknown"
