"""A whole run that ends *deployed*, by its engine: ``python tests/benchmarks/bench_deployed.py [--rounds N]``.

*Ours* is ``retrain run`` in a sandbox whose production model has lost F1. *Plain* is the same command, notebooks,
sandbox and record, and each notebook is executed by papermill's default engine: a standard kernel, papermill's own
saving. The scenario is set again before each run, outside the measurement.

What is told is the time beyond the service's training, the watch window and the warehouse's own queries, as
``timing.overhead_seconds`` of decision.json has it, and beside it from process start to exit. The time that a kernel
takes to import the connector falls into its first query, so plain papermill is let off lightly. ``--where`` also shows
where our own time goes, section by section.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sides import Report, Row, in_turns, parser, print_report, table
from worlds import sandbox

ROOT = Path(__file__).parents[2]
AGAINST = "papermill's default engine"


def plainly() -> int:
    """Be the command ``retrain run --json``, with papermill's default engine for every notebook."""
    import papermill

    from retrain import cli, runner
    from retrain.engine import Account, Status

    def execute(source: Path, output: Path, parameters: Any, *, kernel_env: Any, cwd: Path, **_: Any) -> Account:
        os.environ.update(kernel_env)  # a standard kernel takes what it is told from its parent's environment
        papermill.execute_notebook(str(source), str(output), parameters, progress_bar=False, cwd=str(cwd))
        return Account(status=Status.COMPLETED, reason="", where=None, cells=())

    runner.execute = execute  # type: ignore[assignment]
    os.environ["RETRAIN_WARM_KERNELS"] = "off"  # nothing is started that papermill would have no use for
    sys.argv[1:] = ["run", "--json"]
    cli.main()
    return 0


def once(command: tuple[str, ...], environment: Mapping[str, str], home: Path) -> dict[str, Any]:
    """Set the scenario, run, and return the decision with the seconds from process start to exit."""
    from retrain_sandbox import lifecycle

    lifecycle.apply_scenario(home, "f1_drop")
    started = time.perf_counter()
    told = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=ROOT)
    seconds = time.perf_counter() - started
    assert told.returncode == 0, f"{command} → {told.returncode}: {told.stdout[-3000:]}{told.stderr[-3000:]}"
    decision: dict[str, Any] = json.loads(told.stdout)
    assert decision["outcome"] == "deployed", decision["reason"]
    return {**decision, "seconds": seconds}


def measured(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Run both in turns."""
    with tempfile.TemporaryDirectory(prefix="deployed-") as name, sandbox(Path(name), "f1_drop") as environment:
        sides = {
            "ours": (sys.executable, "-m", "retrain.cli", "run", "--json"),
            "plain": (sys.executable, __file__, "plain"),
        }
        asked = {side: partial(once, command, environment, Path(name) / "home") for side, command in sides.items()}
        found = in_turns(asked, rounds)
        for decision in found["ours"]:
            decision["where"] = list(where(Path(decision["record"])))
    return found


def where(record: Path) -> Iterator[list[str]]:
    """Yield for each notebook of a run how long its cells took in all, and its longest cell."""
    for notebook in sorted(record.glob("*.ipynb")):
        account = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]["retrain"]["account"]
        cells = [_seconds(cell) for cell in account["cells"]]
        yield [notebook.stem, f"{sum(cells):.2f}", " ".join(f"{cell:.2f}" for cell in cells)]


def _seconds(cell: Mapping[str, str]) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(cell["finished_at"]) - datetime.fromisoformat(cell["started_at"])).total_seconds()


def rows(found: Mapping[str, list[dict[str, Any]]]) -> Iterator[Row]:
    """Hold both against each other."""
    told = {side: [each["timing"]["overhead_seconds"] for each in all_] for side, all_ in found.items()}
    whole = {
        side: [each["seconds"] - each["timing"]["service_seconds"] for each in all_] for side, all_ in found.items()
    }
    what = "full `deployed` run: beyond training, watch and queries"
    yield Row(what, AGAINST, told["ours"], told["plain"], at_least=10, at_most=6)
    yield Row("the same, from process start to exit", AGAINST, whole["ours"], whole["plain"])


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--where", action="store_true", help="show where our own time goes")
    chosen = arguments.parse_args()
    found = measured(chosen.rounds)
    waited = [f"{each['timing']['service_seconds']:.1f}" for each in (*found["ours"], *found["plain"])]
    text = [f"Waited for training, watch and warehouse, and not counted: {', '.join(waited)} s."]
    if chosen.where:
        text += ["", *table(["notebook", "seconds", "its cells"], found["ours"][-1]["where"])]
    print_report(Report("A run that deploys", tuple(rows(found)), tuple(text)), chosen.json)


if __name__ == "__main__":
    sys.exit(plainly() if sys.argv[1:] == ["plain"] else main())
