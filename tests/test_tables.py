"""What people read is escaped, says how much was left out, and says *missing* where nothing was measured."""

from datetime import UTC, datetime

import pytest

from retrain import tables
from retrain.checks import Evidence, Verdict, compare


def test_missing_reads_missing() -> None:
    assert tables.plain(None) == "*missing*"


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "![x](http://elsewhere)", "a | b", "`code`", "$$x$$"])
def test_text_from_outside_is_taken_literally(hostile: str) -> None:
    told = tables.plain(hostile)
    assert "<script" not in told
    assert "](" not in told or "\\]" in told
    assert " | " not in told
    assert "$" not in told


def test_a_line_break_cannot_end_a_row() -> None:
    assert "\n" not in tables.plain("first\nsecond\r\nthird")


def test_a_table_says_how_much_it_leaves_out() -> None:
    told = tables.table([{"n": number} for number in range(12)], shown=10)
    assert told.endswith("showing 10 of 12")
    assert told.count("\n| ") == 11


def test_an_empty_table_says_so() -> None:
    assert tables.table([], empty="no open incidents") == "*no open incidents*"


def test_a_verdict_shows_the_word_first_then_why_and_what_would_have_flipped_it() -> None:
    failed = compare("Recall", 0.7, "≥", 0.8)
    verdict = Verdict(
        section="evaluation_gate", outcome="rejected", checks=(failed,), sentence="Recall is low.", flip="0.8"
    )
    told = tables.verdict(verdict, "**Next:** If Retraining Fails")
    assert told.startswith("### Verdict: **rejected**\n\nRecall is low.")
    assert "| FAIL | Recall |" in told
    assert "What would have flipped it:** 0.8" in told
    assert told.endswith("**Next:** If Retraining Fails")


def test_on_a_page_of_many_a_verdict_names_its_evidence_so_that_it_can_be_found() -> None:
    now = datetime(2013, 4, 10, tzinfo=UTC)
    asked = Evidence(source="warehouse", at=now, query_id="01b0-77af", rows=1)
    read = Evidence(source="service", at=now, request_id="6e596d6d")
    checks = (
        compare("Recall", 0.9, "≥", 0.8, evidence=(asked, read)),
        compare("Precision", 0.9, "≥", 0.8),
    )
    told = tables.checked(Verdict(section="evaluation_gate", outcome="passed", checks=checks, sentence="It holds."))
    assert told.startswith("**evaluation gate**: passed")
    assert "warehouse query 01b0-77af; service request 6e596d6d |" in told
    assert told.count("| none |") == 1
    assert "Evidence(" not in told
    assert "datetime" not in told
