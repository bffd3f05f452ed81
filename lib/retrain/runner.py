"""Runs the flow: each section's notebook through papermill, the next one by the verdict of the last.

The loop is ``_follow``; everything else here is what it needs to begin, to go on after a crash, and to end in words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from retrain import environment, runbook
from retrain.checks import Verdict
from retrain.engine import Account, CellAccount, Interrupted, ahead, execute, prepare
from retrain.engine.signals import Stop, stop_on_signals
from retrain.errors import RetrainError, UsageError
from retrain.facts import Request
from retrain.ledger import Busy, TakenOver
from retrain.record import approvals, decision, supervision
from retrain.record.anchors import Anchors, sinks
from retrain.record.decision import Decision
from retrain.record.evidence import approved_by
from retrain.record.opening import NOTEBOOK_VARIABLE
from retrain.record.records import RunFolder
from retrain.record.supervision import Supervised
from retrain.settings import FILE_ONLY, Settings, project_root

if TYPE_CHECKING:
    from retrain.engine.kernels import WarmKernelManager

__all__ = ["Listener", "resume", "roll_back", "run", "step"]

Listener = Callable[[str, dict[str, Any]], None]
"""Told of each section as it starts and ends, and of trouble: ``("started" | "ended" | "warning", {...})``."""


def run(settings: Settings, *, request: Request | None = None, listener: Listener = lambda *_: None) -> Decision:
    """Run the whole runbook once and return its decision.

    ``settings`` are resolved here: the sandbox is started when it is named and not up. Errors that come before the run
    is opened are raised; later ones are the run's own outcome.
    """
    told = {"reason": request.reason if request else "scheduled check", "request": _told(request)}
    with _until_stopped() as flow:
        settings = environment.resolve(settings)
        anchors = Anchors(sinks(settings))
        flow.listener = listener
        prepare()  # while the places outside are asked
        flow.ask_ahead()
        flow.look()
        flow.supervised = supervision.open_run(settings, told, anchors=anchors, warn=flow.warn)
        _end(flow, *_follow(flow, runbook.FIRST))
    return decision.read(flow.folder)


def resume(folder: RunFolder, *, listener: Listener = lambda *_: None) -> Decision:
    """Go on with a run whose process died, or that waited for an approval, and return its decision.

    The section that was cut short is executed again, as a new file; an effect that was intended is looked at and
    never sent again.
    """
    with _until_stopped() as flow:
        flow.listener, flow.began = listener, None  # a run of several processes has no one duration
        environment.resolve(folder.settings)
        approval = approvals.check(folder)
        flow.supervised = supervision.resume(folder, warn=flow.warn)
        if approval is not None:
            flow.supervised.append("approval_checked", approval)
        _end(flow, *_follow(flow, _next(flow.folder)))
    return decision.read(flow.folder)


_BEGUN = 4
"""Cells of a section that have ended when it is well under way: parameters, imports, the start, a first question."""


class _Flow:
    """A run on its way: who holds it, who hears of it, whether somebody asked to stop, and since when."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.began: float | None = time.monotonic()
        self.listener: Listener = lambda *_: None
        self.supervised: Supervised | None = None
        self._kernel: WarmKernelManager | None = None
        self._ended = 0

    @property
    def held(self) -> Supervised:
        assert self.supervised is not None  # noqa: S101 (set before anything asks)
        return self.supervised

    @property
    def folder(self) -> RunFolder:
        return self.held.folder

    @property
    def settings(self) -> Settings:
        return self.folder.settings

    def warn(self, message: str) -> None:
        self.listener("warning", {"message": message})

    def ask_ahead(self) -> None:
        """Ask for the next section's kernel, which starts beside what is going on."""
        if self._kernel is None:
            self._kernel = ahead(project_root())

    def hear(self, cell: CellAccount) -> None:
        """Take note of a cell: the next kernel is asked for once this section has asked its first question."""
        self._ended = self._ended + 1 if cell.finished_at is not None else self._ended
        if self._ended == _BEGUN:
            self.ask_ahead()

    @contextmanager
    def kernel(self) -> Iterator[WarmKernelManager | None]:
        """Give the kernel that was asked for ahead; one that is not taken is let go of."""
        kernel, self._kernel, self._ended = self._kernel, None, 0
        try:
            yield kernel
        finally:
            if kernel is not None:
                kernel.drop()

    def look(self) -> None:
        """Raise if a signal came in between two notebooks."""
        if self.stop.signal is not None:
            raise Interrupted(f"{self.stop.signal.name} came between two sections; nothing was under way.")


@contextmanager
def _until_stopped() -> Iterator[_Flow]:
    """Take note of SIGINT and SIGTERM from here on, so that whatever is begun is also ended in the record."""
    with stop_on_signals() as stop:
        flow = _Flow(stop)
        try:
            yield flow
        finally:
            with flow.kernel():
                pass  # no section came for it


def _follow(flow: _Flow, section: str) -> tuple[str, str]:
    """Go from section to section; return the run's outcome and, where something broke, what."""
    try:
        with flow.held.alive():
            while section != runbook.LAST:
                _execute(flow, section)
                section = _next(flow.folder)
        outcome, reason = runbook.run_outcome(flow.folder.verdicts()), ""
    except Interrupted as stop:
        return "interrupted", str(stop)
    except TakenOver:
        raise
    except Busy:
        flow.held.leave_open()
        raise
    except UsageError as wrong:
        outcome, reason = "usage", str(wrong)
    except RetrainError as broken:
        outcome, reason = "error", str(broken)
    return _record_decision(flow, outcome, reason)


def _next(folder: RunFolder) -> str:
    """Return the section that follows: by the last verdict; the swap again, where it waited for an approval."""
    told = [verdict for verdict in folder.verdicts() if verdict.section != runbook.LAST]
    if not told:
        return runbook.FIRST
    if _waits(told[-1]) and approved_by(folder):
        return told[-1].section
    return runbook.following(told[-1], on_inconclusive=folder.settings.post_deploy_monitoring.on_inconclusive)


def _waits(verdict: Verdict) -> bool:
    return (verdict.section, verdict.outcome) == ("blue_green_deployment", "awaiting_approval")


def _record_decision(flow: _Flow, outcome: str, reason: str) -> tuple[str, str]:
    try:
        flow.held.append("ending", {"outcome": outcome, "reason": reason})
        _execute(flow, runbook.LAST)
    except Interrupted as stop:
        return "interrupted", str(stop)
    except RetrainError as broken:
        return ("error" if outcome in ("deployed", "no_action") else outcome), reason or str(broken)
    return outcome, reason


def _end(flow: _Flow, outcome: str, reason: str) -> None:
    """Close the run, or park it where it waits for a person."""
    if outcome == "awaiting_approval":
        flow.held.park(reason)
    else:
        seconds = None if flow.began is None else time.monotonic() - flow.began
        flow.held.close(outcome, reason, seconds=seconds)


def step(
    settings: Settings, section: str, *, folder: RunFolder | None = None, listener: Listener = lambda *_: None
) -> Decision:
    """Run one section in ``folder``, or in a run of its own that stays open; return what the record says so far.

    The decision record ends the run.
    """
    name = runbook.section(section).name
    with _until_stopped() as flow:
        flow.listener = listener
        if folder is None:
            told = {"by_notebook": True, "reason": f"step {name}"}
            flow.supervised = supervision.open_run(environment.resolve(settings), told, warn=flow.warn)
        else:
            flow.supervised = supervision.resume(folder, warn=flow.warn)
        try:
            with flow.held.alive():
                _execute(flow, name)
        except BaseException:
            flow.held.leave_open()
            raise
        if name == runbook.LAST:
            _end(flow, flow.folder.verdicts()[-1].outcome, "")
        else:
            flow.held.leave_open()
    return decision.read(flow.folder)


def roll_back(settings: Settings, swapped: RunFolder, *, reason: str, listener: Listener = lambda *_: None) -> Decision:
    """Undo the swap of the run ``swapped`` in a run of its own, and return its decision."""
    with _until_stopped() as flow:
        flow.listener = listener
        told = {"reason": reason, "undoes": swapped.run_id}
        flow.supervised = supervision.open_run(environment.resolve(settings), told, warn=flow.warn)
        try:
            with flow.held.alive():
                _execute(flow, "rollback")
            outcome, why = runbook.run_outcome(flow.folder.verdicts()), ""
        except Interrupted as stop:
            _end(flow, "interrupted", str(stop))
            return decision.read(flow.folder)
        except Busy:
            flow.held.leave_open()
            raise
        except RetrainError as broken:
            outcome, why = "error", str(broken)
        _end(flow, *_record_decision(flow, outcome, why))
    return decision.read(flow.folder)


def _execute(flow: _Flow, name: str) -> None:
    flow.look()
    section, folder = runbook.section(name), flow.folder
    flow.held.run.hold()  # whoever stood still and was taken over writes no file into what others have sealed
    output = folder.notebook(section.notebook)
    before = len(folder.verdicts())
    flow.listener("started", {"section": name, "title": section.title, "notebook": str(output)})
    with flow.kernel() as kernel:
        account = execute(
            project_root() / "notebooks" / section.notebook,
            output,
            parameters(flow.settings, name, folder),
            kernel_env={**flow.held.for_kernels, NOTEBOOK_VARIABLE: output.name},
            cell_timeout=cell_seconds(flow.settings, name),
            redact=flow.held.secrets.redact,
            cwd=project_root(),
            kernel=kernel,
            on_cell=None if name == runbook.LAST else flow.hear,
        )
    flow.held.keep_files()
    _believe(flow, account, name, before)
    flow.listener("ended", {"section": name, "verdict": folder.verdicts()[-1]})


def cell_seconds(settings: Settings, name: str) -> float:
    """Return the longest that one cell may take, in seconds: what its section waits for, and a margin.

    A cell that hangs ends its run as ``error``; without this limit it would hold the model for ever.
    """
    watch = settings.post_deploy_monitoring
    waits = {
        "training": settings.training.deadline_minutes,
        "blue_green_deployment": settings.blue_green_deployment.observe_seconds / 60,
        "post_deploy_monitoring": watch.watch_minutes + watch.extension_minutes,
        "rollback": settings.rollback.observe_seconds / 60,
    }
    return 60 * (settings.notebooks.cell_minutes + waits.get(name, 0))


def _believe(flow: _Flow, account: Account, name: str, before: int) -> None:
    """Raise unless every code cell ran and this section reached a verdict: success is nothing less."""
    folder = flow.folder
    errors = folder.bodies("error")
    if account.status != "COMPLETED":
        last = errors[-1] if errors and errors[-1]["section"] == name else {}
        message = str(last.get("message") or account.reason)
        flow.held.append("stopped", {"section": name, "status": account.status, "reason": message})
        raise _kind(last, folder)(message if last else f"{name}: {message}")
    told = folder.verdicts()
    if len(told) == before or told[-1].section != name:
        raise RetrainError(f"{name}: every cell ran and no verdict was recorded")


def _kind(last: Mapping[str, Any], folder: RunFolder) -> type[RetrainError]:
    """Return what a notebook's error means for its run; that of parameters is no such thing once anything was sent."""
    if last.get("exit_code") == Busy.exit_code:
        return Busy
    return UsageError if last.get("exit_code") == UsageError.exit_code and not _sent(folder) else RetrainError


def _sent(folder: RunFolder) -> bool:
    """Tell whether anything was sent to the outside in this run, or may have been."""
    return bool(folder.unsettled()) or any(effect.sent for effect in folder.effects())


def parameters(settings: Settings, name: str, folder: RunFolder) -> dict[str, Any]:
    """Return what papermill injects: the environment, the run to join, and the policy as far as the cell has it.

    The rest of the policy the notebook reads where the run keeps its settings.
    """
    policy = settings.policy(name).model_dump(mode="json", exclude=set(FILE_ONLY.get(name, ())))
    return {"environment": settings.environment, "run_id": folder.run_id, **policy}


def _told(request: Request | None) -> dict[str, Any] | None:
    return None if request is None else request.model_dump(mode="json")
