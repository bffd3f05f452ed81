"""Runbook: *Prerequisites*. What must hold before a retraining is triggered?"""

from __future__ import annotations

from pydantic import Field

from retrain.checks import Evidence, Instant, Model
from retrain.facts import Incident


class Facts(Model):
    """What was observed. None is *not known*; an empty mapping or tuple is *known to be none*."""

    now: Instant
    last_training_watermark: Instant | None = None
    new_samples: int | None = None
    quality: dict[str, int] | None = None
    open_incidents: tuple[Incident, ...] | None = None
    evidence: dict[str, tuple[Evidence, ...]] = {}


class Policy(Model):
    """The runbook's figures."""

    minimum_new_samples: int = Field(10_000, ge=0, description="labeled samples since the last training")
    quality_window_hours: int = Field(24, ge=1, description="data-quality runs of so many hours count")
    quality_statuses: tuple[str, ...] = Field(("healthy", "warning"), min_length=1, description="statuses allowed")
    minimum_quality_runs: int = Field(1, ge=1, description="at least so many data-quality runs")
    blocking_severities: tuple[str, ...] = Field(("P1",), min_length=1, description="open incidents that block")
