"""What the keeper of an account refuses, without a kernel."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import nbformat
import pytest

from retrain.engine import Account, CellStatus, OutputExistsError, Status, writing
from retrain.engine.keeper import Keeper
from retrain.engine.writing import Pace


def test_a_notebook_that_came_into_being_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Between looking and writing somebody else took the name: it is claimed only if nothing has it."""
    output = tmp_path / "01.ipynb"
    output.write_text("somebody's")
    keeper = Keeper(nbformat.v4.new_notebook(), output=output)
    with pytest.raises(OutputExistsError, match="never overwritten"):
        keeper.open()
    assert output.read_text() == "somebody's"
    assert list(tmp_path.iterdir()) == [output]


def test_the_account_is_settled_once_and_what_is_said_later_changes_nothing(tmp_path: Path) -> None:
    """Whoever comes second, an error in winding up or a signal, hears what stands already."""
    keeper = Keeper(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), output=tmp_path / "01.ipynb")
    keeper.open()
    first = keeper.close(Status.FAILED, "cell 1 raised", 1)
    written = (tmp_path / "01.ipynb").read_bytes()
    assert keeper.close(Status.COMPLETED, "every cell ran", None) is first
    assert Account.read(tmp_path / "01.ipynb").status is Status.FAILED
    assert (tmp_path / "01.ipynb").read_bytes() == written


def test_how_a_cell_ended_is_told_once(tmp_path: Path) -> None:
    """The first word stands."""
    keeper = Keeper(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), output=tmp_path / "01.ipynb")
    keeper.open()
    keeper.start(1)
    keeper.finish(1, CellStatus.TIMED_OUT, "too slow")
    keeper.finish(1, CellStatus.OK)
    keeper.close(Status.FAILED, "", 1)
    assert [cell.status for cell in keeper.account.cells] == [CellStatus.TIMED_OUT]


def test_the_notebook_on_disk_follows_at_the_pace_and_no_sooner(tmp_path: Path) -> None:
    """The journal has each event at once; the notebook, which may be large, every two seconds at most."""
    output, now = tmp_path / "01.ipynb", [0.0]
    keeper = Keeper(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), output=output)
    keeper._pace = Pace(clock=lambda: now[0])
    keeper.open()
    opened = output.read_bytes()
    keeper.start(1)
    assert output.read_bytes() == opened
    now[0] = 2.0
    keeper.save_when_due()
    assert Account.read(output).cells[0].started_at is not None
    keeper.close(Status.FAILED, "", 1)


@pytest.mark.parametrize(
    ("ended", "told"), [(Status.COMPLETED, Status.INCOMPLETE), (Status.INTERRUPTED, Status.INTERRUPTED)]
)
def test_outputs_for_which_there_is_no_room_are_left_out_and_that_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Status, told: Status
) -> None:
    """A full disk refuses the notebook, and takes it without its outputs: the status is there, and says why."""
    output, cell = tmp_path / "01.ipynb", nbformat.v4.new_code_cell("1")
    keeper = Keeper(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("2")]), output=output)
    keeper.open()
    cell.outputs = [nbformat.v4.new_output("stream", text="x" * 10_000)]
    replace = writing.replace

    def full(path: Path, text: str) -> None:
        if len(text) > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(path, text)

    monkeypatch.setattr(writing, "replace", full)
    account = keeper.close(ended, "it ended", None)
    assert (account.status, "left out" in account.reason, "No space left" in account.reason) == (told, True, True)
    assert Account.read(output).status is told
    assert [len(each.outputs) for each in nbformat.read(output, as_version=4).cells if each.cell_type == "code"] == [
        1,
        0,
    ]
