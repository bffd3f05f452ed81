"""Ratios for the engine, taken side by side: ``python tests/benchmarks/bench_engine.py [--rounds N] [--count N]``.

Notebooks import the stack and glue three scraps. *plain* is papermill's own engine through its Python interface, *warm*
is ``retrain.engine.execute``, *cold* the same with the standard provisioner. Each measurement is a process of its own,
A B A B …, so that no variant finds another's imports done. Then: kernel request to first cell, and saving beside
papermill's on many cells with one large output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from sides import Report, Row, in_turns, parser, print_report

STACK = "import pandas, snowflake.connector, httpx, scrapbook, matplotlib.pyplot"
BARS = {"at_least": 15, "at_most": 3.5}
GLUE = 'for name in ("a", "b", "c"):\n    scrapbook.glue(name, 1)'


def notebook(folder: Path, name: str, *sources: str) -> Path:
    """Write a notebook of these code cells."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(metadata=kernel, cells=[new_code_cell(source) for source in sources]), path)
    return path


def sequence(variant: str, folder: Path, count: int) -> dict[str, float]:
    """Run ``count`` notebooks one after the other; seconds in all, and from request to first cell after the first."""
    os.environ["RETRAIN_WARM_KERNELS"] = "off" if variant == "cold" else "on"
    started = time.perf_counter()
    if variant == "warm":
        from retrain.engine.warm import prestart

        prestart()
    paths = [notebook(folder, f"{number:02}", STACK, GLUE) for number in range(count)]
    first_cells: list[float] = []
    for path in paths:
        first_cells.append(_one(variant, path))
    total = time.perf_counter() - started
    return {"total": total, "first_cell": statistics.median(first_cells[1:] or first_cells)}


def _one(variant: str, path: Path) -> float:
    output = path.with_suffix(".out.ipynb")
    if variant == "plain":
        import papermill

        papermill.execute_notebook(str(path), str(output), progress_bar=False)
        return float("nan")
    from retrain.engine import execute

    account = execute(path, output)
    assert account.completed, account
    opened = json.loads(output.with_name(output.name + ".account.jsonl").read_text().splitlines()[0])["at"]
    first = account.cells[0].started_at
    assert first is not None
    return (first - type(first).fromisoformat(opened)).total_seconds()


def saving(variant: str, folder: Path) -> dict[str, float]:
    """Run 60 small cells after one that shows 20 MB; seconds in all."""
    sources = ["from IPython.display import JSON, display\ndisplay(JSON({'x': 'y' * 20_000_000}))", *["x = 1"] * 60]
    path = notebook(folder, "saving", *sources)
    started = time.perf_counter()
    _one(variant, path)
    return {"total": time.perf_counter() - started}


def measure(what: str, variant: str, count: int) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--inside", what, variant, str(count)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    numbers: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return numbers


def inside(what: str, variant: str, count: int) -> None:
    """Measure here and print the numbers as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = sequence(variant, Path(folder), count) if what == "sequence" else saving(variant, Path(folder))
    print(json.dumps(numbers))  # noqa: T201


def rows(results: Mapping[str, list[dict[str, float]]], count: int) -> Iterator[Row]:
    """Hold the variants against each other."""
    totals = {name: [found["total"] for found in all_] for name, all_ in results.items()}
    firsts = {name: [found["first_cell"] for found in results[f"sequence {name}"]] for name in ("warm", "cold")}
    whole = f"{count} sections that import the stack and glue: the whole sequence"
    warm, plain, cold = (totals[f"sequence {name}"] for name in ("warm", "plain", "cold"))
    yield Row(whole, "plain papermill", warm, plain, **(BARS if count == 10 else {}))
    yield Row(whole, "our engine, standard kernels", warm, cold)
    first = "one section after the first: request to first cell"
    yield Row(first, "standard provisioner", firsts["warm"], firsts["cold"], at_most=0.1)
    saved = "60 cells beside an output of 20 MB"
    yield Row(saved, "plain papermill", totals["saving warm"], totals["saving plain"])


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=10, help="how many notebooks")
    arguments.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.inside:
        inside(options.inside[0], options.inside[1], int(options.inside[2]))
        return
    asked = ("sequence warm", "sequence plain", "sequence cold", "saving warm", "saving plain")
    sides = {name: partial(measure, *name.split(), options.count) for name in asked}
    results = in_turns(sides, options.rounds)
    print_report(Report("Notebooks, kernels and saving", tuple(rows(results, options.count))), options.json)


if __name__ == "__main__":
    main()
