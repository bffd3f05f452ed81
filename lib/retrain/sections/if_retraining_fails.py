"""Runbook: *If Retraining Fails*. Find the cause in the evidence, change one thing, or give up and say so."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Evidence, Figure, Model
from retrain.facts import Epoch, Remedy

FailedSection = Literal["training", "evaluation_gate"]
Cause = Literal["data_imbalance", "convergence_failure", "resource_exhaustion", "unknown"]


class Facts(Model):
    """What the failed attempt left behind. ``failed_runs_before`` counts earlier failed runs in a row."""

    failed_section: Literal["training", "evaluation_gate"] | None = None
    reason: str = ""
    error: str | None = None
    class_counts: dict[str, int] | None = None
    epochs: tuple[Epoch, ...] | None = None
    recall: Figure = None
    attempt: int = 1
    remedies_tried: tuple[str, ...] = ()
    failed_runs_before: int = 0
    open_incident: str | None = None
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """How often to try again, with what, and when to call for a person."""

    maximum_attempts: int = Field(2, ge=1, le=10, description="trainings in one run, the first included")
    minority_share_floor: float = Field(0.02, ge=0, le=0.5, description="a smaller class below this share is imbalance")
    incident_after_failed_runs: int = Field(3, ge=1, description="failed runs in a row that open an incident")
    incident_severity: str = Field("P2", min_length=1, description="a severity that does not block the next run")
    remedies: dict[Cause, tuple[Remedy, ...]] = Field(
        {}, description="changes to the request for each cause, tried in order; none: the service takes no such field"
    )
