"""Runbook: *Post-deploy monitoring*. Watch MODEL_METRICS for half an hour; roll back if F1 drops or latency spikes.

Three rules. *exact* (the default) tests the sums of the counts at every look and rolls a healthy model back with the
chance ``false_rollback_rate`` at most, however often it looks. *consecutive* wants bad windows in a row, and serves
where the windows tell F1 and p99 but no counts. *literal* acts on one bad window.

What is tested is all that was known at a look: labels come late, and only so do the sums grow in the order in which
the rows came, which the chance rests on. The facts hold the sums of each look, so that a replay judges each again.

The exact rule asks two things of F1: that it lies below the baseline *beyond chance* (an e-value of 1/α against "F1 is
at least the baseline"), and that it lies below baseline − tolerance *by point*. Testing against baseline − tolerance
instead would see a drop of 0.10 only after some twenty minutes at 22 events a minute, in place of four.

The half hour is the rule, and the windows must cover it: a watch whose metrics fell silent after their first minutes
was not half an hour long, whatever the clock says. Only where it ends and nothing could be concluded, for want of
labels, requests or windows or because F1 is low by point only, the watch goes on, ``extension_minutes`` at most; what
is still open then is the policy's to decide. Facts of an earlier ``edition`` are judged by the rules that they were
gathered for; those without one were recorded by release 0.1.0.
"""

from __future__ import annotations

from textwrap import shorten
from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Instant, Model, Status, Verdict, exact, inconclusive
from retrain.facts import Metrics, Window
from retrain.judgement import prevalence, watch
from retrain.judgement.coverage import uncounted, uncovered
from retrain.judgement.watching import Watch
from retrain.judgement.windows import Kept, keep, summed
from retrain.judgement.words import counted, judge, listed, shown

__all__ = [
    "EDITION",
    "Facts",
    "Policy",
    "decide",
    "longest_minutes",
    "looked",
    "rolls_back",
    "watch_of",
    "why_extended",
]

SECTION = "post_deploy_monitoring"
F1, LATENCY, WATCHED = "F1 score", "Latency p99", "Watched long enough"

EDITION = 3
"""The edition of these rules, told with the facts that are gathered for them.

1 was release 0.1.0. 2 came with the extension, and took the clock's word for how long was watched. Since 3 the windows
must cover the watch, each look is judged by what was known then, and one figure without counts stops no test of counts.
"""

_RUNBOOK_MINUTES = 30

_MOST_LOOKS = 480
"""Twice those of the longest watch by the runbook's figures: an hour, looked at every fifteen seconds."""

_LONGEST_FAILURE = 160
"""Characters of the warehouse's own words that a sentence has room for."""


class Facts(Model):
    """Windows of the new version since the swap, each once, in order of time.

    ``watched_minutes`` is how long was watched, on the environment's clock. ``other_windows`` counts windows since
    the swap that were left out: another version's, or begun before the swap; ``revisions`` how often one was written
    again after it had been counted. ``looks`` are what the windows that count added up to at each look that saw
    something new, as one window, in the order in which it came; none is told where only the last is known.
    ``baseline`` are the figures with which the version passed the gate.
    ``extended_because`` says what was open when the watch was over and went on.

    ``failed_looks`` counts the looks at MODEL_METRICS that failed, ``last_failure`` is what the warehouse said at the
    last of them, and ``unanswered_since`` the minute from which on none was answered. ``overran_minutes`` says after
    how many minutes of a clock that never goes back the watch was ended, the environment's own clock being behind.
    """

    swapped_at: Instant | None = None
    watched_minutes: Figure = None
    candidate_version: str | None = None
    baseline_f1: Figure = None
    windows: tuple[Window, ...] | None = None
    other_windows: int = 0
    revisions: int = 0
    looks: tuple[Window, ...] = ()
    baseline: Metrics | None = None
    extended_because: str | None = None
    failed_looks: int = 0
    last_failure: str | None = None
    unanswered_since: Figure = None
    overran_minutes: Figure = None
    edition: Literal[1, 2, 3] = 1
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's half hour, and what counts as a drop or a spike."""

    watch_minutes: float = Field(30, gt=0, description="minutes to watch after the swap")
    f1_drop_tolerance: float = Field(0.05, ge=0, le=1, description="F1 may fall this far below baseline")
    latency_p99_ceiling_seconds: float = Field(1.0, gt=0, description="latency p99 < this, seconds")
    rule: Literal["exact", "consecutive", "literal"] = Field(
        "exact", description="exact: test on counts; consecutive: bad windows in a row; literal: one bad window"
    )
    consecutive_windows: int = Field(3, ge=1, description="bad windows in a row, where only F1 and p99 are known")
    false_rollback_rate: float = Field(0.05, ge=1e-6, lt=1, description="chance of rolling back a healthy model")
    minimum_events: int = Field(84, ge=1, description="TP + FP + FN below this at the end are inconclusive")
    minimum_requests: int = Field(299, ge=1, description="requests below this at the end are inconclusive")
    extension_minutes: float = Field(30, ge=0, description="minutes more, at most, while nothing can be concluded")
    on_inconclusive: Literal["hold", "roll_back"] = Field("hold", description="what to do when nothing could be seen")
    poll_seconds: float = Field(15, gt=0, description="between two looks at MODEL_METRICS")


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the watch, while it lasts (``watching``) or at its end; a regression counts as soon as it is seen."""
    if facts.swapped_at is None:
        return _not_ready()
    kept = _kept(facts)
    rule = _watch(facts, policy, kept)
    checks = (watch.f1_check(rule, F1), watch.latency_check(rule, LATENCY), _watched(facts, policy, rule))
    outcome = _outcome(facts, policy, checks, rule)
    return Verdict(
        section=SECTION,
        outcome=outcome,
        checks=checks,
        sentence=_sentence(outcome, checks, facts, policy),
        flip=_flip(outcome, checks, rule),
        deviations=_deviations(facts, policy, kept, rule),
    )


def why_extended(facts: Facts, policy: Policy) -> str | None:
    """Return what is open where the watch is over by its minutes and goes on; None where it does not."""
    verdict = decide(facts, policy)
    if verdict.outcome != "watching" or not _over(facts, policy):
        return None
    return _open(verdict.checks)


def longest_minutes(policy: Policy) -> float:
    """Return how many minutes a watch lasts that is extended to its end."""
    return float(exact(policy.watch_minutes) + exact(policy.extension_minutes))


def watch_of(facts: Facts, policy: Policy) -> Watch:
    """Return the windows that count and the limits in force, as ``decide`` judges them."""
    return _watch(facts, policy, _kept(facts))


def looked(facts: Facts) -> tuple[Window, ...]:
    """Return the looks of ``facts`` and the one that brought its windows, where that saw something new.

    The newest are kept, so that a record stays small at any pace; those that go had not ended the watch.
    """
    now = summed(_kept(facts).windows)
    return facts.looks if now is None or facts.looks[-1:] == (now,) else (*facts.looks, now)[-_MOST_LOOKS:]


def _kept(facts: Facts) -> Kept:
    return keep(facts.windows or (), since=facts.swapped_at, version=facts.candidate_version)


def _not_ready() -> Verdict:
    check = inconclusive(WATCHED, "this run swapped the slots", "this run has swapped nothing, so nothing was watched")
    sentence, flip = "Not ready: this run has swapped nothing, so there is nothing to watch.", "With a swap: a watch."
    return Verdict(section=SECTION, outcome="not_ready", checks=(check,), sentence=sentence, flip=flip)


def rolls_back(verdict: Verdict, policy: Policy) -> bool:
    """Whether this verdict leads to a roll back: a regression, or nothing seen where the policy says so."""
    held = policy.on_inconclusive == "hold"
    return verdict.outcome == "regressed" or (verdict.outcome == "inconclusive" and not held)


def _watch(facts: Facts, policy: Policy, kept: Kept) -> Watch:
    return Watch(
        windows=kept.windows,
        swapped_at=facts.swapped_at,
        baseline_f1=facts.baseline_f1,
        f1_drop_tolerance=policy.f1_drop_tolerance,
        latency_ceiling=policy.latency_p99_ceiling_seconds,
        rule=policy.rule,
        in_a_row=1 if policy.rule == "literal" else policy.consecutive_windows,
        alpha=policy.false_rollback_rate / 2,
        minimum_events=policy.minimum_events,
        minimum_requests=policy.minimum_requests,
        watch_minutes=policy.watch_minutes,
        baseline=facts.baseline,
        edition=facts.edition,
        looks=facts.looks,
        evidence=facts.evidence.get("windows", ()),
    )


def _over(facts: Facts, policy: Policy) -> bool:
    """Whether the minutes of the watch have passed: what it goes on for then is its extension."""
    minutes = facts.watched_minutes
    return minutes is not None and exact(minutes) >= exact(policy.watch_minutes)


def _watched(facts: Facts, policy: Policy, rule: Watch) -> Check:
    minutes = shown(policy.watch_minutes)
    wanted = f"watched for {minutes} minutes" + (", in windows without a long gap" if facts.edition > 2 else "")
    missing = "how long was watched is not known"
    check = judge(WATCHED, facts.watched_minutes, "≥", policy.watch_minutes, requirement=wanted, missing=missing)
    if check.status is Status.FAIL:
        reason = f"{check.observed} of {minutes} minutes so far"
        return check.model_copy(update={"status": Status.INCONCLUSIVE, "reason": reason})
    if check.status is Status.PASS and (unseen := _unseen(facts, rule)):
        check = check.model_copy(update={"status": Status.INCONCLUSIVE, "reason": unseen})
    if facts.extended_because is None:
        return check
    return check.model_copy(update={"reason": f"{check.reason}; extended: {facts.extended_because}"})


def _unseen(facts: Facts, rule: Watch) -> str:
    """Say why the minutes that have passed were not watched, or return an empty string where they were."""
    if facts.edition < 3:
        return ""
    away = []
    if facts.unanswered_since is not None:
        since = shown(round(facts.unanswered_since, 1))
        away = [f"the warehouse has not answered since minute {since} ({_failure(facts)})"]
    silence = uncovered(rule)
    return listed([*away, silence] if silence else away)


def _failure(facts: Facts) -> str:
    """Return what the warehouse said last, as a part of a sentence; all of it stands in the facts."""
    said = (facts.last_failure or "it did not say why").replace(";", ",").rstrip(".")
    return shorten(said, _LONGEST_FAILURE, placeholder=" …")


def _outcome(facts: Facts, policy: Policy, checks: tuple[Check, Check, Check], rule: Watch) -> str:
    if Status.FAIL in (check.status for check in checks):
        return "regressed"
    if facts.watched_minutes is None:
        return "inconclusive"
    if not _over(facts, policy):
        return "watching"
    if all(check.status is Status.PASS for check in checks):
        return "healthy"
    return "watching" if _may_go_on(facts, policy, rule) else "inconclusive"


def _may_go_on(facts: Facts, policy: Policy, rule: Watch) -> bool:
    """Whether there are minutes left beyond the watch in which windows could still settle it."""
    minutes = facts.watched_minutes
    mendable = facts.edition > 1 and rule.f1_limit is not None  # without a baseline no window tells of a drop
    return mendable and minutes is not None and exact(minutes) < exact(longest_minutes(policy))


def _open(checks: tuple[Check, ...]) -> str:
    return _together([(check.name, check.reason.split("; ")[0]) for check in checks if check.status is not Status.PASS])


def _together(found: list[tuple[str, str]]) -> str:
    """Write what was found, once where several checks found the same."""
    names: dict[str, list[str]] = {}
    for name, what in found:
        names.setdefault(what, []).append(name)
    return "; ".join(f"{listed(those)}: {what}" for what, those in names.items())


def _sentence(outcome: str, checks: tuple[Check, ...], facts: Facts, policy: Policy) -> str:
    wanted = {"regressed": Status.FAIL, "inconclusive": Status.INCONCLUSIVE}.get(outcome)
    chosen = [check for check in checks if wanted is None or check.status is wanted]
    found = [(check.name, _chosen(check, outcome)) for check in chosen]
    told = _together(found) if facts.edition > 1 else "; ".join(f"{name}: {what}" for name, what in found)
    held = "production is held as it is" if policy.on_inconclusive == "hold" else "the policy rolls back"
    after = {"regressed": " Roll back at once.", "inconclusive": f" Nothing could be proved, so {held}."}
    more = _power(outcome, checks[0], facts) + _extended(checks, facts, policy)
    return f"{outcome.capitalize()}: {told}.{more}{after.get(outcome, '')}"


def _chosen(check: Check, outcome: str) -> str:
    """Take what was found of a reason, and whether prevalence explains it; the e-value too where it decides."""
    parts = check.reason.split("; ")
    found = 2 if outcome == "regressed" else 1
    return "; ".join(parts[:found] + [part for part in parts[found:] if part.startswith(prevalence.ALONE)])


def _power(outcome: str, f1: Check, facts: Facts) -> str:
    """Say what drop would have been seen, where none was: nothing seen means little where nothing could be."""
    if facts.edition < 2 or outcome not in ("healthy", "inconclusive"):
        return ""
    told = [part for part in f1.reason.split("; ") if part.startswith("with the labels")]
    return f" {told[0][0].upper()}{told[0][1:]}." if told else ""


def _extended(checks: tuple[Check, ...], facts: Facts, policy: Policy) -> str:
    because = facts.extended_because
    if because is None or facts.watched_minutes is None:
        return ""
    minutes = f"{shown(policy.watch_minutes)} to {shown(round(facts.watched_minutes, 1))} minutes"
    then = "the same was open before" if because == _open(checks) else f"before, nothing could be concluded: {because}"
    return f" The watch was extended from {minutes}: {then}."


def _flip(outcome: str, checks: tuple[Check, ...], rule: Watch) -> str:
    closed = [check for check in checks if check.status is not Status.PASS]
    if outcome == "regressed":
        return (
            f"With {' and '.join(check.requirement for check in closed if check.status is Status.FAIL)}: no roll back."
        )
    if outcome == "inconclusive":
        return f"With {' and '.join(check.requirement for check in closed)}: healthy."
    return watch.flip(rule)


def _deviations(facts: Facts, policy: Policy, kept: Kept, rule: Watch) -> tuple[str, ...]:
    found = [f"the watch: {note}" for note in (*kept.notes, *uncounted(rule))]
    if facts.other_windows:
        found.append(f"the watch: {shown(facts.other_windows)} windows since the swap were left out")
    if facts.failed_looks:
        times = counted(facts.failed_looks, "look")
        found.append(f"the watch: {times} at MODEL_METRICS failed, the last with: {_failure(facts)}")
    if facts.overran_minutes is not None:
        found.append(
            f"the watch: ended after {shown(round(facts.overran_minutes, 1))} minutes by a clock that never goes back:"
            " the environment's clock was set back, or stands"
        )
    if facts.revisions:
        times = counted(facts.revisions, "window was", "windows were")
        found.append(f"the watch: {times} written again after they had been counted: the last row counts")
    if exact(policy.watch_minutes) < _RUNBOOK_MINUTES:
        found.append(f"the watch lasts {shown(policy.watch_minutes)} minutes; the runbook says {_RUNBOOK_MINUTES}")
    return tuple(found)
