"""The two slots: which version is active and which stands by (``<home>/service/slots.json``, replaced atomically)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from retrain_sandbox import state

__all__ = ["Slots", "read", "version_directory", "write"]


@dataclass(frozen=True)
class Slots:
    """Versions by slot, and the last swap. ``promotion_recorded``: its row is in MODEL_METRICS."""

    active: str | None = None
    standby: str | None = None
    swapped_at: datetime | None = None  # the sandbox's instant
    swaps: int = 0
    promotion_recorded: bool = True

    def swapped(self, at: datetime) -> Slots:
        """Return the slots toggled at ``at``; ValueError where nothing stands by."""
        if self.standby is None:
            raise ValueError("the standby slot is empty: there is nothing to swap to")
        return Slots(self.standby, self.active, at, self.swaps + 1, promotion_recorded=False)

    def staged(self, version: str) -> Slots:
        """Return the slots with ``version`` standing by."""
        return replace(self, standby=version)


_ADAPTER = TypeAdapter(Slots)


def _file(home: Path) -> Path:
    return state.service_directory(home) / "slots.json"


def read(home: Path) -> Slots:
    """Return the slots of the service in ``home``; both empty where there is no file yet."""
    path = _file(home)
    return _ADAPTER.validate_json(path.read_bytes()) if path.is_file() else Slots()


def write(home: Path, slots: Slots) -> None:
    """Replace the slots, durably."""
    state.write_json(_file(home), _ADAPTER.dump_python(slots, mode="json"))


def version_directory(home: Path, version: str) -> Path:
    """Return where the artifact of ``version`` lies."""
    return state.service_directory(home) / "versions" / version
