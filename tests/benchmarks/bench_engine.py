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
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

STACK = "import pandas, snowflake.connector, httpx, scrapbook, matplotlib.pyplot"
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


def line(what: str, ours: list[float], theirs: list[float]) -> str:
    """Return a row of the table: medians with their range, and the ratio."""
    own, other = statistics.median(ours), statistics.median(theirs)
    shown = [f"{middle:.2f} s ({min(all_):.2f}–{max(all_):.2f})" for middle, all_ in ((own, ours), (other, theirs))]
    return f"| {what} | {shown[0]} | {shown[1]} | {other / own:.1f}× |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--inside", nargs=3)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside[0], options.inside[1], int(options.inside[2]))
        return
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    variants = [("sequence", variant) for variant in ("warm", "plain", "cold")]
    for _ in range(options.rounds):
        for what, variant in (*variants, ("saving", "warm"), ("saving", "plain")):
            results.setdefault((what, variant), []).append(measure(what, variant, options.count))
    totals = {key: [result["total"] for result in rows] for key, rows in results.items()}
    firsts = {key[1]: [row["first_cell"] for row in rows] for key, rows in results.items() if key[0] == "sequence"}
    print("| what | ours | against | ratio |\n|---|---|---|---|")  # noqa: T201
    print(line(f"{options.count} notebooks, plain papermill", totals["sequence", "warm"], totals["sequence", "plain"]))  # noqa: T201
    print(line(f"{options.count} notebooks, cold kernels", totals["sequence", "warm"], totals["sequence", "cold"]))  # noqa: T201
    print(line("request to first cell, standard provisioner", firsts["warm"], firsts["cold"]))  # noqa: T201
    print(line("60 cells beside a 20 MB output, plain papermill", totals["saving", "warm"], totals["saving", "plain"]))  # noqa: T201


if __name__ == "__main__":
    main()
