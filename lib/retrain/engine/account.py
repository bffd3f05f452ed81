"""The engine's own account of every cell: what ran, how it ended, and what that makes of the notebook.

Papermill's status is not evidence: it calls cells that never ran completed. An ``Account`` is built only from what the
engine itself saw, and only a notebook whose every code cell ended ``ok`` is ``COMPLETED``.

EngineError (RetrainError)      exit 1: the notebook could not be run or written, though no cell of it failed
├── OutputExistsError           the output is there already; nothing was run
└── Interrupted                 exit 19: SIGINT or SIGTERM; the notebook on disk says so
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from retrain.errors import RetrainError

__all__ = ["Account", "CellAccount", "CellStatus", "EngineError", "Interrupted", "OutputExistsError", "Status"]


class CellStatus(StrEnum):
    """How one code cell ended. Only ``OK`` is good."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    DEAD = "dead"
    NOT_RUN = "not_run"


class Status(StrEnum):
    """How the notebook ended. ``INCOMPLETE`` is also what a file says while it runs, and after a kill."""

    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    INCOMPLETE = "INCOMPLETE"


@dataclass(frozen=True)
class CellAccount:
    """One code cell: ``index`` counts all cells of the written notebook from 0; instants are UTC.

    ``error`` is one line. A cell tagged ``raises-exception`` that raised is ``ok`` with its error noted.
    """

    index: int
    status: CellStatus = CellStatus.NOT_RUN
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "index": self.index,
            "status": self.status.value,
            "started_at": _text(self.started_at),
            "finished_at": _text(self.finished_at),
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> CellAccount:
        """Read what ``to_dict`` wrote; an unknown status is a ValueError, never ``ok``."""
        return cls(
            index=int(body["index"]),
            status=CellStatus(body["status"]),
            started_at=_instant(body.get("started_at")),
            finished_at=_instant(body.get("finished_at")),
            error=body.get("error"),
        )


@dataclass(frozen=True)
class Account:
    """What became of one notebook: status, one plain sentence why, and the cell it happened in."""

    status: Status
    reason: str
    where: int | None
    cells: tuple[CellAccount, ...]
    output: Path | None = None

    @property
    def completed(self) -> bool:
        """Return whether every code cell ran and ended ok: status and cells must both say so, and be there."""
        return (
            self.status is Status.COMPLETED
            and bool(self.cells)
            and all(cell.status is CellStatus.OK for cell in self.cells)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: what stands in the notebook's ``metadata.retrain.account``."""
        return {
            "status": self.status.value,
            "reason": self.reason,
            "where": self.where,
            "cells": [cell.to_dict() for cell in self.cells],
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any], *, output: Path | None = None) -> Account:
        """Read what ``to_dict`` wrote."""
        cells: Sequence[Mapping[str, Any]] = body["cells"]
        return cls(
            status=Status(body["status"]),
            reason=str(body["reason"]),
            where=body["where"],
            cells=tuple(CellAccount.from_dict(cell) for cell in cells),
            output=output,
        )

    @classmethod
    def read(cls, notebook: Path) -> Account:
        """Read the account out of an executed notebook. No account in it: EngineError, never success."""
        import json

        try:
            metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
            return cls.from_dict(metadata["retrain"]["account"], output=notebook)
        except (OSError, KeyError, TypeError, ValueError) as error:
            message = f"{notebook}: no account of its cells can be read ({error!r}): not executed by this engine"
            raise EngineError(message) from error


class EngineError(RetrainError):
    """The notebook could not be run or written; ``account`` says how far it came, if it began."""

    def __init__(self, message: str, *, account: Account | None = None) -> None:
        """Take the message and, where something had begun, the account."""
        super().__init__(message)
        self.account = account


class OutputExistsError(EngineError, FileExistsError):
    """The output is there already: an executed notebook is never overwritten. Nothing was run."""


class Interrupted(EngineError):  # noqa: N818 - it is an outcome with an exit code of its own, no error
    """SIGINT or SIGTERM: the kernel was stopped, its output kept, the notebook on disk finalised."""

    exit_code = 19


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
