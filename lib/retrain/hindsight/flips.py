"""One recorded decision under another policy: what it would have been, and why it is another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from retrain import runbook
from retrain.checks import Instant, Model, Verdict
from retrain.errors import UsageError
from retrain.hindsight.differences import MISSING
from retrain.hindsight.replay import RELATED, Recorded, RunFacts, decided, policy_of
from retrain.settings import Settings

__all__ = [
    "UNKNOWN",
    "Flip",
    "FlippedCheck",
    "Policies",
    "decided_under",
    "flips_of",
    "gathered_otherwise",
    "not_known",
]

UNKNOWN = "unknown"
"""Stands where the recorded facts end before the other policy's decision."""

Policies = Mapping[str, dict[str, Any]]
"""Each section's policy as JSON, by the section's name."""

GATHERED: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "when_to_retrain": ("f1_window_days", "label_delay_days", "drift_window_days", "hysteresis_share"),
    "prerequisites": ("quality_window_hours", "blocking_severities"),
    "training": ("model_type", "data_version", "extra_body", "deadline_minutes"),
    "staging_smoke_tests": (
        "sample_predictions", "prove_p99", "batch_rows", "sample_window_days", "concurrency", "warm_up_requests",
    ),
    "blue_green_deployment": ("observe_seconds",),
    "rollback": ("observe_seconds",),
    "if_retraining_fails": ("incident_severity",),
})  # fmt: skip
"""Parameters by which facts were gathered: another value would have brought other facts, which nobody has."""


class FlippedCheck(Model):
    """One check that has another status under the other policy; a check that is not there has none."""

    name: str
    before: str
    after: str
    reason: str = ""


class Flip(Model):
    """One decision that comes out otherwise. ``by_policy`` is False where the rules of today alone make it differ."""

    run_id: str
    model: str
    at: Instant | None
    section: str
    attempt: int
    before: str
    after: str
    checks: tuple[FlippedCheck, ...]
    changes: tuple[str, ...]
    by_policy: bool
    reached: bool
    sentence: str


def decided_under(recorded: Recorded, settings: Settings, *, run_id: str) -> Verdict | None:
    """Decide again; None for the page that sums up the run, and for the related runbooks, which have no policy here.

    Raises UsageError where the facts, or the policy that was in force, are not what today's types can read, or where
    the recorded verdict does not tell its checks.
    """
    if recorded.section == runbook.LAST or recorded.section in RELATED:
        return None
    try:
        policy_of(recorded), _statuses(recorded)  # a flip holds both against the other policy's
        return _decided_with(recorded, settings.policy(recorded.section))
    except (ValueError, ArithmeticError) as error:
        told = " ".join(str(error).split())
        raise UsageError(f"{run_id}: {recorded.section} cannot be decided again: {told}") from error


def _decided_with(recorded: Recorded, policy: Any) -> Verdict:
    for facts in _looks(recorded, policy):
        verdict = decided(recorded._replace(facts=facts), policy)
        if verdict.outcome != "watching":
            break
    return verdict


def _looks(recorded: Recorded, policy: Any) -> Iterator[dict[str, Any]]:
    """Yield the facts that the policy would have decided on: a shorter watch ends earlier, and may then be extended.

    Windows are taken as they were at the end of the watch; what they added up to at each look before is in the facts.
    A look before the warehouse fell silent was answered.
    """
    facts = recorded.facts
    if (
        recorded.section != "post_deploy_monitoring"
        or not facts.get("swapped_at")
        or not _ends_earlier(recorded, policy)
    ):
        yield facts
        return
    windows, before = facts.get("windows") or [], facts.get("looks") or []
    ends = [_minute(window, facts) for window in windows]
    over, until = policy.watch_minutes, policy.watch_minutes + policy.extension_minutes
    looks = {end for end in (*ends, until) if over <= end <= min(until, facts["watched_minutes"])}
    away = facts.get("unanswered_since")
    for look in sorted({over, *looks}):
        seen = [window for window, end in zip(windows, ends, strict=True) if end <= look]
        unanswered = away if away is not None and away <= look else None
        known = [each for each in before if _minute(each, facts) <= look]
        yield {**facts, "watched_minutes": look, "windows": seen, "looks": known, "unanswered_since": unanswered}


def _minute(window: dict[str, Any], facts: dict[str, Any]) -> float:
    """Return the minute since the swap at which a window ended."""
    end, since = (datetime.fromisoformat(told) for told in (window["window_end"], facts["swapped_at"]))
    return (end - since) / timedelta(minutes=1)


def _ends_earlier(recorded: Recorded, policy: Any) -> bool:
    then, watched = policy_of(recorded), recorded.facts.get("watched_minutes")
    same = (then.watch_minutes, then.extension_minutes) == (policy.watch_minutes, policy.extension_minutes)
    return watched is not None and not same and policy.watch_minutes < watched


def not_known(old: Recorded, new: Verdict) -> bool:
    """Whether the facts end before the other policy's decision: a longer watch, or an act that was never sent."""
    if new.outcome == old.outcome:
        return False
    never_sent = (old.facts.get("effect") or {"sent": True}).get("sent") is False
    return new.outcome not in runbook.section(new.section).leads_to or never_sent


def flips_of(run: RunFacts, made: Sequence[Verdict | None], other: Policies, passed: int) -> list[Flip]:
    """Return the decisions that differ; ``reached`` is False where the run would have ended or turned off before."""
    found, place = [], 0
    for recorded, verdict in zip(run.verdicts, made, strict=True):
        if verdict is None:
            continue
        place += 1
        if verdict.outcome == recorded.outcome:
            continue
        unknown = not_known(recorded, verdict)
        found.append(
            Flip(
                run_id=run.run_id,
                model=run.model,
                at=run.at,
                section=recorded.section,
                attempt=recorded.attempt,
                before=recorded.outcome,
                after=UNKNOWN if unknown else verdict.outcome,
                checks=_flipped_checks(recorded, verdict),
                changes=_changes(recorded, other[recorded.section], verdict),
                by_policy=decided(recorded).outcome == recorded.outcome,
                reached=place <= passed + unknown,
                sentence=verdict.sentence,
            )
        )
    return found


def _flipped_checks(recorded: Recorded, verdict: Verdict) -> tuple[FlippedCheck, ...]:
    before = _statuses(recorded)
    after = {check.name: check for check in verdict.checks}
    names = dict.fromkeys((*before, *after))
    status = {name: after[name].status.value if name in after else MISSING for name in names}
    return tuple(
        FlippedCheck(
            name=name,
            before=before.get(name, MISSING),
            after=status[name],
            reason=after[name].reason if name in after else "",
        )
        for name in names
        if before.get(name, MISSING) != status[name]
    )


def _statuses(recorded: Recorded) -> dict[str, str]:
    """Return the status of each recorded check by its name."""
    try:
        return {check["name"]: check["status"] for check in recorded.verdict["checks"]}
    except (KeyError, TypeError) as error:
        raise ValueError("its verdict does not tell its checks by name and status") from error


def _changes(recorded: Recorded, other: dict[str, Any], verdict: Verdict) -> tuple[str, ...]:
    """Name the parameters that the other policy sets otherwise: those that alone bring this outcome, if any does."""
    then = policy_of(recorded)
    before = then.model_dump(mode="json")
    changed = {name: value for name, value in other.items() if before[name] != value}
    alone = [name for name in changed if len(changed) > 1 and _brings(recorded, then, {name: changed[name]}, verdict)]
    return tuple(f"{name}: {before[name]} → {changed[name]}" for name in alone or changed)


def _brings(recorded: Recorded, then: Any, change: dict[str, Any], verdict: Verdict) -> bool:
    policy = type(then).model_validate_json(json.dumps({**then.model_dump(mode="json"), **change}))
    return _decided_with(recorded, policy).outcome == verdict.outcome


def gathered_otherwise(run: RunFacts, other: Policies) -> set[str]:
    """Return a sentence for each parameter that would have brought other facts than those recorded."""
    return {
        f"{told.section}.{name} is {other[told.section][name]}, but the facts were gathered with {told.policy[name]}"
        for told in run.verdicts
        for name in GATHERED.get(told.section, ())
        if name in told.policy and told.policy[name] != other[told.section][name]
    }
