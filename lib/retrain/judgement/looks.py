"""What the exact tests see at each look: the sums so far and their e-values, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from retrain.facts import Window
from retrain.judgement.prevalence import adjusted_f1
from retrain.judgement.watching import F1_CONCENTRATION, SLOW_SHARE, Watch
from retrain.judgement.windows import Tally, f1_of_window, slow_of_window, tally, tp_fp_fn
from retrain.judgement.words import shown
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.sequential import log_e_bernoulli_below, log_e_slow_requests, log_threshold

__all__ = ["F1Look", "SlowLook", "Standing", "e_value", "f1_looks", "slow_looks", "standings", "until_it_acts"]


@dataclass(frozen=True)
class F1Look:
    """After ``window``: the rows so far, and log E against "F1 is at least the baseline". ``acts``: it was seen."""

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
    """After ``window``: the requests so far, and log E against "fewer than 1 % are slow". ``acts``: it was seen."""

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
    """Return a look after each window that tells its counts; none without a limit that F1 could fall below."""
    limit, told = watch.f1_limit, [window for window in watch.windows if tp_fp_fn(window) is not None]
    if limit is None:
        return []
    floor, line, looks = jaccard_of(watch.baseline_f1 or 0.0), Fraction(limit), []
    for window, total in zip(told, tally(told), strict=True):
        log_e = log_e_bernoulli_below(total.tp, total.events, floor, concentration=F1_CONCENTRATION)
        below = total.f1 is not None and total.f1 < line
        looks.append(F1Look(window, total, log_e, below and log_e >= log_threshold(watch.alpha)))
    return looks


def slow_looks(watch: Watch) -> list[SlowLook]:
    """Return a look after each window that tells its slow requests."""
    slow, requests, looks = 0, 0, []
    for window in watch.windows:
        counts = slow_of_window(window)
        if counts is None:
            continue
        slow, requests = slow + counts[0], requests + counts[1]
        log_e = log_e_slow_requests(slow, requests, SLOW_SHARE)
        looks.append(SlowLook(window, slow, requests, log_e, log_e >= log_threshold(watch.alpha)))
    return looks


@dataclass(frozen=True)
class Standing:
    """What was known after one window: its own F1 and p99, and the sums of all windows so far with their evidence."""

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
    """Return what was known after each window, in order of time."""
    f1 = {look.window: look for look in f1_looks(watch)}
    slow = {look.window: look for look in slow_looks(watch)}
    return [_standing(watch, window, f1.get(window), slow.get(window)) for window in watch.windows]


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
