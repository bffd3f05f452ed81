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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "HEADS",
    "Report",
    "Row",
    "in_turns",
    "load",
    "machine",
    "parser",
    "print_report",
    "seconds_of",
    "slower",
    "table",
    "versions",
    "write",
]

PACKAGES = ("papermill", "nbclient", "jupyter-client", "ipykernel", "pandas", "snowflake-connector-python", "fakesnow")
HEADS = ("what", "against", "ours", "theirs", "ratio", "bar")
SLOWER = 1.1
"""A ratio this much worse than the baseline's is slower, where the ranges of both do not overlap either."""


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
        return statistics.median(self.theirs) / own if own else None

    @property
    def name(self) -> str:
        """What tells the row from others."""
        return f"{self.what} | {self.against}"

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round, whose sides are neighbours in time; none where a side measured nothing at all."""
        return [theirs / own for own, theirs in zip(self.ours, self.theirs, strict=False) if own]

    @property
    def missed(self) -> str:
        """Which promise is not kept; empty where all are."""
        ratio, own = self.ratio, statistics.median(self.ours)
        told = []
        if self.at_least is not None and (ratio is None or ratio < self.at_least):
            told.append(f"ratio below {self.at_least:g}×")
        if self.at_most is not None and own > self.at_most:
            told.append(f"more than {self.at_most:g} {self.unit}".rstrip())
        return ", ".join(told)

    @property
    def promise(self) -> str:
        """The bars in words."""
        told = [] if self.at_least is None else [f"≥ {self.at_least:g}×"]
        return ", ".join(told if self.at_most is None else [*told, f"≤ {self.at_most:g} {self.unit}".rstrip()])

    def cells(self) -> list[str]:
        """The row of the table."""
        ratio = "" if self.ratio is None else f"{_figure(self.ratio)}×{_range(self.ratios)}"
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
            yield from table(HEADS, [row.cells() for row in self.rows])
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
    return {"cores": str(os.cpu_count()), "memory": _memory(), "system": _system(), "Python": platform.python_version()}


def versions() -> dict[str, str]:
    """Which packages took part."""
    known = {}
    for name in PACKAGES:
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            known[name] = "not installed"
    return known


def _memory() -> str:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return "not told"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def load() -> float:
    """The load average of the last minute; not a number where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def slower(rows: Iterable[Row], before: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Say which ratios got worse since ``before`` (ratios of each round, by the row's name), and by more than noise.

    More than noise: the best round now is worse than the worst one then, and the medians are a tenth apart.
    """
    for row in rows:
        now, was = row.ratios, before.get(row.name, ())
        if not now or not was or max(now) >= min(was):
            continue
        if statistics.median(now) * SLOWER < statistics.median(was):
            found, then = (f"{_figure(statistics.median(each))}×{_range(each)}" for each in (now, was))
            yield f"{row.what}, against {row.against}: {found}, was {then}"


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
    told = {**machine(), **versions()}
    return f"{', '.join(f'{name} {what}' for name, what in told.items())}; load {load():.1f}"


def write(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, making the folder where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _told(numbers: Sequence[float], unit: str) -> str:
    return f"{_figure(statistics.median(numbers))} {unit}{_range(numbers)}".rstrip() if numbers else ""


def _range(numbers: Sequence[float]) -> str:
    low, high = _figure(min(numbers)), _figure(max(numbers))
    return "" if low == high else f" ({low}–{high})"


def _figure(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.3g}"
