"""Runbook: *When to Retrain*. Which of the four triggers call for a retraining now?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import Field, field_validator

from retrain.checks import Check, Evidence, Figure, Instant, Model, Status, Verdict, exact, inconclusive
from retrain.facts import Coverage, FeatureDrift, Fired, Priority, Request
from retrain.judgement.arming import beside, by_chance, coverage_problem, early_labels, held_back
from retrain.judgement.schedule import late, newest_slot, next_slot
from retrain.judgement.words import at, counted, judge, listed, share_problem, shown
from retrain.statistics.psi import expected_without_drift

__all__ = ["EDITION", "Facts", "Policy", "aggregate_psi", "decide", "figures", "newest_slot", "priority"]

SECTION = "when_to_retrain"
ACCURACY, DRIFT, SCHEDULED, MANUAL = "Accuracy drop", "Drift score", "Scheduled", "Manual request"

EDITION = 2
"""The edition of these rules, told with the facts that are gathered for them.

1 was release 0.1.0. Since 2 labels that came early are said, and features left out keep drift from being denied.
"""

_HELD, _RESTS = ", held back", "rests"
_RANK = {"high": 0, "normal": 1, "low": 2}


class Facts(Model):
    """What was observed. ``last_trained_at`` is the newest completed training, promoted or not.

    ``label_coverage`` is of the window that F1 is counted over. ``f1_by_chance`` and ``drift_by_chance`` are how often
    a year each trigger would be met though nothing has changed, at the labels and rows seen and under the policy in
    force. ``f1_fired`` and ``drift_fired`` are looked for only where the policy has a hysteresis. Records of 0.1.0 hold
    none of these: what is None was not asked, and changes nothing in their verdicts. Facts of an earlier ``edition``
    are judged by the rules that they were gathered for.
    """

    now: Instant
    baseline_f1: Figure = None
    f1: Figure = None
    f1_labels: int | None = None
    drift: tuple[FeatureDrift, ...] | None = None
    last_trained_at: Instant | None = None
    request: Request | None = None
    label_coverage: Coverage | None = None
    f1_by_chance: Figure = None
    drift_by_chance: Figure = None
    f1_fired: Fired | None = None
    drift_fired: Fired | None = None
    edition: Literal[1, 2] = 1
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's figures."""

    f1_drop_tolerance: float = Field(0.05, ge=0, le=1, description="F1 may fall this far below baseline; more triggers")
    f1_window_days: int = Field(7, ge=1, le=366, description="F1 now is counted over the windows of so many days")
    f1_minimum_labels: int = Field(300, ge=1, description="labels below this give no verdict on F1")
    psi_ceiling: float = Field(0.3, ge=0, description="aggregate PSI above this triggers")
    psi_aggregate: Literal["mean", "max"] = Field("mean", description="which aggregate decides")
    psi_minimum_rows: int = Field(300, ge=1, description="rows below this give no verdict on PSI")
    drift_window_days: int = Field(28, ge=1, le=366, description="the current window: so many days before now")
    schedule: str = Field("0 2 * * 0", description="cron expression of the weekly slot, in UTC")
    cooldown_hours: float = Field(0, ge=0, le=87_600, description="automatic triggers rest so long after a training")
    hysteresis_share: float = Field(
        0, ge=0, le=1, description="a trigger that called must move by this share of its limit to call again; 0: none"
    )
    label_delay_days: float = Field(0, ge=0, le=366, description="rows younger than this are left out of F1")
    f1_minimum_coverage: float = Field(
        0, ge=0, le=1, description="share of the window's rows that must have their label for a verdict on F1"
    )

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        """Refuse what is no cron expression of five fields, and a date that never comes."""
        try:
            newest_slot(value if len(value.split()) == 5 else "", datetime(2000, 1, 1, tzinfo=UTC))
        except ValueError as error:
            raise ValueError(f"{value!r} is no cron expression of five fields, for example '0 2 * * 0'") from error
        return value


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the four triggers: any that is met calls for a retraining, and one that cannot be judged is not unmet."""
    checks = tuple(judged(facts, policy) for judged in (_accuracy, _drift, _scheduled, _manual))
    met = [check for check in checks if check.status is Status.PASS]
    unknown = [check for check in checks if check.status is Status.INCONCLUSIVE]
    outcome = "retrain" if met else "inconclusive" if unknown else "no_action"
    sentence = {"retrain": _sentence_retrain, "inconclusive": _sentence_inconclusive, "no_action": _sentence_none}
    return Verdict(
        section=SECTION,
        outcome=outcome,
        checks=checks,
        sentence=sentence[outcome]([_in_short(check, facts) for check in checks], facts),
        flip=_flip(checks, facts, policy),
        deviations=_deviations(checks[0], facts, policy),
    )


def priority(facts: Facts, policy: Policy) -> Priority | None:
    """Return the highest priority among the triggers that are met, or None where none is."""
    named = _named(decide(facts, policy).checks, facts)
    return named[0] if named else None


def aggregate_psi(drift: Sequence[FeatureDrift], policy: Policy) -> Decimal | None:
    """Return the mean or the maximum of the features that have rows enough, exactly; None where none has."""
    values = [exact(feature.psi) for feature in drift if feature.psi is not None and _thin(feature, policy) == ""]
    if not values:
        return None
    return max(values) if policy.psi_aggregate == "max" else sum(values, Decimal(0)) / len(values)


def figures(facts: Facts, policy: Policy) -> tuple[tuple[str, str, float | None], ...]:
    """Return for each trigger with a limit the fact that says when it last called, its check, and its figure now."""
    known = facts.baseline_f1 is not None and facts.f1 is not None
    drop = exact(facts.baseline_f1 or 0) - exact(facts.f1 or 0) if known else None
    psi = aggregate_psi(facts.drift or (), policy)
    told = (("f1_fired", ACCURACY, drop), ("drift_fired", DRIFT, psi))
    return tuple((name, check, None if value is None else float(value)) for name, check, value in told)


def _accuracy(facts: Facts, policy: Policy) -> Check:
    tolerance, evidence = shown(policy.f1_drop_tolerance), facts.evidence.get("f1", ())
    known = facts.baseline_f1 is not None
    baseline = f" {shown(facts.baseline_f1)}" if facts.baseline_f1 is not None else ""
    wanted = f"F1 drop > {tolerance} from baseline{baseline}"
    labels = facts.f1_labels
    problem = share_problem("a baseline F1", facts.baseline_f1) or share_problem("an F1", facts.f1)
    if not known:
        problem = "no baseline F1 is recorded for production"
    elif labels is not None and labels < policy.f1_minimum_labels:
        problem = f"{counted(labels, 'label')} of {shown(policy.f1_minimum_labels)} needed for a verdict on F1"
    elif facts.f1 is None:
        problem = f"no F1 in {_window(policy)}"
    elif labels is None:
        problem = "it is not known on how many labels F1 rests"
    else:
        problem = problem or coverage_problem(facts.label_coverage, policy.f1_minimum_coverage)
    rest = _rests(ACCURACY, wanted, facts, policy)
    if rest is not None:
        return rest
    if problem or facts.f1 is None or facts.baseline_f1 is None:
        return inconclusive(ACCURACY, wanted, problem, evidence=evidence)
    drop = exact(facts.baseline_f1) - exact(facts.f1)
    check = judge(ACCURACY, drop, ">", policy.f1_drop_tolerance, requirement=wanted, evidence=evidence)
    verb = "fell" if drop >= 0 else "rose"
    more = f"more than {tolerance}" if check.status is Status.PASS else f"not more than {tolerance}"
    reason = f"F1 {verb} {shown(abs(drop))} {'below' if drop >= 0 else 'above'} its baseline{baseline}, {more}"
    reason += beside(facts.label_coverage, facts.f1_by_chance)
    observed = f"F1 {shown(facts.f1)} on {counted(labels or 0, 'label')}, drop {shown(drop)}"
    check = check.model_copy(update={"observed": observed, "reason": reason})
    held = held_back(drop, policy.f1_drop_tolerance, policy.hysteresis_share, facts.f1_fired)
    return _certain(_armed(check, held), facts, policy)


def _window(policy: Policy) -> str:
    if not policy.label_delay_days:
        return f"the last {counted(policy.f1_window_days, 'day')}"
    ago = f"{shown(policy.label_delay_days)} day{'' if policy.label_delay_days == 1 else 's'}"
    return f"the {counted(policy.f1_window_days, 'day')} up to {ago} ago, whose labels are matured"


def _deviations(accuracy: Check, facts: Facts, policy: Policy) -> tuple[str, ...]:
    """Say where an F1 that was judged may rest on labels that came early."""
    judged = accuracy.status is not Status.INCONCLUSIVE and accuracy.observed != _RESTS
    told = early_labels(facts.label_coverage, policy.label_delay_days) if judged and facts.edition > 1 else ""
    return (told,) if told else ()


def _drift(facts: Facts, policy: Policy) -> Check:
    wanted = f"{policy.psi_aggregate} PSI > {shown(policy.psi_ceiling)}"
    rest = _rests(DRIFT, wanted, facts, policy)
    if rest is not None:
        return rest
    evidence = facts.evidence.get("drift", ())
    features = facts.drift or ()
    left_out = [f"{feature.feature} ({_thin(feature, policy)})" for feature in features if _thin(feature, policy)]
    aggregate = aggregate_psi(features, policy)
    without = f"; left out: {listed(left_out)}" if left_out else ""
    if aggregate is None:
        nothing = "no feature's drift was measured" if not features else f"no feature could be judged{without}"
        return inconclusive(DRIFT, wanted, nothing, evidence=evidence)
    check = judge(DRIFT, aggregate, ">", policy.psi_ceiling, requirement=wanted, evidence=evidence)
    above = "above" if check.status is Status.PASS else "not above"
    judged = [feature for feature in features if not _thin(feature, policy)]
    reason = f"{policy.psi_aggregate} PSI {check.observed} is {above} {shown(policy.psi_ceiling)}"
    reason += f" ({_spread(judged, policy)}{_chance(facts)}){without}"
    held = held_back(aggregate, policy.psi_ceiling, policy.hysteresis_share, facts.drift_fired)
    armed = _armed(check.model_copy(update={"reason": reason}), held)
    return _certain(_undenied(armed, left_out, facts), facts, policy)


def _undenied(check: Check, left_out: Sequence[str], facts: Facts) -> Check:
    """Keep a drift that is not met open where features were left out: one PSI may be many times the ceiling.

    This blocks nothing for ever. A feature that is NULL throughout has its bin and its PSI, and rows are counted for
    the whole window: what lacks them alone is broken, and may be taken out of ``warehouse.features`` by name. Until
    then the other triggers still call, the weekly slot among them, and a training begins a new reference.
    """
    if check.status is not Status.FAIL or not left_out or facts.edition < 2:
        return check
    reason = f"{check.reason}; what was left out could have lifted it"
    return check.model_copy(update={"status": Status.INCONCLUSIVE, "reason": reason})


def _chance(facts: Facts) -> str:
    return f"; {by_chance(facts.drift_by_chance)}" if facts.drift_by_chance is not None else ""


def _in_short(check: Check, facts: Facts) -> Check:
    """Leave out of a reason what stands beside a figure: the check tells it, the sentence need not."""
    reason = check.reason.replace(beside(facts.label_coverage, facts.f1_by_chance), "").replace(_chance(facts), "")
    return check.model_copy(update={"reason": reason})


def _thin(feature: FeatureDrift, policy: Policy) -> str:
    """Return why this feature's PSI says nothing, or an empty string."""
    if feature.psi is None or feature.psi < 0:
        return "no PSI" if feature.psi is None else f"a PSI of {shown(feature.psi)} cannot be"
    for side, rows in (("reference", feature.reference_rows), ("current", feature.current_rows)):
        if rows < policy.psi_minimum_rows:
            return f"{counted(rows, side + ' row')} of {shown(policy.psi_minimum_rows)}"
    return ""


def _spread(judged: Sequence[FeatureDrift], policy: Policy) -> str:
    """Name the worst feature, how many are above the ceiling, and what PSI would be if nothing had moved."""
    worst = max(judged, key=lambda feature: feature.psi or 0.0)
    above = sum(exact(feature.psi or 0.0) > exact(policy.psi_ceiling) for feature in judged)
    still = [
        expected_without_drift(max(feature.bins, 1), max(feature.reference_rows, 1), max(feature.current_rows, 1))
        for feature in judged
    ]
    return (
        f"worst: {worst.feature} {shown(worst.psi or 0.0)}; {above} of {counted(len(judged), 'feature')} above;"
        f" {shown(round(sum(still) / len(still), 4))} expected without drift"
    )


def _scheduled(facts: Facts, policy: Policy) -> Check:
    slot = newest_slot(policy.schedule, facts.now)
    wanted = f"a slot of {policy.schedule!r} (UTC) since the last training"
    evidence = facts.evidence.get("last_trained_at", ())
    last = facts.last_trained_at
    if last is None or last > facts.now:
        reason = "no completed training is known" if last is None else f"the last training, {at(last)}, is yet to come"
        return inconclusive(SCHEDULED, wanted, reason, evidence=evidence)
    rest = _rests(SCHEDULED, wanted, facts, policy)
    if rest is not None:
        return rest
    due = slot > last
    told = late(facts.now - slot)
    reason = f"the slot of {at(slot)} is due{told}" if due else f"trained at {at(last)}, after the slot of {at(slot)}"
    status = Status.PASS if due else Status.FAIL
    return Check(
        name=SCHEDULED,
        requirement=wanted,
        observed=f"last trained {at(last)}",
        status=status,
        reason=reason,
        evidence=evidence,
    )


def _manual(facts: Facts, policy: Policy) -> Check:
    wanted = "a person asks for it and says why"
    request, evidence = facts.request, facts.evidence.get("request", ())
    status, observed, reason = Status.FAIL, "none", "no request"
    if request is not None:
        who = f" by {request.by}" if request.by else ""
        given = request.reason.strip()
        status = Status.PASS if given else Status.INCONCLUSIVE
        observed = f"{request.priority} priority{who}"
        reason = f"requested{who}: {given}" if given else f"requested{who}, without a reason"
    return Check(name=MANUAL, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _rests(name: str, wanted: str, facts: Facts, policy: Policy) -> Check | None:
    """Return the check of an automatic trigger that rests after a training, or None."""
    if facts.last_trained_at is None or not policy.cooldown_hours:
        return None
    until = facts.last_trained_at + timedelta(hours=policy.cooldown_hours)
    if facts.now >= until:
        return None
    reason = f"rests until {at(until)}, {shown(policy.cooldown_hours)} hours after the last training"
    return Check(name=name, requirement=wanted, observed=_RESTS, status=Status.FAIL, reason=reason)


def _armed(check: Check, held: str) -> Check:
    """Keep a trigger that is beyond its limit from calling again before it has moved."""
    if check.status is not Status.PASS or not held:
        return check
    observed, reason = f"{check.observed}{_HELD}", f"{check.reason}, but {held}"
    return check.model_copy(update={"status": Status.FAIL, "observed": observed, "reason": reason})


def _certain(check: Check, facts: Facts, policy: Policy) -> Check:
    """Where a rest is asked for and the last training is unknown, nobody can say that the rest is over."""
    if check.status is not Status.PASS or not policy.cooldown_hours or facts.last_trained_at is not None:
        return check
    reason = f"{check.reason}, but when the last training was is not known, nor then whether its rest is over"
    return check.model_copy(update={"status": Status.INCONCLUSIVE, "reason": reason})


def _named(checks: Sequence[Check], facts: Facts) -> list[Priority]:
    """Return the priorities of the triggers that are met, the highest first."""
    manual: Priority = facts.request.priority if facts.request else "normal"
    by_name: dict[str, Priority] = {ACCURACY: "high", DRIFT: "high", SCHEDULED: "normal", MANUAL: manual}
    met = [by_name[check.name] for check in checks if check.status is Status.PASS]
    return sorted(met, key=_RANK.__getitem__)


def _sentence_retrain(checks: Sequence[Check], facts: Facts) -> str:
    manual: Priority = facts.request.priority if facts.request else "normal"
    rank = {ACCURACY: 0, DRIFT: 0, SCHEDULED: 1, MANUAL: _RANK[manual]}
    met = sorted((check for check in checks if check.status is Status.PASS), key=lambda check: rank[check.name])
    named = _named(checks, facts)[0].capitalize()
    others = f" Also: {'; '.join(check.reason for check in met[1:])}." if len(met) > 1 else ""
    return f"Retrain ({named}): {met[0].reason}.{others}"


def _sentence_inconclusive(checks: Sequence[Check], facts: Facts) -> str:
    missing = [check for check in checks if check.status is Status.INCONCLUSIVE]
    told = "; ".join(f"{check.name}: {check.reason}" for check in missing)
    return f"Inconclusive: no trigger is met, and not all could be judged. {told}."


def _sentence_none(checks: Sequence[Check], facts: Facts) -> str:
    return f"No action: {'; '.join(dict.fromkeys(check.reason for check in checks))}."


def _flip(checks: Sequence[Check], facts: Facts, policy: Policy) -> str:
    """Say the smallest change that would have turned the outcome."""
    met = [check.name for check in checks if check.status is Status.PASS]
    if met:
        return f"With {listed(_otherwise(name, facts, policy) for name in met)}: no retraining."
    return f"With {', or '.join(_calls(check, facts, policy) for check in checks)}: a retraining."


def _otherwise(name: str, facts: Facts, policy: Policy) -> str:
    """What this trigger, which is met, would have had to be."""
    ways: dict[str, Callable[[], str]] = {
        ACCURACY: lambda: f"F1 ≥ {_f1_limit(facts, policy)}",
        DRIFT: lambda: f"{policy.psi_aggregate} PSI ≤ {shown(policy.psi_ceiling)}",
        SCHEDULED: lambda: f"a training since {at(newest_slot(policy.schedule, facts.now))}",
        MANUAL: lambda: "no request",
    }
    return ways[name]()


def _calls(check: Check, facts: Facts, policy: Policy) -> str:
    """What would have met this trigger, which is not met."""
    if check.observed == _RESTS:
        return f"{check.name.lower()} once the rest is over"
    if check.observed.endswith(_HELD):
        return f"{check.name.lower()} once it has moved as far as its hysteresis asks"
    ways: dict[str, Callable[[], str]] = {
        ACCURACY: lambda: f"F1 < {_f1_limit(facts, policy)}",
        DRIFT: lambda: f"{policy.psi_aggregate} PSI > {shown(policy.psi_ceiling)}",
        SCHEDULED: lambda: f"the next slot, {at(next_slot(policy.schedule, facts.now))}",
        MANUAL: lambda: "a request",
    }
    return ways[check.name]()


def _f1_limit(facts: Facts, policy: Policy) -> str:
    if facts.baseline_f1 is None:
        return f"baseline − {shown(policy.f1_drop_tolerance)}"
    return shown(exact(facts.baseline_f1) - exact(policy.f1_drop_tolerance))
