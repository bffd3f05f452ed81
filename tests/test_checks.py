"""The one type that flows through everything: exact comparison, missing is never good, the worst check wins."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from retrain.checks import Check, Evidence, Figure, Instant, Model, Status, Verdict, compare, exact, inconclusive, worst


def check(status: Status) -> Check:
    return Check(name="c", requirement="r", observed="o", status=status, reason="why")


@pytest.mark.parametrize(
    ("observed", "relation", "limit", "status"),
    [
        (0.0501, ">", 0.05, Status.PASS),
        (0.05, ">", 0.05, Status.FAIL),
        (0.85, "≥", 0.85, Status.PASS),
        (0.8499, "≥", 0.85, Status.FAIL),
        (0.999, "<", 1, Status.PASS),
        (1.0, "<", 1, Status.FAIL),
        (1, "≤", 1, Status.PASS),
        (1.0001, "≤", 1, Status.FAIL),
    ],
)
def test_each_relation_is_as_strict_as_it_is_written(
    observed: float, relation: str, limit: float, status: Status
) -> None:
    assert compare("x", observed, relation, limit).status is status  # type: ignore[arg-type]


@pytest.mark.parametrize("observed", [None, math.nan, math.inf, -math.inf])
def test_what_was_not_measured_is_inconclusive(observed: float | None) -> None:
    told = compare("F1", observed, "≥", 0.0)
    assert told.status is Status.INCONCLUSIVE
    assert told.reason == "F1 was not measured"


def test_figures_are_compared_as_a_person_writes_them() -> None:
    assert 0.90 - 0.85 > 0.05  # what binary floats say
    assert compare("drop", exact(0.90) - exact(0.85), ">", 0.05).status is Status.FAIL


def test_the_worst_check_wins_and_none_at_all_is_inconclusive() -> None:
    passed, failed, unknown = check(Status.PASS), check(Status.FAIL), check(Status.INCONCLUSIVE)
    assert worst([]) is Status.INCONCLUSIVE
    assert worst([passed]) is Status.PASS
    assert worst([passed, unknown]) is Status.INCONCLUSIVE
    assert worst([unknown, failed, passed]) is Status.FAIL


@given(st.floats())
def test_a_figure_is_finite_or_missing(value: float) -> None:
    told = TypeAdapter(Figure).validate_python(value)
    assert told is None if not math.isfinite(value) else told == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_figure_survives_json_exactly(value: float) -> None:
    class Facts(Model):
        f1: Figure = None

    assert Facts.model_validate_json(Facts(f1=value).model_dump_json()).f1 == value
    assert Facts.model_validate_json(Facts().model_dump_json()).f1 is None


def test_an_instant_needs_an_offset_and_is_kept_in_utc() -> None:
    told = TypeAdapter(Instant).validate_python("2013-06-09T04:00:00+02:00")
    assert told.isoformat() == "2013-06-09T02:00:00+00:00"
    with pytest.raises(ValidationError, match="offset"):
        TypeAdapter(Instant).validate_python("2013-06-09T04:00:00")
    with pytest.raises(ValidationError, match="all years"):
        TypeAdapter(Instant).validate_python("9999-12-31T23:59:59-23:59")


def test_a_value_cannot_be_changed_and_refuses_names_it_does_not_know() -> None:
    told = check(Status.PASS)
    with pytest.raises(ValidationError):
        told.status = Status.FAIL
    with pytest.raises(ValidationError):
        Check.model_validate({**told.model_dump(), "approved": True})


def test_a_verdict_survives_json_with_its_evidence() -> None:
    evidence = Evidence(source="warehouse", at="2013-06-09T02:00:00Z", query_id="01a", rows=3)
    missing = inconclusive("F1", "F1 ≥ 0.8", "no windows", evidence=(evidence,))
    verdict = Verdict(section="evaluation_gate", outcome="rejected", checks=(missing,), sentence="why", flip="how")
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert verdict.status is Status.INCONCLUSIVE
