"""Runbook: *Blue-green deployment*. Swap the active and the standby slot, once, and see that it happened."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Evidence, Model
from retrain.facts import Effect, Slots


class Facts(Model):
    """Slots before and after, what became of the swap, and what opened the way to it."""

    gate: str | None = None
    smoke_tests: str | None = None
    first_promotion: bool = False
    approved_by: str | None = None
    before: Slots = Slots()
    after: Slots = Slots()
    effect: Effect = Effect(effect="swap")
    smoke_again: str | None = None
    evidence: dict[str, tuple[Evidence, ...]] = {}


class Policy(Model):
    """Who must agree, and how the swap is seen."""

    approval: Literal["none", "required"] = Field("none", description="required: a person approves before the swap")
    observe_seconds: float = Field(60, gt=0, description="how long to look for the swap after it was sent")
    minimum_observation: Literal["attested", "fingerprint", "response"] = Field(
        "response", description="the least that must show the swap"
    )
