"""Runs the flow: each section's notebook through papermill, the next one by the verdict of the last.

The loop is ``run``; everything else here is what it needs to say in words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrain import decision, environment, records, runbook
from retrain.decision import Decision
from retrain.engine import Account, Interrupted, execute
from retrain.errors import RetrainError, UsageError
from retrain.facts import Request
from retrain.opening import FOLDER_VARIABLE, NOTEBOOK_VARIABLE, open_run, records_root
from retrain.records import RunFolder
from retrain.settings import Settings, project_root

__all__ = ["Listener", "roll_back", "run", "step"]

Listener = Callable[[str, dict[str, Any]], None]
"""Told of each section as it starts and ends: ``("started" | "ended", {...})``."""


def run(settings: Settings, *, request: Request | None = None, listener: Listener = lambda *_: None) -> Decision:
    """Run the whole runbook once and return its decision.

    ``settings`` are resolved here: the sandbox is started when it is named and not up. Errors that come before the run
    is opened are raised; later ones are the run's own outcome.
    """
    started = time.monotonic()
    settings = environment.resolve(settings)
    with _holding(settings):
        opened = {"reason": request.reason if request else "scheduled check", "request": _told(request)}
        folder = open_run(settings, opened)
        outcome, reason = _follow(folder, settings, listener)
        _close(folder, outcome, reason, time.monotonic() - started)
    return decision.read(folder)


def _follow(folder: RunFolder, settings: Settings, listener: Listener) -> tuple[str, str]:
    """Go from section to section; return the run's outcome and, where something broke, what."""
    section = runbook.FIRST
    try:
        while section != runbook.LAST:
            _execute(folder, settings, section, listener)
            section = _following(folder, settings)
        outcome, reason = runbook.run_outcome(folder.verdicts()), ""
    except Interrupted as stop:
        return "interrupted", str(stop)
    except UsageError as wrong:
        outcome, reason = "usage", str(wrong)
    except RetrainError as broken:
        outcome, reason = "error", str(broken)
    return _record_decision(folder, settings, listener, outcome, reason)


def _following(folder: RunFolder, settings: Settings) -> str:
    on_inconclusive = settings.post_deploy_monitoring.on_inconclusive
    return runbook.following(folder.verdicts()[-1], on_inconclusive=on_inconclusive)


def _record_decision(
    folder: RunFolder, settings: Settings, listener: Listener, outcome: str, reason: str
) -> tuple[str, str]:
    folder.journal.append("ending", {"outcome": outcome, "reason": reason})
    try:
        _execute(folder, settings, runbook.LAST, listener)
    except Interrupted as stop:
        return "interrupted", str(stop)
    except RetrainError as broken:
        return ("error" if outcome in ("deployed", "no_action") else outcome), reason or str(broken)
    return outcome, reason


def step(
    settings: Settings, section: str, *, folder: RunFolder | None = None, listener: Listener = lambda *_: None
) -> Decision:
    """Run one section in ``folder``, or in a run of its own that stays open; return what the record says so far."""
    settings = folder.settings if folder else environment.resolve(settings)
    name = runbook.section(section).name
    with _holding(settings):
        folder = folder or open_run(settings, {"by_notebook": True, "reason": f"step {name}"})
        _execute(folder, settings, name, listener)
    return decision.read(folder)


def roll_back(settings: Settings, swapped: RunFolder, *, reason: str, listener: Listener = lambda *_: None) -> Decision:
    """Undo the swap of the run ``swapped`` in a run of its own, and return its decision."""
    started = time.monotonic()
    settings = environment.resolve(settings)
    with _holding(settings):
        folder = open_run(settings, {"reason": reason, "undoes": swapped.run_id})
        try:
            _execute(folder, settings, "rollback", listener)
            outcome, why = runbook.run_outcome(folder.verdicts()), ""
        except RetrainError as broken:
            outcome, why = "error", str(broken)
        _close(folder, *_record_decision(folder, settings, listener, outcome, why), time.monotonic() - started)
    return decision.read(folder)


def _execute(folder: RunFolder, settings: Settings, name: str, listener: Listener) -> None:
    section = runbook.section(name)
    output = folder.notebook(section.notebook)
    before = len(folder.verdicts())
    listener("started", {"section": name, "title": section.title, "notebook": str(output)})
    account = execute(
        project_root() / "notebooks" / section.notebook,
        output,
        parameters(settings, name, folder),
        kernel_env={FOLDER_VARIABLE: str(folder.path.resolve()), NOTEBOOK_VARIABLE: output.name},
        cwd=project_root(),
    )
    _believe(folder, account, name, before)
    listener("ended", {"section": name, "verdict": folder.verdicts()[-1]})


def _believe(folder: RunFolder, account: Account, name: str, before: int) -> None:
    """Raise unless every code cell ran and this section reached a verdict: success is nothing less."""
    errors = folder.bodies("error")
    if account.status != "COMPLETED":
        last = errors[-1] if errors and errors[-1]["section"] == name else {}
        message = str(last.get("message") or account.reason)
        folder.journal.append("stopped", {"section": name, "status": account.status, "reason": message})
        kind = UsageError if last.get("exit_code") == UsageError.exit_code and not _sent(folder) else RetrainError
        raise kind(message if last else f"{name}: {message}")
    told = folder.verdicts()
    if len(told) == before or told[-1].section != name:
        raise RetrainError(f"{name}: every cell ran and no verdict was recorded")


def _sent(folder: RunFolder) -> bool:
    """Tell whether anything was sent to the outside in this run, or may have been."""
    return bool(folder.unsettled()) or any(effect.sent for effect in folder.effects())


def parameters(settings: Settings, name: str, folder: RunFolder) -> dict[str, Any]:
    """Return what papermill injects: the environment, the run to join, and the section's policy."""
    policy = settings.policy(name).model_dump(mode="json")
    return {"environment": settings.environment, "run_id": folder.run_id, **policy}


def _told(request: Request | None) -> dict[str, Any] | None:
    return None if request is None else request.model_dump(mode="json")


def _close(folder: RunFolder, outcome: str, reason: str, seconds: float) -> None:
    body: dict[str, Any] = {"outcome": outcome, "exit_code": runbook.exit_code(outcome), "total_seconds": seconds}
    folder.journal.append("closed", {**body, "reason": reason} if reason else body)
    told = decision.read(folder)
    records.write_atomically(folder.path / "decision.json", told.model_dump_json(indent=2) + "\n")


@contextmanager
def _holding(settings: Settings) -> Iterator[None]:
    """Hold the model, so that two runs cannot both act; Busy where another run holds it."""
    from retrain.effects import ModelLock

    place = records_root(settings) / str(settings.model)
    place.mkdir(parents=True, exist_ok=True)
    with ModelLock(Path(place) / "run.lock"):
        yield
