"""Steps of *Model Drift*: PSI of every feature by week since the reference window."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from retrain import pictures
from retrain.pictures import Picture
from retrain.sections.related.model_drift import EDITION, Facts, Period
from retrain.steps.reference import frozen_profile

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["by_week", "over_time", "worst", "worst_picture"]

_DRAWN = 6


def by_week(run: Run) -> Facts:
    """Ask the warehouse for the PSI of every feature by week, in one scan."""
    run.warehouse.ahead({"features": run.warehouse.features})  # beside the look-up of production
    with run.waiting("warehouse"):
        profile = frozen_profile(run)
        if profile is None:
            return Facts(now=run.now, edition=EDITION, evidence={"Aggregate PSI": run.production.evidence})
        since = max(profile.value.reference_end, run.now - timedelta(weeks=run.policy.weeks))
        told = run.warehouse.drift_history(profile.value, since=since, until=run.now)
    periods = tuple(
        Period(start=week.week_end - timedelta(days=7), end=week.week_end, features=week.drift) for week in told.value
    )
    evidence = {"Aggregate PSI": (*told.evidence, *profile.evidence)}
    return Facts(now=run.now, periods=periods, edition=EDITION, evidence=evidence)


def worst(facts: Facts) -> list[dict[str, Any]]:
    """Return the newest period's features, the one that drifted most first."""
    newest = facts.periods[-1].features if facts.periods else ()
    ordered = sorted(newest, key=lambda item: item.psi if item.psi is not None else -1.0, reverse=True)
    return [item.model_dump() for item in ordered]


def worst_picture(run: Run, facts: Facts) -> Picture:
    """Draw the newest period's PSI by feature."""
    newest = facts.periods[-1] if facts.periods else None
    features = newest.features if newest else ()
    return pictures.psi_by_feature(
        features, aggregate=newest.aggregate if newest else None, ceiling=run.policy.psi_ceiling
    )


def over_time(run: Run, facts: Facts) -> Picture:
    """Draw PSI by week of the features that drifted most, and of the aggregate."""
    periods = facts.periods or ()
    names = [row["feature"] for row in worst(facts)[:_DRAWN]]
    series = {
        name: [
            (period.end, next((item.psi for item in period.features if item.feature == name), None))
            for period in periods
        ]
        for name in names
    }
    series["aggregate"] = [(period.end, period.aggregate) for period in periods]
    return pictures.psi_over_time(series, ceiling=run.policy.psi_ceiling)
