"""All benchmarks, one Markdown document: ``python tests/benchmarks/all.py [--quick] [--json FILE] [--baseline FILE]``.

Each is a process of its own, one after the other. ``--json`` keeps the numbers; given them as ``--baseline`` another
day, what got slower is named at the end, and the exit code is 1. Ratios are compared where a row has one: the other
side was measured in the same minutes, so another machine or a busy one does not matter much. ``--only NAME`` takes one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sides import Report, load, machine, slower, table, write

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Bench:
    """A benchmark's file, its arguments, and those for a quick look. ``numbers``: it can write them as JSON."""

    name: str
    arguments: Sequence[str] = ()
    quick: Sequence[str] = ()
    numbers: bool = True


BENCHES = (
    Bench("engine", quick=("--rounds", "1", "--count", "3")),
    Bench("memory", quick=("--kernels", "3")),
    Bench("cli", quick=("--rounds", "1", "--runs", "100")),
    Bench("psi", quick=("--rounds", "1", "--rows", "1000000")),
    Bench("ledger", quick=("--quick",)),
    Bench("truth", quick=("--case", "exception", "--case", "SIGTERM")),
    Bench("watch", quick=("--runs", "2000"), numbers=False),
)


def run(bench: Bench, *, quick: bool) -> tuple[Report, str]:
    """Run one benchmark; return its report, and what went wrong with it, if anything did."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "numbers.json"
        command = [sys.executable, str(HERE / f"bench_{bench.name}.py"), *(bench.quick if quick else bench.arguments)]
        command += ["--json", str(numbers)] if bench.numbers else []
        told = subprocess.run(command, check=False, capture_output=True, text=True)
        wrong = (
            "" if told.returncode == 0 else f"{bench.name}: exit code {told.returncode}: {told.stderr[-600:].strip()}"
        )
        if numbers.exists():
            return Report.read(json.loads(numbers.read_text(encoding="utf-8"))), wrong
    return Report(f"bench_{bench.name}.py", text=tuple(told.stdout.splitlines())), wrong


def header(known: Mapping[str, str], loads: Sequence[float]) -> Iterator[str]:
    """What was measured on, and how busy it was."""
    yield "# Benchmarks"
    yield ""
    yield "Medians, with the range in brackets; both sides in turns, A B A B …, in one run. *Ratio* is theirs : ours."
    yield ""
    yield from table(list(known), [list(known.values())])
    yield ""
    yield f"Load average of the last minute while measuring: {min(loads):.1f} to {max(loads):.1f}."
    yield ""


def footer(reports: Mapping[str, Report], wrong: Sequence[str]) -> Iterator[str]:
    """Which promises are not kept, and what did not run to its end."""
    missed = [f"{row.what}: {row.missed}" for report in reports.values() for row in report.rows if row.missed]
    yield "## Bars that are missed"
    yield ""
    yield from [f"- {each}" for each in (*missed, *wrong)] or ["None."]


def since(baseline: Path, reports: Mapping[str, Report]) -> tuple[list[str], int]:
    """Return the comparison with a former document, and how many rows got slower."""
    body: dict[str, Any] = json.loads(baseline.read_text(encoding="utf-8"))
    before = {name: Report.read(report) for name, report in body["reports"].items()}
    told = [line for name, report in reports.items() if name in before for line in slower(report, before[name])]
    lines = ["", f"## Slower than {baseline.name}", "", *([f"- {each}" for each in told] or ["Nothing."])]
    changed = {name: what for name, what in machine().items() if body["machine"].get(name) != what}
    if changed:
        was = ", ".join(f"{name} {body['machine'].get(name)} → {what}" for name, what in changed.items())
        lines += ["", f"Measured elsewhere or otherwise then: {was}."]
    return lines, len(told)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and once: does it all work?")
    parser.add_argument("--only", action="append", choices=[bench.name for bench in BENCHES])
    parser.add_argument("--json", type=Path, help="keep the numbers there")
    parser.add_argument("--markdown", type=Path, help="also write the document there")
    parser.add_argument("--baseline", type=Path, help="numbers kept before; say what got slower")
    return parser.parse_args()


def main() -> int:
    """Run, print, keep, compare."""
    chosen = arguments()
    reports: dict[str, Report] = {}
    wrong: list[str] = []
    loads = [load()]
    for bench in BENCHES:
        if chosen.only and bench.name not in chosen.only:
            continue
        sys.stderr.write(f"{bench.name} …\n")
        reports[bench.name], fault = run(bench, quick=chosen.quick)
        wrong += [fault] if fault else []
        loads.append(load())
    lines = [*header(machine(), loads), *(line for each in reports.values() for line in each.markdown())]
    lines += footer(reports, wrong)
    more, worse = since(chosen.baseline, reports) if chosen.baseline else ([], 0)
    document = "\n".join([*lines, *more]) + "\n"
    sys.stdout.write(document)
    if chosen.markdown:
        chosen.markdown.write_text(document, encoding="utf-8")
    if chosen.json:
        told = {name: asdict(report) for name, report in reports.items()}
        write(chosen.json, {"machine": machine(), "loads": loads, "quick": chosen.quick, "reports": told})
    return int(bool(worse or wrong))


if __name__ == "__main__":
    sys.exit(main())
