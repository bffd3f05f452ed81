"""Facts, policies and verdicts survive JSON exactly, every verdict is well formed, and ``decide`` is pure."""

import json
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from retrain import runbook
from retrain.checks import Status, Verdict
from retrain.facts import Effect
from retrain.sections import (
    blue_green_deployment,
    decision_record,
    evaluation_gate,
    if_retraining_fails,
    post_deploy_monitoring,
    prerequisites,
    rollback,
    staging_smoke_tests,
    training,
    when_to_retrain,
)
from retrain.sections.related import data_quality, model_drift

OUTCOMES = {
    when_to_retrain: {"retrain", "no_action", "inconclusive"},
    prerequisites: {"ready", "blocked"},
    training: {"trained", "failed", "unresolved", "not_ready"},
    evaluation_gate: {"passed", "rejected"},
    staging_smoke_tests: {"staged", "smoke_failed", "not_ready"},
    blue_green_deployment: {"swapped", "awaiting_approval", "unresolved", "not_ready", "smoke_failed"},
    post_deploy_monitoring: {"healthy", "regressed", "inconclusive", "watching", "not_ready"},
    rollback: {"rolled_back", "unresolved", "not_ready"},
    if_retraining_fails: {"retry", "give_up", "not_ready"},
    model_drift: {"drifted", "stable", "inconclusive"},
    data_quality: {"failing", "healthy", "inconclusive"},
    decision_record: {*runbook.EXIT_CODES, "incomplete"},
}
PAGES = {model_drift, data_quality, decision_record}
"""They decide nothing that the run goes by: their sentences are those of others, and nothing flips them."""
OPEN = {"stable", "ready", "trained", "passed", "staged", "swapped", "healthy", "rolled_back", "retry"}
WORDS = st.sampled_from(
    ["", "ready", "passed", "staged", "running", "completed", "v1", "v2", "P1", "out of memory", "é\n"]
)
MOMENTS = st.integers(0, 10_000).map(lambda minutes: datetime(2013, 6, 9, tzinfo=UTC) + timedelta(minutes=minutes))


def name_of(section):
    return section.__name__.rpartition(".")[2]


SECTIONS = pytest.mark.parametrize("section", OUTCOMES, ids=name_of)

PLAIN = {
    str: WORDS,
    int: st.integers(-1, 400),
    float: st.one_of(st.floats(), st.floats(-0.1, 1.1), st.sampled_from([0.0, 0.05, 0.8, 0.85, 1.0, 30.0])),
    bool: st.booleans(),
    datetime: MOMENTS,
    type(None): st.none(),
    Any: st.one_of(st.none(), st.booleans(), st.integers(0, 9), WORDS),
}


def drawn(annotation):
    """A strategy for one annotation, as wide as its type."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, types.UnionType):
        return st.one_of(*[drawn(each) for each in inner])
    if origin is tuple:
        return st.lists(drawn(inner[0]), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(drawn(inner[0]), drawn(inner[1]), max_size=3)
    if hasattr(annotation, "__metadata__"):
        return drawn(inner[0])
    assert issubclass(annotation, BaseModel), annotation
    fields = {name: drawn(field.annotation) for name, field in annotation.model_fields.items() if name != "evidence"}
    return st.fixed_dictionaries({}, optional=fields)


def built(model):
    """Whatever of ``drawn`` the model's own validation lets in."""

    def attempt(values):
        try:
            return model(**values)
        except ValidationError:
            return None

    return drawn(model).map(attempt).filter(lambda value: value is not None)


def facts_of(section):
    """Facts of a section; the page that sums up a run has verdicts that its sections did reach."""
    if section is not decision_record:
        return built(section.Facts)
    told = [built(each.Facts).map(lambda facts, by=each: by.decide(facts, by.Policy())) for each in RUN]
    parts = {
        "verdicts": st.lists(st.one_of(told), max_size=4).map(tuple),
        "ended": st.sampled_from([None, "usage", "error"]),
        "effects": st.lists(built(Effect), max_size=4).map(tuple),
        "unsettled": st.lists(WORDS, max_size=2).map(tuple),
        "reason": WORDS,
    }
    return st.builds(section.Facts, **parts)


RUN = [section for section in OUTCOMES if section not in PAGES]

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@SECTIONS
@RELAXED
@given(data=st.data())
def test_facts_survive_json_and_decide_is_pure(section, data):
    """The same facts after a round trip give the same verdict, which survives one too and is one of the outcomes."""
    facts = data.draw(facts_of(section))
    again = section.Facts.model_validate_json(facts.model_dump_json())
    assert again == facts
    verdict = section.decide(facts, section.Policy())
    assert verdict == section.decide(again, section.Policy())
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert verdict.section == name_of(section)
    assert verdict.outcome in OUTCOMES[section]
    assert section in PAGES or verdict.sentence.endswith(".")
    assert section in PAGES or verdict.flip.endswith((".", ")"))
    assert verdict.checks
    assert "None" not in verdict.sentence + verdict.flip


@SECTIONS
@RELAXED
@given(data=st.data())
def test_no_failed_check_stands_behind_an_open_way(section, data):
    """Whatever was observed, an outcome that opens the way has no FAIL among its checks."""
    verdict = section.decide(data.draw(facts_of(section)), section.Policy())
    if verdict.outcome in OPEN:
        assert Status.FAIL not in {check.status for check in verdict.checks}


@SECTIONS
def test_policies_survive_json(section):
    """Defaults, through JSON text and back, are themselves."""
    policy = section.Policy()
    assert section.Policy.model_validate(json.loads(policy.model_dump_json())) == policy


@SECTIONS
def test_missing_facts_never_open_the_way(section):
    """With nothing but what is required, no section passes."""
    needed = {"now": datetime(2013, 6, 9, tzinfo=UTC), "effect": {"effect": "training"}}
    required = {name: needed[name] for name, field in section.Facts.model_fields.items() if field.is_required()}
    assert section.decide(section.Facts(**required), section.Policy()).outcome not in OPEN | {"retrain", "no_action"}


FIGURES = [
    (section, name)
    for section in OUTCOMES
    for name, field in section.Facts.model_fields.items()
    if field.annotation == float | None
]


def test_there_are_figures():
    """The next test looks at some."""
    assert (when_to_retrain, "f1") in FIGURES


@pytest.mark.parametrize(("section", "name"), FIGURES, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_is_missing(section, name, value):
    """Every figure turns NaN and infinities into None at the door."""
    needed = {"now": datetime(2013, 6, 9, tzinfo=UTC), "effect": {"effect": "training"}}
    required = {each: needed[each] for each, field in section.Facts.model_fields.items() if field.is_required()}
    assert getattr(section.Facts(**required, **{name: value}), name) is None


def test_sections_are_light():
    """Rules are imported without numpy, scipy, pandas or croniter, so that a replay starts at once."""
    names = ", ".join(section.__name__ for section in OUTCOMES)
    heavy = "print([name for name in ('numpy', 'scipy', 'pandas', 'croniter') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", f"import sys, {names}; {heavy}"], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"
