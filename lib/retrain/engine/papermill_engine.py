"""The papermill engine ``retrain``: a truthful account of every cell, files that are never torn, warm kernels.

Works with the plain command (``papermill --engine retrain in.ipynb out.ipynb``) and with ``retrain.engine.execute``.
Heavy imports wait until a notebook is executed: papermill loads every engine on each start of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from retrain.engine.account import Account, CellAccount, EngineError, Interrupted, Status
from retrain.engine.signals import Stop, StopRequestedError, stop_on_signals

if TYPE_CHECKING:
    import nbformat

    from retrain.engine.keeper import Keeper

__all__ = ["RetrainEngine"]

OnCell = Callable[[CellAccount], None]


class RetrainEngine:
    """What papermill's registry asks of an engine; its own engines are classes used this way, and so is this.

    It is no subclass of theirs: papermill loads this class while it is still importing itself.
    """

    @classmethod
    def nb_kernel_name(cls, nb: nbformat.NotebookNode, name: str | None = None) -> str:
        """Return the kernel's name, from the notebook unless given."""
        from papermill.utils import nb_kernel_name

        return str(nb_kernel_name(nb, name))

    @classmethod
    def nb_language(cls, nb: nbformat.NotebookNode, language: str | None = None) -> str:
        """Return the kernel's language, from the notebook unless given."""
        from papermill.utils import nb_language

        return str(nb_language(nb, language))

    @classmethod
    def execute_notebook(
        cls,
        nb: nbformat.NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        execution_timeout: float | None = None,
        start_timeout: float = 60,
        kernel_cwd: str | None = None,
        kernel_env: Mapping[str, str] | None = None,
        on_cell: OnCell | None = None,
        redact: Callable[[str], str] | None = None,
        report: Callable[[Account], None] | None = None,
        stop: Stop | None = None,
        input_path: str | None = None,
        autosave_cell_every: int | None = None,
        **client: Any,
    ) -> nbformat.NotebookNode:
        """Execute ``nb`` and return it; raise unless every code cell ran to its end. Times are seconds.

        ``kernel_env`` is the kernel's whole environment. ``on_cell`` is called when a cell starts and when it ends,
        ``report`` once with the account, even when this raises. ``redact`` sees every text before it is written.
        ``client`` goes to nbclient, with ``output_limit`` (characters a cell) and ``kernel`` (one asked for ahead).
        ``autosave_cell_every`` is papermill's and not needed: saving keeps its own pace.

        Raises PapermillExecutionError (also for ``sys.exit(0)``), CellTimeoutError, DeadKernelError as papermill does;
        UsageError for a parameter name; OutputExistsError, EngineError, Interrupted.
        """
        from retrain.engine import papermill_files, parameters
        from retrain.engine.client import AccountingClient
        from retrain.engine.keeper import Keeper
        from retrain.engine.kernels import WarmKernelManager

        injected = nb.metadata.get("papermill", {}).get("parameters", {})
        parameters.check(nb, injected, where=str(input_path or "the notebook"))
        ours = {"kernel_manager_class": WarmKernelManager, "iopub_timeout": 300, "shell_timeout_interval": 1}
        traits = {**ours, **client}
        if execution_timeout:
            traits["timeout_func"] = lambda cell: execution_timeout  # its `timeout` takes whole seconds only
        start = {"cwd": kernel_cwd, "env": None if kernel_env is None else dict(kernel_env)}
        with contextlib.ExitStack() as around:
            stop = stop or around.enter_context(stop_on_signals())
            tick = around.enter_context(_progress(progress_bar, nb))
            files = papermill_files.where_to(output_path)
            keeper = Keeper(nb, output=files.local, write=files.write, on_cell=_both(tick, on_cell), redact=redact)
            around.callback(lambda: report(keeper.account) if report else None)
            keeper.open()
            with _told_as_papermill(keeper, stop):
                AccountingClient(
                    keeper, stop, kernel_name=kernel_name, startup_timeout=start_timeout, **traits
                ).execute(**{name: value for name, value in start.items() if value is not None})
        files.keep_papermill_from_writing()
        return _as_papermill_reads_it(nb)


@contextlib.contextmanager
def _told_as_papermill(keeper: Keeper, stop: Stop) -> Iterator[None]:
    from nbclient.exceptions import CellExecutionError
    from papermill.exceptions import PapermillExecutionError

    try:
        yield
    except StopRequestedError:
        raise Interrupted(f"{_name(keeper)}: {keeper.account.reason}.", account=keeper.account) from None
    except CellExecutionError as error:
        where = keeper.account.where
        cell = keeper.nb.cells[where]
        shown = [output.traceback for output in cell.outputs if output.output_type == "error"]
        told = PapermillExecutionError(
            where, cell.execution_count, cell.source, error.ename, error.evalue, shown[-1] if shown else []
        )
        for note in getattr(error, "__notes__", ()):  # what could not be written
            told.add_note(note)
        raise told from None
    except EngineError as error:
        error.account = keeper.account
        raise
    if keeper.account.status is not Status.COMPLETED:
        raise EngineError(f"{_name(keeper)}: {keeper.account.reason}.", account=keeper.account)
    if stop.signal is not None:
        message = f"{_name(keeper)}: {stop.signal.name} came when every cell had run; the notebook is complete."
        raise Interrupted(message, account=keeper.account)


def _name(keeper: Keeper) -> str:
    return "the notebook" if keeper.output is None else str(keeper.output)


def _as_papermill_reads_it(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook with allowed errors as plain text: papermill takes every error output for a failure.

    Only what is handed back changes; the file holds the outputs as they were.
    """
    import copy

    from nbformat.v4 import new_output

    if not any(_errors(cell) for cell in nb.cells):
        return nb
    told = copy.deepcopy(nb)
    for cell in told.cells:
        for position in _errors(cell):
            text = "\n".join(cell.outputs[position].traceback) + "\n"
            cell.outputs[position] = new_output(  # type: ignore[no-untyped-call]
                "stream", name="stderr", text=text
            )
    return told


def _errors(cell: nbformat.NotebookNode) -> list[int]:
    outputs = cell.get("outputs", [])
    return [position for position, output in enumerate(outputs) if output.output_type == "error"]


def _both(first: OnCell, second: OnCell | None) -> OnCell:
    def call(cell: CellAccount) -> None:
        first(cell)
        if second is not None:
            second(cell)

    return call


@contextlib.contextmanager
def _progress(wanted: bool | dict[str, Any], nb: nbformat.NotebookNode) -> Iterator[OnCell]:
    if not wanted:
        yield lambda cell: None
        return
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    total = sum(cell.cell_type == "code" for cell in nb.cells)
    options = {"unit": "cell", "desc": "Executing", **(wanted if isinstance(wanted, dict) else {})}
    with tqdm(total=total, **options) as bar:
        yield lambda cell: None if cell.finished_at is None else bar.update(1) and None
