"""Six rules for the watch after a swap, side by side: ``python tests/benchmarks/bench_watch.py [--runs N] [--seed N]``.

Thirty windows of a minute, 100 requests in each. F1: 22 events a minute that are not true negatives, baseline 0.88,
tolerance 0.05; how often is a healthy model rolled back, and how soon is a drop seen? Latency: half the budget of slow
requests (0.5 %) is healthy, twice the budget (2 %) is not. Seeded, one process a core. Prints Markdown, and with
``--document`` writes it into the README.

The library's own rules judge many watches at once; a hundred of each figure go through ``decide`` too, window after
window, as a run's do. Exits with 1 where the two differ, or where the library's default rule misses its bars.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from multiprocessing import get_context
from typing import NamedTuple

import documented
import numpy

from retrain.facts import Window
from retrain.hindsight.traffic import judge_watch
from retrain.sections.post_deploy_monitoring import EDITION, Facts, Policy, decide, looked
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.operating import first, rows_of_traffic

BASELINE, TOLERANCE, REQUESTS, MINUTES = 0.88, 0.05, 100, 30
EVENT_SHARE = 0.22
HEALTHY, DROPS = 0.0, (0.10, 0.20)
SLOW_SHARES = (0.005, 0.02)
CHUNK = 2000
DECIDED = 100
"""So many watches of each figure are decided one by one as well."""

SWAPPED = datetime(2013, 6, 9, 2, tzinfo=UTC)
ALPHA = Policy().false_rollback_rate / 2


class Bars(NamedTuple):
    """What the library promises."""

    false_rollbacks: float = 0.01
    minutes: tuple[float, float] = (4, 2)
    slow_false: float = 0.001
    slow_power: float = 0.90


def windows(rng, drop, runs):
    """Runs × minutes × (TP, FP, FN, TN): 22 of 100 rows are events, and of those a share J is TP, whatever F1 is."""
    share = jaccard_of(BASELINE - drop)
    shares = (EVENT_SHARE * share, EVENT_SHARE * (1 - share), 0.0, 1 - EVENT_SHARE)
    return rows_of_traffic(rng, runs=runs, windows=MINUTES, rows=REQUESTS, shares=shares)


def f1(rows):
    """F1 of each window."""
    return 2 * rows[..., 0] / numpy.maximum(2 * rows[..., 0] + rows[..., 1] + rows[..., 2], 1)


def library(rule):
    """One of the library's own rules."""

    def seen(rows, rng):
        none = numpy.zeros(rows.shape[:2], dtype=int)
        return judge_watch(Policy(rule=rule), baseline=BASELINE, rows=rows, slow=none, requests=REQUESTS).f1_seen

    return seen


def ten_failed(rows, rng):
    """Ten windows below the limit, in a row or not: a failure limit of an analysis run."""
    return first((f1(rows) < BASELINE - TOLERANCE).cumsum(axis=1) >= 10)


LOOKS = 6


@cache
def group_sequential_bound():
    """O'Brien and Fleming's constant for six looks, one-sided at our level: z at look k acts at C·√(6/k)."""
    steps = numpy.random.default_rng(1979).standard_normal((400_000, LOOKS)).cumsum(axis=1)
    return float(numpy.quantile((steps / LOOKS**0.5).max(axis=1), 1 - ALPHA))


def group_sequential(rows, rng):
    """Look every five minutes at z of the share of true positives against the baseline's."""
    null, looks = jaccard_of(BASELINE), numpy.arange(1, LOOKS + 1)
    minutes = looks * MINUTES // LOOKS
    tp, fp, fn = (rows[..., kind].cumsum(axis=1)[:, minutes - 1] for kind in range(3))
    events = numpy.maximum(tp + fp + fn, 1)
    z = (events * null - tp) / numpy.sqrt(events * null * (1 - null))
    seen = first(z >= group_sequential_bound() * numpy.sqrt(LOOKS / looks))
    return numpy.where(seen > 0, numpy.append(0, minutes)[seen], 0)


def rank_test(rows, rng):
    """Mann-Whitney of the candidate's F1 by minute against production's thirty minutes before, one-sided at 1 %.

    Looked at after each minute from the fifth on, as a canary judge does it; normal approximation (ties are few here).
    """
    before, after = f1(windows(rng, HEALTHY, len(rows))), f1(rows)
    wins = (after[:, :, None] < before[:, None, :]) + 0.5 * (after[:, :, None] == before[:, None, :])
    u, count = wins.sum(axis=2).cumsum(axis=1), numpy.arange(1, MINUTES + 1)
    z = (u - count * MINUTES / 2 - 0.5) / numpy.sqrt(count * MINUTES * (count + MINUTES + 1) / 12)
    return first((z >= 2.3263) & (count >= 5))


OURS = "exact sequential test (ours)"
LIBRARY = {"any window below baseline − 0.05 (literal)": "literal", "three bad windows in a row": "consecutive"}
RULES: dict[str, Callable] = {
    **{name: library(rule) for name, rule in LIBRARY.items()},
    "ten failed checks": ten_failed,
    "group-sequential (O'Brien–Fleming, 6 looks)": group_sequential,
    "rank test (Mann–Whitney by minute, 1 %)": rank_test,
    OURS: library("exact"),
}
SLOW_RULES = {"p99 of each window (literal)": "literal", OURS: "exact"}


def watch_f1(task):
    """One chunk of runs for each rule: the minute in which it rolls back, 0 for never; and how often decide differs."""
    seed, place, drop, runs = task
    rng = numpy.random.default_rng([seed, 1, round(drop * 100), place])
    rows = windows(rng, drop, runs)
    seen = {name: rule(rows, rng) for name, rule in RULES.items()}
    none = numpy.zeros((runs, MINUTES), dtype=int)
    return seen, differing({**LIBRARY, OURS: "exact"}, seen, rows, none) if place == 0 else 0


def watch_latency(task):
    """One chunk of runs for each rule of latency."""
    seed, place, share, runs = task
    rng = numpy.random.default_rng([seed, 2, round(share * 1000), place])
    slow = rng.binomial(REQUESTS, share, size=(runs, MINUTES))
    none = numpy.zeros((runs, MINUTES, 4), dtype=int)
    seen = {
        name: judge_watch(Policy(rule=rule), baseline=BASELINE, rows=none, slow=slow, requests=REQUESTS).latency_seen
        for name, rule in SLOW_RULES.items()
    }
    return seen, differing(SLOW_RULES, seen, none, slow) if place == 0 else 0


def differing(rules, seen, rows, slow) -> int:
    """Count the watches that ``decide`` does not roll back in the same minute, among the first of a chunk."""
    return sum(
        not same_minute(Policy(rule=rule), int(minute), told_windows(*counts))
        for name, rule in rules.items()
        for minute, *counts in zip(seen[name][:DECIDED], rows, slow, strict=False)
    )


def told_windows(rows, slow):
    """Windows as MODEL_METRICS tells them, from rows of (TP, FP, FN, TN) and slow requests; p99 is by nearest rank."""
    found = []
    for minute, (counts, late) in enumerate(zip(rows.tolist(), slow.tolist(), strict=True)):
        p99 = 1.2 if late > REQUESTS // 100 else 0.2
        told = dict(zip(("tp", "fp", "fn", "tn"), counts, strict=True), requests=REQUESTS, slow_requests=late)
        told["latency_p99_seconds"] = p99
        start = SWAPPED + timedelta(minutes=minute)
        found.append(Window(window_start=start, window_end=start + timedelta(minutes=1), version="v2", **told))
    return tuple(found)


def same_minute(policy, minute, told) -> bool:
    """Whether ``decide`` sees a regression in that minute and in none before; 0: in none at all."""

    def regressed(minutes):
        facts = Facts(swapped_at=SWAPPED, candidate_version="v2", baseline_f1=BASELINE, edition=EDITION)
        for minute in range(1, minutes + 1):
            facts = facts.model_copy(update={"watched_minutes": minute, "windows": told[:minute]})
            facts = facts.model_copy(update={"looks": looked(facts)})
        return decide(facts, policy).outcome == "regressed"

    before = MINUTES if minute == 0 else minute - 1
    return not regressed(before) and (minute == 0 or regressed(minute))


def measured(pool, what, states, *, runs, seed):
    """Return for each state and rule the minutes of all runs, and how many of those decided one by one differ."""
    found, different = {}, 0
    for state in states:
        tasks = [(seed, place, state, min(CHUNK, runs - begin)) for place, begin in enumerate(range(0, runs, CHUNK))]
        chunks = list(pool.map(what, tasks))
        found[state] = {name: numpy.concatenate([seen[name] for seen, _ in chunks]) for name in chunks[0][0]}
        different += sum(count for _, count in chunks)
    return found, different


def median(minutes):
    """The minute by which half of the runs were rolled back; None where fewer were."""
    seen = numpy.where(minutes > 0, minutes, numpy.inf)
    middle = numpy.sort(seen)[(len(seen) - 1) // 2]
    return None if numpy.isinf(middle) else int(middle)


def percent(minutes):
    """The share that was rolled back."""
    share = 100 * (minutes > 0).mean()
    return f"{share:.2f} %" if share < 1 else f"{share:.1f} %"


def table(drops, slow, *, runs, seed) -> Iterator[str]:
    """The figures as Markdown."""
    yield f"{runs:,} watches a figure, seed {seed}: 30 windows of a minute, about 22 events (TP + FP + FN) in each,"
    yield "baseline F1 0.88, tolerance 0.05. The minutes are medians."
    yield ""
    yield "| rule for F1 | healthy model rolled back | minutes to see −0.10 | minutes to see −0.20 |"
    yield "| --- | --- | --- | --- |"
    for name in RULES:
        late = [median(drops[drop][name]) for drop in DROPS]
        cells = ["not in 30" if each is None else str(each) for each in late]
        yield f"| {name} | {percent(drops[HEALTHY][name])} | {' | '.join(cells)} |"
    yield ""
    yield "| rule for latency, 100 requests a minute | 0.5 % slow: rolled back | 2 % slow: found | minutes to find it |"
    yield "| --- | --- | --- | --- |"
    for name in SLOW_RULES:
        half, twice = (slow[share][name] for share in SLOW_SHARES)
        yield f"| {name} | {percent(half)} | {percent(twice)} | {median(twice)} |"


def missed(drops, slow) -> Iterator[str]:
    """Say which bars our rule misses."""
    bars = Bars()
    false = (drops[HEALTHY][OURS] > 0).mean()
    if false > bars.false_rollbacks:
        yield f"{false:.4f} of healthy models are rolled back; the bar is {bars.false_rollbacks}"
    for drop, bar in zip(DROPS, bars.minutes, strict=True):
        late = median(drops[drop][OURS])
        if late is None or late > bar:
            yield f"a drop of {drop} is seen in {late} minutes (median); the bar is {bar}"
    half, twice = ((slow[share][OURS] > 0).mean() for share in SLOW_SHARES)
    if half > bars.slow_false:
        yield f"{half:.5f} are rolled back at half the budget of slow requests; the bar is {bars.slow_false}"
    if twice < bars.slow_power:
        yield f"twice the budget is found in {twice:.3f}; the bar is {bars.slow_power}"


def main(arguments=None) -> int:
    """Simulate, print, and return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help="simulated watches a figure")
    parser.add_argument("--seed", type=int, default=2013)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--document", action="store_true", help="also write the tables into the README")
    given = parser.parse_args(arguments)
    how = {"runs": given.runs, "seed": given.seed}
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        drops, f1_differs = measured(pool, watch_f1, (HEALTHY, *DROPS), **how)
        slow, latency_differs = measured(pool, watch_latency, SLOW_SHARES, **how)
    text = "\n".join(table(drops, slow, **how)) + "\n"
    sys.stdout.write(text)
    problems = list(missed(drops, slow))
    if f1_differs or latency_differs:
        problems.append(f"{f1_differs + latency_differs} watches are decided otherwise by decide, one by one")
    if given.document and not problems:
        documented.write("bench-watch", text)
    sys.stderr.writelines(f"missed: {problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
