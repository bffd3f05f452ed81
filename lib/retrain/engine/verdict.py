"""From how a cell or a run ended to the word for it: pure, one row an ending."""

from __future__ import annotations

import signal as signals

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from retrain.engine.account import Account, CellStatus, EngineError, Status
from retrain.engine.signals import StopRequestedError

__all__ = ["ending", "verdict"]


def ending(error: BaseException) -> tuple[CellStatus, str]:
    """Return how the cell that ``error`` came out of ended, and one line on it."""
    match error:
        case CellExecutionError():
            return CellStatus.FAILED, f"{error.ename}: {error.evalue}"
        case CellTimeoutError():
            return CellStatus.TIMED_OUT, str(error).strip().splitlines()[0]
        case DeadKernelError():
            return CellStatus.DEAD, "the kernel died"
        case StopRequestedError():
            return CellStatus.CANCELLED, "a signal stopped the run"
        case _:
            return CellStatus.CANCELLED, f"{type(error).__name__}: {error}"


def verdict(
    error: BaseException | None, account: Account, *, signal: signals.Signals | None = None
) -> tuple[Status, str, int | None]:
    """Return status, reason and place of a run that ended with ``error``; None: its loop came to the end."""
    where = next((cell.index for cell in account.cells if cell.status is not CellStatus.OK), None)
    if error is None:
        return _without_error(account, where)
    begun = {cell.index for cell in account.cells if cell.started_at is not None}
    in_cell = f"in cell {where}" if where in begun else "before its first cell" if not begun else "between its cells"
    place = where if where in begun else None
    match error:
        case CellExecutionError(ename="SystemExit"):
            said = f"sys.exit({error.evalue})"
            return Status.STOPPED, f"cell {where} called {said}: a stop is no success, what follows did not run", place
        case CellExecutionError():
            return Status.FAILED, f"cell {where} raised {error.ename}: {error.evalue}", place
        case CellTimeoutError():
            return Status.FAILED, f"cell {where} did not end within its time limit", place
        case DeadKernelError():
            return Status.FAILED, f"the kernel died {in_cell if where is not None else 'after its last cell'}", place
        case StopRequestedError():
            name = "a signal" if signal is None else signal.name
            return Status.INTERRUPTED, f"{name} stopped it {in_cell if where is not None else 'at its end'}", place
        case EngineError():
            return Status.INCOMPLETE, str(error), place
        case _:
            return Status.INCOMPLETE, f"the engine broke {in_cell}: {type(error).__name__}: {error}", place


def _without_error(account: Account, where: int | None) -> tuple[Status, str, int | None]:
    if not account.cells:
        return Status.INCOMPLETE, "it has no code cell, so nothing ran", None
    if where is not None:
        return Status.STOPPED, f"cell {where} was left out by a tag: not every code cell ran", where
    return Status.COMPLETED, "every code cell ran to its end", None
