"""Steps of *Data Quality*: which checks failed, when, and what they said."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from retrain.sections.related.data_quality import Facts, QualityRun

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["by_check", "failures"]


def by_check(run: Run) -> Facts:
    """Ask the warehouse for the runs of each check by status, with what the newest failure said."""
    since = run.now - timedelta(days=run.policy.days)
    with run.waiting("warehouse"):
        counted = run.warehouse.quality_by_check(since=since, until=run.now)
        failed = run.warehouse.quality_history(since=since, until=run.now, fine=run.policy.quality_statuses)
    details = {(told.check_name, told.status): told.details for told in reversed(failed.value)}
    runs = tuple(
        QualityRun(
            check_name=told.check_name,
            status=told.status,
            runs=told.runs,
            last_at=told.last_at,
            details=details.get((told.check_name, told.status)),
        )
        for told in counted.value
    )
    return Facts(now=run.now, runs=runs, evidence={"Data quality": (*counted.evidence, *failed.evidence)})


def failures(run: Run) -> list[dict[str, Any]]:
    """Return the newest runs that were not healthy, the newest first."""
    since = run.now - timedelta(days=run.policy.days)
    with run.waiting("warehouse"):
        told = run.warehouse.quality_history(since=since, until=run.now)
    return [row.model_dump() for row in told.value]
