"""Do the windows cover the watch? Metrics that fall silent after their first minutes must not read as health.

What F1 and latency rest on is looked at apart: rows may go on coming that no longer tell one of the two. What was never
told at all is not said again here: the metric's own check is open for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from retrain.facts import Window
from retrain.judgement.watching import Watch
from retrain.judgement.windows import is_f1_figure, slow_of_window, tp_fp_fn
from retrain.judgement.words import counted, listed, shown

__all__ = ["uncovered"]

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
    f1 = [window for window in watch.windows if tp_fp_fn(window) is not None or is_f1_figure(window)]
    latency = [window for window in watch.windows if _tells_latency(watch, window)]
    told = {name: windows for name, windows in (("F1", f1), ("latency", latency)) if windows}
    if not told:
        return watch.nothing("no figure")
    gaps = {name: _written(watch, _gaps(watch, windows)) for name, windows in told.items()}
    if len({*gaps.values()}) == 1:
        missing = next(iter(gaps.values()))
        return f"nothing came {missing}" if missing else ""
    return " and ".join(f"no {name} came {missing}" for name, missing in gaps.items() if missing)


def _tells_latency(watch: Watch, window: Window) -> bool:
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
