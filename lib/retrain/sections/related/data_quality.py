"""Related runbook: *Data Quality*. What failed, when, and which checks."""

from __future__ import annotations

from pydantic import Field

from retrain.checks import Check, Evidence, Instant, Model, Status, Verdict, inconclusive


class QualityRun(Model):
    """The runs of one data-quality check that ended in one status."""

    check_name: str | None
    status: str | None
    runs: int
    last_at: Instant | None = None
    details: str | None = None


class Facts(Model):
    """Runs by check and status. None is *not known*; an empty tuple is *known to be none*."""

    now: Instant
    runs: tuple[QualityRun, ...] | None = None
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """How far back to look, and what is allowed."""

    days: int = Field(7, ge=1, le=366, description="days before now")
    quality_statuses: tuple[str, ...] = Field(("healthy", "warning"), min_length=1, description="statuses allowed")


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Return ``healthy``, ``failing`` (naming the checks) or ``inconclusive`` (no runs, or a status nobody knows)."""
    checks = _checks(facts, policy)
    status = max((check.status for check in checks), key=(Status.PASS, Status.INCONCLUSIVE, Status.FAIL).index)
    outcome = {Status.PASS: "healthy", Status.FAIL: "failing", Status.INCONCLUSIVE: "inconclusive"}[status]
    failing = [check.name for check in checks if check.status is Status.FAIL]
    sentence = {
        "healthy": f"Every data-quality run of the last {policy.days} days was {' or '.join(policy.quality_statuses)}.",
        "failing": f"Failing in the last {policy.days} days: {', '.join(failing)}.",
        "inconclusive": next((check.reason for check in checks if check.status is Status.INCONCLUSIVE), ""),
    }[outcome]
    return Verdict(section="data_quality", outcome=outcome, checks=checks, sentence=sentence)


def _checks(facts: Facts, policy: Policy) -> tuple[Check, ...]:
    wanted = f"every run {' or '.join(policy.quality_statuses)}"
    evidence = facts.evidence.get("Data quality", ())
    if facts.runs is None:
        return (inconclusive("Data quality", wanted, "the runs could not be read", evidence=evidence),)
    if not facts.runs:
        why = f"no data-quality run in the last {policy.days} days: nobody looked, which is not the same as healthy"
        return (inconclusive("Data quality", wanted, why, evidence=evidence),)
    names = sorted({run.check_name or "(no name)" for run in facts.runs})
    return tuple(_check(name, facts, policy, wanted, evidence) for name in names)


def _check(name: str, facts: Facts, policy: Policy, wanted: str, evidence: tuple[Evidence, ...]) -> Check:
    runs = [run for run in facts.runs or () if (run.check_name or "(no name)") == name]
    bad = [run for run in runs if run.status not in policy.quality_statuses]
    observed = ", ".join(f"{run.runs} {run.status or 'without a status'}" for run in runs)
    if not bad:
        return Check(
            name=name,
            requirement=wanted,
            observed=observed,
            status=Status.PASS,
            reason="all allowed",
            evidence=evidence,
        )
    newest = max(bad, key=lambda run: run.last_at.timestamp() if run.last_at else 0.0)
    when = newest.last_at or "an unknown time"
    reason = f"last {newest.status or 'without a status'} at {when}: {newest.details or 'no details'}"
    status = Status.FAIL if any(run.status == "critical" for run in bad) else Status.INCONCLUSIVE
    return Check(name=name, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)
