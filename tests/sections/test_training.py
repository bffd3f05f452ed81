"""Training: trained only where the status is completed and metrics came with it."""

from datetime import UTC, datetime

import pytest

from retrain.checks import Status
from retrain.facts import Effect, Metrics
from retrain.sections.training import Facts, Policy, decide, job_of, request_body

NOW = datetime(2013, 6, 9, 2, tzinfo=UTC)


def job(effect=None, **changed):
    plain = {
        "now": NOW,
        "prerequisites": "ready",
        "effect": Effect(**({"effect": "training", "sent": True, "outcome": "applied"} | (effect or {}))),
        "status": "completed",
        "candidate": Metrics(version="v2", f1=0.9),
    }
    return Facts(**(plain | changed))


def outcome(facts):
    return decide(facts, Policy()).outcome


def test_completed_with_metrics_is_trained():
    """The sentence names the candidate."""
    verdict = decide(job(), Policy())
    assert verdict.outcome == "trained"
    assert "v2" in verdict.sentence


@pytest.mark.parametrize("status", ["failed", "running", "idle", "Completed", "completed ", "success", "", None])
def test_any_other_word_is_failed(status):
    """Only the exact word opens."""
    assert outcome(job(status=status)) == "failed"


@pytest.mark.parametrize("candidate", [None, Metrics(), Metrics(version="v2"), Metrics(f1=float("nan"))])
def test_completed_without_a_figure_is_failed(candidate):
    """No metrics, empty ones and NaN are the same: nothing to judge."""
    assert outcome(job(candidate=candidate)) == "failed"


def test_a_deadline_turns_running_into_failed():
    """The check fails then, and says so."""
    check = decide(job(status="running", deadline_passed=True, waited_seconds=7200), Policy()).checks[2]
    assert check.status == "FAIL"
    assert "deadline of 120 minutes" in check.reason
    assert decide(job(status="running"), Policy()).checks[2].status == "INCONCLUSIVE"


@pytest.mark.parametrize("prerequisites", [None, "blocked", "Ready"])
def test_nothing_is_sent_before_it_is_ready(prerequisites):
    """Not ready, and nothing begun."""
    facts = job({"sent": False, "outcome": "not_sent"}, prerequisites=prerequisites, status=None, candidate=None)
    verdict = decide(facts, Policy())
    assert verdict.outcome == "not_ready"
    assert "Nothing was begun" in verdict.sentence


@pytest.mark.parametrize(
    ("effect", "status", "expected"),
    [
        ({"sent": True, "outcome": "not_sent", "detail": "409: a training is running"}, None, "not_ready"),
        ({"sent": False, "outcome": "not_sent", "detail": "another training is running"}, None, "not_ready"),
        ({"sent": False, "outcome": "not_sent"}, "running", "not_ready"),
        ({"sent": True, "outcome": "not_sent", "detail": "422: model_type"}, None, "failed"),
        ({"sent": False, "outcome": "not_sent", "detail": "connection refused"}, "idle", "failed"),
        ({"sent": True, "outcome": "unresolved"}, "completed", "unresolved"),
    ],
)
def test_what_became_of_the_request(effect, status, expected):
    """Another's training makes this one wait, a refusal fails, and what was not seen stays unresolved."""
    verdict = decide(job(effect, status=status), Policy())
    assert verdict.outcome == expected
    assert effect.get("detail", "") in verdict.sentence


def test_another_jobs_result_is_not_this_runs():
    """Where nothing was sent, a completed status belongs to somebody else."""
    assert outcome(job({"sent": False, "outcome": "not_sent", "detail": "refused"})) == "failed"


@pytest.mark.parametrize(
    ("seen", "status", "said"),
    [
        ("job-8", Status.FAIL, "the status is of job-8, not of job-7: how that one ended is not known"),
        (None, Status.INCONCLUSIVE, "the status tells no job, so it may not be of job-7"),
    ],
)
def test_another_jobs_completed_does_not_train_this_run(seen, status, said):
    """The request was seen to begin job-7; the figures are there and good, and they are not its own."""
    verdict = decide(job(triggered_job="job-7", job_id=seen), Policy())
    assert (verdict.outcome, verdict.sentence) == ("failed", f"Failed: {said}.")
    (check,) = [each for each in verdict.checks if each.status is not Status.PASS]
    assert (check.name, check.status, check.reason) == ("Job", status, said)
    assert job_of(job(triggered_job="job-7", job_id=seen)) == "job-7"


def test_its_own_job_is_named_and_none_is_asked_for_where_none_is_told():
    """Four endpoints tell no job, and old records did not ask: four checks, as ever."""
    own = decide(job(triggered_job="job-7", job_id="job-7"), Policy())
    assert own.outcome == "trained"
    assert [check.name for check in own.checks if check.name == "Job"] == ["Job"]
    for told in ({}, {"job_id": "job-7"}):
        verdict = decide(job(**told), Policy())
        assert (verdict.outcome, len(verdict.checks)) == ("trained", 4)
    assert (job_of(job()), job_of(job(job_id="job-7"))) == (None, "job-7")


def test_the_body_is_the_runbooks_and_nothing_else():
    """Two fields; a remedy adds its one change beside the policy's own."""
    assert request_body(Policy()) == {"model_type": "classifier", "data_version": "latest"}
    policy = Policy(extra_body={"hyperparameters": {"epochs": 30}})
    body = request_body(policy, {"hyperparameters": {"class_weight": "balanced"}})
    assert body["hyperparameters"] == {"epochs": 30, "class_weight": "balanced"}
    assert policy.extra_body == {"hyperparameters": {"epochs": 30}}
