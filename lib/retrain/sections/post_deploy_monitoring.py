"""Runbook: *Post-deploy monitoring*. Watch MODEL_METRICS for thirty minutes; roll back if F1 drops or latency spikes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Evidence, Figure, Instant, Model
from retrain.facts import Window


class Facts(Model):
    """Windows of the new version since the swap, each once, in order of time.

    ``watched_minutes`` is how long was watched, on the environment's clock. ``other_windows`` counts windows since
    the swap that were left out: another version's, or begun before the swap.
    """

    swapped_at: Instant | None = None
    watched_minutes: Figure = None
    candidate_version: str | None = None
    baseline_f1: Figure = None
    windows: tuple[Window, ...] | None = None
    other_windows: int = 0
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's half hour, and what counts as a drop or a spike."""

    watch_minutes: float = Field(30, gt=0, description="minutes to watch after the swap")
    f1_drop_tolerance: float = Field(0.05, ge=0, le=1, description="F1 may fall this far below baseline")
    latency_p99_ceiling_seconds: float = Field(1.0, gt=0, description="latency p99 < this, seconds")
    rule: Literal["exact", "consecutive", "literal"] = Field(
        "exact", description="exact: sequential test on counts; consecutive: bad windows in a row; literal: one bad window"
    )
    consecutive_windows: int = Field(3, ge=1, description="bad windows in a row, where only F1 and p99 are known")
    false_rollback_rate: float = Field(0.05, gt=0, lt=1, description="chance of rolling back a healthy model")
    minimum_events: int = Field(84, ge=1, description="TP + FP + FN below this at the end are inconclusive")
    minimum_requests: int = Field(299, ge=1, description="requests below this at the end are inconclusive")
    on_inconclusive: Literal["hold", "roll_back"] = Field("hold", description="what to do when nothing could be seen")
    poll_seconds: float = Field(15, gt=0, description="between two looks at MODEL_METRICS")
