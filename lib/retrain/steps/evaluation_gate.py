"""Steps of *Evaluation Gate*: candidate and production, as the service and as the warehouse tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from retrain import pictures
from retrain.acts import compare_scores
from retrain.checks import Evidence
from retrain.facts import BestEver
from retrain.pictures import Picture
from retrain.sections import evaluation_gate as rules
from retrain.sections.training import job_of
from retrain.service.answers import TrainingStatus
from retrain.steps.staging_smoke_tests import sample_rows
from retrain.warehouse import Answer

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = [
    "Observed",
    "against_best",
    "against_production",
    "best_ever",
    "deltas",
    "nothing_serves",
    "observed_in_traffic",
    "proofs",
    "scored",
    "slot_scores",
    "training_status",
]

_DAYS = 7
_OTHER_FIGURES = "the service's figures are not those with which this run's training ended"


@dataclass(frozen=True)
class Observed:
    """Production's F1 on its labelled traffic."""

    f1: float | None
    evidence: tuple[Evidence, ...]


def training_status(run: Run) -> TrainingStatus:
    """Ask the service for the candidate's figures and its comparison with production.

    Figures that are not those that this run's training ended with are another training's: that is a deviation.
    """
    status, training = run.service.status(), run.facts("training")
    trained = training.candidate if training is not None else None
    if trained is not None and status.metrics != trained:
        then, now = (told.version or "no version" if told else "nothing" for told in (trained, status.metrics))
        run.say("deviation", deviation=f"{_OTHER_FIGURES}: {then} then, {now} now")
    return status


def observed_in_traffic(run: Run) -> Observed:
    """Ask the warehouse for production's F1 over the last seven days of labelled traffic."""
    with run.waiting("warehouse"):
        production = run.production
        version = production.value.metrics.version if production.value else None
        if version is None:
            return Observed(None, production.evidence)
        since = run.now - timedelta(days=_DAYS)
        told = run.warehouse.f1_since(run.model, version=version, since=since, until=run.now)
    return Observed(told.value.f1, told.evidence)


def nothing_serves(run: Run) -> bool:
    """Return True only where the service attests that no version is active: this would be a first promotion."""
    health = run.service.health()
    return health is not None and health.slots.attested and health.slots.active is None


def against_production(run: Run, status: TrainingStatus) -> Picture:
    """Draw the candidate beside production, with the floor of each figure."""
    production = status.production
    policy = run.policy
    floors: dict[str, float | None] = {"precision": policy.precision_floor, "recall": policy.recall_floor}
    for name, tolerance in (("f1", policy.f1_tolerance), ("auc_roc", policy.auc_roc_tolerance)):
        figure = getattr(production, name) if production else None
        floors[name] = None if figure is None else figure - tolerance
    return pictures.candidate_against_production(status.metrics, production, floors)


def deltas(status: TrainingStatus) -> list[dict[str, Any]]:
    """Return candidate, production and the service's own difference, a row a figure."""
    return [
        {
            "figure": name,
            "candidate": getattr(status.metrics, name, None),
            "production": getattr(status.production, name, None),
            "difference by the service": status.deltas.get(name),
        }
        for name in ("f1", "auc_roc", "precision", "recall", "latency_p99_seconds")
    ]


def best_ever(run: Run) -> Answer[BestEver]:
    """Ask the warehouse for the best figures that any promoted version had on the hold-out of its gate.

    MODEL_METRICS is asked and not the records, which know only the promotions that these runbooks made.
    """
    with run.waiting("warehouse"):
        return run.warehouse.best_promotions(run.model, until=run.now)


def against_best(run: Run, status: TrainingStatus, best: BestEver) -> list[dict[str, Any]]:
    """Return the candidate beside the best of every promoted version, a row a figure."""
    rows = []
    for name, tolerance in rules.best_ever_floors(run.policy).items():
        top, figure = getattr(best, name), getattr(status.metrics, name, None)
        floor = None if top is None else top - tolerance
        below = None if figure is None or floor is None else figure < floor
        version, at = getattr(best, f"{name}_version"), getattr(best, f"{name}_at")
        rows.append(
            {"figure": name, "candidate": figure, "best ever": top, "of": version, "promoted": at, "floor": floor}
            | {"below": {None: "not known", True: "yes", False: "no"}[below]}
        )
    return rows


def slot_scores(run: Run, status: TrainingStatus) -> Literal["same", "different", "unknown"] | None:
    """Compare the scores that both slots give the run's samples, where versions do not tell the two models apart.

    None where they do; unknown where the service tells no slots, or the slots' scores cannot be had.
    """
    versions = [getattr(told, "version", None) for told in (status.metrics, status.production)]
    if None not in versions:
        return None
    health = run.service.health()
    slots = health.slots if health is not None else None
    if slots is None or not slots.attested or None in (slots.active, slots.standby):
        return "unknown"
    rows = sample_rows(run).value
    takes = [run.service.predict(rows, slot=slot).scores for slot in ("active", "standby")]
    return compare_scores(takes[0], takes[1])


def scored(run: Run, status: TrainingStatus) -> dict[str, Any]:
    """Return what the service told of both models, and which training it was, as the section's facts name it."""
    training = run.facts("training")
    return {
        "edition": rules.EDITION,
        "status": status.phase or status.status or "missing",
        "job": status.job_id,
        "training_job": None if training is None else job_of(training),
        "candidate": status.metrics,
        "production": status.production,
        "deltas": status.deltas,
        "holdout": status.holdout,
        "slot_scores": slot_scores(run, status),
        "candidate_scored": status.candidate_scored,
        "production_scored": status.production_scored,
        "auc_difference_standard_error": status.auc_difference_standard_error,
    }


def proofs(run: Run, facts: rules.Facts) -> list[dict[str, Any]]:
    """Return what each row proves: its class, its interval, and the sample that would prove it or why there is none."""
    return [
        {
            "row": name,
            "evidence": proof.evidence,
            "of": proof.what or "the figure",
            "from": None if proof.interval is None else round(proof.interval[0], 4),
            "to": None if proof.interval is None else round(proof.interval[1], 4),
            "would prove it": f"{proof.needed:,} {proof.of}" if proof.needed is not None else "",
            "why not": proof.why,
        }
        for name, proof in rules.proofs(facts, run.policy).items()
    ]
