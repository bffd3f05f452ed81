"""The sandbox's own time: ``<home>/clock.json`` = {"origin", "started", "rate"}.

now = origin + (wall - started) * rate, where ``wall`` and ``started`` are unix seconds and ``rate`` is sandbox seconds
in one wall second. Rate 0 stops the clock. The file is replaced atomically, so a reader never sees half of it.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from retrain_sandbox.errors import SandboxDown, SandboxError
from retrain_sandbox.state import clock_file, write_json

__all__ = ["DEFAULT_RATE", "SandboxClock", "now", "read", "set"]

DEFAULT_RATE = 120.0  # 30 sandbox minutes pass in 15 wall seconds


@dataclass(frozen=True)
class SandboxClock:
    """Where the sandbox's time began and how fast it runs."""

    origin: str  # ISO instant with offset
    started: float  # unix wall seconds
    rate: float  # sandbox seconds in one wall second

    def at(self, wall: float) -> datetime:
        """Return the sandbox's instant (UTC) at the wall time ``wall`` (unix seconds)."""
        return datetime.fromisoformat(self.origin) + timedelta(seconds=(wall - self.started) * self.rate)


def read(home: Path) -> SandboxClock:
    """Return the clock of the sandbox in ``home``; SandboxDown when it has none."""
    try:
        return SandboxClock(**json.loads(clock_file(home).read_text()))
    except FileNotFoundError:
        raise SandboxDown(f"The sandbox in {home} has no clock yet: run `retrain sandbox up`.") from None
    except (ValueError, TypeError) as error:
        raise SandboxError(
            f"{clock_file(home)} is not a sandbox clock ({error}): run `retrain sandbox reset`."
        ) from error


def now(home: Path) -> datetime:
    """Return the sandbox's present instant, in UTC."""
    return read(home).at(time.time())


def set(home: Path, instant: datetime, rate: float = DEFAULT_RATE) -> SandboxClock:  # noqa: A001 - read as clock.set
    """Let the sandbox's time be ``instant`` from this moment on, running at ``rate``.

    ValueError when ``instant`` has no offset, or ``rate`` is negative or not finite.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no offset: a sandbox instant is in UTC, such as 2013-06-01T00:00:00+00:00")
    if not math.isfinite(rate) or rate < 0:
        raise ValueError(f"rate {rate} is not a number of sandbox seconds in one wall second (0 or more)")
    clock = SandboxClock(instant.astimezone(UTC).isoformat(), time.time(), float(rate))
    write_json(clock_file(home), asdict(clock))
    return clock
