"""A signal to the runner finalises the file in time; a kill leaves one that claims nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest

from retrain.engine import Account

Runner = Callable[..., "subprocess.Popen[str]"]
Write = Callable[..., Path]

RUN = """
import sys
from retrain.engine import Interrupted, execute
try:
    execute(sys.argv[1], sys.argv[2])
except Interrupted as error:
    print(error.account.status.value, str(error), flush=True)
    sys.exit(error.exit_code)
"""
SLOW = (
    "import os, time\nprint('begun', os.getpid(), flush=True)\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)"
)


def _begun(folder: Path, process: subprocess.Popen[str]) -> int:
    """Wait until the slow cell runs; return the kernel's pid."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "pid").exists() and (text := (folder / "pid").read_text()):
            return int(text)
        time.sleep(0.02)  # another process's doing: there is nothing here to hand time in to
    raise AssertionError(process.communicate())


@pytest.fixture
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finalises_within_two_seconds(
    number: signal.Signals, write: Write, tmp_path: Path, runner: Runner, kernels: str
) -> None:
    """SIGINT and SIGTERM: kernel interrupted and gone, output kept, file INTERRUPTED, exit 19."""
    process = runner(RUN, write("x = 1", SLOW, "x = 2"), tmp_path / "out.ipynb")
    kernel = _begun(tmp_path, process)
    started = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)

    assert time.monotonic() - started < 2, errors
    assert process.returncode == 19, errors
    assert output.startswith(f"INTERRUPTED {tmp_path}/out.ipynb: {number.name} stopped it in cell 2")
    account = Account.read(tmp_path / "out.ipynb")
    assert [cell.status for cell in account.cells] == ["ok", "cancelled", "not_run"]
    shown = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[2].outputs
    assert shown[0].text.startswith("begun")
    assert shown[-1].ename == "KeyboardInterrupt"
    assert not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE


@pytest.mark.usefixtures("_there")
def test_a_kernel_that_will_not_be_interrupted_holds_nothing_up(write: Write, tmp_path: Path, runner: Runner) -> None:
    """A cell deaf to SIGINT is killed; the file is final before."""
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SLOW
    process = runner(RUN, write(deaf), tmp_path / "out.ipynb")
    _begun(tmp_path, process)
    started = time.monotonic()
    process.terminate()
    process.communicate(timeout=30)

    assert (process.returncode, time.monotonic() - started < 2) == (19, True)
    assert Account.read(tmp_path / "out.ipynb").status == "INTERRUPTED"


@pytest.mark.usefixtures("_there")
def test_a_killed_runner_leaves_a_file_that_claims_nothing(
    write: Write, tmp_path: Path, runner: Runner, kernels: str
) -> None:
    """SIGKILL: what was written last parses and says INCOMPLETE; kernel and zygote are gone within 1.3 s."""
    process = runner(RUN, write("x = 1", SLOW, "x = 2"), tmp_path / "out.ipynb")
    kernel = psutil.Process(_begun(tmp_path, process))
    family = psutil.Process(process.pid).children(recursive=True)
    assert kernel in family
    process.kill()

    _, alive = psutil.wait_procs(family, timeout=1.3)
    assert [left for left in alive if left.status() != psutil.STATUS_ZOMBIE] == []  # not every init reaps
    account = Account.read(tmp_path / "out.ipynb")
    assert (account.status, account.completed) == ("INCOMPLETE", False)
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert "INCOMPLETE" in written.cells[0].source
    assert all(cell.metadata.papermill.status != "completed" for cell in written.cells[2:])
    lines = [json.loads(line) for line in (tmp_path / "out.ipynb.account.jsonl").read_text().splitlines()]
    assert (lines[-1]["event"], lines[-1]["index"]) == ("cell_started", 2)


@pytest.mark.usefixtures("_there")
def test_the_plain_command_is_interrupted_the_same_way(write: Write, tmp_path: Path, runner: Runner) -> None:
    """``papermill --engine retrain`` leaves the same file behind."""
    code = "import sys; from papermill.cli import papermill; sys.argv[0] = 'papermill'; papermill()"
    process = runner(code, "--engine", "retrain", "--no-progress-bar", write(SLOW), tmp_path / "out.ipynb")
    _begun(tmp_path, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert process.returncode != 0
    assert Account.read(tmp_path / "out.ipynb").status == "INTERRUPTED"


def test_handlers_are_put_back(write: Write, tmp_path: Path) -> None:
    """After a run the process's own handlers for SIGINT and SIGTERM stand again."""
    from retrain.engine import execute

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    execute(write("x = 1"), tmp_path / "out.ipynb")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_run_outside_the_main_thread_needs_no_handlers(write: Write, tmp_path: Path) -> None:
    """Python allows handlers in the main thread only; elsewhere a run goes without."""
    from concurrent.futures import ThreadPoolExecutor

    from retrain.engine import execute

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(execute, write("x = 1"), tmp_path / "out.ipynb").result().completed
