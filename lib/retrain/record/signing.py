"""Signs for a person's notebook, in a process of its own: ``python -m retrain.record.signing open | resume | end``.

A kernel never loads a key. It tells on standard input what it wants, in JSON, and this process, which ends at once,
signs in its name: the kernel holds the run, by its process number. The answer, or the error, is one JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from retrain.errors import RetrainError, UsageError
from retrain.ledger.runs import state
from retrain.record import approvals, records, supervision
from retrain.record.opening import records_root
from retrain.record.records import RunFolder
from retrain.record.supervision import Supervised, notebook_holder
from retrain.settings import Settings

__all__ = ["answer", "main"]


def answer(verb: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Do what a kernel wants: ``open`` (settings, told, pid), ``resume`` (run, pid) or ``end`` (run, outcome).

    A run is ``{"root", "model", "run", "held_by"}``, and so is the answer, with ``warnings``.
    """
    warnings: list[str] = []
    if verb == "open":
        settings = Settings.model_validate_json(json.dumps(wanted["settings"]))
        _leave_own_run(settings, wanted["pid"], warnings)
        holder = notebook_holder(wanted["pid"])
        supervised = supervision.open_run(settings, wanted["told"], holder=holder, warn=warnings.append)
    elif verb == "resume":
        supervised = _resumed(_folder(wanted), wanted["pid"], warnings)
    elif verb == "end":
        supervised = supervision.joined(_folder(wanted), wanted["held_by"], warn=warnings.append)
        _end(supervised, wanted["outcome"], wanted["reason"])
        return _run(supervised, warnings)
    else:
        raise UsageError(f"python -m retrain.record.signing open | resume | end, not {verb!r}")
    supervised.leave_open()
    return _run(supervised, warnings)


def _resumed(folder: RunFolder, pid: int, warnings: list[str]) -> Supervised:
    approval = approvals.check(folder) if folder.bodies("approved") else None
    supervised = supervision.resume(folder, holder=notebook_holder(pid), warn=warnings.append)
    if approval is not None:
        supervised.append("approval_checked", approval)
    return supervised


def _end(supervised: Supervised, outcome: str, reason: str) -> None:
    if outcome == "awaiting_approval":
        supervised.park(reason)
    else:
        supervised.close(outcome, reason)


def _leave_own_run(settings: Settings, pid: int, warnings: list[str]) -> None:
    """Close the run that the same kernel opened before: who starts again from the top has left it."""
    folder = records.newest_open(records_root(settings), settings)
    now = state(folder.chain) if folder is not None else None
    if folder is None or now is None or now.entry.body["holder"] != notebook_holder(pid).model_dump(mode="json"):
        return
    left = supervision.joined(folder, now.entry.number, warn=warnings.append)
    left.close("incomplete", "its notebook opened another run")


def _folder(wanted: dict[str, Any]) -> RunFolder:
    return records.at(wanted["root"], wanted["model"], wanted["run"])


def _run(supervised: Supervised, warnings: list[str]) -> dict[str, Any]:
    folder = supervised.folder
    return {
        "root": folder.root,
        "model": folder.model,
        "run": folder.run_id,
        "held_by": supervised.run.held_by,
        "warnings": warnings,
    }


def main() -> None:
    """Read what is wanted, print what came of it; exit code 0, or the error's."""
    try:
        told = answer(sys.argv[1] if len(sys.argv) > 1 else "", json.load(sys.stdin))
        code = 0
    except RetrainError as error:
        told = {"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code}
        code = error.exit_code
    json.dump(told, sys.stdout)
    sys.exit(code)


if __name__ == "__main__":
    main()
