"""How a notebook comes by its run: the one that its runner holds, one that a person left open, or one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain import environment, ledger, runbook
from retrain.errors import RetrainError, UsageError
from retrain.ledger import Busy, TakenOver, here, join_run, lives
from retrain.record import records
from retrain.record.opening import FOLDER_VARIABLE, HELD_VARIABLE, RECORDS_VARIABLE, records_root
from retrain.record.records import RunFolder
from retrain.secrets import gather
from retrain.settings import Settings, load

__all__ = ["Joined", "join"]

_SIGNING_SECONDS = 300
"""The longest wait for a signature: what is asked outside meanwhile has its own, shorter limits."""

_RAISED: Mapping[str, type[RetrainError]] = {kind.__name__: kind for kind in (UsageError, Busy, TakenOver)}


@dataclass(frozen=True)
class Joined:
    """A run, as readers see it and as writers do. ``by_hand``: no runner holds it, so its end is signed by request."""

    folder: RunFolder
    ledger: ledger.Run
    by_hand: bool = False
    warnings: tuple[str, ...] = ()

    def end(self, outcome: str, reason: str = "") -> tuple[str, ...]:
        """Have the run closed, or parked where it waits for an approval, if no runner will do so; return warnings."""
        if not self.by_hand:
            return ()
        wanted = {"outcome": outcome, "reason": reason, "held_by": self.ledger.held_by}
        return tuple(_signed("end", {**_named(self.folder), **wanted})["warnings"])


def join(namespace: Mapping[str, Any], section: str) -> Joined:
    """Return the run that a notebook's parameters and its process's environment lead to (see ``notebook.start``)."""
    if os.environ.get(FOLDER_VARIABLE):
        return _of_runner(Path(os.environ[FOLDER_VARIABLE]))
    settings = environment.resolve(load(str(namespace.get("environment", "sandbox"))))
    root, run_id = records_root(settings), str(namespace.get("run_id", ""))
    if run_id and run_id != "new":
        return _again(records.find(root, run_id))
    alone = run_id == "new" or section == runbook.FIRST
    folder = None if alone else records.newest_open(root, settings)
    return _own(settings, section) if folder is None else _again(folder)


def _of_runner(path: Path) -> Joined:
    root = os.environ.get(RECORDS_VARIABLE) or str(path.parents[2])
    folder = _discreet(records.at(root, path.parent.parent.name, path.name))
    return Joined(folder, join_run(folder.chain, folder.run_id, held_by=int(os.environ[HELD_VARIABLE])))


def _own(settings: Settings, section: str) -> Joined:
    told = {"by_notebook": True, "reason": f"notebook {section}"}
    return _by_hand("open", {"settings": settings.model_dump(mode="json"), "told": told, "pid": os.getpid()})


def _again(folder: RunFolder) -> Joined:
    """Join a run that is there: beside the process that holds it if that lives here, in its place if it died."""
    number, holder = records.holder_of(folder)
    if folder.ended is None and holder is not None and holder.host == here().host and lives(holder):
        return Joined(folder, join_run(_discreet(folder).chain, folder.run_id, held_by=number), by_hand=True)
    return _by_hand("resume", {**_named(folder), "pid": os.getpid()})


def _by_hand(verb: str, wanted: Mapping[str, Any]) -> Joined:
    told = _signed(verb, wanted)
    folder = _discreet(records.at(told["root"], told["model"], told["run"]))
    run = join_run(folder.chain, folder.run_id, held_by=int(told["held_by"]))
    return Joined(folder, run, by_hand=True, warnings=tuple(told["warnings"]))


def _discreet(folder: RunFolder) -> RunFolder:
    """Return the run with its chain made to keep this process's secrets out of what is written."""
    folder.chain.redact = gather(folder.settings).redact_value
    return folder


def _named(folder: RunFolder) -> dict[str, Any]:
    return {"root": folder.root, "model": folder.model, "run": folder.run_id}


def _signed(verb: str, wanted: Mapping[str, Any]) -> Any:
    """Ask a process of its own, which holds the key, to sign; raise what it raised."""
    command = [sys.executable, "-m", "retrain.record.signing", verb]
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter and this package)
            command, input=json.dumps(wanted), capture_output=True, text=True, check=False, timeout=_SIGNING_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise RetrainError(
            f"the process that signs gave no answer within {_SIGNING_SECONDS} s to {verb} the run: whether it did is"
            " not known. `retrain runs` tells."
        ) from None
    try:
        told = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise RetrainError(f"the process that signs could not {verb} the run: {last}") from None
    if "error" in told:
        refused = _RAISED.get(told["error"], RetrainError)(told["message"])
        refused.exit_code = told["exit_code"]
        raise refused
    return told
