"""What a command costs from process start to exit: ``python tests/benchmarks/bench_cli.py [--runs N] [--no-sandbox]``.

``retrain --help`` and ``retrain runs`` on a record of N runs, against ``papermill --help``; then the check that runs
every hour and finds nothing to do, ``retrain run`` in a sandbox that is up and whose world is healthy, against the
plain papermill command on the first and the last notebook: the same environment, the same sandbox, papermill's own
engine. The warehouse's own time is in both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sides import Report, Row, in_turns, parser, print_report, seconds_of
from synthetic import write_runs
from worlds import sandbox

ROOT = Path(__file__).parents[2]
RETRAIN = (sys.executable, "-m", "retrain.cli")
PAPERMILL = (sys.executable, "-m", "papermill")


def start(runs: int, rounds: int) -> Iterator[Row]:
    """Measure what a command costs that does next to nothing."""
    with tempfile.TemporaryDirectory() as name:
        for part in ("notebooks", "parameters"):
            (Path(name) / part).symlink_to(ROOT / part)
        write_runs(Path(name) / "records", runs)
        options: dict[str, Any] = {"env": {**os.environ, "RETRAIN_HOME": name}}
        sides: dict[str, Callable[[], float]] = {
            "retrain --help": partial(seconds_of, (*RETRAIN, "--help"), **options),
            "papermill --help": partial(seconds_of, (*PAPERMILL, "--help"), **options),
            f"retrain runs, {runs:,} runs": partial(seconds_of, (*RETRAIN, "runs"), **options),
        }
        found = in_turns(sides, rounds)
    theirs = found.pop("papermill --help")
    for what, ours in found.items():
        yield Row(what, "papermill --help", ours, theirs, at_least=1, at_most=0.3)


def looked(waited: list[float], **options: Any) -> float:
    """Run the whole runbook where nothing is to be done; seconds in all. ``waited`` gets those in the warehouse."""
    started = time.perf_counter()
    told = subprocess.run((*RETRAIN, "run", "--json"), check=False, capture_output=True, text=True, **options)
    seconds = time.perf_counter() - started
    assert told.returncode == 0, (told.stdout + told.stderr)[-2000:]
    decision = json.loads(told.stdout)
    assert decision["outcome"] == "no_action", decision["reason"]
    waited.append(decision["timing"]["service_seconds"])
    return seconds


def nothing_to_do(rounds: int) -> tuple[Row, str]:
    """Measure the run that only looks; also say how much of it was the warehouse's."""
    waited: list[float] = []
    with tempfile.TemporaryDirectory() as name, sandbox(Path(name), "healthy") as environment:
        folder = Path(name)
        options: dict[str, Any] = {"env": environment, "cwd": ROOT}

        def plainly() -> float:
            commands = []
            for notebook in ("01_when_to_retrain", "10_decision_record"):
                output = folder / f"{notebook}.ipynb"
                output.unlink(missing_ok=True)
                commands.append((*PAPERMILL, str(ROOT / "notebooks" / output.name), str(output), "--no-progress-bar"))
            return seconds_of(*commands, **options)

        looked([], **options)  # the first in a new sandbox makes keys and tables
        found = in_turns({"ours": partial(looked, waited, **options), "plain": plainly}, rounds)
    against = "papermill command, notebooks 01 and 10"
    row = Row("retrain run, no action", against, found["ours"], found["plain"], at_least=5, at_most=2)
    return row, f"Of `retrain run`, {statistics.median(waited):.2f} s (median) were spent waiting for the warehouse."


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--runs", type=int, default=1_000)
    arguments.add_argument("--no-sandbox", action="store_true", help="leave out what needs a sandbox")
    chosen = arguments.parse_args()
    rows = list(start(chosen.runs, chosen.rounds))
    text = []
    if not chosen.no_sandbox:
        row, remark = nothing_to_do(chosen.rounds)
        rows.append(row)
        text.append(remark)
    print_report(Report("Commands, from process start to exit", rows, text), chosen.json)


if __name__ == "__main__":
    main()
