"""What the entries say, one after another: who held the model, what was sealed, which effects were left open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from retrain.ledger.entries import SEALING, STATES, Entry, entry_file
from retrain.ledger.people import wrong_approval
from retrain.ledger.reports import Finding

__all__ = ["History", "RunHistory"]

_STATE = {"opened": "open", "resumed": "open", "parked": "parked", "closed": "closed", "abandoned": "abandoned"}

_SETTLED = ("applied", "not_sent", "not_applied")
"""What an act may have come to; any other word, or none, leaves open what became of it."""


@dataclass
class RunHistory:
    """One run as its entries tell it.

    ``seal`` ended it; ``intents`` are those whose outcome is not known, by effect and target.
    """

    opening: Entry
    state: str = "open"
    seal: Entry | None = None
    intents: dict[tuple[str, str], Entry] = field(default_factory=dict)


class History:
    """Reads entries in order, and notes what cannot have happened in that order."""

    def __init__(self) -> None:
        """Begin before the first entry."""
        self.runs: dict[str, RunHistory] = {}
        self.impossible: list[Finding] = []
        self._holding: RunHistory | None = None

    def read(self, entry: Entry) -> None:
        """Take the next entry."""
        wrong = self._wrong(entry)
        if wrong:
            self.impossible.append(Finding("tampered", entry_file(entry.number), wrong))
        if entry.kind == "opened":
            self.runs.setdefault(entry.run, RunHistory(entry))
        if entry.run in self.runs:
            self._note(self.runs[entry.run], entry)

    def unfinished(self) -> Iterator[Finding]:
        """Yield what is still open: runs without an end, effects without a known outcome."""
        for name, run in self.runs.items():
            if run.seal is None:
                yield Finding(
                    "incomplete", entry_file(run.opening.number), f"run {name} is {run.state}: nothing ended it"
                )
            for intent in run.intents.values():
                problem = f"what became of this effect of run {name} is not known"
                yield Finding("incomplete", entry_file(intent.number), problem)

    def _wrong(self, entry: Entry) -> str:
        run = self.runs.get(entry.run)
        if entry.kind == "opened":
            return self._wrong_opening(entry)
        if run is None:
            return f"run {entry.run} was not opened before"
        if entry.kind == "resolved":
            return ""
        if run is not self._holding:
            return f"run {entry.run} did not hold the model then"
        if run.state == "parked" and entry.kind not in STATES | {"approved"}:
            return f"run {entry.run} was parked then"
        return wrong_approval(run.opening, entry) if entry.kind == "approved" else ""

    def _wrong_opening(self, entry: Entry) -> str:
        if entry.run in self.runs:
            return f"run {entry.run} was opened before"
        return f"run {self._holding.opening.run} held the model then" if self._holding else ""

    def _note(self, run: RunHistory, entry: Entry) -> None:
        if entry.kind in STATES:
            run.state = _STATE[entry.kind]
            run.seal = entry if entry.kind in SEALING else None
            self._holding = None if run.seal else run
        elif entry.kind == "intent":
            run.intents[_act(entry)] = entry
        elif entry.kind in {"outcome", "resolved"} and entry.body.get("outcome") in _SETTLED:
            run.intents.pop(_act(entry), None)


def _act(entry: Entry) -> tuple[str, str]:
    """Return which act outside an entry is about. As text: a body may hold anything under these names."""
    return str(entry.body.get("effect")), str(entry.body.get("target"))
