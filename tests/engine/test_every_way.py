"""The rarer ways a run can go: each leaves an account that claims no more than what happened."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from retrain.engine import (
    Account,
    CellAccount,
    EngineError,
    Interrupted,
    RetrainEngine,
    Status,
    banner,
    execute,
    writing,
)
from retrain.engine.keeper import Keeper
from retrain.engine.kernels import WarmKernelManager
from retrain.engine.signals import Stop

Write = Callable[..., Path]


def _nb(*sources: str) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def _run(nb: nbformat.NotebookNode, **options: Any) -> tuple[list[Account], BaseException | None]:
    """Execute in memory; return what was reported and what was raised."""
    told: list[Account] = []
    try:
        RetrainEngine.execute_notebook(nb, "python3", progress_bar=False, report=told.append, **options)
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        return told, error
    return told, None


def _cells(account: Account) -> list[str]:
    return [cell.status.value for cell in account.cells]


def test_a_stop_before_the_kernel_has_started_runs_nothing() -> None:
    """The kernel that was being started is given up."""
    stop = Stop()
    stop.request(signal.SIGTERM)
    [account], error = _run(_nb("x = 1"), stop=stop)
    assert isinstance(error, Interrupted)
    assert (account.status, _cells(account)) == (Status.INTERRUPTED, ["not_run"])
    assert "SIGTERM stopped it before its first cell" in account.reason


def test_a_stop_between_two_cells_leaves_the_next_unrun() -> None:
    """The first signal names the reason; a second changes nothing."""
    stop = Stop()

    def on_cell(cell: CellAccount) -> None:
        if cell.finished_at is not None:
            stop.request(signal.SIGINT)
            stop.request(signal.SIGTERM)

    [account], error = _run(_nb("x = 1", "x = 2"), stop=stop, on_cell=on_cell)
    assert isinstance(error, Interrupted)
    assert (account.status, _cells(account)) == (Status.INTERRUPTED, ["ok", "not_run"])
    assert "SIGINT stopped it between its cells" in account.reason


@pytest.mark.parametrize("deaf", [False, True])
def test_a_signal_to_this_process_stops_the_cell_that_runs(deaf: bool, write: Write, tmp_path: Path) -> None:
    """The kernel is interrupted and then killed; what the cell had shown stays; who called is told by an exception."""
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if deaf else ""
    cell = f"{ignore}import os, time\nprint('so far', flush=True)\nos.kill({os.getpid()}, 15)\ntime.sleep(60)"
    with pytest.raises(Interrupted, match="SIGTERM stopped it in cell 2") as caught:
        execute(write("x = 1", cell, "x = 2"), tmp_path / "out.ipynb")
    account = Account.read(tmp_path / "out.ipynb")
    assert caught.value.account == account
    assert _cells(account) == ["ok", "cancelled", "not_run"]
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[2].outputs
    assert outputs[0].text == "so far\n"


def test_a_signal_when_every_cell_has_run_does_not_unmake_them(write: Write, tmp_path: Path) -> None:
    """The kernel's long goodbye is cut short; the notebook is complete, and the caller is told to stop all the same."""
    last = f"import atexit, os, time\natexit.register(lambda: (os.kill({os.getpid()}, 2), time.sleep(60)))"
    with pytest.raises(Interrupted, match=r"SIGINT came when every cell had run; the notebook is complete"):
        execute(write(last), tmp_path / "out.ipynb")
    assert Account.read(tmp_path / "out.ipynb").completed


def test_a_notebook_is_executed_from_within_a_running_loop(write: Write, tmp_path: Path) -> None:
    """As a notebook that executes notebooks does."""

    async def inside() -> Account:
        return execute(write("x = 1"), tmp_path / "out.ipynb")

    assert asyncio.run(inside()).completed


def test_a_traceback_shown_by_a_cell_that_replies_ok_is_no_success() -> None:
    """A magic, or a cell that shows it itself: what follows does not run."""
    [account], error = _run(
        _nb("try: 1 / 0\nexcept ValueError: pass\nexcept Exception: get_ipython().showtraceback()", "x")
    )
    assert isinstance(error, PapermillExecutionError)
    assert (account.status, _cells(account)) == (Status.FAILED, ["failed", "not_run"])


def test_a_kernel_that_answers_no_more_is_not_called_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell replied, and then came no answer but one to somebody else: who is not there cannot vouch."""
    monkeypatch.setattr("retrain.engine.client.ANSWER_SECONDS", 1.5)
    other = (
        "kernel = get_ipython().kernel\n"
        "def to_another(stream, ident, parent):\n"
        "    other = {**parent, 'header': {**parent['header'], 'msg_id': 'another'}}\n"
        "    kernel.session.send(stream, 'kernel_info_reply', {}, other, ident)\n"
        "kernel.shell_handlers['kernel_info_request'] = to_another"
    )
    [account], error = _run(_nb(other))
    assert isinstance(error, DeadKernelError)
    assert (account.status, account.completed, _cells(account)) == (Status.FAILED, False, ["ok"])


def test_a_kernel_manager_that_cannot_be_made_is_told() -> None:
    """Nothing ran; there is no kernel to shut down."""

    class Broken(WarmKernelManager):
        def __init__(self, **traits: Any) -> None:
            raise RuntimeError("no kernels today")

    [account], error = _run(_nb("x = 1"), kernel_manager_class=Broken)
    assert isinstance(error, RuntimeError)
    assert (account.status, _cells(account)) == (Status.INCOMPLETE, ["not_run"])
    assert "before its first cell: RuntimeError: no kernels today" in account.reason


def test_a_kernel_that_is_not_installed_is_the_engines_error(write: Write, tmp_path: Path) -> None:
    """No cell failed: it is told as an error, with the account."""
    source = write("x = 1")
    source.write_text(source.read_text().replace('"name": "python3"', '"name": "nowhere"'))
    with pytest.raises(EngineError, match=r"in\.ipynb could not be executed: No such kernel named nowhere") as caught:
        execute(source, tmp_path / "out.ipynb")
    assert caught.value.account == Account.read(tmp_path / "out.ipynb")
    assert caught.value.account.status is Status.INCOMPLETE


def test_a_whole_that_cannot_be_written_stops_the_run(write: Write, tmp_path: Path) -> None:
    """Output that can be kept nowhere is not dropped in silence."""
    cell = f"import os; os.mkdir({str(tmp_path / 'out.ipynb.cell-1.txt')!r})\nprint('x' * 500)"
    with pytest.raises(EngineError, match=r"out\.ipynb\.cell-1\.txt cannot be written: Is a directory"):
        execute(write(cell, "x = 1"), tmp_path / "out.ipynb", output_limit=100)
    account = Account.read(tmp_path / "out.ipynb")
    assert (account.status, _cells(account)) == (Status.INCOMPLETE, ["cancelled", "not_run"])


def test_what_broke_first_is_told_though_the_file_could_not_be_written(tmp_path: Path) -> None:
    """The folder went away under the run: the cell's error is raised, and a note says what is not on disk."""
    folder = tmp_path / "gone"
    folder.mkdir()
    cell = f"import shutil; shutil.rmtree({str(folder)!r})\n1 / 0"
    [account], error = _run(_nb(cell), output_path=str(folder / "out.ipynb"))
    assert isinstance(error, PapermillExecutionError)
    assert (account.status, _cells(account)) == (Status.FAILED, ["failed"])
    [note] = error.__notes__
    assert "out.ipynb cannot be written: No such file" in note


def test_a_notebook_may_stay_in_memory_or_go_to_a_store_of_papermills() -> None:
    """Without a path nothing is written; with one of a store its last text is what was returned."""
    [account], error = _run(_nb("print('x' * 500)"), output_limit=100)
    assert (error, account.completed) == (None, True)

    class Store:
        def __init__(self) -> None:
            self.kept: dict[str, str] = {}

        def read(self, path: str) -> str:
            return self.kept[path]

        def write(self, text: str, path: str) -> None:
            self.kept[path] = text

        def pretty_path(self, path: str) -> str:
            return path

    store = Store()
    store.kept["mem://in.ipynb"] = nbformat.writes(_nb("x = 1", "print(x)"))
    papermill.iorw.papermill_io.register("mem://", store)
    try:
        papermill.execute_notebook("mem://in.ipynb", "mem://out.ipynb", engine_name="retrain", kernel_name="python3")
    finally:
        papermill.iorw.papermill_io._handlers.remove(("mem://", store))
    written = nbformat.reads(store.kept["mem://out.ipynb"], as_version=4)
    assert Account.from_dict(written.metadata.retrain.account).completed
    assert written.cells[2].outputs[0].text == "1\n"


def test_progress_counts_the_cells_that_ended(capfd: pytest.CaptureFixture[str]) -> None:
    """A bar as papermill's, with its options; it is told how far it came when a cell fails."""
    RetrainEngine.execute_notebook(_nb("x = 1", "x = 2"), "python3", progress_bar={"desc": "Sections"})
    assert "Sections: 100%" in capfd.readouterr().err
    with pytest.raises(PapermillExecutionError):
        RetrainEngine.execute_notebook(_nb("x = 1", "1 / 0", "x"), "python3")
    assert "2/3" in capfd.readouterr().err


def test_kernel_and_language_are_the_notebooks_unless_given() -> None:
    """As papermill's own engines answer."""
    nb = _nb("x = 1")
    nb.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "p"}
    assert (RetrainEngine.nb_kernel_name(nb), RetrainEngine.nb_language(nb)) == ("python3", "python")
    assert (RetrainEngine.nb_kernel_name(nb, "other"), RetrainEngine.nb_language(nb, "R")) == ("other", "R")


def test_the_first_word_on_a_cell_and_on_the_notebook_stands() -> None:
    """What comes after it changes neither."""
    from retrain.engine import CellStatus

    keeper = Keeper(_nb("x = 1"), output=None)
    keeper.open()
    keeper.start(1)
    keeper.finish(1, CellStatus.FAILED, "first")
    keeper.finish(1, CellStatus.OK)
    first = keeper.close(Status.FAILED, "because", 1)
    assert keeper.close(Status.COMPLETED, "all is well", None) is first
    assert (first.status, first.cells[0].status, first.cells[0].error) == (Status.FAILED, "failed", "first")


def test_a_long_reason_is_cut_in_the_banner() -> None:
    """One line of at most so many characters, whatever it holds."""
    assert banner.plain("x" * 400) == "x" * 299 + "…"
    assert banner.plain("a\n\n b") == "a b"


def test_where_folders_cannot_be_opened_the_rename_alone_must_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off POSIX a folder is not synced: not even looked at."""
    gone = tmp_path / "gone"
    with pytest.raises(FileNotFoundError):
        writing._sync_folder(gone)
    monkeypatch.setattr(os, "name", "nt")
    writing._sync_folder(gone)


def test_after_its_loop_is_closed_a_stop_wakes_nobody() -> None:
    """A signal that comes late is noted, no more."""
    stop = Stop()

    async def waits() -> bool:
        work = asyncio.ensure_future(asyncio.sleep(0))
        return await stop.watch(work)

    assert asyncio.run(waits())
    loop = asyncio.new_event_loop()
    loop.close()
    stop._waiting = (loop, asyncio.Event())
    stop.request(signal.SIGTERM)
    assert stop.signal is signal.SIGTERM


def test_a_handler_that_python_did_not_set_becomes_the_default_one() -> None:
    """None is what Python calls a handler of C's; it cannot be put back."""
    from retrain.engine.signals import stop_on_signals

    real = signal.signal

    def of_c(number: int, handler: Any) -> Any:
        former = real(number, handler)
        return None if callable(handler) and former is signal.SIG_IGN else former

    before = real(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signal, "signal", of_c)
            with stop_on_signals():
                pass
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        real(signal.SIGTERM, before)
