"""What a command costs from process start to exit: ``python tests/benchmarks/bench_cli.py [--runs N] [--no-sandbox]``.

``retrain --help`` and ``retrain runs`` on a record of N runs, against ``papermill --help``; then the check that runs
every hour and finds nothing to do, ``retrain run`` in a sandbox whose world is healthy, against the plain papermill
command on the first and the last notebook.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sides import Report, Row, in_turns, parser, print_report, seconds_of
from synthetic import write_runs

ROOT = Path(__file__).parents[2]
RETRAIN = (sys.executable, "-m", "retrain.cli")
PAPERMILL = (sys.executable, "-m", "papermill")


def start(runs: int, rounds: int) -> Iterator[Row]:
    """Measure what a command costs that does next to nothing."""
    with tempfile.TemporaryDirectory() as folder:
        write_runs(Path(folder), runs)
        listing = (*RETRAIN, "runs", "--records", folder)
        sides: dict[str, Callable[[], float]] = {
            "retrain --help": partial(seconds_of, (*RETRAIN, "--help")),
            "papermill --help": partial(seconds_of, (*PAPERMILL, "--help")),
            f"retrain runs, {runs:,} runs": partial(seconds_of, listing),
        }
        found = in_turns(sides, rounds)
    theirs = found.pop("papermill --help")
    for what, ours in found.items():
        yield Row(what, "papermill --help", ours, theirs, at_least=1, at_most=0.3)


@contextmanager
def sandbox(folder: Path) -> Iterator[dict[str, str]]:
    """A sandbox of its own in a healthy world, and a project beside it; yields the environment for both."""
    from retrain_sandbox import lifecycle

    for name in ("notebooks", "parameters"):
        (folder / name).symlink_to(ROOT / name)
    try:
        lifecycle.apply_scenario(folder / "home", "healthy")
        mine = {"RETRAIN_SANDBOX": str(folder / "home"), "RETRAIN_HOME": str(folder), "RETRAIN_ACTOR": "bench"}
        yield {**os.environ, **mine}
    finally:
        lifecycle.down(folder / "home")


def nothing_to_do(rounds: int) -> Row:
    """Measure the run that only looks."""
    with tempfile.TemporaryDirectory() as name, sandbox(Path(name)) as environment:
        folder = Path(name)
        options: dict[str, Any] = {"env": environment, "cwd": ROOT}

        def plainly() -> float:
            commands = []
            for notebook in ("01_when_to_retrain", "10_decision_record"):
                output = folder / f"{notebook}.ipynb"
                output.unlink(missing_ok=True)
                commands.append((*PAPERMILL, str(ROOT / "notebooks" / output.name), str(output), "--no-progress-bar"))
            return seconds_of(*commands, **options)

        ours = partial(seconds_of, (*RETRAIN, "run", "--json"), **options)
        found = in_turns({"ours": ours, "plain": plainly}, rounds)
    against = "papermill command, notebooks 01 and 10"
    return Row("retrain run, no action", against, found["ours"], found["plain"], at_least=5, at_most=2)


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--runs", type=int, default=1_000)
    arguments.add_argument("--no-sandbox", action="store_true", help="leave out what needs a sandbox")
    chosen = arguments.parse_args()
    rows = list(start(chosen.runs, chosen.rounds))
    if not chosen.no_sandbox:
        rows.append(nothing_to_do(chosen.rounds))
    print_report(Report("Commands, from process start to exit", rows), chosen.json)


if __name__ == "__main__":
    main()
