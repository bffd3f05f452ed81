"""Runbook: *Training Configuration*. Trigger the training, wait for it, keep its log."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from retrain.checks import Evidence, Figure, Instant, Model
from retrain.facts import Effect, Metrics


class Facts(Model):
    """What was observed of the training job that this run triggered."""

    now: Instant
    prerequisites: str | None = None
    effect: Effect
    status: str | None = None
    candidate: Metrics | None = None
    error: str | None = None
    waited_seconds: Figure = None
    deadline_passed: bool = False
    evidence: dict[str, tuple[Evidence, ...]] = {}


class Policy(Model):
    """The runbook's request body, and how long to wait."""

    model_type: str = Field("classifier", min_length=1, description="sent as it is")
    data_version: str = Field("latest", min_length=1, description="sent as it is")
    extra_body: dict[str, Any] = Field({}, description="further fields of the request; the runbook names none")
    poll_seconds: float = Field(15, gt=0, description="between two looks at the status")
    deadline_minutes: float = Field(120, gt=0, description="a training that takes longer has failed")
