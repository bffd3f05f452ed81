"""The labelled traffic of the active version, and its MODEL_METRICS.

While nothing happens, one window an hour: the labelled rows of TRANSACTIONS that arrived in that hour, each sent to the
active version as a request of its own. In the hour after a swap, one window a minute, of the rows of the four weeks
before the swap that no training may see: shuffled, each once before any comes again, and so many a minute that a window
has about 24 events that are not true negatives. Scores, decisions and latencies are those of the real requests.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrain_sandbox import clock, metrics, quality, world
from retrain_sandbox.conditions import Conditions
from retrain_sandbox.models import Model, send
from retrain_sandbox.table import Table, held_out, labelled

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

__all__ = ["Serving", "Traffic"]

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WATCHED = HOUR  # after a swap: so long windows are of a minute
DRAWN_FROM = timedelta(days=28)
EVENTS = 24  # a window: TP + FP + FN
FEWEST, MOST = 100, 800  # requests a window
LONGEST_WAIT = 0.5  # wall seconds between two looks at the clock
RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Serving:
    """What serves: the active model, since when (None: since before this world), and whether its promotion is told."""

    model: Model | None
    swaps: int
    swapped_at: datetime | None
    promotion_recorded: bool


class Traffic:
    """A thread that serves labelled traffic and writes its windows, in order, until it is stopped."""

    def __init__(
        self, home: Path, name: str, world_id: str, conditions: Conditions, serving: Callable[[], Serving]
    ) -> None:
        """Take who serves (asked anew for each window). ``start`` begins."""
        self._home = home
        self._name = name
        self._world_id = world_id
        self._conditions = conditions
        self._serving = serving
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._told = threading.Condition()
        self._promoted = 0  # the number of the last swap whose promotion row is written
        self._drawn: tuple[int, Table] | None = None
        self._next = clock.now(home)  # where the next window begins
        self._next_quality = self._next + quality.EVERY
        self._swaps_seen = serving().swaps
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.on_promotion_recorded: Callable[[int], None] = lambda swaps: None

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no longer; a window under way is not written."""
        self._stop.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def promoted(self, swaps: int, seconds: float) -> bool:
        """Have the promotion row of swap number ``swaps`` written; tell whether it was, within ``seconds``."""
        self._changed.set()
        with self._told:
            return self._told.wait_for(lambda: self._promoted >= swaps, timeout=seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with _connect(self._home) as connection:
                    self._serve(connection)
            except Exception as error:  # noqa: BLE001 - a warehouse that restarts must not end the traffic for good
                logging.getLogger(__name__).warning("traffic is interrupted: %s: %s", type(error).__name__, error)
                self._stop.wait(RETRY_SECONDS)

    def _serve(self, connection: SnowflakeConnection) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            serving = self._serving()
            if serving.model is None:
                self._changed.wait(LONGEST_WAIT)
                continue
            self._promote(connection, serving.model, serving)
            self._follow(serving)
            self._check_quality(connection)
            due = self._next + self._length(serving)
            away = (due - clock.now(self._home)).total_seconds()
            if away > 0:
                self._changed.wait(min(LONGEST_WAIT, away / max(clock.read(self._home).rate, 1e-9)))
                continue
            self._window(connection, serving.model, serving, (self._next, due))
            self._next = due

    def _check_quality(self, connection: SnowflakeConnection) -> None:
        """Make the data-quality run of this world, every six hours."""
        now = clock.now(self._home)
        if now >= self._next_quality and self._conditions.data_quality_runs:
            quality.run(connection, now)
            self._next_quality = now + quality.EVERY

    def _promote(self, connection: SnowflakeConnection, model: Model, serving: Serving) -> None:
        if serving.promotion_recorded or self._promoted >= serving.swaps:
            return
        metrics.insert(connection, metrics.promotion(self._name, model, serving.swapped_at or clock.now(self._home)))
        self.on_promotion_recorded(serving.swaps)
        with self._told:
            self._promoted = serving.swaps
            self._told.notify_all()

    def _follow(self, serving: Serving) -> None:
        """Let the next window begin at the first whole minute after a swap, and never lie more than an hour back."""
        now = clock.now(self._home)
        if serving.swaps != self._swaps_seen and serving.swapped_at:
            self._swaps_seen = serving.swaps
            self._next = _whole_minute(serving.swapped_at)
        if now - self._next > WATCHED + HOUR:  # the warehouse was away, or the machine asleep: nothing was served
            self._next = _whole_minute(now)

    def _length(self, serving: Serving) -> timedelta:
        watched = serving.swapped_at is not None and self._next - serving.swapped_at < WATCHED
        return MINUTE if watched else HOUR

    def _window(
        self, connection: SnowflakeConnection, model: Model, serving: Serving, span: tuple[datetime, datetime]
    ) -> None:
        ours = model.manifest.world_id == self._world_id
        if ours and self._silent(serving, span[1]):
            return
        length = span[1] - span[0]
        rows = labelled(connection, *span) if length == HOUR else self._draw(connection, serving, span[0])
        if not len(rows):
            return
        answers = send(model, rows.instances(np.arange(len(rows))), active=True)
        if self._serving().swaps != serving.swaps or self._stop.is_set():
            return  # another version serves by now: this window is of neither
        labels = _shifted(rows.labels, self._conditions.traffic.shifted_labels_share if ours else 0.0)
        row = metrics.window(
            self._name,
            model,
            span,
            labels=labels,
            scores=answers.scores,
            seconds=answers.seconds,
            recorded_at=clock.now(self._home),
        )
        metrics.insert(connection, row)

    def _silent(self, serving: Serving, end: datetime) -> bool:
        """Whether the window that ends at ``end`` is not written."""
        after = self._conditions.traffic.silent_after_minutes
        return after is not None and end > (serving.swapped_at or end) + after * MINUTE

    def _draw(self, connection: SnowflakeConnection, serving: Serving, begin: datetime) -> Table:
        """Draw the requests of the minute that begins at ``begin``."""
        swapped = serving.swapped_at or begin
        if self._drawn is None or self._drawn[0] != serving.swaps:
            recent = labelled(connection, swapped - DRAWN_FROM, swapped)
            untouched = np.flatnonzero(held_out(recent.ids))
            order = np.random.default_rng(serving.swaps).permutation(untouched)
            self._drawn = (serving.swaps, recent.take(order))
        rows = self._drawn[1]
        if not len(rows):
            return rows
        share = max(float(rows.labels.mean()), EVENTS / MOST)
        number = int(np.clip(EVENTS / share, FEWEST, MOST))
        first = round((begin - swapped) / MINUTE) * number
        return rows.take(np.arange(first, first + number) % len(rows))


def _connect(home: Path) -> Any:
    import snowflake.connector  # a second, which the first prediction need not wait for

    return snowflake.connector.connect(**world.read(home).warehouse, network_timeout=10, login_timeout=10)


def _whole_minute(instant: datetime) -> datetime:
    whole = instant.replace(second=0, microsecond=0)
    return whole if whole == instant else whole + MINUTE


def _shifted(labels: np.ndarray[Any, Any], share: float) -> np.ndarray[Any, Any]:
    """Give ``share`` of the requests the label of the request before them, evenly spread."""
    if not share:
        return labels
    places = np.arange(len(labels))
    moved = np.floor((places + 1) * share) > np.floor(places * share)
    return np.where(moved, np.roll(labels, 1), labels)
