"""Every benchmark in one go, one Markdown table: ``python tests/benchmarks/all.py [--quick] [--only NAME] [--store]``.

Each is a process of its own, one after the other. What is told are the promises: every row that has a bar. Its ratios
are held against those of ``baseline.json``, and what got slower beyond noise is named; the exit code is then 1.
``--store`` makes this run the baseline and puts its table into README.md: the two are written together, so that what
the page says is what later runs are held against. ``--quick`` takes small sizes once: does it all work?
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import documented
from sides import HEADS, Report, Row, load, machine, slower, table, versions, write

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
MARKER = "benchmarks"


@dataclass(frozen=True)
class Bench:
    """A benchmark's file, its arguments for a quick look, and those for a whole one."""

    name: str
    quick: Sequence[str] = ()
    full: Sequence[str] = ()


BENCHES = (
    Bench("engine", ("--rounds", "1", "--count", "3"), full=("--rounds", "2")),  # two minutes a round
    Bench("deployed", ("--rounds", "1")),
    Bench("cli", ("--rounds", "1", "--runs", "100")),
    Bench("psi", ("--rounds", "1", "--rows", "400000")),
    Bench("memory", ("--kernels", "3")),
    Bench("ledger", ("--quick",)),
    Bench("hindsight", ("--rounds", "1", "--runs", "200"), full=("--rounds", "1")),
    Bench("truth", ("--case", "exception", "--case", "SIGTERM")),
)


def run(bench: Bench, *, quick: bool) -> tuple[Report, str]:
    """Run one benchmark; return its report, and what went wrong with it, if anything did."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "numbers.json"
        command = [sys.executable, str(HERE / f"bench_{bench.name}.py"), "--json", str(numbers)]
        told = subprocess.run(
            [*command, *(bench.quick if quick else bench.full)], check=False, capture_output=True, text=True
        )
        wrong = (
            "" if told.returncode == 0 else f"{bench.name}: exit code {told.returncode}: {told.stderr[-600:].strip()}"
        )
        if numbers.exists():
            return Report.read(json.loads(numbers.read_text(encoding="utf-8"))), wrong
    return Report(f"bench_{bench.name}.py"), wrong


def document(rows: Sequence[Row], loads: Sequence[float]) -> Iterator[str]:
    """The table of promises, and what it was measured on."""
    yield from table(HEADS, [row.cells() for row in rows])
    yield ""
    yield "Medians, with the range in brackets; both sides in turns, A B A B …, in one run. *Ratio* is theirs : ours."
    yield f"Measured on {_listed(machine())}; {_listed(versions())}; load {min(loads):.1f} to {max(loads):.1f}."


def _listed(told: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {what}" for name, what in told.items())


def store(lines: Sequence[str], rows: Sequence[Row]) -> None:
    """Keep the ratios of each round and the table as the baseline, and put the table into the page."""
    ratios = {row.name: [float(f"{ratio:.4g}") for ratio in row.ratios] for row in rows if row.ratios}
    write(BASELINE, {"machine": machine(), "versions": versions(), "ratios": ratios, "table": list(lines)})
    documented.write(MARKER, "\n".join(lines))


def since(rows: Sequence[Row], baseline: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the comparison with the baseline, and how many rows got slower."""
    told = list(slower(rows, baseline["ratios"]))
    gone = sorted(set(baseline["ratios"]) - {row.name for row in rows})
    lines = ["", f"Slower than {BASELINE.name}:", "", *([f"- {each}" for each in told] or ["Nothing."])]
    if gone:
        lines += ["", f"Not measured this time: {'; '.join(name.replace(' | ', ', against ') for name in gone)}."]
    here = {**machine(), **versions()}
    then = {**baseline["machine"], **baseline["versions"]}
    changed = [f"{name} {then.get(name)} → {what}" for name, what in here.items() if then.get(name) != what]
    return [*lines, *(["", f"Measured otherwise then: {', '.join(changed)}."] if changed else [])], len(told)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and once: does it all work?")
    parser.add_argument("--only", action="append", choices=[bench.name for bench in BENCHES])
    parser.add_argument("--store", action="store_true", help="make this run the baseline, and write README.md")
    parser.add_argument("--json", type=Path, help="also write all the numbers there")
    chosen = parser.parse_args()
    if chosen.store and (chosen.quick or chosen.only):
        parser.error("--store keeps a whole run: neither --quick nor --only")
    return chosen


def measured(chosen: argparse.Namespace) -> tuple[dict[str, Report], list[str], list[float]]:
    """Run the benchmarks that were chosen; return their reports, what went wrong, and the load on the way."""
    reports: dict[str, Report] = {}
    wrong, loads = [], [load()]
    for bench in BENCHES:
        if chosen.only and bench.name not in chosen.only:
            continue
        sys.stderr.write(f"{bench.name} … ")
        sys.stderr.flush()
        began = time.monotonic()
        reports[bench.name], fault = run(bench, quick=chosen.quick)
        wrong += [fault] if fault else []
        loads.append(load())
        sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")
    return reports, wrong, loads


def main() -> int:
    """Run, print, compare, keep."""
    chosen = arguments()
    reports, wrong, loads = measured(chosen)
    rows = [row for report in reports.values() for row in report.rows if row.promise or chosen.quick]
    lines = list(document(rows, loads))
    remarks = [f"- {line}" for report in reports.values() for line in report.text if line and not line.startswith("|")]
    missed = [f"- {row.what}: {row.missed}" for row in rows if row.missed]
    lines_after = ["", *remarks, "", "Bars that are missed:", "", *([*missed, *wrong] or ["None."])]
    compared, worse = [], 0
    if BASELINE.exists() and not chosen.quick:
        compared, worse = since(rows, json.loads(BASELINE.read_text(encoding="utf-8")))
    sys.stdout.write("\n".join([*lines, *lines_after, *compared]) + "\n")
    if chosen.store and not wrong:
        store(lines, rows)
    if chosen.json:
        told = {name: asdict(report) for name, report in reports.items()}
        write(chosen.json, {"machine": machine(), "versions": versions(), "loads": loads, "reports": told})
    return int(bool(worse or wrong))


if __name__ == "__main__":
    sys.exit(main())
