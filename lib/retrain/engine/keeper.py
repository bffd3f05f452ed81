"""Keeps one notebook's account while it runs: journal a cell event, notebook at a bounded rate, both durable."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from retrain.clock import wall
from retrain.engine import banner, writing
from retrain.engine.account import Account, CellAccount, CellStatus, EngineError, OutputExistsError, Status

__all__ = ["Keeper"]

RUNNING = "it is running, or was cut off without a word; whatever is missing did not happen"
_REASON = 2000
_PAPERMILL = {CellStatus.OK: "completed", CellStatus.NOT_RUN: "pending"}


class Keeper:
    """The account of the notebook ``nb`` while it runs, and the files it stands in.

    ``output`` None keeps it in memory only; ``write`` then receives the notebook's text (papermill's remote stores).
    """

    def __init__(
        self,
        nb: nbformat.NotebookNode,
        *,
        output: Path | None,
        write: Callable[[str], None] | None = None,
        on_cell: Callable[[CellAccount], None] | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Put the banner on top and count the code cells; nothing is written before ``open``."""
        self.nb = nb
        self.output = output
        self.redact = redact or (lambda text: text)
        self._write = write
        self._on_cell = on_cell or (lambda cell: None)
        self._journal: writing.Journal | None = None
        self._reserve: writing.Reserve | None = None
        self._pace = writing.Pace(clock=time.monotonic)
        self._opened_at = wall()
        nb.cells = [cell for cell in nb.cells if banner.TAG not in cell.metadata.get("tags", [])]
        self._banner = nbformat.v4.new_markdown_cell(  # type: ignore[no-untyped-call]
            "", metadata={"tags": [banner.TAG], "papermill": {}}
        )
        nb.cells.insert(0, self._banner)
        self._cells = {index: CellAccount(index=index) for index in self._code_cells()}
        self.account = Account(Status.INCOMPLETE, RUNNING, None, tuple(self._cells.values()), output)
        self.closed = False

    def open(self) -> None:
        """Claim the output's name with a notebook that says INCOMPLETE, before anything runs.

        Raises OutputExistsError, and EngineError when the folder cannot be written.
        """
        for cell in self.nb.cells:
            if cell.cell_type == "code":
                cell.execution_count = None
                cell.outputs = []
        self._stamp()
        if self.output is None:
            self._save()
            return
        text = self._text()
        with _told(self.output):
            self._journal = writing.Journal(_beside(self.output, ".account.jsonl"), redact=self.redact)
            try:
                writing.create(self.output, text)
            except OSError:
                self._journal.close()
                self._journal.path.unlink()  # ours, and empty: the attempt it belongs to did not begin
                raise
            self._reserve = writing.Reserve(self.output, 2 * len(text.encode("utf-8", "replace")) + 65536)
        self._note("opened", notebook=self.output.name, cells=list(self._cells))

    def start(self, index: int) -> None:
        """Note that a code cell is about to be sent to the kernel."""
        self._set(index, dataclasses.replace(self._cells[index], started_at=wall()))
        self._note("cell_started", index=index)
        self.save_when_due()

    def finish(self, index: int, status: CellStatus, error: str | None = None) -> None:
        """Note how a code cell ended; ``error`` becomes one line. The first word stands, a second is ignored."""
        before = self._cells[index]
        if before.finished_at is not None:
            return
        line = None if error is None else " ".join(self.redact(error).split())[:500]
        after = dataclasses.replace(before, status=status, error=line, finished_at=wall())
        self._set(index, after)
        self._note("cell_finished", **after.to_dict())
        self.save_when_due()

    def close(self, status: Status, reason: str, where: int | None) -> Account:
        """Settle the account, write journal and notebook for good; later calls change nothing.

        On a full disk the space held back is given up and, if even that is too little, the outputs are left out; a
        notebook without its outputs is INCOMPLETE at best.
        """
        if self.closed:
            return self.account
        self.closed = True
        self.account = Account(status, _short(self.redact(reason)), where, tuple(self._cells.values()), self.output)
        try:
            self._finalise()
        finally:
            if self._journal is not None:
                self._journal.close()
        return self.account

    def save_when_due(self) -> None:
        """Write the notebook if the pace allows it. Raises EngineError."""
        if self._pace.due():
            self._save()

    def beside(self, index: int) -> Path | None:
        """Return the path, without suffix, of what a cell's output is too large to keep."""
        return None if self.output is None else _beside(self.output, f".cell-{index}")

    def _finalise(self) -> None:
        if self._reserve is not None:
            self._reserve.release()
        try:
            self._save()
        except EngineError as full:
            self._leave_out_outputs(str(full))
            self._save()
        body = self.account.to_dict()
        del body["cells"]
        with contextlib.suppress(EngineError):  # a journal without this line claims less, not more
            self._note("closed", **body)

    def _leave_out_outputs(self, why: str) -> None:
        status = Status.INCOMPLETE if self.account.status is Status.COMPLETED else self.account.status
        reason = f"{self.account.reason}; its outputs are left out: {why}"
        self.account = dataclasses.replace(self.account, status=status, reason=reason)
        note = "[left out: there was no room to write it]\n"
        for cell in self.nb.cells:
            if cell.cell_type == "code" and cell.outputs:
                cell.outputs = [nbformat.v4.new_output("stream", name="stderr", text=note)]  # type: ignore[no-untyped-call]

    def _set(self, index: int, cell: CellAccount) -> None:
        self._cells[index] = cell
        self.account = dataclasses.replace(self.account, cells=tuple(self._cells.values()))
        self._on_cell(cell)

    def _code_cells(self) -> Iterator[int]:
        return (index for index, cell in enumerate(self.nb.cells) if cell.cell_type == "code")

    def _note(self, event: str, **body: Any) -> None:
        if self._journal is not None:
            with _told(self._journal.path):
                self._journal.append({"event": event, "at": wall().isoformat(), **body})

    def _save(self) -> None:
        self._stamp()
        with self._pace.saving():
            if self.output is not None:
                with _told(self.output):
                    writing.replace(self.output, self._text())
            elif self._write is not None:
                self._write(self._text())

    def _text(self) -> str:
        return self.redact(str(nbformat.v4.writes(self.nb)))  # type: ignore[no-untyped-call]

    def _stamp(self) -> None:
        self._banner.source = banner.text(self.account)
        self.nb.metadata["retrain"] = {**self.nb.metadata.get("retrain", {}), "account": self.account.to_dict()}
        done = self.account.completed
        finished = wall() if self.closed else None
        self.nb.metadata.setdefault("papermill", {}).update(
            _times(self._opened_at, finished), exception=None if not self.closed else not done
        )
        for index, cell in enumerate(self.nb.cells):
            cell.metadata["papermill"] = self._papermill(index, done=done)
            if index in self._cells:
                cell.metadata["retrain"] = {"status": self._cells[index].status.value}

    def _papermill(self, index: int, *, done: bool) -> Mapping[str, Any]:
        if index not in self._cells:
            return {**_times(None, None), "exception": None, "status": "completed" if done else "pending"}
        cell = self._cells[index]
        running = cell.started_at is not None and cell.finished_at is None
        status = "running" if running else _PAPERMILL.get(cell.status, "failed")
        bad = None if cell.finished_at is None else cell.status is not CellStatus.OK
        return {**_times(cell.started_at, cell.finished_at), "exception": bad, "status": status}


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        message = f"{path} is there already: an executed notebook is never overwritten. Give a new name."
        raise OutputExistsError(message) from error
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror or error}.") from error


def _short(reason: str) -> str:
    """Return a reason of a length that an entry of the record and a banner can hold, whatever an error said."""
    return reason if len(reason) <= _REASON else f"{reason[: _REASON - 1]}…"


def _beside(output: Path, suffix: str) -> Path:
    return output.with_name(output.name + suffix)


def _times(start: datetime | None, end: datetime | None) -> dict[str, Any]:
    return {
        "start_time": None if start is None else start.isoformat(),
        "end_time": None if end is None else end.isoformat(),
        "duration": None if start is None or end is None else (end - start).total_seconds(),
    }
