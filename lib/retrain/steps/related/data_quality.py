"""Steps of *Data Quality*: which checks failed, when, and what they said."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from retrain import warehouse
from retrain.sections.related.data_quality import Facts, QualityRun

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["by_check", "failures"]


def by_check(run: Run) -> Facts:
    """Ask the warehouse for the runs of each check by status, with what the newest failure said."""
    since, until, fine = run.now - timedelta(days=run.policy.days), run.now, run.policy.quality_statuses
    run.warehouse.ahead({"failures": partial(_failures, run)})  # the next step shows them
    with run.waiting("warehouse"):
        told = run.warehouse.together(
            {
                "counted": lambda: run.warehouse.quality_by_check(since=since, until=until),
                "failed": lambda: run.warehouse.quality_history(since=since, until=until, fine=fine),
            }
        )
    counted, failed = told["counted"], told["failed"]
    details = {(row.check_name, row.status): row.details for row in reversed(failed.value)}
    runs = tuple(
        QualityRun(
            check_name=row.check_name,
            status=row.status,
            runs=row.runs,
            last_at=row.last_at,
            details=details.get((row.check_name, row.status)),
        )
        for row in counted.value
    )
    return Facts(now=run.now, runs=runs, evidence={"Data quality": (*counted.evidence, *failed.evidence)})


def failures(run: Run) -> list[dict[str, Any]]:
    """Return the newest runs that were not healthy, the newest first."""
    with run.waiting("warehouse"):
        told = run.warehouse.taken("failures", partial(_failures, run))
    return [row.model_dump() for row in told.value]


def _failures(run: Run) -> warehouse.Answer[tuple[warehouse.QualityRun, ...]]:
    return run.warehouse.quality_history(since=run.now - timedelta(days=run.policy.days), until=run.now)
