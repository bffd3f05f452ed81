"""Accounts, verdicts and parameter names: pure rules."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from retrain.engine import Account, CellAccount, CellStatus, EngineError, Status, execute, parameters
from retrain.engine.signals import StopRequestedError
from retrain.engine.verdict import ending, verdict
from retrain.errors import UsageError

AT = datetime(2026, 1, 1, tzinfo=UTC)
OK = CellAccount(1, CellStatus.OK, AT, AT)
NEXT = CellAccount(2)


def _account(*cells: CellAccount, status: Status = Status.INCOMPLETE) -> Account:
    return Account(status, "", None, cells)


def test_an_account_survives_json() -> None:
    """Instants keep their offset, None stays None."""
    account = Account(Status.FAILED, "cell 2 raised", 2, (OK, CellAccount(2, CellStatus.FAILED, AT, AT, "E: v")))
    assert Account.from_dict(json.loads(json.dumps(account.to_dict()))) == account


@pytest.mark.parametrize(
    ("account", "completed"),
    [
        (_account(OK, status=Status.COMPLETED), True),
        (_account(OK, NEXT, status=Status.COMPLETED), False),
        (_account(OK, status=Status.INCOMPLETE), False),
        (_account(status=Status.COMPLETED), False),
    ],
)
def test_completed_needs_status_and_cells_to_say_so(account: Account, completed: bool) -> None:
    """One of the two alone is not success, and no cells are none that ran."""
    assert account.completed is completed


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"metadata": {"retrain": {"account": {"status": "fine"}}}}'])
def test_a_file_without_a_readable_account_is_never_success(content: str, tmp_path: Path) -> None:
    """Missing, torn, or with a status nobody knows: an error."""
    (tmp_path / "a.ipynb").write_text(content)
    with pytest.raises(EngineError, match="no account"):
        Account.read(tmp_path / "a.ipynb")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CellExecutionError("", "ValueError", "v"), "failed"),
        (CellTimeoutError("A cell timed out"), "timed_out"),
        (DeadKernelError("Kernel died"), "dead"),
        (StopRequestedError(), "cancelled"),
        (EngineError("disk full"), "cancelled"),
        (RuntimeError("anything else"), "cancelled"),
    ],
)
def test_every_error_out_of_a_cell_has_its_word(error: Exception, status: str) -> None:
    """None of them is ok."""
    assert ending(error)[0] == status


BEGUN = CellAccount(2, CellStatus.FAILED, AT, AT)


@pytest.mark.parametrize(
    ("error", "cells", "expected", "says", "where"),
    [
        (None, (OK,), "COMPLETED", "every code cell", None),
        (None, (), "INCOMPLETE", "no code cell", None),
        (None, (OK, NEXT), "STOPPED", "cell 2 was left out", 2),
        (CellExecutionError("", "ValueError", "v"), (OK, BEGUN), "FAILED", "cell 2 raised ValueError: v", 2),
        (CellExecutionError("", "SystemExit", "0"), (OK, BEGUN), "STOPPED", "called sys.exit(0)", 2),
        (CellTimeoutError("x"), (OK, BEGUN), "FAILED", "cell 2 did not end within", 2),
        (DeadKernelError("x"), (OK, BEGUN), "FAILED", "the kernel died in cell 2", 2),
        (DeadKernelError("x"), (OK,), "FAILED", "after its last cell", None),
        (StopRequestedError(), (OK, BEGUN), "INTERRUPTED", "SIGTERM stopped it in cell 2", 2),
        (StopRequestedError(), (OK, NEXT), "INTERRUPTED", "between its cells", None),
        (StopRequestedError(), (NEXT,), "INTERRUPTED", "before its first cell", None),
        (StopRequestedError(), (OK,), "INTERRUPTED", "at its end", None),
        (EngineError("the disk is full"), (OK, NEXT), "INCOMPLETE", "the disk is full", None),
        (RuntimeError("no kernel"), (NEXT,), "INCOMPLETE", "the engine broke before its first cell", None),
    ],
)
def test_every_end_of_a_run_has_its_word(
    error: Exception | None, cells: tuple[CellAccount, ...], expected: str, says: str, where: int | None
) -> None:
    """Status, one sentence why, and where: only a run without an error and with every cell ok is COMPLETED."""
    status, reason, place = verdict(error, _account(*cells), signal=signal.SIGTERM)
    assert (status, place) == (expected, where)
    assert says in reason


def _notebook(*sources: str) -> dict[str, object]:
    return {"nbformat": 4, "cells": [{"source": source, "metadata": {"tags": ["parameters"]}} for source in sources]}


def test_declared_parameters_are_the_assigned_names() -> None:
    """Plain and annotated assignments at the top level, magics passed over."""
    notebook = _notebook("%matplotlib inline\na = 1\nb: int = 2  # with a meaning\nc: str\nif a:\n    d = 1")
    assert parameters.declared(notebook) == ("a", "b", "c")


@pytest.mark.parametrize("name", ["x = 1; import os", "class", "1a", "", "a.b", "a b"])
def test_a_name_that_is_code_is_refused(name: str) -> None:
    """papermill would write it into the notebook as it is."""
    with pytest.raises(UsageError, match="cannot be a parameter"):
        parameters.check(_notebook("a = 1"), [name], where="nb")


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """Before a kernel starts, and before any file is written."""
    with pytest.raises(UsageError, match=r"nb: unknown parameter 'treshold'.*Did you mean 'threshold'"):
        parameters.check(_notebook("threshold = 1\nother = 2"), ["treshold"], where="nb")
    with pytest.raises(UsageError, match="has no cell tagged"):
        parameters.check({"cells": []}, ["a"], where="nb")
    with pytest.raises(UsageError, match="no Python"):
        parameters.check(_notebook("a ="), ["a"], where="nb")


@pytest.mark.parametrize("content", [None, "not json", "[]", '{"nbformat": 3}'])
def test_what_is_no_notebook_is_a_usage_error(content: str | None, tmp_path: Path) -> None:
    """The file is named."""
    if content is not None:
        (tmp_path / "in.ipynb").write_text(content)
    with pytest.raises(UsageError, match=r"in\.ipynb"):
        execute(tmp_path / "in.ipynb", tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    """Nothing is run for an output that has nowhere to go."""
    (tmp_path / "in.ipynb").write_text('{"nbformat": 4, "cells": []}')
    with pytest.raises(UsageError, match="no such folder"):
        execute(tmp_path / "in.ipynb", tmp_path / "none" / "out.ipynb")
