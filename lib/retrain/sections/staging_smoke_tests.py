"""Runbook: *Promote to staging* and *Smoke tests*. One hundred sample predictions before anything changes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Evidence, Figure, Model
from retrain.facts import Slots


class Facts(Model):
    """One score and one latency (seconds) for each request sent, in order; None where no usable answer came.

    ``invalid`` holds a description of each answer that was no finite number, at most twenty of them.
    ``answered_by`` is the slot that the service says answered, or None where it does not tell.
    """

    gate: str | None = None
    candidate_version: str | None = None
    slots: Slots = Slots()
    answered_by: str | None = None
    scores: tuple[Figure, ...] = ()
    latencies_seconds: tuple[Figure, ...] = ()
    invalid: tuple[str, ...] = ()
    timeouts: int = 0
    evidence: dict[str, tuple[Evidence, ...]] = {}


class Policy(Model):
    """The runbook's figures."""

    sample_predictions: int = Field(100, ge=1, le=100_000, description="predictions sent, one a request")
    latency_p99_ceiling_seconds: float = Field(1.0, gt=0, description="latency p99 < this, seconds")
    concurrency: int = Field(4, ge=1, le=64, description="connections open at once")
    warm_up_requests: int = Field(4, ge=0, le=1000, description="sent first and not measured")
    sample_window_days: int = Field(7, ge=1, description="rows are drawn from so many days before now")
    minimum_observation: Literal["attested", "response"] = Field(
        "response", description="the least that must show which slot answered"
    )
