"""What a watch after a swap has before it: the windows, the limits in force, and what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from retrain.checks import Evidence, exact
from retrain.facts import Metrics, Window
from retrain.judgement.windows import is_f1_figure, is_p99_figure, slow_of_window, tp_fp_fn
from retrain.judgement.words import counted, shown

__all__ = ["F1_CONCENTRATION", "SLOW_SECONDS", "SLOW_SHARE", "Watch"]

F1_CONCENTRATION = 2
"""The mixture over lower F1 leans a little to small drops: with half of α, and 22 events a minute, a drop of 0.10 is
then seen after 4 minutes (median), and after 5 with the uniform one; healthy models rolled back: 0.5 %, and 0.4 %."""

SLOW_SECONDS = 1.0
"""MODEL_METRICS counts a request as slow from here on."""

SLOW_SHARE = 0.01
"""p99 < 1 s says: fewer than one request in a hundred is slow."""


@dataclass(frozen=True)
class Watch:
    """Windows in order of time, and the limits in force. ``alpha`` is one metric's share of the false-rollback rate.

    ``looks`` are what the windows added up to at each look, in the order in which it came, as ``summed`` adds them.
    ``baseline`` are the figures with which the version passed the gate, where they are known. ``edition`` is that of
    the rules and their words: 1 are those of release 0.1.0.
    """

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
    watch_minutes: float = 30
    baseline: Metrics | None = None
    edition: int = 2
    looks: tuple[Window, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def f1_limit(self) -> Decimal | None:
        """Baseline less tolerance, exactly; None without a baseline that F1 could fall from."""
        if self.baseline_f1 is None or not 0 < self.baseline_f1 <= 1:
            return None
        limit = exact(self.baseline_f1) - exact(self.f1_drop_tolerance)
        return limit if limit > 0 else None

    @property
    def counts_slow(self) -> bool:
        """Whether slow requests, as MODEL_METRICS counts them, answer for the ceiling."""
        return self.latency_ceiling == SLOW_SECONDS

    @property
    def tests_f1(self) -> bool:
        """Whether F1 is tested on counts: always, unless figures are all that is told of it.

        Before edition 3 a single figure without counts was enough to leave the test.
        """
        counted = self.edition > 2 and any(tp_fp_fn(window) is not None for window in self.windows)
        return self.rule == "exact" and (counted or not any(is_f1_figure(window) for window in self.windows))

    @property
    def tests_latency(self) -> bool:
        """Whether slow requests are tested: as F1 is, and only where they answer for the ceiling."""
        if self.rule != "exact" or not self.counts_slow:
            return False
        if self.edition > 2:
            counted = any(slow_of_window(window) is not None for window in self.windows)
            return counted or not any(is_p99_figure(window) for window in self.windows)
        return all(w.latency_p99_seconds is None or slow_of_window(w) is not None for w in self.windows)

    def minute(self, window: Window) -> str:
        """Name the minute since the swap at which ``window`` ended."""
        if self.swapped_at is None:
            return "at an unknown minute"
        return f"at minute {shown(round((window.window_end - self.swapped_at).total_seconds() / 60, 1))}"

    def nothing(self, what: str) -> str:
        """Say that there is ``what``: no window at all, or none that tells."""
        if not self.windows:
            return "MODEL_METRICS holds no window of the new version since the swap"
        return f"{what} in {counted(len(self.windows), 'window')} since the swap"
