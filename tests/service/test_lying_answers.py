"""A service that answers each row alone as it should, and lies in other ways: none of them is staged."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from fake_world import FakeClock
from retrain.checks import Status, Verdict
from retrain.facts import Slots
from retrain.sections.staging_smoke_tests import Facts, Policy, decide
from retrain.service.client import Service
from retrain.steps import staging_smoke_tests as steps
from retrain.warehouse import Answer

ROWS = tuple({"x": float(number)} for number in range(20))
POLICY = Policy(sample_predictions=20)
Scores = list[Any]


def honest(scores: Scores) -> Scores:
    return scores


def batch_only(lie: Callable[[Scores], Scores]) -> Callable[[Scores], Scores]:
    """Lie about batches; a request with one row is answered as it should be."""
    return lambda scores: lie(scores) if len(scores) > 1 else scores


def judged(lie: Callable[[Scores], Scores], policy: Policy = POLICY) -> Verdict:
    """Send the smoke test to a service that passes its scores through ``lie``, and judge it as the notebook does."""

    def answer(request: httpx.Request) -> httpx.Response:
        scores = [row["x"] / 100 for row in json.loads(request.content)["instances"]]
        return httpx.Response(200, json={"scores": lie(scores), "model_version": "v2", "slot": "standby"})

    service = Service(base_url="http://fake", transport=httpx.MockTransport(answer), clock=FakeClock())
    settings = SimpleNamespace(staging_smoke_tests=policy)
    run: Any = SimpleNamespace(service=service, settings=settings, outcome=lambda section: "passed")
    slots = Answer(Slots(active="v1", standby="v2", attested=True), ())
    rows = Answer(ROWS, ())
    smoke = service.smoke(ROWS, slot="standby", concurrency=2, warm_up=2)
    facts = steps.facts(run, "v2", slots, rows, smoke, steps.asked_again(run, rows, slots.value))
    assert Facts.model_validate_json(facts.model_dump_json()) == facts
    return decide(facts, policy)


def failed(verdict: Verdict) -> dict[str, Status]:
    return {check.name: check.status for check in verdict.checks if check.status is not Status.PASS}


def test_honest_answers_are_staged() -> None:
    """Each row gets the same score alone and in a batch whose first row is the last."""
    verdict = judged(honest)
    assert (verdict.outcome, failed(verdict)) == ("staged", {})
    assert verdict.checks[4].reason == "20 rows asked alone and in one batch: the same scores"


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (sorted, "answers do not follow the rows"),
        (lambda scores: scores[::-1], "answers do not follow the rows"),
        (lambda scores: [scores[-1], *scores[:-1]], "answers do not follow the rows"),
        (lambda scores: [scores[0]] * len(scores), "answers are repeated"),
        (lambda scores: [scores[place // 2] for place in range(len(scores))], "answers are repeated"),
        (lambda scores: [1 - score for score in scores], "is not that of its row"),
    ],
    ids=["sorted", "reversed", "one further", "the first for all", "each twice", "other scores"],
)
def test_a_batch_whose_answers_are_not_those_of_its_rows_fails(lie: Callable[[Scores], Scores], said: str) -> None:
    """Unordered and duplicated answers: every score is valid, and the service is not staged."""
    verdict = judged(batch_only(lie))
    assert verdict.outcome == "smoke_failed"
    assert failed(verdict) == {"Answers follow the rows": Status.FAIL}
    assert said in verdict.sentence


@pytest.mark.parametrize(
    "lie",
    [lambda scores: scores[:-1], lambda scores: [*scores, 0.5], lambda scores: [None] * len(scores), lambda scores: []],
    ids=["one too few", "one too many", "nulls", "none"],
)
def test_a_batch_that_is_not_answered_row_for_row_is_no_pass(lie: Callable[[Scores], Scores]) -> None:
    """It cannot be compared, and what cannot be compared is not good."""
    verdict = judged(batch_only(lie))
    assert verdict.outcome == "smoke_failed"
    assert failed(verdict) == {"Answers follow the rows": Status.INCONCLUSIVE}


def test_a_constant_is_no_pass_alone_or_in_a_batch() -> None:
    """The batch agrees with the single answers, and the scores still say nothing of the rows."""
    verdict = judged(lambda scores: [0.5] * len(scores))
    assert (verdict.outcome, failed(verdict)) == ("smoke_failed", {"Scores vary": Status.INCONCLUSIVE})


def test_answers_of_the_request_before_are_no_pass() -> None:
    """A service one answer behind gives valid scores, each to the wrong row."""
    behind = [0.99]

    def late(scores: Scores) -> Scores:
        answer = [behind[0], *scores[1:]]
        behind[0] = scores[0]
        return answer

    assert judged(late).outcome == "smoke_failed"


def test_no_batch_is_asked_where_the_policy_wants_none() -> None:
    """The check is not there, as in records that were made before it."""
    verdict = judged(batch_only(sorted), Policy(sample_predictions=20, batch_rows=0))
    assert verdict.outcome == "staged"
    assert "Answers follow the rows" not in [check.name for check in verdict.checks]
