"""Steps of *If Retraining Fails*: the evidence that the failed attempt left, and an incident when it keeps failing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrain.acts import incident_act, incident_id
from retrain.facts import Effect
from retrain.record import history
from retrain.record.opening import records_root
from retrain.record.provenance import actor
from retrain.sections import if_retraining_fails as rules
from retrain.sections.training import Facts as Training
from retrain.sections.training import job_of
from retrain.service.answers import TrainingStatus
from retrain.warehouse import Answer

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["evidence_left", "gathered", "open_incident"]

_CLASSES = "the service told no class counts: they were counted in the labelled rows of the"


def evidence_left(run: Run) -> TrainingStatus | None:
    """Return the service's status where this run's own training stands behind it, else None."""
    training = run.facts("training")
    if training is None or training.effect.outcome != "applied":
        return None
    status = run.service.status()
    return status if job_of(training) in (None, status.job_id) else None


def gathered(run: Run, status: TrainingStatus | None) -> rules.Facts:
    """Return the section's facts: what failed and why, the log, the classes, and what was tried before."""
    failed = _failed_section(run)
    told = run.folder.latest(failed) if failed else None
    classes = _classes(run, status)
    return rules.Facts(
        failed_section=failed,
        reason=told["verdict"]["sentence"] if told else "",
        error=(status.error if status else None) or _error(run),
        class_counts=classes.value,
        epochs=status.epochs if status else None,
        recall=status.metrics.recall if status and status.metrics else None,
        attempt=run.attempt,
        remedies_tried=_remedies_tried(run),
        failed_runs_before=history.failed_runs_in_a_row(records_root(run.settings), run.folder),
        open_incident=_open_incident(run),
        evidence={"status": (status.evidence, *classes.evidence)} if status else {},
    )


def open_incident(run: Run, facts: rules.Facts) -> Effect | None:
    """Open an incident where the policy says that it is due: at most once for this run."""
    if not rules.incident_due(facts, run.policy):
        return None
    name = incident_id(run.folder.run_id)
    title = f"{run.model}: {facts.failed_runs_before + 1} retraining runs in a row failed"
    details = f"{facts.reason} Record: {run.folder.run_id}. Look first at notebooks/related/data_quality.ipynb."
    act = incident_act(
        name,
        insert=lambda: run.warehouse.open_incident(
            name,
            opened_at=run.clock.now(),
            severity=run.policy.incident_severity,
            title=title,
            details=details,
            opened_by=actor(),
        ),
        lookup=lambda: run.warehouse.find_incident(name).value is not None,
    )
    return run.perform(act)


def _classes(run: Run, status: TrainingStatus | None) -> Answer[dict[str, int] | None]:
    """Return how many rows of each class the training had, as the service tells.

    Where it tells none, the warehouse counts the labelled rows of as many days before now as production was trained on:
    near to what the training saw, not the same, so that is a deviation. None where no such days are known.
    """
    if status is None or status.class_counts:
        return Answer(status.class_counts if status else None, ())
    production = run.production.value
    start, end = (production.reference_start, production.reference_end) if production else (None, None)
    if start is None or end is None or end <= start:
        return Answer(None, ())
    with run.waiting("warehouse"):
        told = run.warehouse.class_balance(since=run.now - (end - start), until=run.now)
    run.say("deviation", deviation=f"{_CLASSES} {(end - start).days} days before now")
    return Answer(told.value or None, told.evidence)


def _failed_section(run: Run) -> rules.FailedSection | None:
    """Return the section whose newest verdict sent the run here, or None."""
    for verdict in reversed(run.folder.verdicts()):
        if (verdict.section, verdict.outcome) == ("training", "failed"):
            return "training"
        if (verdict.section, verdict.outcome) == ("evaluation_gate", "rejected"):
            return "evaluation_gate"
    return None


def _error(run: Run) -> str | None:
    training: Training | None = run.facts("training")
    if training is None:
        return None
    own = job_of(training) in (None, training.job_id)
    return (training.error if own else None) or training.effect.detail


def _remedies_tried(run: Run) -> tuple[str, ...]:
    """Return the remedies of this run's earlier attempts, recomputed from what was recorded."""
    tried = []
    for told in run.folder.bodies("verdict"):
        if told["verdict"]["section"] == "if_retraining_fails" and told["verdict"]["outcome"] == "retry":
            remedy = rules.remedy(
                rules.Facts.model_validate(told["facts"]), rules.Policy.model_validate(told["policy"])
            )
            tried += [remedy.name] if remedy else []
    return tuple(tried)


def _open_incident(run: Run) -> str | None:
    """Return the incident that an earlier run of this row opened and nobody closed, or None."""
    opened = set(history.incidents(records_root(run.settings), run.folder))
    if not opened:
        return None
    with run.waiting("warehouse"):
        still_open = run.warehouse.open_incidents([run.policy.incident_severity]).value
    return next((incident.incident_id for incident in still_open if incident.incident_id in opened), None)
