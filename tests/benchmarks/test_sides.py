"""The benchmarks' own arithmetic: ratios, bars, and what counts as slower."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from sides import Report, Row, in_turns, seconds_of, slower


def report(*rows: Row) -> Report:
    return Report("One", rows)


def test_sides_are_asked_in_turns() -> None:
    """A B A B …, so that both share the machine's load."""
    asked: list[str] = []
    found = in_turns({name: lambda name=name: asked.append(name) or len(asked) for name in ("a", "b")}, 2)
    assert asked == ["a", "b", "a", "b"]
    assert found == {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize(
    ("ours", "theirs", "missed"),
    [
        ((1.0, 1.0, 9.0), (10.0, 10.0, 10.0), ""),
        ((1.0,), (9.9,), "ratio below 10×"),
        ((2.5,), (25.0,), "more than 2 s"),
        ((1.0,), (), "ratio below 10×"),
    ],
)
def test_a_bar_is_held_against_medians(ours: tuple[float, ...], theirs: tuple[float, ...], missed: str) -> None:
    """Exactly at the bar is met; with nothing to compare with, a ratio is not."""
    row = Row("this", "that", ours, theirs, at_least=10, at_most=2)
    assert row.missed == missed
    assert ("missed" in row.cells()[-1]) is bool(missed)


def test_a_report_survives_json() -> None:
    """The numbers kept are the numbers measured."""
    kept = report(Row("this", "that", (1.0,), (2.0,), at_least=2))
    assert Report.read(asdict(kept)) == kept


def test_slower_is_judged_by_ratios() -> None:
    """A busier machine slows both sides and says nothing; a worse ratio in every round is named."""
    before = {"this | that": [10.0, 10.0]}
    assert list(slower([Row("this", "that", (4.0, 4.4), (40.0, 44.0))], before)) == []
    assert list(slower([Row("this", "that", (1.0, 4.0), (11.0, 20.0))], before)) == []  # the ranges overlap
    assert list(slower([Row("this", "that", (1.0, 1.0), (9.5, 9.5))], before)) == []  # less than a tenth
    assert list(slower([Row("this", "that", (2.0, 2.0), (10.0, 12.0))], before)) == [
        "this, against that: 5.5× (5–6), was 10×"
    ]


def test_what_was_not_measured_before_or_has_no_other_side_is_not_slower() -> None:
    """There is nothing to hold it against."""
    before = {"this | that": [10.0]}
    assert list(slower([Row("new", "that", (9.0,), (9.0,)), Row("this", "that", (9.0,))], before)) == []


def test_a_row_that_measured_nothing_has_no_ratio() -> None:
    """None of theirs to one of ours is no infinity of times."""
    row = Row("faults", "plain papermill", (0.0,), (7.0,), "", at_most=0)
    assert (row.ratio, row.ratios, row.missed) == (None, [], "")
    assert row.cells() == ["faults", "plain papermill", "0", "7", "", "≤ 0: met"]
    assert Row("faults", "", (1.0,), unit="", at_most=0).missed == "more than 0"


def test_a_ratio_is_told_with_its_range() -> None:
    """Median : median, and the least and the most of the rounds."""
    assert Row("this", "that", (1.0, 2.0, 4.0), (10.0, 20.0, 20.0)).cells()[2:5] == [
        "2 s (1–4)",
        "20 s (10–20)",
        "10× (5–10)",
    ]


def test_a_command_that_fails_is_not_a_measurement() -> None:
    """Otherwise what does nothing would be fastest."""
    assert seconds_of(("true",)) > 0
    with pytest.raises(AssertionError, match="→ 1"):
        seconds_of(("false",))
