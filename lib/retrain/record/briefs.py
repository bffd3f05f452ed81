"""How runs ended, in a line each: what a list of a thousand shows. Imports next to nothing; reads one entry a run."""

from __future__ import annotations

from dataclasses import dataclass

from retrain.record.records import RunFolder

__all__ = ["Brief", "brief"]


@dataclass(frozen=True)
class Brief:
    """How a run ended, in one line."""

    run_id: str
    model: str
    outcome: str
    reason: str


def brief(folder: RunFolder) -> Brief:
    """Return how a run ended; of one that is closed, only its last entry is read, which it was found by."""
    told = folder.closed
    if told is None:
        from retrain.record import decision

        whole = decision.read(folder)
        return Brief(whole.run_id, whole.model, whole.outcome, whole.reason)
    return Brief(folder.run_id, folder.model, str(told["outcome"]), str(told.get("reason", "")))
