"""Steps of *When to Retrain*: F1 now and then, drift in the warehouse, the last training, a person's request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from retrain import pictures
from retrain.checks import Evidence
from retrain.errors import UsageError
from retrain.facts import FeatureDrift, Request, Window
from retrain.pictures import Picture
from retrain.record import history
from retrain.record.opening import records_root
from retrain.steps.reference import frozen_profile

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["Accuracy", "Drift", "accuracy", "drift", "last_training", "manual_request"]

_DAYS_DRAWN = 90


@dataclass(frozen=True)
class Accuracy:
    """F1 of the serving version on labelled traffic, and the baseline recorded when it was promoted."""

    version: str | None
    baseline_f1: float | None
    f1: float | None
    labels: int | None
    note: str
    evidence: tuple[Evidence, ...]
    picture: Picture

    @property
    def row(self) -> dict[str, Any]:
        """The figures as one row of a table."""
        return {
            "version": self.version,
            "baseline F1": self.baseline_f1,
            "F1 now": self.f1,
            "labels": self.labels,
            "note": self.note,
        }


@dataclass(frozen=True)
class Drift:
    """PSI of every feature, the worst first; None where it cannot be told."""

    features: tuple[FeatureDrift, ...] | None
    evidence: tuple[Evidence, ...]
    picture: Picture


def accuracy(run: Run) -> Accuracy:
    """Ask the warehouse for the serving version's baseline, its F1 over the last days, and F1 by day for a picture."""
    with run.waiting("warehouse"):
        production = run.production
        since = run.now - timedelta(days=run.policy.f1_window_days)
        version = production.value.metrics.version if production.value else None
        f1 = run.warehouse.f1_since(run.model, version=version, since=since, until=run.now) if version else None
        days = run.warehouse.f1_windows(run.model, since=run.now - timedelta(days=_DAYS_DRAWN), until=run.now)
    baseline = production.value.metrics.f1 if production.value else None
    drawn = [Window(window_start=day.day, window_end=day.day, version=day.version, f1=day.f1) for day in days.value]
    return Accuracy(
        version=version,
        baseline_f1=baseline,
        f1=f1.value.f1 if f1 else None,
        labels=f1.value.labels if f1 else None,
        note=f1.value.note if f1 else "nothing was ever promoted, so there is no baseline",
        evidence=(*production.evidence, *(f1.evidence if f1 else ())),
        picture=pictures.f1_over_time(drawn, baseline=baseline, tolerance=run.policy.f1_drop_tolerance),
    )


def drift(run: Run) -> Drift:
    """Ask the warehouse for the PSI of every feature since the reference window, in bins frozen with production."""
    with run.waiting("warehouse"):
        profile = frozen_profile(run)
        if profile is None:
            return Drift(None, (), pictures.psi_by_feature((), aggregate=None, ceiling=run.policy.psi_ceiling))
        since = max(profile.reference_end, run.now - timedelta(days=run.policy.drift_window_days))
        told = run.warehouse.drift(profile, since=since, until=run.now)
    features = tuple(sorted(told.value, key=lambda item: item.psi if item.psi is not None else -1.0, reverse=True))
    known = [item.psi for item in features if item.psi is not None]
    aggregate = None if not known else max(known) if run.policy.psi_aggregate == "max" else fmean(known)
    picture = pictures.psi_by_feature(features, aggregate=aggregate, ceiling=run.policy.psi_ceiling)
    return Drift(features, told.evidence, picture)


def last_training(run: Run) -> datetime | None:
    """Return when the newest training of this model was completed, by the warehouse and by our own records."""
    production = run.production.value
    promoted = (production.trained_at or production.promoted_at) if production else None
    return history.last_trained_at(records_root(run.settings), run.folder, promoted=promoted)


def manual_request(run: Run, asked: Mapping[str, Any]) -> Request | None:
    """Return the request that opened the run, or the one in the notebook's cell, or None."""
    told = asked or run.folder.opened.get("request")
    try:
        return Request.model_validate(told) if told else None
    except ValidationError as wrong:
        raise UsageError(
            f'request: {told!r} should read like {{"reason": "new feature", "priority": "high"}}'
        ) from wrong
