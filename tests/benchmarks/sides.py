"""Sides of a comparison, taken in turns in one run, A B A B …: medians, ranges and ratios as a Markdown table.

A machine's load changes from minute to minute; what is measured in turns shares it. So the ratio is what a bar is held
against, and what a stored baseline is compared by.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "Report",
    "Row",
    "in_turns",
    "load",
    "machine",
    "parser",
    "print_report",
    "seconds_of",
    "slower",
    "write",
]

PACKAGES = ("papermill", "nbclient", "jupyter-client", "ipykernel", "pandas", "snowflake-connector-python", "fakesnow")
SLOWER = 1.25
"""A ratio or a median this much worse than the baseline's is slower, where the ranges do not overlap either."""


@dataclass(frozen=True)
class Row:
    """One comparison. ``ours`` and ``theirs`` are all that was measured, in ``unit``; less is better.

    ``theirs`` may be empty: then there is nothing to compare with. ``at_least`` is the least ratio theirs : ours and
    ``at_most`` the largest median of ours that the project promises.
    """

    what: str
    against: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    unit: str = "s"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as much the other side takes."""
        if not self.theirs:
            return None
        own = statistics.median(self.ours)
        return statistics.median(self.theirs) / own if own else float("inf")

    @property
    def missed(self) -> str:
        """Which promise is not kept; empty where all are."""
        ratio, own = self.ratio, statistics.median(self.ours)
        told = []
        if self.at_least is not None and (ratio is None or ratio < self.at_least):
            told.append(f"ratio below {self.at_least:g}×")
        if self.at_most is not None and own > self.at_most:
            told.append(f"more than {self.at_most:g} {self.unit}")
        return ", ".join(told)

    @property
    def promise(self) -> str:
        """The bars in words."""
        told = [] if self.at_least is None else [f"≥ {self.at_least:g}×"]
        return ", ".join(told if self.at_most is None else [*told, f"≤ {self.at_most:g} {self.unit}"])

    def cells(self) -> list[str]:
        """The row of the table."""
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}×"
        held = "" if not self.promise else f"{self.promise}: {'missed' if self.missed else 'met'}"
        return [self.what, self.against, _told(self.ours, self.unit), _told(self.theirs, self.unit), ratio, held]


@dataclass(frozen=True)
class Report:
    """What one benchmark found: rows to compare, tables of its own, and remarks."""

    title: str
    rows: Sequence[Row] = ()
    text: Sequence[str] = field(default=())

    def markdown(self) -> Iterator[str]:
        """The report's lines."""
        yield f"## {self.title}"
        yield ""
        if self.rows:
            yield from table(["what", "against", "ours", "theirs", "ratio", "bar"], [row.cells() for row in self.rows])
            yield ""
        if self.text:
            yield from self.text
            yield ""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Report:
        """Read what ``asdict`` made of a report."""
        return cls(str(body["title"]), tuple(Row(**row) for row in body["rows"]), tuple(body["text"]))


def in_turns(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Ask every side once a round, A B A B …, and return what each answered."""
    found: dict[str, list[Any]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, ask in sides.items():
            found[name].append(ask())
    return found


def seconds_of(*commands: Sequence[str], expect: Sequence[int] = (0,), **options: Any) -> float:
    """Run commands one after the other; return seconds from the first's start to the last's exit.

    Raises AssertionError where one ends with a code that is not expected. ``options`` go to ``subprocess.run``.
    """
    started = time.perf_counter()
    for command in commands:
        told = subprocess.run(command, check=False, capture_output=True, text=True, **options)
        assert told.returncode in expect, f"{command} → {told.returncode}: {told.stderr[-2000:]}"
    return time.perf_counter() - started


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |"


def machine() -> dict[str, str]:
    """What was measured on."""
    known = {"cores": str(os.cpu_count()), "python": platform.python_version(), "system": platform.system()}
    for name in PACKAGES:
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            known[name] = "not installed"
    return known


def load() -> float:
    """The load average of the last minute; not a number where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def slower(now: Report, before: Report) -> Iterator[str]:
    """Say which rows got worse since ``before``: by ratio where there is one, else by median, and ranges apart."""
    known = {(row.what, row.against): row for row in before.rows}
    for row in now.rows:
        was = known.get((row.what, row.against))
        if was is None:
            continue
        if row.ratio is not None and was.ratio is not None:
            apart = max(_ratios(row)) < min(_ratios(was))
            if apart and row.ratio * SLOWER < was.ratio:
                yield f"{row.what}, against {row.against}: {row.ratio:.3g}×, was {was.ratio:.3g}×"
        elif min(row.ours) > max(was.ours) and statistics.median(row.ours) > SLOWER * statistics.median(was.ours):
            yield f"{row.what}: {_told(row.ours, row.unit)}, was {_told(was.ours, was.unit)}"


def parser(about: str | None, *, rounds: int = 3) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help="how often each side is asked")
    made.add_argument("--json", type=Path, help="also write the numbers there")
    return made


def print_report(report: Report, to: Path | None = None) -> None:
    """Print a report of its own, with the machine; write its numbers to ``to``."""
    sys.stdout.write("\n".join([*report.markdown(), footer()]) + "\n")
    if to is not None:
        write(to, asdict(report))


def footer() -> str:
    """Machine and load in a line."""
    return f"{', '.join(f'{name} {what}' for name, what in machine().items())}; load {load():.1f}"


def write(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, making the folder where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _told(numbers: Sequence[float], unit: str) -> str:
    if not numbers:
        return ""
    low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
    spread = "" if low == high else f" ({low:.3g}–{high:.3g})"
    return f"{middle:.3g} {unit}{spread}"


def _ratios(row: Row) -> list[float]:
    """The ratio of each round; rounds are neighbours in time."""
    return [theirs / own if own else float("inf") for own, theirs in zip(row.ours, row.theirs, strict=False)]
