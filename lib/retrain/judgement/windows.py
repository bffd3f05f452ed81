"""Which rows of MODEL_METRICS speak of the new version since the swap, and what they add up to.

Rows come late, twice, out of order, from another version, from before the swap, and over one another. What is kept is
put in order of time, each stretch of time once; what is left out is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from retrain.facts import Window
from retrain.judgement.words import counted

__all__ = [
    "Kept",
    "Tally",
    "f1_of_window",
    "is_f1_figure",
    "is_p99_figure",
    "keep",
    "revised",
    "slow_of_window",
    "summed",
    "tally",
    "tp_fp_fn",
]


class Kept(NamedTuple):
    """The windows that count, in order of time, and what is to be said of the rest."""

    windows: tuple[Window, ...]
    notes: tuple[str, ...]


class Tally(NamedTuple):
    """Rows added up over windows; ``tn`` is None where any window does not tell it."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int | None = 0

    @property
    def events(self) -> int:
        """TP + FP + FN: everything that is not a true negative."""
        return self.tp + self.fp + self.fn

    @property
    def f1(self) -> Fraction | None:
        """F1 of the sums, exactly; None without events."""
        return Fraction(2 * self.tp, self.tp + self.events) if self.events else None


def keep(windows: Sequence[Window], *, since: datetime | None, version: str | None) -> Kept:
    """Keep the windows of ``version`` that began at or after ``since``, each stretch of time once.

    Of two rows for one start and version the one that was recorded last counts, and the later row where that is not
    told. Of windows that overlap, the one that ends first does; what names the candidate goes before what names nobody.
    A window that names no version counts by its time, and so does every one where nobody told the candidate's, as long
    as they name one version only.
    """
    if since is None:
        return Kept((), ("when the swap happened is not known, nor then which windows came after it",))
    newest = _newest(windows)
    notes = _note(len(windows) - len(newest), "repeated window", "only the last row counts")
    whole = [window for window in newest if window.window_end > window.window_start]
    notes += _note(len(newest) - len(whole), "window without a length", "left out")
    after = [window for window in whole if window.window_start >= since]
    notes += _note(len(whole) - len(after), "window from before the swap", "left out", "windows from before the swap")
    ours, told = _of_version(after, version)
    apart = _apart(ours, version)
    over = _note(len(ours) - len(apart), "window that overlaps another", "left out", "windows that overlap others")
    return Kept(apart, (*notes, *told, *over))


def tp_fp_fn(window: Window) -> tuple[int, int, int] | None:
    """Return the counts behind F1, or None where one is missing or cannot be."""
    if window.tp is None or window.fp is None or window.fn is None:
        return None
    counts = (window.tp, window.fp, window.fn)
    return counts if min(counts) >= 0 else None


def slow_of_window(window: Window) -> tuple[int, int] | None:
    """Return slow requests and requests, or None where one is missing or cannot be."""
    slow, requests = window.slow_requests, window.requests
    return (slow, requests) if slow is not None and requests is not None and 0 <= slow <= requests else None


def is_f1_figure(window: Window) -> bool:
    """Whether the window tells an F1 and no counts to check it by."""
    return window.f1 is not None and 0 <= window.f1 <= 1 and tp_fp_fn(window) is None


def is_p99_figure(window: Window) -> bool:
    """Whether the window tells a p99 and not how many requests were slow."""
    p99 = window.latency_p99_seconds
    return p99 is not None and p99 >= 0 and slow_of_window(window) is None


def f1_of_window(window: Window) -> float | None:
    """Return the window's own F1, counted where it can be; None where there is none."""
    counts = tp_fp_fn(window)
    if counts is None:
        return window.f1 if is_f1_figure(window) else None
    tp, fp, fn = counts
    return 2 * tp / (2 * tp + fp + fn) if sum(counts) else None


def tally(windows: Iterable[Window]) -> list[Tally]:
    """Return the running sums after each window that tells its counts."""
    sums, total = [], Tally()
    for window in windows:
        counts = tp_fp_fn(window)
        if counts is None:
            continue
        known = total.tn is not None and window.tn is not None and window.tn >= 0
        tn = (total.tn or 0) + (window.tn or 0) if known else None
        total = Tally(total.tp + counts[0], total.fp + counts[1], total.fn + counts[2], tn)
        sums.append(total)
    return sums


def summed(windows: Sequence[Window]) -> Window | None:
    """Return one window with the counts of all, from the first to the last; what none of them tells is missing."""
    if not windows:
        return None
    rows = tally(windows)
    slow = [counts for counts in map(slow_of_window, windows) if counts is not None]
    told = rows[-1]._asdict() if rows else {}
    if slow:
        told |= {"slow_requests": sum(each for each, _ in slow), "requests": sum(each for _, each in slow)}
    return Window(window_start=windows[0].window_start, window_end=windows[-1].window_end, **told)


def _newest(windows: Iterable[Window]) -> list[Window]:
    newest: dict[tuple[datetime, str | None], Window] = {}
    for window in windows:
        known = newest.get((window.window_start, window.version))
        times = (known.recorded_at, window.recorded_at) if known is not None else (None, None)
        if times[0] is None or times[1] is None or times[1] >= times[0]:
            newest[window.window_start, window.version] = window
    return list(newest.values())


def revised(before: Iterable[Window], now: Iterable[Window]) -> int:
    """Return how many windows tell something else than they told ``before``: late labels, a row written again."""
    told = {(window.window_start, window.version): window for window in _newest(before)}
    return sum(window != told.get((window.window_start, window.version), window) for window in _newest(now))


def _of_version(windows: list[Window], version: str | None) -> tuple[list[Window], tuple[str, ...]]:
    """Leave out what names another version, and say what names none."""
    named = Counter(window.version for window in windows if window.version is not None)
    if version is None and len(named) > 1:
        return [], (f"windows name {len(named)} versions and the candidate's is not known: none is counted",)
    kept = [window for window in windows if version is None or window.version in (version, None)]
    notes = _note(len(windows) - len(kept), "window of another version", "left out", "windows of another version")
    silent = sum(window.version is None for window in kept)
    return kept, notes + _note(silent, "window names no version", "counted by its time", "windows name no version")


def _apart(windows: Sequence[Window], version: str | None) -> tuple[Window, ...]:
    """Keep the most windows that do not overlap: of those that name ``version``, then of the rest between them."""
    named = _ending_first(window for window in windows if version is not None and window.version == version)
    rest = [window for window in windows if version is None or window.version != version]
    between = _ending_first(window for window in rest if not any(_overlap(window, other) for other in named))
    return tuple(sorted((*named, *between), key=lambda each: each.window_end))


def _overlap(one: Window, other: Window) -> bool:
    return one.window_start < other.window_end and other.window_start < one.window_end


def _ending_first(windows: Iterable[Window]) -> list[Window]:
    kept: list[Window] = []
    for window in sorted(windows, key=lambda each: (each.window_end, each.window_start)):
        if not kept or window.window_start >= kept[-1].window_end:
            kept.append(window)
    return kept


def _note(number: int, one: str, what: str, many: str = "") -> tuple[str, ...]:
    return (f"{counted(number, one, many)}: {what}",) if number else ()
