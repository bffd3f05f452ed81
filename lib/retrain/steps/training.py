"""Steps of *Training Configuration*: trigger once, wait with a progress bar, keep the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain.acts import job_named, training_act
from retrain.clock import Pace
from retrain.facts import Effect, Remedy
from retrain.sections import if_retraining_fails
from retrain.sections import training as rules
from retrain.service.answers import TrainingStatus
from retrain.service.wire import ServiceUnavailable

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["Waited", "progress", "remedy_in_force", "request_body", "seen", "trigger", "wait"]

_BAR = 30
_ANY_TRAINING = "the service shows no job: that its status is of this training, not of an earlier one, cannot be shown"


@dataclass(frozen=True)
class Waited:
    """How the training ended, as far as was waited (wall seconds). ``job`` is the one that this run triggered."""

    job: str | None
    status: TrainingStatus | None
    seconds: float
    deadline_passed: bool


def remedy_in_force(run: Run) -> Remedy | None:
    """Return the one change that *If Retraining Fails* decided for this attempt, or None for the first."""
    told = run.folder.latest("if_retraining_fails")
    if told is None or told["verdict"]["outcome"] != "retry":
        return None
    facts = if_retraining_fails.Facts.model_validate(told["facts"])
    return if_retraining_fails.remedy(facts, if_retraining_fails.Policy.model_validate(told["policy"]))


def request_body(run: Run) -> dict[str, Any]:
    """Return the runbook's two fields, what the settings add, and the remedy of this attempt."""
    remedy = remedy_in_force(run)
    return rules.request_body(run.policy, remedy.body if remedy else None)


def trigger(run: Run, body: dict[str, Any]) -> Effect:
    """Send the request at most once in this attempt, and see that the training began; nothing before *ready*."""
    if run.outcome("prerequisites") != "ready":
        return Effect(effect="training", detail="not sent: the prerequisites have not passed in this run")
    run.service.reach()
    return run.perform(training_act(run.service, body, attempt=run.attempt, poll_seconds=run.policy.poll_seconds))


def wait(run: Run, effect: Effect, live: Callable[[str], None], *, pace: Pace | None = None) -> Waited:
    """Look at the training's status until it has ended or the deadline has passed; ``live`` is shown each look.

    Looks are ``poll_seconds`` apart at most, and closer in the beginning (see ``Pace``), unless the service asks for
    more with ``Retry-After``. The status of another job ends the wait: that of this run's is not to be had any more.
    """
    if effect.outcome != "applied":
        return Waited(None, None, 0.0, deadline_passed=False)
    job = _triggered_job(run)
    if effect.observed_by == "response":
        run.say("deviation", deviation=_ANY_TRAINING)
    pace = pace or Pace(run.policy.poll_seconds)
    began = run.clock.monotonic()
    deadline = began + run.policy.deadline_minutes * 60
    with run.waiting("training"):
        status, asked = _look(run)
        while not _ended(status, job) and (left := deadline - run.clock.monotonic()) > 0:
            live(progress(status))
            run.clock.sleep(pace.pause(asked=asked, left=left))
            told, asked = _look(run)
            status = told or status
    live(progress(status))
    return Waited(job, status, run.clock.monotonic() - began, deadline_passed=not _ended(status, job))


def seen(waited: Waited) -> dict[str, Any]:
    """Return what was seen of the training, as the section's facts name it."""
    status = waited.status
    told = {"triggered_job": waited.job, "waited_seconds": waited.seconds, "deadline_passed": waited.deadline_passed}
    if status is None:
        return told
    return told | {
        "job_id": status.job_id,
        "status": status.phase or status.status,
        "candidate": status.metrics,
        "error": status.error,
        "evidence": {"status": (status.evidence,)},
    }


def progress(status: TrainingStatus | None) -> str:
    """Return a bar and the service's own word."""
    if status is None:
        return "the service does not answer"
    done = 1.0 if status.phase == "completed" else status.progress or 0.0
    bar = "█" * round(done * _BAR) + "░" * (_BAR - round(done * _BAR))
    return f"{bar} {done:.0%} {status.phase or 'status missing'}"


def _look(run: Run) -> tuple[TrainingStatus | None, float | None]:
    """Return the status, None where it cannot be read now, and how long the service wants to be left alone."""
    try:
        status = run.service.status()
    except ServiceUnavailable as error:
        return None, error.retry_after_seconds
    return status, status.retry_after_seconds


def _ended(status: TrainingStatus | None, job: str | None) -> bool:
    if status is None:
        return False
    return status.phase in ("completed", "failed") or (None not in (job, status.job_id) and status.job_id != job)


def _triggered_job(run: Run) -> str | None:
    """Return the job that the newest training of this run was seen to begin, or None where none was told.

    Where a person settled it, nothing was seen: the job is then the one that the answer to the request named.
    """
    told = [entry for entry in run.folder.entries() if entry.body.get("effect") == "training"]
    ended = [entry for entry in told if entry.kind in ("outcome", "resolved")]
    if ended and ended[-1].kind == "outcome":
        return (ended[-1].body.get("seen") or {}).get("job_id")
    answers = [entry.body["answer"]["json"] for entry in told if entry.kind == "sent"]
    return job_named(answers[-1]) if answers else None
