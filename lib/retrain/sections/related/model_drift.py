"""Related runbook: *Model Drift*. Which features drifted, since when, and how far."""

from __future__ import annotations

from statistics import fmean

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Instant, Model, Verdict, compare
from retrain.facts import FeatureDrift


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
    """Periods since the reference window, oldest first."""

    now: Instant
    periods: tuple[Period, ...] | None = None
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
        missing=f"no period with {policy.psi_minimum_rows} rows or more",
        evidence=facts.evidence.get("Aggregate PSI", ()),
    )
    outcome = {"PASS": "stable", "FAIL": "drifted", "INCONCLUSIVE": "inconclusive"}[check.status.value]
    return Verdict(
        section="model_drift", outcome=outcome, checks=(check,), sentence=_sentence(newest, aggregate, facts, policy)
    )


def _newest(facts: Facts, policy: Policy) -> Period | None:
    enough = [
        period
        for period in facts.periods or ()
        if period.features and min(item.current_rows for item in period.features) >= policy.psi_minimum_rows
    ]
    return enough[-1] if enough else None


def _sentence(newest: Period | None, aggregate: float | None, facts: Facts, policy: Policy) -> str:
    if newest is None or aggregate is None:
        return f"No period has {policy.psi_minimum_rows} rows or more: drift cannot be told."
    worst = sorted(newest.features, key=lambda item: item.psi or 0.0, reverse=True)[:3]
    names = ", ".join(f"{item.feature} {item.psi:.3f}" for item in worst if item.psi is not None)
    since = next((period.start for period in facts.periods or () if (period.aggregate or 0) > policy.psi_ceiling), None)
    when = f"; above {policy.psi_ceiling:g} first in the week of {since:%Y-%m-%d}" if since else ""
    return f"Aggregate PSI is {aggregate:.3f} in the newest week, most in {names}{when}."
