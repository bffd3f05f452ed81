"""Steps of *Prerequisites*: the runbook's three queries.

Only the first has to wait, for the watermark that it counts from: the other two are begun beside that look-up, and
each step takes its own answer.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from retrain.checks import Evidence
from retrain.facts import Incident
from retrain.warehouse import Answer, NewSamples

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["evidence", "new_samples", "open_incidents", "quality", "watermark"]


def watermark(run: Run) -> datetime | None:
    """Return up to when the serving version has seen data: the runbook's last training date."""
    run.warehouse.ahead({"quality": partial(_quality, run), "open_incidents": partial(_open_incidents, run)})
    with run.waiting("warehouse"):
        production = run.production.value
    return (production.reference_end or production.trained_at) if production else None


def new_samples(run: Run, since: datetime | None) -> Answer[NewSamples | None]:
    """Count the rows since the watermark; None where there is no watermark to count from."""
    if since is None:
        return Answer(None, run.production.evidence)
    with run.waiting("warehouse"):
        told = run.warehouse.new_samples(since=since, until=run.now)
    return Answer(told.value, told.evidence)


def quality(run: Run) -> Answer[dict[str, int]]:
    """Count the data-quality runs of the last day by status."""
    with run.waiting("warehouse"):
        return run.warehouse.taken("quality", partial(_quality, run))


def open_incidents(run: Run) -> Answer[tuple[Incident, ...]]:
    """Return the open incidents that block, and those of which nobody knows whether they do."""
    with run.waiting("warehouse"):
        return run.warehouse.taken("open_incidents", partial(_open_incidents, run))


def evidence(
    samples: Answer[NewSamples | None], counted: Answer[dict[str, int]], incidents: Answer[tuple[Incident, ...]]
) -> dict[str, tuple[Evidence, ...]]:
    """Return the evidence of the three queries under the names that the checks look for."""
    return {
        "new_samples": samples.evidence,
        "quality": counted.evidence,
        "open_incidents": incidents.evidence,
    }


def _quality(run: Run) -> Answer[dict[str, int]]:
    return run.warehouse.quality(now=run.now, hours=run.policy.quality_window_hours)


def _open_incidents(run: Run) -> Answer[tuple[Incident, ...]]:
    return run.warehouse.open_incidents(run.policy.blocking_severities)
