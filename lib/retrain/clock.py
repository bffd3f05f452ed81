"""The environment's own time: the machine's in production, the sandbox's in the sandbox; and how to wait in it.

The only module that reads the machine's clock.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "EnvironmentClock", "Pace", "wall"]

_FIRST, _GROWTH, _JITTER = 1 / 8, 1.5, 0.25
_LONGEST_ASKED = 60.0


class Clock(Protocol):
    """What time it is in the environment, and how to wait."""

    def now(self) -> datetime:
        """Return the environment's instant, in UTC."""

    def monotonic(self) -> float:
        """Return wall seconds that never go back, for deadlines."""

    def sleep(self, seconds: float) -> None:
        """Wait so many wall seconds."""


def wall() -> datetime:
    """Return the machine's instant in UTC: for when a thing was recorded, never for what is decided."""
    return datetime.now(UTC)


class EnvironmentClock:
    """A clock that asks ``source`` for the environment's instant and waits in wall seconds."""

    def __init__(self, source: Callable[[], datetime] = wall) -> None:
        """Take the function that tells the environment's instant."""
        self._source = source

    def now(self) -> datetime:
        """Return the environment's instant, in UTC."""
        return self._source().astimezone(UTC)

    def monotonic(self) -> float:
        """Return wall seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait so many wall seconds."""
        time.sleep(max(0.0, seconds))


class Pace:
    """The pauses (wall seconds) between looks at something that takes its time.

    The first is an eighth of ``longest``, each later one half as long again, up to ``longest``; each is then shortened
    by chance, by a quarter at most, so that many who began together do not go on in step. None is longer than
    ``longest``, so an end is noticed within it. ``chance`` is where the chance comes from: a seeded one gives the same
    pauses again.
    """

    def __init__(self, longest: float, *, chance: random.Random | None = None) -> None:
        """Take the longest pause, the first look still to come."""
        self._longest = longest
        self._next = longest * _FIRST
        self._chance = chance or random.Random()  # noqa: S311 - spreads looks, hides nothing

    def pause(self, *, asked: float | None = None, left: float | None = None) -> float:
        """Return how long to wait now.

        ``asked`` is what the other side wants at least (``Retry-After``): it is honoured up to a minute. ``left`` is
        what is left until the deadline, which no pause exceeds.
        """
        spread = self._next * self._chance.uniform(1 - _JITTER, 1)
        self._next = min(self._longest, self._next * _GROWTH)
        wanted = max(spread, min(asked or 0.0, _LONGEST_ASKED))
        return wanted if left is None else max(0.0, min(wanted, left))
