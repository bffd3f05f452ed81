"""Runbook: *Evaluation Gate*. Five rows that a candidate must pass before promotion."""

from __future__ import annotations

from pydantic import Field

from retrain.checks import Evidence, Figure, Model
from retrain.facts import Metrics


class Facts(Model):
    """Candidate and production, as the service and the warehouse tell of them.

    ``production`` comes from the service's comparison, on the hold-out that ``holdout`` names; ``deltas`` are the
    service's own (candidate − production); ``production_observed_f1`` comes from MODEL_METRICS.
    ``first_promotion`` is True only where the service attests that nothing is serving.
    """

    candidate: Metrics | None = None
    production: Metrics | None = None
    deltas: dict[str, Figure] = Field({})
    production_observed_f1: Figure = None
    holdout: str | None = None
    first_promotion: bool = False
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's figures."""

    f1_tolerance: float = Field(0.01, ge=0, le=1, description="F1 ≥ production F1 − this")
    auc_roc_tolerance: float = Field(0.005, ge=0, le=1, description="AUC-ROC ≥ production AUC-ROC − this")
    precision_floor: float = Field(0.85, ge=0, le=1, description="precision ≥ this")
    recall_floor: float = Field(0.80, ge=0, le=1, description="recall ≥ this")
    latency_p99_ceiling_seconds: float = Field(1.0, gt=0, description="latency p99 < this, seconds")
    disagreement_tolerance: float = Field(
        0.05, ge=0, le=1, description="production F1 in MODEL_METRICS may differ so far from the comparison's"
    )
