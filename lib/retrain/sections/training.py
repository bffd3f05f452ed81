"""Runbook: *Training Configuration*. Trigger the training, wait for it, keep its log."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Instant, Model, Status, Verdict, inconclusive
from retrain.facts import Effect, Metrics
from retrain.judgement.words import shown

__all__ = ["Facts", "Policy", "decide", "job_of", "request_body"]

SECTION = "training"
PREREQUISITES, REQUEST, JOB, STATUS, METRICS = (
    "Prerequisites",
    "Request accepted",
    "Job",
    "Training status",
    "Metrics of the candidate",
)

_ANOTHER = re.compile(r"\b409\b|another training|already (?:running|training|in progress)|still running", re.IGNORECASE)


class Facts(Model):
    """What was observed of the training job that this run triggered.

    ``triggered_job`` is the job that the request was seen to begin, ``job_id`` the one whose status was read last: None
    where the service tells none, or where it was not asked. Status, candidate and error are those of ``job_id``.
    """

    now: Instant
    prerequisites: str | None = None
    effect: Effect
    triggered_job: str | None = None
    job_id: str | None = None
    status: str | None = None
    candidate: Metrics | None = None
    error: str | None = None
    waited_seconds: Figure = None
    deadline_passed: bool = False
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's request body, and how long to wait."""

    model_type: str = Field("classifier", min_length=1, description="sent as it is")
    data_version: str = Field("latest", min_length=1, description="sent as it is")
    extra_body: dict[str, Any] = Field({}, description="further fields of the request; the runbook names none")
    poll_seconds: float = Field(15, gt=0, description="between two looks at the status")
    deadline_minutes: float = Field(120, gt=0, description="a training that takes longer has failed")


def request_body(policy: Policy, change: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of the trigger: the runbook's two fields, what the policy adds, and a remedy's one change.

    Mappings are merged field by field, so that a remedy's hyperparameter joins those of the policy.
    """
    body: dict[str, Any] = {"model_type": policy.model_type, "data_version": policy.data_version}
    for extra in (policy.extra_body, change or {}):
        for name, value in extra.items():
            present = body.get(name)
            both = isinstance(present, dict) and isinstance(value, dict)
            body[name] = {**present, **value} if both and isinstance(present, dict) else value
    return body


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the job: trained only where the status says ``completed`` and the metrics came with it."""
    checks = (_prerequisites(facts), _request(facts), *_job(facts), _status(facts, policy), _metrics(facts))
    closed = [check for check in checks if check.status is not Status.PASS]
    outcome = _outcome(facts, closed)
    return Verdict(
        section=SECTION,
        outcome=outcome,
        checks=checks,
        sentence=_sentence(outcome, closed, facts),
        flip=_FLIP[outcome],
    )


def job_of(facts: Facts) -> str | None:
    """Return the job that is this run's training; None where the service tells none, so that any may be it."""
    return facts.triggered_job or facts.job_id


_FLIP = {
    "trained": "With any other status than completed, or without metrics: failed.",
    "failed": "With the status completed and the candidate's metrics: trained.",
    "unresolved": "With a status that shows the training that was asked for: trained or failed.",
    "not_ready": "With the prerequisites ready and no other training running: a training.",
}


def _outcome(facts: Facts, closed: list[Check]) -> str:
    if facts.effect.outcome == "unresolved":
        return "unresolved"
    if facts.prerequisites != "ready" or _another_runs(facts):
        return "not_ready"
    return "failed" if closed else "trained"


def _another_runs(facts: Facts) -> bool:
    """Whether nothing was begun because a training that is not this run's is under way."""
    if facts.effect.outcome != "not_sent":
        return False
    refused = _ANOTHER.search(facts.effect.detail) is not None
    return refused or (not facts.effect.sent and facts.status == "running")


def _prerequisites(facts: Facts) -> Check:
    wanted = "prerequisites are ready"
    if facts.prerequisites is None:
        return inconclusive(PREREQUISITES, wanted, "the prerequisites were not judged")
    ready = facts.prerequisites == "ready"
    status = Status.PASS if ready else Status.FAIL
    reason = f"the prerequisites are {facts.prerequisites}"
    return Check(name=PREREQUISITES, requirement=wanted, observed=facts.prerequisites, status=status, reason=reason)


def _request(facts: Facts) -> Check:
    wanted, effect = "the training request was taken, once", facts.effect
    told = f": {effect.detail}" if effect.detail else ""
    reasons = {
        "applied": (Status.PASS, "the training was begun"),
        "unresolved": (Status.INCONCLUSIVE, f"whether a training was begun cannot be told{told}"),
        "not_sent": (Status.FAIL, f"no training was begun{told}"),
    }
    status, reason = reasons[effect.outcome]
    if _another_runs(facts):
        reason = f"another training is running{told}"
    evidence = facts.evidence.get("effect", ())
    return Check(
        name=REQUEST, requirement=wanted, observed=effect.outcome, status=status, reason=reason, evidence=evidence
    )


def _job(facts: Facts) -> tuple[Check, ...]:
    """Refuse the status of another training: what it says is not of this run's."""
    ours, seen = facts.triggered_job, facts.job_id
    if ours is None or facts.status is None:
        return ()
    wanted, evidence = f"the status is of {ours}, which this run triggered", facts.evidence.get("status", ())
    if seen is None:
        return (inconclusive(JOB, wanted, f"the status tells no job, so it may not be of {ours}", evidence=evidence),)
    status = Status.PASS if seen == ours else Status.FAIL
    reason = f"the status is of {seen}" + ("" if seen == ours else f", not of {ours}: how that one ended is not known")
    return (Check(name=JOB, requirement=wanted, observed=seen, status=status, reason=reason, evidence=evidence),)


def _status(facts: Facts, policy: Policy) -> Check:
    wanted = f"status is completed within {shown(policy.deadline_minutes)} minutes"
    evidence, word = facts.evidence.get("status", ()), facts.status
    if word is None or facts.effect.outcome != "applied":
        return inconclusive(STATUS, wanted, "no status of this run's training was read", evidence=evidence)
    waited = f" after {shown(facts.waited_seconds)} s" if facts.waited_seconds is not None else ""
    told = f": {facts.error}" if facts.error else ""
    found = {
        "completed": (Status.PASS, f"completed{waited}"),
        "failed": (Status.FAIL, f"failed{waited}{told}"),
        "running": (Status.INCONCLUSIVE, f"still running{waited}"),
    }
    status, reason = found.get(word, (Status.INCONCLUSIVE, f"the status {word!r} is none that is documented{told}"))
    if facts.deadline_passed and status is Status.INCONCLUSIVE:
        status, reason = Status.FAIL, f"{reason}, and the deadline of {shown(policy.deadline_minutes)} minutes passed"
    return Check(name=STATUS, requirement=wanted, observed=word, status=status, reason=reason, evidence=evidence)


def _metrics(facts: Facts) -> Check:
    wanted, evidence = "the candidate's metrics came with it", facts.evidence.get("status", ())
    if facts.candidate is None:
        return inconclusive(METRICS, wanted, "no metrics of the candidate", evidence=evidence)
    model = facts.candidate
    figures = {"F1": model.f1, "precision": model.precision, "recall": model.recall, "AUC-ROC": model.auc_roc}
    observed = ", ".join(f"{name} {shown(value)}" for name, value in figures.items() if value is not None)
    if not observed:
        return inconclusive(METRICS, wanted, "the metrics hold no figure", evidence=evidence)
    reason = f"metrics of {model.version or 'the candidate'} are there"
    return Check(
        name=METRICS, requirement=wanted, observed=observed, status=Status.PASS, reason=reason, evidence=evidence
    )


def _sentence(outcome: str, closed: list[Check], facts: Facts) -> str:
    if outcome == "trained":
        model = facts.candidate.version if facts.candidate and facts.candidate.version else "the candidate"
        figure = facts.candidate.f1 if facts.candidate else None
        return f"Trained: {model} is ready for the gate, F1 {shown(figure) if figure is not None else 'not told'}."
    sent = "" if facts.effect.outcome != "not_sent" or outcome == "failed" else " Nothing was begun by this run."
    word = outcome.replace("_", " ").capitalize()
    deciding = next((check for check in closed if outcome != "unresolved" or check.name == REQUEST), None)
    return f"{word}: {deciding.reason if deciding else 'the training was not seen'}.{sent}"
