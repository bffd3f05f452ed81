"""Related runbook: *Model Drift*. Which features drifted, since when, and how far."""

from __future__ import annotations

from statistics import fmean
from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Instant, Model, Status, Verdict, compare
from retrain.facts import FeatureDrift
from retrain.judgement.words import listed

EDITION = 2
"""The edition of these rules, told with the facts that are gathered for them.

1 was release 0.1.0. Since 2 the reference needs its rows too, and a feature without a PSI keeps a model from being
stable.
"""


class Period(Model):
    """PSI of every feature in one period against the reference window."""

    start: Instant
    end: Instant
    features: tuple[FeatureDrift, ...]

    @property
    def aggregate(self) -> float | None:
        """The mean PSI of the features that have one, or None."""
        known = [item.psi for item in self.features if item.psi is not None]
        return fmean(known) if known else None


class Facts(Model):
    """Periods since the reference window, oldest first. An earlier ``edition`` is judged by the rules of its day."""

    now: Instant
    periods: tuple[Period, ...] | None = None
    edition: Literal[1, 2] = 1
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """How the periods are cut, and what counts as drift."""

    weeks: int = Field(12, ge=1, le=104, description="weeks before now, at most")
    psi_ceiling: float = Field(0.3, ge=0, description="aggregate PSI above this is drift")
    psi_minimum_rows: int = Field(300, ge=1, description="rows below this give no verdict on PSI")


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Return ``drifted``, ``stable`` or ``inconclusive`` by the newest period with enough rows."""
    newest = _newest(facts, policy)
    aggregate: Figure = newest.aggregate if newest else None
    check: Check = compare(
        "Aggregate PSI",
        None if aggregate is None else round(aggregate, 6),
        "≤",
        policy.psi_ceiling,
        missing=f"no period with {_enough(facts, policy)}",
        evidence=facts.evidence.get("Aggregate PSI", ()),
    )
    check = _undenied(check, newest, facts)
    outcome = {"PASS": "stable", "FAIL": "drifted", "INCONCLUSIVE": "inconclusive"}[check.status.value]
    return Verdict(
        section="model_drift", outcome=outcome, checks=(check,), sentence=_sentence(newest, aggregate, facts, policy)
    )


def _newest(facts: Facts, policy: Policy) -> Period | None:
    enough = [
        period
        for period in facts.periods or ()
        if period.features and min(_rows(item, facts) for item in period.features) >= policy.psi_minimum_rows
    ]
    return enough[-1] if enough else None


def _rows(feature: FeatureDrift, facts: Facts) -> int:
    """Return the rows that a PSI rests on: those of the smaller side."""
    return feature.current_rows if facts.edition < 2 else min(feature.reference_rows, feature.current_rows)


def _enough(facts: Facts, policy: Policy) -> str:
    return f"{policy.psi_minimum_rows} rows or more" + (" on both sides" if facts.edition > 1 else "")


def _undenied(check: Check, newest: Period | None, facts: Facts) -> Check:
    """Keep open what is no drift by the features that have a PSI, where others have none."""
    without = _without_psi(newest) if newest is not None and facts.edition > 1 else ""
    if check.status is not Status.PASS or not without:
        return check
    reason = f"{check.reason}, but without a PSI: {without}"
    return check.model_copy(update={"status": Status.INCONCLUSIVE, "reason": reason})


def _without_psi(period: Period) -> str:
    return listed(item.feature for item in period.features if item.psi is None or item.psi < 0)


def _sentence(newest: Period | None, aggregate: float | None, facts: Facts, policy: Policy) -> str:
    if newest is None or aggregate is None:
        return f"No period has {_enough(facts, policy)}: drift cannot be told."
    worst = sorted(newest.features, key=lambda item: item.psi or 0.0, reverse=True)[:3]
    names = ", ".join(f"{item.feature} {item.psi:.3f}" for item in worst if item.psi is not None)
    since = next((period.start for period in facts.periods or () if (period.aggregate or 0) > policy.psi_ceiling), None)
    when = f"; above {policy.psi_ceiling:g} first in the week of {since:%Y-%m-%d}" if since else ""
    without = _without_psi(newest) if facts.edition > 1 else ""
    untold = f"; without a PSI: {without}" if without else ""
    return f"Aggregate PSI is {aggregate:.3f} in the newest week, most in {names}{when}{untold}."
