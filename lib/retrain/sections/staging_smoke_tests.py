"""Runbook: *Promote to staging* and *Smoke tests*. One hundred sample predictions before anything changes.

The rows go out twice: one a request, so that there is a latency for each, and then once more in one batch, last row
first. A service whose answers do not follow its rows, or are those of other rows, is found out by the second.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Model, Status, Verdict, exact, inconclusive
from retrain.facts import Slots
from retrain.judgement.words import counted, listed, shown
from retrain.statistics.intervals import requests_to_prove, slow_share_upper

__all__ = ["EDITION", "Facts", "Policy", "after_swap", "decide", "in_words", "p99", "p99_of", "predictions_to_send"]

SECTION = "staging_smoke_tests"
ANSWERED, VALID, VARY = "Predictions answered", "Scores valid", "Scores vary"
FOLLOW = "Answers follow the rows"
LATENCY, STANDBY, ACTIVE = "Latency p99", "Candidate is in standby", "Candidate is active"

EDITION = 2
"""The edition of these rules, told with the facts that are gathered for them.

1 was release 0.1.0. Since 2 the most frequent score is named, and what a test of less than the runbook's leaves open.
"""

_RUNBOOK_PREDICTIONS = 100

_NEARLY_ALL = 0.9
"""A larger share of one score is said. It closes nothing: a tree gives all rows of a leaf one score, and where
positives are rare one leaf may well hold 99 rows of 100."""

_NAMED = 5
_SLOW_SHARE = 0.01
_SAME = 1e-4
"""A row's score may differ so far between two requests: sums in another order end in other digits."""


class Facts(Model):
    """One score and one latency (seconds) for each request sent, in order; None where no usable answer came.

    ``invalid`` holds a description of each answer that was no finite number, at most twenty of them.
    ``client_p99_seconds`` is what the client itself adds to a latency, at most: the same against an echo on loopback.
    ``answered_by`` is the slot that the service says answered, or None where it does not tell. ``again`` are the scores
    of the first rows asked once more in one batch, in the order of ``scores``; None where that was not done.
    Facts of an earlier ``edition`` are judged by the rules that they were gathered for.
    """

    gate: str | None = None
    candidate_version: str | None = None
    slots: Slots = Slots()
    answered_by: str | None = None
    scores: tuple[Figure, ...] = ()
    latencies_seconds: tuple[Figure, ...] = ()
    client_p99_seconds: Figure = None
    invalid: tuple[str, ...] = ()
    timeouts: int = 0
    again: tuple[Figure, ...] | None = None
    edition: Literal[1, 2] = 1
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's figures."""

    sample_predictions: int = Field(100, ge=1, le=100_000, description="predictions sent, one a request")
    latency_p99_ceiling_seconds: float = Field(1.0, gt=0, description="latency p99 < this, seconds")
    prove_p99: bool = Field(False, description="send as many as prove p99 at 95 % (299, none slow), and ask for proof")
    batch_rows: int = Field(100, ge=0, le=1000, description="rows asked again in one batch, last row first; 0: none")
    concurrency: int = Field(4, ge=1, le=64, description="connections open at once")
    warm_up_requests: int = Field(4, ge=0, le=1000, description="sent first and not measured")
    sample_window_days: int = Field(7, ge=1, description="rows are drawn from so many days before now")
    minimum_observation: Literal["attested", "response"] = Field(
        "response", description="the least that must show which slot answered"
    )


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the sample predictions and the slot that they were sent to; production has not changed yet."""
    if facts.gate != "passed":
        return _not_ready(facts)
    slot = _slot(facts, policy, STANDBY)
    return _verdict((*_answers(facts, policy), slot), facts, policy)


def after_swap(facts: Facts, policy: Policy) -> Verdict:
    """Judge the smoke test that is repeated right after the swap: the candidate should now be the active one."""
    slot = _slot(facts, policy, ACTIVE)
    return _verdict((*_answers(facts, policy), slot), facts, policy)


def predictions_to_send(policy: Policy) -> int:
    """Return how many sample predictions are sent: where p99 is to be proven, at least as many as that takes."""
    return max(policy.sample_predictions, requests_to_prove(0)) if policy.prove_p99 else policy.sample_predictions


def p99(latencies: tuple[float, ...]) -> float:
    """Return the 99th percentile by nearest rank: the ⌈0.99 n⌉-th smallest. Infinite where that one never came."""
    if not latencies:
        raise ValueError("no latencies have no percentile")
    rank = -(-99 * len(latencies) // 100)
    return sorted(latencies)[rank - 1]


def p99_of(latencies: tuple[float | None, ...], policy: Policy, *, timeouts: int) -> float | None:
    """Return the p99 that the verdict is about (seconds): infinite where it never came, None where none was measured.

    ``latencies`` are those of the requests sent; each that has none, or was never sent, took forever.
    """
    taken = _latencies(latencies, policy, timeouts)
    return p99(taken) if taken else None


def in_words(seen: float | None) -> str:
    """Write a p99 (see ``p99_of``) as the verdict does."""
    if seen is None:
        return "no latency was measured"
    return f"{shown(seen)} s" if math.isfinite(seen) else "no answer in time"


def _not_ready(facts: Facts) -> Verdict:
    told = "was not judged" if facts.gate is None else f"is {facts.gate}"
    check = inconclusive("Evaluation gate", "the gate is passed", f"the gate {told}")
    sentence = f"Not ready: the evaluation gate {told}. No prediction was judged."
    flip = "With the gate passed: the smoke tests."
    return Verdict(section=SECTION, outcome="not_ready", checks=(check,), sentence=sentence, flip=flip)


def _verdict(checks: tuple[Check, ...], facts: Facts, policy: Policy) -> Verdict:
    unseen = _unseen(facts)
    deviations = [unseen] if unseen else []
    if facts.edition > 1:
        deviations += _less(facts, policy)
    excused = {STANDBY, ACTIVE} if unseen and policy.minimum_observation == "response" else set()
    closed = [c for c in checks if c.status is not Status.PASS and not (c.status is _OPEN and c.name in excused)]
    outcome = "smoke_failed" if closed else "staged"
    told = "; ".join(f"{check.name}: {check.reason}" for check in closed or checks[:1] + checks[3:4])
    word = outcome.replace("_", " ").capitalize()
    return Verdict(
        section=SECTION,
        outcome=outcome,
        checks=checks,
        sentence=f"{word}: {told}.",
        flip=_flip(closed, facts, policy),
        deviations=tuple(f"the smoke tests: {told}" for told in deviations),
    )


def _less(facts: Facts, policy: Policy) -> list[str]:
    """Say what was tested less than the runbook asks, or shows less than it seems to."""
    found, sent, again = [], predictions_to_send(policy), len(facts.again or ())
    if sent < _RUNBOOK_PREDICTIONS:
        found.append(f"{counted(sent, 'sample prediction')}, and the runbook asks for {_RUNBOOK_PREDICTIONS}")
    if again < 2:
        rows = "one row alone was" if again else "no row was"
        found.append(f"{rows} asked again in one batch, so nothing shows that answers follow the rows")
    scores = _scores(facts)
    score, rows_of_it = _most_frequent(scores)
    if exact(_NEARLY_ALL) * len(scores) < rows_of_it < len(scores):  # all of them are a check's affair
        told = f"{shown(rows_of_it)} of {shown(len(scores))} rows got one score, {shown(score)}"
        found.append(f"{told}: that different rows get different scores is hardly shown")
    return found


def _most_frequent(scores: list[float]) -> tuple[float, int]:
    """Return the most frequent score and how many rows got it; of several the first."""
    return Counter(scores).most_common(1)[0] if scores else (0.0, 0)


_OPEN = Status.INCONCLUSIVE


def _flip(closed: list[Check], facts: Facts, policy: Policy) -> str:
    if closed:
        return f"With {listed(check.requirement for check in closed)}: staged."
    slow = sum(latency >= policy.latency_p99_ceiling_seconds for latency in _taken(facts, policy))
    sent = predictions_to_send(policy)
    allowed = sent - -(-99 * sent // 100)
    if policy.prove_p99:
        allowed = next(bad for bad in range(allowed, -1, -1) if slow_share_upper(bad, sent) <= _SLOW_SHARE)
    more = max(allowed + 1 - slow, 1)
    return f"With {counted(more, 'more slow request')}, or one answer missing or outside [0, 1]: smoke failed."


def _answers(facts: Facts, policy: Policy) -> tuple[Check, ...]:
    first = (_answered(facts, policy), _valid(facts, policy), _vary(facts, policy))
    checks = (*first, _latency(facts, policy), _follow(facts))
    return tuple(check for check in checks if check is not None)


def _scores(facts: Facts) -> list[float]:
    return [score for score in facts.scores if score is not None]


def _answered(facts: Facts, policy: Policy) -> Check:
    asked, evidence = predictions_to_send(policy), facts.evidence.get("predictions", ())
    wanted = f"{shown(asked)} of {shown(asked)} answered with a score"
    if not facts.scores:
        return inconclusive(ANSWERED, wanted, "no prediction was sent, or none came back", evidence=evidence)
    came = len(_scores(facts))
    observed = f"{shown(came)} of {shown(asked)}"
    whole = came == asked and len(facts.scores) == asked
    missing = [str(place) for place, score in enumerate(facts.scores, 1) if score is None]
    without = f"; without a usable score: {_some(missing, 'request ')}" if missing else ""
    reason = f"{observed} predictions answered{without}"
    status = Status.PASS if whole else Status.FAIL
    return Check(name=ANSWERED, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _valid(facts: Facts, policy: Policy) -> Check:
    wanted, evidence = "every score in [0, 1]", facts.evidence.get("predictions", ())
    scores = _scores(facts)
    outside = [
        f"request {place}: {shown(score)}"
        for place, score in enumerate(facts.scores, 1)
        if score is not None and not 0 <= score <= 1
    ]
    wrong = [*outside, *facts.invalid]
    if wrong:
        observed = counted(len(wrong), "invalid answer")
        return Check(
            name=VALID,
            requirement=wanted,
            observed=observed,
            status=Status.FAIL,
            reason=_some(wrong),
            evidence=evidence,
        )
    if not scores:
        return inconclusive(VALID, wanted, "there is no score to look at", evidence=evidence)
    observed = f"{shown(min(scores))} to {shown(max(scores))}"
    reason = f"all {shown(len(scores))} scores lie in [0, 1]"
    return Check(
        name=VALID, requirement=wanted, observed=observed, status=Status.PASS, reason=reason, evidence=evidence
    )


def _vary(facts: Facts, policy: Policy) -> Check | None:
    if predictions_to_send(policy) == 1:
        return None
    wanted, evidence = "different rows get different scores", facts.evidence.get("predictions", ())
    scores = _scores(facts)
    different = len(set(scores))
    if len(scores) < 2:
        return inconclusive(VARY, wanted, f"{counted(len(scores), 'score')} cannot differ", evidence=evidence)
    reason = f"{counted(different, 'different score')} among {shown(len(scores))}"
    if facts.edition > 1:
        score, rows = _most_frequent(scores)
        reason += f"; the most frequent, {shown(score)}, is that of {shown(round(100 * rows / len(scores), 1))} %"
    if different == 1:
        reason = f"every answer was {shown(scores[0])}: a constant says nothing about the rows"
    status = Status.PASS if different > 1 else Status.INCONCLUSIVE
    observed = counted(different, "different score")
    return Check(name=VARY, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _taken(facts: Facts, policy: Policy) -> tuple[float, ...]:
    return _latencies(facts.latencies_seconds, policy, facts.timeouts)


def _latencies(latencies: tuple[float | None, ...], policy: Policy, timeouts: int) -> tuple[float, ...]:
    """One latency a request; what never came, or came without a time, took forever. Empty where none was measured."""
    if all(latency is None for latency in latencies) and not timeouts:
        return ()
    known = [math.inf if latency is None or latency < 0 else latency for latency in latencies]
    known += [math.inf] * (predictions_to_send(policy) - len(known))
    late = timeouts - sum(math.isinf(latency) for latency in known)
    if late > 0:
        known = [math.inf] * late + sorted(known)[: len(known) - late] if late < len(known) else [math.inf] * len(known)
    return tuple(known)


def _latency(facts: Facts, policy: Policy) -> Check:
    ceiling, evidence = policy.latency_p99_ceiling_seconds, facts.evidence.get("predictions", ())
    wanted = f"latency p99 < {shown(ceiling)} s"
    latencies = _taken(facts, policy)
    if not latencies:
        return inconclusive(LATENCY, wanted, in_words(None), evidence=evidence)
    seen = p99(latencies)
    passed = math.isfinite(seen) and exact(seen) < exact(ceiling)
    figure = in_words(seen)
    slow = sum(latency >= ceiling for latency in latencies)
    reason = f"p99 {figure} {'is' if passed else 'is not'} < {shown(ceiling)} s; {_proves(slow, len(latencies))}"
    status = Status.PASS if passed else Status.FAIL
    if passed and policy.prove_p99 and slow_share_upper(slow, len(latencies)) > _SLOW_SHARE:
        status, reason = Status.INCONCLUSIVE, f"not proven: {reason}"
    return Check(name=LATENCY, requirement=wanted, observed=figure, status=status, reason=reason, evidence=evidence)


def _proves(slow: int, requests: int) -> str:
    """Say what so many slow requests of so many prove about the share of slow ones, at 95 %."""
    upper = slow_share_upper(slow, requests)
    told = f"{shown(slow)} slow of {shown(requests)} proves ≤ {100 * upper:.2f} % slow at 95 %"
    if upper <= _SLOW_SHARE:
        return told
    if slow > _SLOW_SHARE * requests:
        return told
    return f"{told}; {shown(requests_to_prove(slow))} with {slow or 'none'} slow would prove p99"


def _follow(facts: Facts) -> Check | None:
    """Compare the scores of the batch with those that the same rows got alone."""
    if facts.again is None:
        return None
    wanted = "asked again in one batch, last row first, each row gets the score that it got alone"
    evidence = facts.evidence.get("again", ())
    pairs = list(zip(facts.scores, facts.again, strict=False))
    known = [(alone, together) for alone, together in pairs if alone is not None and together is not None]
    if not known or len(known) < len(facts.again):
        reason = f"{shown(len(known))} of {counted(len(facts.again), 'row')} got a score both times"
        return inconclusive(FOLLOW, wanted, reason, evidence=evidence)
    other = [f"row {place}: {shown(a)}, then {shown(b)}" for place, (a, b) in enumerate(known, 1) if abs(a - b) > _SAME]
    observed = f"{shown(len(known) - len(other))} of {shown(len(known))} the same"
    status, reason = Status.PASS, f"{counted(len(known), 'row')} asked alone and in one batch: the same scores"
    if other:
        status = Status.FAIL
        reason = f"{_why_other(known)}: {_some(other)}"
    return Check(name=FOLLOW, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _why_other(known: list[tuple[float, float]]) -> str:
    alone, together = (sorted(scores) for scores in zip(*known, strict=True))
    if all(abs(first - second) <= _SAME for first, second in zip(alone, together, strict=True)):
        return "the batch holds the same scores in another order: answers do not follow the rows"
    if len(set(together)) < len(set(alone)):
        return "the batch holds fewer different scores: answers are repeated"
    return "the scores differ: an answer is not that of its row, or the same row does not get the same score twice"


def _unseen(facts: Facts) -> str:
    """Return what the service did not tell about the slots, or an empty string."""
    if not facts.slots.attested or facts.candidate_version is None:
        return "nothing shows which slot holds the candidate"
    if facts.answered_by is None:
        return "nothing shows which slot answered"
    return ""


def _slot(facts: Facts, policy: Policy, name: str) -> Check:
    """Judge where the candidate is, and whether it was the candidate that answered."""
    ours, theirs = ("standby", "active") if name == STANDBY else ("active", "standby")
    candidate, slots = facts.candidate_version, facts.slots
    wanted = f"the {ours} slot holds the candidate{f' {candidate}' if candidate else ''} and answered"
    evidence, unseen = facts.evidence.get("slots", ()), _unseen(facts)
    held = {"standby": slots.standby, "active": slots.active}
    wrong = ""
    if slots.attested and candidate is not None:
        if held[ours] != candidate:
            wrong = f"the {ours} slot holds {held[ours] or 'nothing'}, not {candidate}"
        elif held[theirs] == candidate:
            wrong = f"{candidate} is in the {theirs} slot too"
    if not wrong and facts.answered_by is not None and facts.answered_by != ours:
        wrong = f"the {facts.answered_by} slot answered"
    observed = f"{ours} {held[ours] or 'unknown'}, {theirs} {held[theirs] or 'unknown'}"
    if not wrong and unseen:
        return inconclusive(name, wanted, unseen, evidence=evidence)
    status = Status.FAIL if wrong else Status.PASS
    reason = wrong or f"{candidate} is in the {ours} slot, and that slot answered"
    return Check(name=name, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _some(items: list[str], before: str = "") -> str:
    """Name the first few and count the rest."""
    told = before + ", ".join(items[:_NAMED])
    return f"{told} and {counted(len(items) - _NAMED, 'other')}" if len(items) > _NAMED else told
