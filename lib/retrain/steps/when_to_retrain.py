"""Steps of *When to Retrain*: F1 now and then, drift in the warehouse, the last training, a person's request.

What does not have to wait is begun ahead: the days to draw and the columns beside the look-up of production, and then
drift, which the next step takes, beside F1 and its picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from retrain import pictures
from retrain.checks import Evidence
from retrain.errors import UsageError
from retrain.facts import Coverage, FeatureDrift, Fired, Request, Window
from retrain.pictures import Picture
from retrain.record import history
from retrain.record.opening import records_root
from retrain.sections import when_to_retrain as rules
from retrain.statistics.false_drift import Histogram, false_drift_a_year
from retrain.statistics.false_triggers import false_retrainings_a_year
from retrain.statistics.intervals import jaccard_of
from retrain.steps.drawing import drawn
from retrain.steps.reference import frozen_profile
from retrain.warehouse import Answer, F1Day, F1Since, Production

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["Accuracy", "Drift", "accuracy", "drift", "fired", "last_training", "manual_request"]

_DAYS_DRAWN = 90


@dataclass(frozen=True)
class Accuracy:
    """F1 of the serving version on labelled traffic, and the baseline recorded when it was promoted."""

    version: str | None
    baseline_f1: float | None
    f1: float | None
    labels: int | None
    coverage: Coverage
    by_chance: float | None
    note: str
    evidence: tuple[Evidence, ...]
    picture: Picture

    @property
    def facts(self) -> dict[str, Any]:
        """The figures as the section's facts name them, and the edition of the rules that they are gathered for."""
        return {
            "edition": rules.EDITION,
            "baseline_f1": self.baseline_f1,
            "f1": self.f1,
            "f1_labels": self.labels,
            "label_coverage": self.coverage,
            "f1_by_chance": self.by_chance,
        }

    @property
    def row(self) -> dict[str, Any]:
        """The figures as one row of a table."""
        return {
            "version": self.version,
            "baseline F1": self.baseline_f1,
            "F1 now": self.f1,
            "labels": self.labels,
            "rows": self.coverage.rows,
            "rows with a label": self.coverage.labelled,
            "calls a year by chance": self.by_chance,
            "note": self.note,
        }


@dataclass(frozen=True)
class Drift:
    """PSI of every feature, the worst first; None where it cannot be told."""

    features: tuple[FeatureDrift, ...] | None
    evidence: tuple[Evidence, ...]
    picture: Picture
    by_chance: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The figures as the section's facts name them."""
        return {"drift": self.features, "drift_by_chance": self.by_chance}


def accuracy(run: Run) -> Accuracy:
    """Ask the warehouse for the serving version's baseline, its F1 over the last days, and F1 by day for a picture."""
    since, until = _window(run)
    coverage = partial(run.warehouse.new_samples, since=since, until=until)
    run.warehouse.ahead({"days": partial(_days, run), "coverage": coverage, "features": run.warehouse.features})
    with run.waiting("warehouse"):
        production = run.production
        run.warehouse.ahead({"drift": partial(_drift, run)})
        version = production.value.metrics.version if production.value else None
        f1 = run.warehouse.f1_since(run.model, version=version, since=since, until=until) if version else None
        rows = run.warehouse.taken("coverage", coverage)
        days = run.warehouse.taken("days", partial(_days, run))
    baseline = production.value.metrics.f1 if production.value else None
    shown = [Window(window_start=day.day, window_end=day.day, version=day.version, f1=day.f1) for day in days.value]
    return Accuracy(
        version=version,
        baseline_f1=baseline,
        f1=f1.value.f1 if f1 else None,
        labels=f1.value.labels if f1 else None,
        coverage=Coverage(rows=rows.value.total, labelled=rows.value.labelled),
        by_chance=_f1_by_chance(run, f1.value) if f1 else None,
        note=f1.value.note if f1 else _without_f1(production.value),
        evidence=(*production.evidence, *(f1.evidence if f1 else ()), *rows.evidence),
        picture=drawn(pictures.f1_over_time, shown, baseline=baseline, tolerance=run.policy.f1_drop_tolerance),
    )


def drift(run: Run) -> Drift:
    """Ask the warehouse for the PSI of every feature since the reference window, in bins frozen with production."""
    with run.waiting("warehouse"):
        told = run.warehouse.taken("drift", partial(_drift, run))
    if told is None:
        return Drift(None, (), drawn(pictures.psi_by_feature, (), aggregate=None, ceiling=run.policy.psi_ceiling))
    features = tuple(sorted(told.value, key=lambda item: item.psi if item.psi is not None else -1.0, reverse=True))
    known = [item.psi for item in features if item.psi is not None]
    aggregate = None if not known else max(known) if run.policy.psi_aggregate == "max" else fmean(known)
    picture = drawn(pictures.psi_by_feature, features, aggregate=aggregate, ceiling=run.policy.psi_ceiling)
    return Drift(features, told.evidence, picture, _drift_by_chance(run, features))


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


def fired(run: Run) -> dict[str, Fired]:
    """Return when each trigger last called since production was promoted, as the section's facts name them.

    Nothing where the policy has no hysteresis: the records are not read then.
    """
    if not run.policy.hysteresis_share:
        return {}
    production, found = run.production.value, dict[str, Fired]()
    lowest: dict[str, float] = {}
    for run_id, told in history.triggers_judged(run.folder, since=production.promoted_at if production else None):
        facts, policy = rules.Facts.model_validate(told["facts"]), rules.Policy.model_validate(told["policy"])
        called = {check["name"] for check in told["verdict"]["checks"] if check["status"] == "PASS"}
        for name, check, figure in rules.figures(facts, policy):
            if name in found or figure is None:
                continue
            if check in called:
                found[name] = Fired(run_id=run_id, at=facts.now, figure=figure, lowest_since=lowest.get(name))
            lowest[name] = min(figure, lowest.get(name, figure))
        if len(found) == len(rules.figures(facts, policy)):
            break
    return found


def _without_f1(production: Production | None) -> str:
    """Say why F1 was not asked for."""
    if production is None:
        return "nothing was ever promoted, so there is no baseline"
    return "the newest promotion names no version, so its windows cannot be told from those of others"


def _window(run: Run) -> tuple[datetime, datetime]:
    """Return the window that F1 is counted over: as old as labels take to come."""
    until = run.now - timedelta(days=run.policy.label_delay_days)
    return until - timedelta(days=run.policy.f1_window_days), until


def _f1_by_chance(run: Run, told: F1Since) -> float | None:
    """Return how often a year a model that is as good as its baseline would be called for, at the labels seen."""
    production, counts = run.production.value, (told.tp, told.fp, told.fn)
    baseline = production.metrics.f1 if production else None
    if production is None or baseline is None or not 0 < baseline < 1 or None in counts or not told.labels:
        return None
    events = sum(count or 0 for count in counts) / told.labels
    if events <= 0:  # true negatives alone have no F1, and so none that could fall by chance
        return None
    since, until = _window(run)
    began = max(since, production.promoted_at or since)
    days = max((until - began) / timedelta(days=1), 1.0)
    share = jaccard_of(baseline)
    return false_retrainings_a_year(
        labels_a_day=told.labels / days,
        shares=(events * share, events * (1 - share), 0.0, 1 - events),
        limit=baseline - run.policy.f1_drop_tolerance,
        window_days=run.policy.f1_window_days,
        minimum_labels=run.policy.f1_minimum_labels,
        rest_hours=run.policy.cooldown_hours,
    )


def _drift_by_chance(run: Run, features: tuple[FeatureDrift, ...]) -> float | None:
    """Return how often a year the aggregate PSI would be above its ceiling with data that have not moved."""
    least = run.policy.psi_minimum_rows
    judged = [item for item in features if min(item.reference_rows, item.current_rows) >= least]
    if not judged:
        return None
    return false_drift_a_year(
        [Histogram(item.bins, item.reference_rows, item.current_rows) for item in judged],
        ceiling=run.policy.psi_ceiling,
        by_maximum=run.policy.psi_aggregate == "max",
        window_days=run.policy.drift_window_days,
    )


def _days(run: Run) -> Answer[tuple[F1Day, ...]]:
    return run.warehouse.f1_windows(run.model, since=run.now - timedelta(days=_DAYS_DRAWN), until=run.now)


def _drift(run: Run) -> Answer[tuple[FeatureDrift, ...]] | None:
    """Return the PSI of every feature, or None where nothing says what the reference window is."""
    profile = frozen_profile(run)
    if profile is None:
        return None
    since = max(profile.value.reference_end, run.now - timedelta(days=run.policy.drift_window_days))
    told = run.warehouse.drift(profile.value, since=since, until=run.now)
    return Answer(told.value, (*told.evidence, *profile.evidence))
