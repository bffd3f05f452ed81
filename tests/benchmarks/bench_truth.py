"""What an executed notebook claims, after ten ways to end: ``python tests/benchmarks/bench_truth.py [--case NAME]``.

Each side runs the same notebook in a process of its own: a cell that ends well, one to which the thing happens, one
that must not run after it. A cell that ends leaves a mark on disk, so what happened is known without asking either
side. *False* are cells stamped completed that left no mark, and a file or an exit code that says all is well when it is
not. *Unfinalised* is a file that is missing, does not parse, has no end, or has a cell that still runs; after SIGKILL
of the runner nobody lives to write, and what counts is that nothing false is said.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from sides import Report, Row, parser, print_report, table

SIDES = {"ours": "on", "ours, standard kernels": "off", "plain papermill": ""}
BEGUN_SECONDS, ENDED_SECONDS, CELL_SECONDS = 90.0, 90.0, 1.5
LONG = "import time\nopen('begun', 'w').close()\ntime.sleep(300)"
FILL = (
    "import os\nwith open(os.path.join(os.environ['DISK'], 'filling'), 'wb', buffering=0) as file:\n"
    "    try:\n        while file.write(b'x' * 4096): pass\n    except OSError: pass"
)


@dataclass(frozen=True)
class Case:
    """One way to end: what the cell does, what is done to the runner, and whether the notebook may say completed."""

    cell: str
    tag: str = ""
    signal: int = 0
    well: bool = False
    lived: bool = True
    small_disk: bool = False


CASES: Mapping[str, Case] = {
    "cell time-out": Case(LONG.replace("300", "30")),
    "kernel killed, -9": Case("import os\nos.kill(os.getpid(), 9)"),
    "os._exit(0)": Case("import os\nos._exit(0)"),
    "SIGINT": Case(LONG, signal=signal.SIGINT),
    "SIGTERM": Case(LONG, signal=signal.SIGTERM),
    "SIGKILL of the runner": Case(LONG, signal=signal.SIGKILL, lived=False),
    "sys.exit(0)": Case("import sys\nsys.exit(0)"),
    "exception": Case("1 / 0"),
    "raises-exception tag": Case("open('ended-1', 'w').close()\n1 / 0", tag="raises-exception", well=True),
    "full disk": Case(FILL + "\n1 / 0", small_disk=True),
}

OURS = """
import os, sys
from pathlib import Path
from retrain.engine import Interrupted, OutputExistsError, execute
try:
    limit = float(sys.argv[3]) or None
    account = execute(Path(sys.argv[1]), Path(sys.argv[2]), cell_timeout=limit, cwd=Path.cwd())
except Interrupted as error:
    sys.exit(error.exit_code)
sys.exit(0 if account.completed else 1)
"""
PLAIN = """
import sys
import papermill
limit = float(sys.argv[3])
options = {"execution_timeout": int(limit + 0.5)} if limit else {}
papermill.execute_notebook(sys.argv[1], sys.argv[2], progress_bar=False, **options)
"""


@dataclass(frozen=True)
class Found:
    """What a side said, against what happened. ``false`` and ``unfinalised`` name each fault."""

    false: tuple[str, ...]
    unfinalised: tuple[str, ...]


def played(case: Case, side: str, disk: Path) -> Found:
    """Run the case on a side, in a new folder, with the output on ``disk``."""
    with tempfile.TemporaryDirectory(prefix="truth-") as name:
        folder = Path(name)
        output = disk / "out.ipynb"
        limit = CELL_SECONDS if case is CASES["cell time-out"] else 0
        environment = {**os.environ, "RETRAIN_WARM_KERNELS": SIDES[side] or "off", "DISK": str(disk)}
        code = OURS if SIDES[side] else PLAIN
        command = [sys.executable, "-c", code, str(_notebook(folder, case)), str(output), str(limit)]
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as runner:
            try:
                if case.signal:
                    _await(folder / "begun", runner)
                    runner.send_signal(case.signal)
                exit_code = runner.wait(ENDED_SECONDS)
            except subprocess.TimeoutExpired:
                return Found((), (f"did not end within {ENDED_SECONDS:g} s",))
            finally:
                runner.kill()
        marks = {index for index in range(3) if (folder / f"ended-{index}").exists()}
        return judged(case, output, marks, exit_code)


def _notebook(folder: Path, case: Case) -> Path:
    mark = "\nopen('ended-{}', 'w').close()"
    cells = [
        new_code_cell("x = 1" + mark.format(0)),
        new_code_cell(case.cell + mark.format(1), metadata={"tags": [case.tag] if case.tag else []}),
        new_code_cell("x = 2" + mark.format(2)),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(metadata=kernel, cells=cells), folder / "in.ipynb")
    return folder / "in.ipynb"


def _await(path: Path, runner: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + BEGUN_SECONDS
    while not path.exists():
        assert runner.poll() is None and time.monotonic() < deadline, "the cell never began"
        time.sleep(0.05)
    time.sleep(0.5)  # so that both sides have told the file that the cell runs


def judged(case: Case, output: Path, marks: set[int], exit_code: int) -> Found:
    """Hold what the file and the exit code say against the marks."""
    false = []
    if exit_code == 0 and not case.well:
        false.append("exit code 0")
    if exit_code != 0 and case.well:
        false.append(f"exit code {exit_code}, though all went as it should")
    try:
        written = json.loads(output.read_text(encoding="utf-8"))
        told = written["metadata"]["papermill"]
        stamps = [
            cell["metadata"]["papermill"]["status"]
            for cell in written["cells"]
            if cell["cell_type"] == "code" and "injected-parameters" not in cell["metadata"].get("tags", [])
        ]
    except (OSError, ValueError, KeyError) as error:
        return Found(tuple(false), (f"{type(error).__name__} in reading it",))
    false += [f"cell {n + 1} {word}" for n, word in enumerate(stamps) if word == "completed" and n not in marks]
    if case.well and told.get("exception"):
        false.append("the file says it failed")
    if not case.well and told.get("exception") is False:
        false.append("the file says nothing was wrong")
    unfinalised = [f"cell {n + 1} {word}" for n, word in enumerate(stamps) if word == "running"]
    if told.get("end_time") is None:
        unfinalised.append("no end")
    return Found(tuple(false), tuple(unfinalised))


@contextmanager
def disk_for(case: Case) -> Iterator[Path | None]:
    """A folder for the output: on a file system of one megabyte where the case wants that; None if not allowed."""
    with tempfile.TemporaryDirectory(prefix="disk-") as name, ExitStack() as around:
        if case.small_disk:
            mounted = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", name], check=False, capture_output=True
            )
            if mounted.returncode != 0:
                yield None
                return
            around.callback(subprocess.run, ["umount", "--lazy", name], check=False, capture_output=True)
        yield Path(name)


def measured(names: list[str]) -> Iterator[tuple[str, dict[str, Found]]]:
    """Play the cases on all sides."""
    for name in names:
        found: dict[str, Found] = {}
        for side in SIDES:
            with disk_for(CASES[name]) as disk:
                if disk is not None:
                    found[side] = played(CASES[name], side, disk)
        yield name, found


def lines(results: dict[str, dict[str, Found]]) -> Iterator[str]:
    """The matrix."""
    heads = ["what happens", *(f"{side}: {what}" for side in SIDES for what in ("false", "unfinalised"))]
    rows = []
    for name, found in results.items():
        cells = []
        for side in SIDES:
            one = found.get(side)
            cells += ["not measured"] * 2 if one is None else [_count(one.false), _left(CASES[name], one)]
        rows.append([name, *cells])
    sums = []
    for side in SIDES:
        told = [(CASES[name], found[side]) for name, found in results.items() if side in found]
        sums.append(f"**{sum(len(one.false) for _, one in told)}**")
        sums.append(f"**{sum(bool(one.unfinalised) for case, one in told if case.lived)}**")
    yield from table(heads, [*rows, ["**in all**", *sums]])


def rows(results: dict[str, dict[str, Found]]) -> Iterator[Row]:
    """The matrix in two lines: what is claimed falsely, and where warm and standard kernels end otherwise."""
    false = {
        side: [float(sum(len(found[side].false) for found in results.values() if side in found))] for side in SIDES
    }
    warm, standard, plain = SIDES
    ways = f"{len(results)} ways to end"
    yield Row(f"false claims of the file or the exit code, {ways}", plain, false[warm], false[plain], "", at_most=0)
    apart = sum(_ended(name, found.get(warm)) != _ended(name, found.get(standard)) for name, found in results.items())
    yield Row(f"warm and standard kernels apart, {ways}", "identical", [float(apart)], unit="", at_most=0)


def _ended(name: str, one: Found | None) -> tuple[tuple[str, ...], ...] | None:
    """What can be held against another side: how far a killed runner had written is chance."""
    if one is None:
        return None
    return (one.false, one.unfinalised) if CASES[name].lived else (one.false,)


def _count(faults: tuple[str, ...]) -> str:
    return f"{len(faults)}: {', '.join(faults)}" if faults else "0"


def _left(case: Case, one: Found) -> str:
    if not case.lived:
        return "nobody lived to write" if one.unfinalised else "0"
    return f"1: {', '.join(one.unfinalised)}" if one.unfinalised else "0"


def main() -> int:
    """Print the matrix; return 1 where ours has a fault."""
    arguments = parser(__doc__)
    arguments.add_argument("--case", action="append", choices=CASES, help="only this one")
    chosen = arguments.parse_args()
    results: dict[str, dict[str, Any]] = dict(measured(chosen.case or list(CASES)))
    told = Report("What an executed notebook claims", tuple(rows(results)), tuple(lines(results)))
    print_report(told, chosen.json)
    ours = [
        one.false or (case.lived and one.unfinalised)
        for name, found in results.items()
        for side, one in found.items()
        for case in [CASES[name]]
        if SIDES[side]
    ]
    return int(any(ours))


if __name__ == "__main__":
    sys.exit(main())
