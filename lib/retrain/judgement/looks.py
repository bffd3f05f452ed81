"""What the exact tests see at each look: the sums so far and their e-values.

A look is one at MODEL_METRICS: everything that was known then, in the order in which it came. Labels come late, so that
the first windows of an hour ago, as they are told now, were never known alone: sums that never stood are no look, and a
test of them would be one more that nobody allowed for. Up to edition 2 there was a look after each window all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import TypeVar

from retrain.facts import Window
from retrain.judgement.prevalence import adjusted_f1
from retrain.judgement.watching import F1_CONCENTRATION, SLOW_SHARE, Watch
from retrain.judgement.windows import Tally, f1_of_window, slow_of_window, summed, tally, tp_fp_fn
from retrain.judgement.words import shown
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.sequential import log_e_bernoulli_below, log_e_slow_requests, log_threshold

__all__ = [
    "F1Look",
    "SlowLook",
    "Standing",
    "e_value",
    "f1_looks",
    "rising",
    "slow_looks",
    "standings",
    "until_it_acts",
]


@dataclass(frozen=True)
class F1Look:
    """The rows until the end of ``window``, and log E against "F1 is at least the baseline". ``acts``: it was seen."""

    window: Window
    total: Tally
    log_e: float
    acts: bool

    @property
    def e_value(self) -> float:
        """E itself, at most 10^300."""
        return _e(self.log_e)


@dataclass(frozen=True)
class SlowLook:
    """The requests until the end of ``window``, and log E against "fewer than 1 % are slow". ``acts``: it was seen."""

    window: Window
    slow: int
    requests: int
    log_e: float
    acts: bool

    @property
    def e_value(self) -> float:
        """E itself, at most 10^300."""
        return _e(self.log_e)


AnyLook = TypeVar("AnyLook", F1Look, SlowLook)


def f1_looks(watch: Watch) -> list[F1Look]:
    """Return each look at which counts were told; none without a limit that F1 could fall below."""
    limit = watch.f1_limit
    if limit is None:
        return []
    floor, line, looks = jaccard_of(watch.baseline_f1 or 0.0), Fraction(limit), []
    for window, total in _rows_known(watch):
        log_e = log_e_bernoulli_below(total.tp, total.events, floor, concentration=F1_CONCENTRATION)
        below = total.f1 is not None and total.f1 < line
        looks.append(F1Look(window, total, log_e, below and log_e >= log_threshold(watch.alpha)))
    return looks


def slow_looks(watch: Watch) -> list[SlowLook]:
    """Return each look at which slow requests were told."""
    looks = []
    for window, slow, requests in _requests_known(watch):
        log_e = log_e_slow_requests(slow, requests, SLOW_SHARE)
        looks.append(SlowLook(window, slow, requests, log_e, log_e >= log_threshold(watch.alpha)))
    return looks


def _rows_known(watch: Watch) -> list[tuple[Window, Tally]]:
    """Return the rows as they stood at each look, and the window that the look ends with."""
    if watch.edition < 3:
        told = [window for window in watch.windows if tp_fp_fn(window) is not None]
        return [*zip(told, tally(told), strict=True)]
    known = [(look, total) for look in _known(watch) for total in tally([look])]
    return known if any(tp_fp_fn(window) is not None for window in watch.windows) else []


def _requests_known(watch: Watch) -> list[tuple[Window, int, int]]:
    """Return slow requests and requests as they stood at each look, and the window that the look ends with."""
    told = [(window, counts) for window in watch.windows if (counts := slow_of_window(window)) is not None]
    if watch.edition > 2:
        looks = _known(watch) if told else []
        return [(look, *counts) for look in looks if (counts := slow_of_window(look)) is not None]
    sums = accumulate((counts for _, counts in told), lambda one, other: (one[0] + other[0], one[1] + other[1]))
    return [(window, *counts) for (window, _), counts in zip(told, sums, strict=True)]


def _known(watch: Watch) -> list[Window]:
    """Return the looks, the last of which is at the windows as they are: where no other was told, the only one."""
    now = summed(watch.windows)
    return [*watch.looks, *([now] if now is not None and watch.looks[-1:] != (now,) else [])]


def rising(watch: Watch, counts: Sequence[int]) -> list[int]:
    """Leave out the looks at which no more was known than before, or more than is left: they add no power."""
    if watch.edition < 3:
        return [*counts]
    return [*dict.fromkeys(accumulate((each for each in counts if each <= counts[-1]), max))]


@dataclass(frozen=True)
class Standing:
    """What was known at the end of one window: its own F1 and p99, and the sums of all so far with their evidence.

    There are no sums where no look ended with it: it became known together with a later one.
    """

    window: Window
    minute: float | None
    f1: float | None
    f1_look: F1Look | None
    slow_look: SlowLook | None
    f1_at_baseline_prevalence: float | None

    @property
    def f1_so_far(self) -> float | None:
        """F1 of the sums; None where no counts were told."""
        total = self.f1_look.total.f1 if self.f1_look is not None else None
        return None if total is None else float(total)


def standings(watch: Watch) -> list[Standing]:
    """Return what was known with each window, in order of time: at the last of the looks that ended with it."""
    f1 = {look.window.window_end: look for look in f1_looks(watch)}
    slow = {look.window.window_end: look for look in slow_looks(watch)}
    ends = [(window, window.window_end) for window in watch.windows]
    return [_standing(watch, window, f1.get(end), slow.get(end)) for window, end in ends]


def _standing(watch: Watch, window: Window, f1: F1Look | None, slow: SlowLook | None) -> Standing:
    since = watch.swapped_at
    adjusted = adjusted_f1(f1.total, watch.baseline) if f1 is not None else None
    return Standing(
        window=window,
        minute=None if since is None else round((window.window_end - since).total_seconds() / 60, 1),
        f1=f1_of_window(window),
        f1_look=f1,
        slow_look=slow,
        f1_at_baseline_prevalence=None if adjusted is None else float(adjusted),
    )


def until_it_acts(looks: list[AnyLook]) -> list[AnyLook]:
    """Return the looks up to the first that acts, that one included; all of them where none does."""
    at = next((place for place, look in enumerate(looks, 1) if look.acts), len(looks))
    return looks[:at]


def _e(log_e: float) -> float:
    return math.exp(min(log_e, 300 * math.log(10)))


def e_value(log_e: float, alpha: float) -> str:
    """Write an e-value and the one that the test acts at."""
    limit = shown(round(1 / alpha, 2))
    if log_e > math.log(1e6) or log_e < math.log(1e-3):
        value = "∞" if math.isinf(log_e) else f"10^{log_e / math.log(10):.1f}".replace("-", "−")
    else:
        value = shown(float(f"{math.exp(log_e):.3g}"))
    return f"e-value {value}, acts at {limit}"
