"""Runbook: *Prerequisites*. What must hold before a retraining is triggered?"""

from __future__ import annotations

from pydantic import Field

from retrain.checks import Check, Evidence, Instant, Model, Status, Verdict, inconclusive
from retrain.facts import Incident
from retrain.judgement.words import at, counted, judge, listed, shown

__all__ = ["Facts", "Policy", "decide"]

SECTION = "prerequisites"
DATA, QUALITY, INCIDENTS = "Sufficient data", "Data quality", "No active incidents"

_KNOWN_STATUSES = frozenset({"healthy", "warning", "critical"})


class Facts(Model):
    """What was observed. None is *not known*; an empty mapping or tuple is *known to be none*."""

    now: Instant
    last_training_watermark: Instant | None = None
    new_samples: int | None = None
    quality: dict[str, int] | None = None
    open_incidents: tuple[Incident, ...] | None = None
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's figures."""

    minimum_new_samples: int = Field(10_000, ge=0, description="labeled samples since the last training")
    quality_window_hours: int = Field(24, ge=1, description="data-quality runs of so many hours count")
    quality_statuses: tuple[str, ...] = Field(("healthy", "warning"), min_length=1, description="statuses allowed")
    minimum_quality_runs: int = Field(1, ge=1, description="at least so many data-quality runs")
    blocking_severities: tuple[str, ...] = Field(("P1",), min_length=1, description="open incidents that block")


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the three prerequisites; only three passes make it ready."""
    checks = (_data(facts, policy), _quality(facts, policy), _incidents(facts, policy))
    closed = [check for check in checks if check.status is not Status.PASS]
    outcome = "blocked" if closed else "ready"
    told = "; ".join(f"{check.name}: {check.reason}" for check in closed or checks)
    flip = [check.requirement for check in closed] or [_undone(facts, policy)]
    return Verdict(
        section=SECTION,
        outcome=outcome,
        checks=checks,
        sentence=f"{outcome.capitalize()}: {told}.",
        flip=f"With {listed(flip)}: {'ready' if closed else 'blocked'}.",
    )


def _data(facts: Facts, policy: Policy) -> Check:
    since = facts.last_training_watermark
    after = f" since {at(since)}" if since else " since the last training"
    wanted = f"new labeled samples ≥ {shown(policy.minimum_new_samples)}{after}"
    samples, evidence = facts.new_samples, facts.evidence.get("new_samples", ())
    if since is None:
        reason = "up to where the last training's data went is not known"
    elif since > facts.now:
        reason = f"the last training's data end at {at(since)}, which is yet to come"
    elif samples is not None and samples < 0:
        reason = f"{shown(samples)} samples cannot be"
    else:
        missing = "new labeled samples were not counted"
        return judge(
            DATA, samples, "≥", policy.minimum_new_samples, requirement=wanted, missing=missing, evidence=evidence
        )
    return inconclusive(DATA, wanted, reason, evidence=evidence)


def _quality(facts: Facts, policy: Policy) -> Check:
    allowed = listed(policy.quality_statuses)
    wanted = (
        f"at least {counted(policy.minimum_quality_runs, 'data-quality run')} in"
        f" {counted(policy.quality_window_hours, 'hour')}, all {allowed}"
    )
    evidence = facts.evidence.get("quality", ())
    if facts.quality is None:
        return inconclusive(QUALITY, wanted, "data-quality runs were not read", evidence=evidence)
    runs = {label: count for label, count in facts.quality.items() if count != 0}
    status, reason = _judge_runs(runs, policy)
    observed = ", ".join(f"{shown(count)} {_label(label)}" for label, count in sorted(runs.items())) or "no runs"
    return Check(name=QUALITY, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _judge_runs(runs: dict[str, int], policy: Policy) -> tuple[Status, str]:
    """Weigh the labels: one that is known and not allowed fails, one that nobody knows leaves it open."""
    others = [label for label in sorted(runs) if label not in policy.quality_statuses]
    bad = [label for label in others if label in _KNOWN_STATUSES]
    if bad:
        return Status.FAIL, f"{listed(counted(runs[label], f'{label} run') for label in bad)}"
    if others:
        return Status.INCONCLUSIVE, f"unknown status {listed(_label(label) for label in others)}"
    if any(count < 0 for count in runs.values()):
        return Status.INCONCLUSIVE, "a negative number of runs cannot be"
    total = sum(runs.values())
    if total == 0:
        return Status.INCONCLUSIVE, "no data-quality runs at all, which is not the same as no critical ones"
    if total < policy.minimum_quality_runs:
        needed = shown(policy.minimum_quality_runs)
        return Status.INCONCLUSIVE, f"{counted(total, 'data-quality run')} of {needed} needed"
    return Status.PASS, f"{counted(total, 'data-quality run')}, all {listed(policy.quality_statuses)}"


def _label(label: str) -> str:
    """Write a status as it was recorded, NULL and blanks in words."""
    return repr(label) if label.strip() else "NULL"


def _incidents(facts: Facts, policy: Policy) -> Check:
    severities = listed(policy.blocking_severities)
    wanted, evidence = f"no open {severities} incident", facts.evidence.get("open_incidents", ())
    if facts.open_incidents is None:
        return inconclusive(INCIDENTS, wanted, "open incidents were not read", evidence=evidence)
    blocking = {severity.strip().casefold() for severity in policy.blocking_severities}
    found = [incident for incident in facts.open_incidents if incident.severity.strip().casefold() in blocking]
    blank = [incident for incident in facts.open_incidents if not incident.severity.strip()]
    status, reason = Status.PASS, f"no {severities} incident is open"
    if found:
        named = listed(f"{incident.incident_id} {incident.title}".strip() for incident in found)
        status, reason = Status.FAIL, f"{counted(len(found), 'incident')} open: {named}"
    elif blank:
        named = listed(incident.incident_id for incident in blank)
        status, reason = Status.INCONCLUSIVE, f"open without a severity: {named}"
    observed = f"{counted(len(facts.open_incidents), 'open incident')}, {len(found)} of them {severities}"
    return Check(name=INCIDENTS, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _undone(facts: Facts, policy: Policy) -> str:
    """What would have closed the way that is open."""
    samples = f"fewer than {shown(policy.minimum_new_samples)} new samples"
    return f"{samples}, one critical data-quality run or one open {listed(policy.blocking_severities)} incident"
