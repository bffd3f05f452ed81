"""Do the windows cover the watch? Metrics that fall silent after their first minutes must not read as health.

What F1 and latency rest on is looked at apart: rows may go on coming that no longer tell one of the two. Only what the
rule in force can use tells of a minute: where counts are tested, a figure without them is silence. What was never told
at all is not said again here: the metric's own check is open for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from retrain.facts import Window
from retrain.judgement.watching import Watch
from retrain.judgement.windows import is_f1_figure, is_p99_figure, slow_of_window, tp_fp_fn
from retrain.judgement.words import counted, listed, shown

__all__ = ["uncounted", "uncovered"]

_SHARE = 10
"""Two windows may be missing, as long as they are no more than a tenth of the watch; one always may."""

_TOLD = 3


class _Gap(NamedTuple):
    """A stretch of the watch of which nothing was told."""

    since: datetime
    until: datetime


def uncovered(watch: Watch) -> str:
    """Say of which minutes of the watch no window tells, or return an empty string where they cover it.

    The minutes are those of the policy, also where the watch was extended: windows that came late count.
    """
    f1 = [window for window in watch.windows if _tells_f1(watch, window)]
    latency = [window for window in watch.windows if _tells_latency(watch, window)]
    figures = _figures(watch)
    names = ("counts of F1" if figures[0] else "F1", "counts of slow requests" if figures[1] else "latency")
    told = {name: windows for name, windows in zip(names, (f1, latency), strict=True) if windows}
    if not told:
        return watch.nothing("no figure")
    gaps = {name: _written(watch, _gaps(watch, windows)) for name, windows in told.items()}
    if len({*gaps.values()}) == 1 and not any(figures):
        missing = next(iter(gaps.values()))
        return f"nothing came {missing}" if missing else ""
    return " and ".join(f"no {name} came {missing}" for name, missing in gaps.items() if missing)


def uncounted(watch: Watch) -> tuple[str, ...]:
    """Say how many windows told a figure that the test of counts cannot use."""
    f1, latency = (counted(number, "window") if number else "" for number in _figures(watch))
    said = (
        f1 and f1 + " told an F1 and not the counts behind it: not counted",
        latency and latency + " told a p99 and not how many requests were slow: not counted",
    )
    return tuple(each for each in said if each)


def _figures(watch: Watch) -> tuple[int, int]:
    """Return how many windows told only a figure, of F1 and of latency, where counts are tested."""
    f1, latency = (sum(map(is_figure, watch.windows)) for is_figure in (is_f1_figure, is_p99_figure))
    return f1 * watch.tests_f1, latency * watch.tests_latency


def _tells_f1(watch: Watch, window: Window) -> bool:
    return tp_fp_fn(window) is not None or (not watch.tests_f1 and is_f1_figure(window))


def _tells_latency(watch: Watch, window: Window) -> bool:
    if watch.tests_latency:
        return slow_of_window(window) is not None
    p99 = window.latency_p99_seconds
    return (p99 is not None and p99 >= 0) or (watch.counts_slow and slow_of_window(window) is not None)


def _gaps(watch: Watch, windows: Sequence[Window]) -> list[_Gap]:
    """Return the gaps that are too long: before the first window, between two, and after the last."""
    if watch.swapped_at is None:
        return []
    reach, over = watch.swapped_at, watch.swapped_at + timedelta(minutes=watch.watch_minutes)
    longest, found = _longest(watch), []
    for begin, end in (*((window.window_start, window.window_end) for window in windows), (over, over)):
        if min(begin, over) - reach > longest:
            found.append(_Gap(reach, min(begin, over)))
        reach = max(reach, end)
    return found


def _longest(watch: Watch) -> timedelta:
    """Return the longest gap that is none: two windows of the usual length, within a tenth of the watch, or one."""
    lengths = sorted(window.window_end - window.window_start for window in watch.windows)
    usual = lengths[(len(lengths) - 1) // 2]
    return max(usual, min(2 * usual, timedelta(minutes=watch.watch_minutes) / _SHARE))


def _written(watch: Watch, gaps: Sequence[_Gap]) -> str:
    since = watch.swapped_at
    if since is None or not gaps:
        return ""
    minutes = [tuple(shown(round((at - since) / timedelta(minutes=1), 1)) for at in gap) for gap in gaps[:_TOLD]]
    more = [counted(len(gaps) - _TOLD, "further stretch", "further stretches")] if len(gaps) > _TOLD else []
    return "from " + listed([*(f"minute {begin} to {end}" for begin, end in minutes), *more])
