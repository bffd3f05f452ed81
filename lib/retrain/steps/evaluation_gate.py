"""Steps of *Evaluation Gate*: candidate and production, as the service and as the warehouse tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from retrain import pictures
from retrain.checks import Evidence
from retrain.pictures import Picture
from retrain.service.answers import TrainingStatus

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["Observed", "against_production", "deltas", "nothing_serves", "observed_in_traffic", "training_status"]

_DAYS = 7


@dataclass(frozen=True)
class Observed:
    """Production's F1 on its labelled traffic."""

    f1: float | None
    evidence: tuple[Evidence, ...]


def training_status(run: Run) -> TrainingStatus:
    """Ask the service for the candidate's figures and its comparison with production."""
    return run.service.status()


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
