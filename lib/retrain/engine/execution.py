"""Run one notebook file through papermill and this engine, and say how it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain.engine import lean, zygotes
from retrain.engine import parameters as names
from retrain.engine.account import Account, CellAccount, EngineError, Interrupted, OutputExistsError, Status
from retrain.engine.signals import Stop, stop_on_signals
from retrain.errors import RetrainError, UsageError

if TYPE_CHECKING:
    from retrain.engine.kernels import WarmKernelManager

__all__ = ["ahead", "execute", "prepare"]


def execute(
    input_path: Path | str,
    output_path: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    kernel_env: Mapping[str, str | None] | None = None,
    cell_timeout: float | None = None,
    on_cell: Callable[[CellAccount], None] | None = None,
    cwd: Path | str | None = None,
    redact: Callable[[str], str] | None = None,
    output_limit: int | None = None,
    kernel: WarmKernelManager | None = None,
) -> Account:
    """Execute ``input_path`` into the new file ``output_path`` and return the account of its cells.

    The account may say FAILED or STOPPED: ask ``completed``. Beside the output stands ``<output>.account.jsonl``, a
    line an event. ``kernel_env`` is laid over this process's environment (None takes a variable away), ``cwd`` is the
    kernel's folder (default: this process's), ``cell_timeout`` is in seconds, ``output_limit`` in characters a cell,
    ``on_cell`` is called when a cell starts and when it ends, ``redact`` sees every text before it is written and must
    leave JSON valid. ``kernel`` is one that was asked for ahead (``retrain.engine.kernels.ahead``).

    Raises UsageError (no such notebook, parameter unknown: before a kernel starts), OutputExistsError (nothing run),
    Interrupted (SIGINT, SIGTERM: file finalised), EngineError (kernel did not start, disk full; ``account`` on it).
    """
    source, output = Path(input_path).absolute(), Path(output_path).absolute()
    given = dict(parameters or {})
    names.check(_notebook(source), given, where=source.name)
    _refuse_existing(output)
    accounts: list[Account] = []
    options = {
        "execution_timeout": cell_timeout,
        "on_cell": on_cell,
        "redact": redact,
        "kernel_cwd": None if cwd is None else str(Path(cwd).absolute()),
        "kernel_env": None if kernel_env is None else _environment(kernel_env),
        "report": accounts.append,
        **({} if output_limit is None else {"output_limit": output_limit}),
        **({} if kernel is None else {"kernel": kernel}),
    }
    with stop_on_signals() as stop:
        return _run(source, output, given, accounts, stop=stop, options=options)


def prepare() -> None:
    """Import what executing takes, where there is time for it: a quarter of a second."""
    lean.import_papermill()


def ahead(cwd: Path) -> WarmKernelManager | None:
    """Ask for the next notebook's kernel, as ``retrain.engine.kernels.ahead``: None where kernels are not forked."""
    if not zygotes.supported():
        return None
    from retrain.engine import kernels

    return kernels.ahead(cwd)


def _run(
    source: Path, output: Path, given: dict[str, Any], accounts: list[Account], *, stop: Stop, options: dict[str, Any]
) -> Account:
    papermill = lean.import_papermill()
    try:
        papermill.execute_notebook(
            _literal(source),
            _literal(output),
            parameters=given,
            engine_name="retrain",
            progress_bar=False,
            stop=stop,
            **options,
        )
    except RetrainError as error:
        if isinstance(error, Interrupted) or not _told(accounts):
            raise
    except Exception as error:
        if not _told(accounts):
            account = accounts[-1] if accounts else None
            raise EngineError(f"{source.name} could not be executed: {error}", account=account) from error
    return accounts[-1]


def _told(accounts: list[Account]) -> bool:
    """Return whether the account itself says how the notebook ended, so that it is no error of the engine."""
    return bool(accounts) and accounts[-1].status in {Status.COMPLETED, Status.STOPPED, Status.FAILED}


def _notebook(source: Path) -> Mapping[str, Any]:
    try:
        notebook = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{source}: there is no such notebook.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{source} cannot be read as a notebook: {error}.") from error
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4:
        raise UsageError(f"{source} is no notebook of format 4.")
    return notebook


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise OutputExistsError(f"{output} is there already: an executed notebook is never overwritten.")
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent}: there is no such folder for the executed notebook.")


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _literal(path: Path) -> str:
    """Return the path so that papermill, which fills ``{name}`` in paths, takes it as it stands."""
    return str(path).replace("{", "{{").replace("}", "}}")
