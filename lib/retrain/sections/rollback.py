"""Runbook: *Rollback*. Put the former version back, once, and see that it serves again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Evidence, Model
from retrain.facts import Effect, Slots


class Facts(Model):
    """Slots before and after the roll back, and the version that served before the swap."""

    swapped: bool = False
    reason: str = ""
    former_version: str | None = None
    before: Slots = Slots()
    after: Slots = Slots()
    effect: Effect = Effect(effect="rollback")
    fingerprint_matches: bool | None = None
    evidence: dict[str, tuple[Evidence, ...]] = {}


class Policy(Model):
    """How the roll back is seen."""

    observe_seconds: float = Field(60, gt=0, description="how long to look for the roll back after it was sent")
    minimum_observation: Literal["attested", "fingerprint", "response"] = Field(
        "response", description="the least that must show the roll back"
    )
