"""The environment's own time: the machine's in production, the sandbox's in the sandbox.

The only module that reads the machine's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "EnvironmentClock", "wall"]


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
