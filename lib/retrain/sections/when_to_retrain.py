"""Runbook: *When to Retrain*. Which of the four triggers call for a retraining now?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Evidence, Figure, Instant, Model
from retrain.facts import FeatureDrift, Request



class Facts(Model):
    """What was observed. ``last_trained_at`` is the newest completed training, promoted or not."""

    now: Instant
    baseline_f1: Figure = None
    f1: Figure = None
    f1_labels: int | None = None
    drift: tuple[FeatureDrift, ...] | None = None
    last_trained_at: Instant | None = None
    request: Request | None = None
    evidence: dict[str, tuple[Evidence, ...]] = {}


class Policy(Model):
    """The runbook's figures."""

    f1_drop_tolerance: float = Field(0.05, ge=0, le=1, description="F1 may fall this far below baseline; more triggers")
    f1_window_days: int = Field(7, ge=1, le=366, description="F1 now is counted over the windows of so many days")
    f1_minimum_labels: int = Field(300, ge=1, description="labels below this give no verdict on F1")
    psi_ceiling: float = Field(0.3, ge=0, description="aggregate PSI above this triggers")
    psi_aggregate: Literal["mean", "max"] = Field("mean", description="which aggregate decides")
    psi_minimum_rows: int = Field(300, ge=1, description="rows below this give no verdict on PSI")
    drift_window_days: int = Field(28, ge=1, le=366, description="the current window: so many days before now")
    schedule: str = Field("0 2 * * 0", description="cron expression of the weekly slot, in UTC")
    cooldown_hours: float = Field(0, ge=0, description="automatic triggers rest so long after a training")
