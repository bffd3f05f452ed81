"""Runs the cells and tells the keeper, from what it sees itself, how each one ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from queue import Empty
from typing import Any

from jupyter_core.utils import ensure_async, run_sync
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient

from retrain.engine.account import Account, CellStatus, EngineError
from retrain.engine.keeper import Keeper
from retrain.engine.kernels import WarmKernelManager
from retrain.engine.outputs import LIMIT, CellOutputs
from retrain.engine.signals import Stop, StopRequestedError
from retrain.engine.verdict import ending, verdict

__all__ = ["AccountingClient"]

LOOK_SECONDS = 0.5
INTERRUPT_GRACE_SECONDS = 0.7
LAST_WORDS_SECONDS = 0.1
ANSWER_SECONDS = 60.0


class AccountingClient(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client with the loop over cells replaced: every way a cell can end has its own word.

    It raises what papermill's own raises (CellTimeoutError, DeadKernelError), CellExecutionError for a cell that
    raised, and StopRequestedError after a signal. The keeper is closed before ``execute`` returns or raises.
    """

    km: Any

    def __init__(
        self,
        keeper: Keeper,
        stop: Stop,
        *,
        output_limit: int = LIMIT,
        kernel: WarmKernelManager | None = None,
        **traits: Any,
    ) -> None:
        """Take the keeper (its notebook is executed in place), the stop to heed, and nbclient's own traits.

        ``kernel`` was asked for ahead, and is taken if it is the kind that the notebook wants.
        """
        super().__init__(_Manager(keeper.nb), **traits)
        self._keeper = keeper
        self._stop = stop
        self._output_limit = output_limit
        self._ahead = kernel
        self._caps: dict[int, CellOutputs] = {}

    def execute(self, **kwargs: Any) -> Account:
        """Start a kernel (``kwargs`` go to its start: cwd, env), run every code cell, close the account."""
        if not _loop_runs():
            return _in_own_loop(self._run(**kwargs))
        account: Account = run_sync(self._run)(**kwargs)  # called from a notebook, say: a thread takes it
        return account

    async def _run(self, **kwargs: Any) -> Account:
        self.reset_execution_trackers()
        try:
            await self._begin(**kwargs)
            for index, cell in enumerate(self.nb.cells):
                if cell.cell_type == "code":
                    await self._run_cell(cell, index)
            await self._farewell()
        except BaseException as error:
            self._close(error)
            raise
        else:
            return self._keeper.close(*verdict(None, self._keeper.account))
        finally:
            await self._end()

    def _close(self, error: BaseException) -> None:
        try:
            self._keeper.close(*verdict(error, self._keeper.account, signal=self._stop.signal))
        except EngineError as unwritten:
            error.add_note(str(unwritten))  # what broke first is what is told; this says what is not on disk

    async def _begin(self, **kwargs: Any) -> None:
        self.km, self._ahead = self._ahead or self.create_kernel_manager(), None
        if self.km.kernel_name != self.kernel_name:
            self.km.drop()
            self.km = self.create_kernel_manager()
        await self._unless_stopped(self.async_start_new_kernel(**kwargs))
        await self._unless_stopped(self.async_start_new_kernel_client())

    async def _run_cell(self, cell: NotebookNode, index: int) -> None:
        if self._stop.signal is not None:
            raise StopRequestedError
        self._keeper.start(index)
        beside = self._keeper.beside(index)
        self._caps[index] = CellOutputs(beside, limit=self._output_limit, redact=self._keeper.redact)
        try:
            await self._execute(cell, index)
        except BaseException as error:
            self._finish(cell, index, *ending(error))
            raise
        if self.skip_cells_with_tag in cell.metadata.get("tags", []):
            self._finish(cell, index, CellStatus.NOT_RUN, f"tagged {self.skip_cells_with_tag}")
        else:
            self._finish(cell, index, CellStatus.OK, _error_shown(cell))

    def _finish(self, cell: NotebookNode, index: int, status: CellStatus, error: str | None) -> None:
        try:
            with _told("the whole of a cell's output"):
                kept = self._caps[index].finish(cell.outputs)
            self._move_displays(index, kept)
        finally:
            self._keeper.finish(index, status, error)

    async def _execute(self, cell: NotebookNode, index: int) -> None:
        work = asyncio.ensure_future(self.async_execute_cell(cell, index))
        try:
            if not await self._stop.watch(work, tick=partial(self._save, cell, index), seconds=LOOK_SECONDS):
                await ensure_async(self.km.interrupt_kernel())
                await asyncio.wait({work}, timeout=INTERRUPT_GRACE_SECONDS)  # for what it still has to say
                raise StopRequestedError
            work.result()
        finally:
            await _abandon(work)
        # A magic can show a traceback and still reply "ok" (%run does): that is no success either.
        if (shown := _error_shown(cell)) and "raises-exception" not in cell.metadata.get("tags", []):
            name, _, value = shown.partition(": ")
            raise CellExecutionError(shown, name, value)

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        """Take a message in as nbclient does, then cap what it added."""
        output: NotebookNode | None = super().process_message(msg, cell, cell_index)
        with _told("the whole of a cell's output"):
            if output is not None:
                self._caps[cell_index].add(output, cell.outputs)
            if "data" in msg["content"]:
                self._cap_updated((msg["content"].get("transient") or {}).get("display_id"))
        return output

    def _cap_updated(self, display: str | None) -> None:
        for index, positions in self._display_id_map.get(display, {}).items():
            for position in positions:
                self._caps[index].update(self.nb.cells[index].outputs[position])

    def _save(self, cell: NotebookNode, index: int) -> None:
        self._caps[index].settle(cell.outputs)
        self._keeper.save_when_due()

    async def _async_poll_kernel_alive(self) -> None:
        exited = getattr(self.km.provisioner, "exited", None)
        if exited is None or not self.km.provisioner.forked:
            await super()._async_poll_kernel_alive()
            return
        await exited()
        await asyncio.sleep(LAST_WORDS_SECONDS)
        self.task_poll_for_reply.cancel()  # nbclient reads this as the kernel's death

    def _move_displays(self, index: int, kept: list[int]) -> None:
        # Joining streams moves outputs; later updates of a display must still find theirs.
        position = {former: now for now, former in enumerate(kept)}
        for cells in self._display_id_map.values():
            if index in cells:
                cells[index] = [position[former] for former in cells[index] if former in position]

    async def _farewell(self) -> None:
        """Ask once more, so that a kernel that died right after its last reply is not called well."""
        try:
            reply = await self._unless_stopped(asyncio.wait_for(self._about_the_kernel(), ANSWER_SECONDS))
        except TimeoutError:
            raise DeadKernelError("the kernel does not answer any more") from None
        self.nb.metadata["language_info"] = reply["content"]["language_info"]
        self.set_widgets_metadata()

    async def _about_the_kernel(self) -> Any:
        request = await ensure_async(self.kc.kernel_info())
        while True:
            try:
                reply = await ensure_async(self.kc.shell_channel.get_msg(timeout=self.shell_timeout_interval))
            except Empty:
                await self._async_check_alive()
            else:
                if reply["parent_header"].get("msg_id") == request:
                    return reply

    async def _unless_stopped(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.ensure_future(work)
        try:
            if not await self._stop.watch(task):
                raise StopRequestedError
            return task.result()
        finally:
            await _abandon(task)

    async def _end(self) -> None:
        """Shut the kernel down politely, or at once after a signal or when one comes meanwhile."""
        if self.km is None:
            return
        if self._stop.signal is not None:
            await self._kill()
        work = asyncio.ensure_future(self._async_cleanup_kernel())
        if not await self._stop.watch(work):
            await self._kill()
        await work

    async def _kill(self) -> None:
        self.shutdown_kernel = "immediate"
        if self.km is not None and self.km.has_kernel:
            await self.km.provisioner.kill()


def _loop_runs() -> bool:
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


def _in_own_loop(work: Coroutine[Any, Any, Account]) -> Account:
    """Run ``work`` in a loop that is closed after it; jupyter's own would stay open with its thread gone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Manager:
    """The little of papermill's execution manager that its client still asks for."""

    def __init__(self, nb: NotebookNode) -> None:
        self.nb = nb

    def autosave_cell(self) -> None:
        """Do nothing: the keeper saves, at its own pace."""


async def _abandon(work: asyncio.Future[Any]) -> None:
    if not work.done():
        work.cancel()
    # Whatever it ends with has been told already, or is only the echo of the cancelling.
    with contextlib.suppress(asyncio.CancelledError, DeadKernelError, CellExecutionError, CellTimeoutError):
        await asyncio.wait({work}, timeout=0.5)
        if work.done() and not work.cancelled():
            work.exception()


@contextlib.contextmanager
def _told(what: str) -> Any:
    try:
        yield
    except OSError as error:
        raise EngineError(f"{error.filename or what} cannot be written: {error.strerror or error}.") from error


def _error_shown(cell: NotebookNode) -> str | None:
    for output in cell.outputs:
        if output.output_type == "error":
            return f"{output.ename}: {output.evalue}"
    return None
