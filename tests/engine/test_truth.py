"""The account is true whatever happens to cell or kernel, with warm and with standard kernels alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_markdown_cell
from papermill.exceptions import PapermillExecutionError

from retrain.engine import Account, EngineError, OutputExistsError, execute

Write = Callable[..., Path]

MATRIX = {
    "all well": (["x = 1", "x + 1"], "COMPLETED", ["ok", "ok"], None),
    "exception": (["x = 1", "1 / 0", "x = 2"], "FAILED", ["ok", "failed", "not_run"], 2),
    "sys.exit(0)": (["import sys", "sys.exit(0)", "x = 2"], "STOPPED", ["ok", "failed", "not_run"], 2),
    "sys.exit(0) last": (["import sys", "sys.exit(0)"], "STOPPED", ["ok", "failed"], 2),
    "sys.exit('no')": (["import sys", "sys.exit('no')", "x = 2"], "STOPPED", ["ok", "failed", "not_run"], 2),
    "os._exit(0)": (["import os", "os._exit(0)", "x = 2"], "FAILED", ["ok", "dead", "not_run"], 2),
    "kill -9": (["import os", "os.kill(os.getpid(), 9)", "x = 2"], "FAILED", ["ok", "dead", "not_run"], 2),
    "time-out": (["x = 1", "import time; time.sleep(60)", "x = 2"], "FAILED", ["ok", "timed_out", "not_run"], 2),
    "%run of what fails": (["%run nowhere.py", "x = 2"], "FAILED", ["failed", "not_run"], 1),
}


@pytest.mark.parametrize("case", MATRIX)
def test_every_ending_has_its_own_word(case: str, write: Write, tmp_path: Path, kernels: str) -> None:
    """No cell that did not run to its end is called ok, and the file says what the account says."""
    cells, status, cell_statuses, where = MATRIX[case]
    account = execute(write(*cells), tmp_path / "out.ipynb", cell_timeout=1.5, cwd=tmp_path)

    assert (account.status, [cell.status for cell in account.cells], account.where) == (status, cell_statuses, where)
    assert account.completed is (status == "COMPLETED")
    assert Account.read(tmp_path / "out.ipynb") == account
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert written.cells[0].metadata.tags == ["retrain-banner"]
    assert status in written.cells[0].source
    said = [cell.metadata.papermill.status for cell in written.cells if cell.cell_type == "code"]
    assert [word == "completed" for word in said] == [word == "ok" for word in cell_statuses]
    assert written.metadata.papermill.exception is (status != "COMPLETED")


def test_an_allowed_error_is_ok_and_noted(write: Write, tmp_path: Path) -> None:
    """A cell tagged raises-exception that raises is ok; what it raised stands in the account and the outputs."""
    account = execute(write("1 / 0", "x = 1", tags={0: "raises-exception"}), tmp_path / "out.ipynb")

    assert account.completed
    assert account.cells[0].error == "ZeroDivisionError: division by zero"
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert written.cells[1].outputs[0].output_type == "error"


def test_a_cell_left_out_by_its_tag_is_not_success(write: Write, tmp_path: Path) -> None:
    """Success is every code cell run: one tagged skip-execution leaves the notebook STOPPED."""
    account = execute(write("x = 1", "x = 2", tags={0: "skip-execution"}), tmp_path / "out.ipynb")

    assert (account.status, account.cells[0].status, account.where) == ("STOPPED", "not_run", 1)


def test_a_notebook_without_code_is_not_success(write: Write, tmp_path: Path) -> None:
    """An empty list never reads as good."""
    with pytest.raises(EngineError, match="no code cell"):
        execute(write(new_markdown_cell("Words.")), tmp_path / "out.ipynb")
    assert Account.read(tmp_path / "out.ipynb").status == "INCOMPLETE"


def test_a_kernel_that_dies_after_its_last_reply_is_not_success(write: Write, tmp_path: Path) -> None:
    """All cells may have replied and the kernel be dead a moment later: that is said."""
    last = "import os, threading\nthreading.Timer(0.0, os._exit, [0]).start()"
    account = execute(write("x = 1", last), tmp_path / "out.ipynb")

    assert (account.status, account.completed) == ("FAILED", False)
    assert "kernel died" in account.reason


def test_output_before_a_time_out_is_kept(write: Write, tmp_path: Path, kernels: str) -> None:
    """What a cell printed before it was cut off stands in the file."""
    slow = "print('so far', flush=True)\nimport time; time.sleep(60)"
    execute(write(slow), tmp_path / "out.ipynb", cell_timeout=1)

    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert "so far" in written.cells[1].outputs[0].text


def test_the_journal_tells_every_event_in_order(write: Write, tmp_path: Path) -> None:
    """One line an event, beside the notebook."""
    execute(write("x = 1", "1 / 0", "x = 2"), tmp_path / "out.ipynb")

    lines = [json.loads(line) for line in (tmp_path / "out.ipynb.account.jsonl").read_text().splitlines()]
    assert [(line["event"], line.get("index"), line.get("status")) for line in lines] == [
        ("opened", None, None),
        ("cell_started", 1, None),
        ("cell_finished", 1, "ok"),
        ("cell_started", 2, None),
        ("cell_finished", 2, "failed"),
        ("closed", None, "FAILED"),
    ]


def test_an_executed_notebook_is_never_overwritten(write: Write, tmp_path: Path) -> None:
    """A re-run needs a new name, through us and through plain papermill; the file stays as it was."""
    source, output = write("x = 1"), tmp_path / "out.ipynb"
    output.write_text("mine")
    with pytest.raises(OutputExistsError, match="never overwritten"):
        execute(source, output)
    with pytest.raises(FileExistsError):
        papermill.execute_notebook(str(source), str(output), engine_name="retrain", progress_bar=False)
    assert output.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ipynb", "out.ipynb"]


def test_executing_an_executed_notebook_replaces_its_banner(write: Write, tmp_path: Path) -> None:
    """There is one banner, and it is this run's."""
    execute(write("1 / 0"), tmp_path / "first.ipynb")
    execute(tmp_path / "first.ipynb", tmp_path / "second.ipynb")

    cells = nbformat.read(tmp_path / "second.ipynb", as_version=4).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code"]


def test_what_a_notebook_says_cannot_dress_up_the_banner(write: Write, tmp_path: Path) -> None:
    """An error's words are escaped in the banner: no markup, no second line."""
    execute(write("raise ValueError('<script>alert(1)</script>\\n# **COMPLETED**')"), tmp_path / "out.ipynb")

    banner = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].source
    assert "<script" not in banner
    assert "\n#" not in banner
    assert "\\*\\*COMPLETED" in banner


def test_cells_are_told_as_they_start_and_end(write: Write, tmp_path: Path) -> None:
    """on_cell sees each code cell twice, in order."""
    seen: list[tuple[int, str, bool]] = []
    execute(
        write("x = 1", "x = 2"),
        tmp_path / "out.ipynb",
        on_cell=lambda cell: seen.append((cell.index, cell.status.value, cell.finished_at is not None)),
    )
    assert seen == [(1, "not_run", False), (1, "ok", True), (2, "not_run", False), (2, "ok", True)]


def test_environment_and_folder_are_the_ones_asked_for(write: Write, tmp_path: Path, kernels: str) -> None:
    """kernel_env lies over this process's environment, None takes away; cwd is the kernel's alone."""
    here = Path.cwd()
    elsewhere = tmp_path / "else where {x}"
    elsewhere.mkdir()
    code = (
        "import os\nassert os.environ['GIVEN'] == 'yes' and 'HOME' not in os.environ and os.environ['PATH']\n"
        f"assert os.getcwd() == {str(elsewhere)!r}"
    )
    account = execute(write(code), elsewhere / "out.ipynb", kernel_env={"GIVEN": "yes", "HOME": None}, cwd=elsewhere)
    assert account.completed, account.reason
    assert Path.cwd() == here


def test_secrets_are_taken_out_before_anything_is_written(write: Write, tmp_path: Path) -> None:
    """The redactor sees outputs, errors and journal alike."""
    execute(
        write("print('key=hunter2')", "raise ValueError('hunter2')"),
        tmp_path / "out.ipynb",
        redact=lambda text: text.replace("hunter2", "[redacted]"),
    )
    written = {path.name: path.read_text() for path in tmp_path.iterdir() if path.name != "in.ipynb"}
    assert len(written) == 2
    # The source of a cell is redacted too: it is part of what is written.
    assert not [name for name, text in written.items() if "hunter2" in text]


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("1 / 0", PapermillExecutionError),
        ("import sys; sys.exit(0)", PapermillExecutionError),
        ("import os; os._exit(0)", DeadKernelError),
        ("import time; time.sleep(60)", CellTimeoutError),
    ],
)
def test_plain_papermill_raises_and_leaves_a_true_file(
    cell: str, error: type[Exception], write: Write, tmp_path: Path
) -> None:
    """The engine raises what papermill's own does, also for sys.exit(0), and papermill writes nothing over the file."""
    with pytest.raises(error):
        papermill.execute_notebook(
            str(write(cell)),
            str(tmp_path / "out.ipynb"),
            engine_name="retrain",
            progress_bar=False,
            execution_timeout=1.5,
        )
    assert Account.read(tmp_path / "out.ipynb").status in {"FAILED", "STOPPED"}


def test_plain_papermill_takes_an_allowed_error_for_what_it_is(write: Write, tmp_path: Path) -> None:
    """papermill's own engine would call this notebook failed; the file keeps the error as it was shown."""
    source = write(new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}))
    papermill.execute_notebook(str(source), str(tmp_path / "out.ipynb"), engine_name="retrain", progress_bar=False)

    assert Account.read(tmp_path / "out.ipynb").completed
    assert '"output_type": "error"' in (tmp_path / "out.ipynb").read_text()
    # The path is papermill's own again afterwards.
    papermill.iorw.write_ipynb(nbformat.v4.new_notebook(), str(tmp_path / "out.ipynb"))
    assert "retrain" not in (tmp_path / "out.ipynb").read_text()


def test_plain_papermill_with_a_relative_path_and_another_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative output means the folder papermill was called in, not the kernel's."""
    write("import os; assert os.path.basename(os.getcwd()) == 'sub'")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    papermill.execute_notebook("in.ipynb", "out.ipynb", engine_name="retrain", progress_bar=False, cwd="sub")

    assert Account.read(tmp_path / "out.ipynb").completed
