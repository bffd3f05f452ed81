"""The whole bench: one table, a stored baseline, a comparison, and the page that says what is stored."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import documented
import pytest
from sides import HEADS, Row, table

whole = importlib.import_module("all")

BASELINE = json.loads(whole.BASELINE.read_text(encoding="utf-8"))


def test_the_page_shows_the_table_of_the_stored_baseline() -> None:
    """What README.md claims is what later runs are held against, to the letter."""
    assert documented.read(whole.MARKER) == "\n".join(BASELINE["table"]).strip()


def test_the_stored_table_has_every_bar_and_what_it_was_measured_on() -> None:
    """One table; cores, memory, system, Python and versions; a ratio of each row that has another side."""
    lines = BASELINE["table"]
    assert lines[:2] == list(table(HEADS, []))
    rows = [line.strip("| ").split(" | ") for line in lines[2:] if line.startswith("|")]
    assert len(rows) >= 10
    assert all(row[-1].endswith((": met", ": missed")) for row in rows)
    told = {f"{row[0]} | {row[1]}" for row in rows if len(row) == len(HEADS) and "×" in row[4]}
    assert told == set(BASELINE["ratios"])
    for name, what in {**BASELINE["machine"], **BASELINE["versions"]}.items():
        assert f"{name} {what}" in "\n".join(lines)
    assert set(BASELINE["machine"]) == {"cores", "memory", "system", "Python"}


def test_the_baseline_keeps_ratios_and_no_seconds() -> None:
    """Seconds are of one machine on one day; ratios, a list of them a row, can be compared."""
    assert set(BASELINE) == {"machine", "versions", "ratios", "table"}
    assert all(ratios and all(ratio > 0 for ratio in ratios) for ratios in BASELINE["ratios"].values())


def test_every_benchmark_takes_part() -> None:
    """Save the simulated watches, which have a command and a table of their own."""
    files = {path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")}
    assert files - {"watch"} == {bench.name for bench in whole.BENCHES}
    assert all(bench.quick for bench in whole.BENCHES)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page and a baseline of the test's own."""
    written = tmp_path / "README.md"
    written.write_text("before\n<!-- benchmarks:begin --><!-- benchmarks:end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(whole, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(documented.write, "__defaults__", (written,))
    return written


def test_storing_writes_baseline_and_page_alike(page: Path) -> None:
    """The two cannot say different things; and a run against its own numbers finds nothing slower."""
    rows = [Row("this", "that", (1.0, 1.1), (10.0, 12.0), at_least=10), Row("none", "", (0.0,), at_most=0)]
    whole.store(list(whole.document(rows, [0.5, 1.5])), rows)
    kept = json.loads(whole.BASELINE.read_text(encoding="utf-8"))
    assert kept["ratios"] == {"this | that": [10.0, 10.91]}
    assert documented.read(whole.MARKER, page) == "\n".join(kept["table"])
    assert "| this | that | 1.05 s (1–1.1) | 11 s (10–12) | 10.5× (10–10.9) | ≥ 10×: met |" in kept["table"]
    assert "load 0.5 to 1.5." in kept["table"][-1]
    assert whole.since(rows, kept)[1] == 0


def test_what_got_slower_or_was_not_measured_is_said(page: Path) -> None:
    """By name, with both ratios; the count is what the exit code is made of."""
    kept = {"ratios": {"this | that": [10.0, 11.0], "gone | that": [2.0]}, "machine": {"cores": "1024"}, "versions": {}}
    lines, worse = whole.since([Row("this", "that", (1.0, 1.0), (5.0, 6.0))], kept)
    assert worse == 1
    assert "- this, against that: 5.5× (5–6), was 10.5× (10–11)" in lines
    assert "Not measured this time: gone, against that." in lines
    assert "cores 1024 → " in lines[-1]


@pytest.mark.parametrize("part", [["--quick"], ["--only", "memory"]])
def test_a_part_of_a_run_is_not_stored(part: list[str]) -> None:
    """The page tells of whole runs at full size."""
    told = subprocess.run([sys.executable, whole.__file__, "--store", *part], capture_output=True, text=True)
    assert told.returncode == 2
    assert "--store keeps a whole run" in told.stderr
