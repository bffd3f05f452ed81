"""What a verification finds, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from retrain.ledger.chain import Head
from retrain.ledger.entries import entry_file

__all__ = ["EXIT_CODES", "Finding", "Grade", "Report", "Verification", "span"]

Verification = Literal["verified", "tampered", "incomplete", "unanchored", "empty"]
Grade = Literal["tampered", "incomplete", "unanchored"]

EXIT_CODES: Final[Mapping[Verification, int]] = {
    "verified": 0,
    "tampered": 1,
    "incomplete": 3,
    "unanchored": 4,
    "empty": 5,
}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: the file at fault, below the model's folder, and what is wrong with it."""

    grade: Grade
    file: str
    problem: str


@dataclass(frozen=True)
class Report:
    """What came out. ``runs`` tells of each run whether it is open, parked, closed or abandoned.

    ``head`` is the newest entry found, None where there is none. ``left_out`` are files that are no part of the record:
    copies that Jupyter makes of a notebook that somebody opens. Nothing is said of them.
    """

    status: Verification
    findings: tuple[Finding, ...]
    entries: int
    runs: Mapping[str, str]
    head: Head | None
    left_out: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The exit code of ``retrain verify``."""
        return EXIT_CODES[self.status]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self) | {"exit_code": self.exit_code, "runs": dict(self.runs)}


def span(first: int, last: int) -> str:
    """Return the names of the entries from ``first`` to ``last`` in words."""
    return entry_file(first) if first == last else f"{entry_file(first)} to {entry_file(last)}"
