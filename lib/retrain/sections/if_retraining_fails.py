"""Runbook: *If Retraining Fails*. Find the cause in the evidence, change one thing, or give up and say so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Model, Status, Verdict, exact, inconclusive
from retrain.facts import Epoch, Remedy
from retrain.judgement.words import counted, listed, shown

__all__ = ["RUNBOOK_REMEDIES", "Cause", "Facts", "Policy", "decide", "diagnose", "incident_due", "remedy"]

SECTION = "if_retraining_fails"
CAUSE, ATTEMPTS, REMEDY = "Cause found", "Attempts left", "Remedy left"

FailedSection = Literal["training", "evaluation_gate"]
Cause = Literal["data_imbalance", "convergence_failure", "resource_exhaustion", "unknown"]


class Facts(Model):
    """What the failed attempt left behind. ``failed_runs_before`` counts earlier failed runs in a row."""

    failed_section: Literal["training", "evaluation_gate"] | None = None
    reason: str = ""
    error: str | None = None
    class_counts: dict[str, int] | None = None
    epochs: tuple[Epoch, ...] | None = None
    recall: Figure = None
    attempt: int = 1
    remedies_tried: tuple[str, ...] = ()
    failed_runs_before: int = 0
    open_incident: str | None = None
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """How often to try again, with what, and when to call for a person."""

    maximum_attempts: int = Field(2, ge=1, le=10, description="trainings in one run, the first included")
    minority_share_floor: float = Field(0.02, ge=0, le=0.5, description="a smaller class below this share is imbalance")
    incident_after_failed_runs: int = Field(3, ge=1, description="failed runs in a row that open an incident")
    incident_severity: str = Field("P2", min_length=1, description="a severity that does not block the next run")
    remedies: dict[Cause, tuple[Remedy, ...]] = Field(
        {}, description="changes to the request for each cause, tried in order; none: the service takes no such field"
    )


RUNBOOK_REMEDIES: dict[Cause, tuple[Remedy, ...]] = {
    "data_imbalance": (
        Remedy(name="class weights", body={"hyperparameters": {"class_weight": "balanced"}}),
        Remedy(name="SMOTE", body={"hyperparameters": {"oversampling": "smote"}}),
    ),
    "convergence_failure": (
        Remedy(name="more epochs", body={"hyperparameters": {"epochs": 60}}),
        Remedy(name="another learning rate", body={"hyperparameters": {"learning_rate": 0.0005}}),
    ),
    "resource_exhaustion": (
        Remedy(name="smaller batches", body={"hyperparameters": {"batch_size": 64}}),
        Remedy(name="a simpler model", body={"hyperparameters": {"hidden_units": 16}}),
    ),
}
"""The runbook's changes, in its order, for a service that takes these fields. Figures are starting points."""

_WORDS: tuple[tuple[Cause, re.Pattern[str]], ...] = (
    (
        "resource_exhaustion",
        re.compile(r"memory|\boom\b|\bkilled\b|\bdisk\b|no space left|resource|cuda|\bquota\b|allocat", re.IGNORECASE),
    ),
    (
        "data_imbalance",
        re.compile(r"imbalanc|minority|(?:single|one) class|stratif|least populated class", re.IGNORECASE),
    ),
    (
        "convergence_failure",
        re.compile(r"converg|diverg|\bnan\b|not finite|non-finite|infinite loss|explod|vanish", re.IGNORECASE),
    ),
)

_STILL_FALLING = 0.01  # of the loss before: a last epoch that still gains one per cent was not the last one needed


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Retry with one change where the evidence names a cause and a remedy is left; give up otherwise, and say so."""
    if facts.failed_section is None:
        return _not_ready()
    cause, found = diagnose(facts, policy)
    checks = (_cause(cause, found, facts), _attempts(facts, policy), _remedy_left(cause, facts, policy))
    closed = [check for check in checks if check.status is not Status.PASS]
    chosen = remedy(facts, policy)
    if not closed and chosen is not None:
        sentence = f"Retry: {listed(found)}; attempt {facts.attempt + 1} changes one thing: {chosen.name}."
        outcome, flip = "retry", "Without a cause in the evidence, or without an attempt left: give up."
    else:
        outcome, sentence = "give_up", _gives_up(closed, facts, policy)
        flip = f"With {listed(check.requirement for check in closed)}: another attempt."
    return Verdict(section=SECTION, outcome=outcome, checks=checks, sentence=sentence, flip=flip)


def _not_ready() -> Verdict:
    check = inconclusive("Cause", "a training failed, or the gate rejected", "nothing has failed in this run")
    sentence, flip = "Not ready: nothing has failed in this run.", "With a failed training or a rejection: a diagnosis."
    return Verdict(section=SECTION, outcome="not_ready", checks=(check,), sentence=sentence, flip=flip)


def diagnose(facts: Facts, policy: Policy) -> tuple[Cause, tuple[str, ...]]:
    """Return the cause that the evidence names, and that evidence in sentences; the cause comes first.

    The error's own words weigh most, then the class counts, then the epoch log. A model that was trained and then
    rejected has no error to read: only counts and epochs speak.
    """
    found: list[tuple[Cause, str]] = []
    if facts.failed_section != "evaluation_gate" and facts.error:
        named = ((cause, words.search(facts.error)) for cause, words in _WORDS)
        found += [(cause, f"the error says {match[0]!r}") for cause, match in named if match]
    found += [("data_imbalance", told) for told in _imbalance(facts.class_counts, policy)]
    found += [("convergence_failure", told) for told in _convergence(facts.epochs or ())]
    if not found:
        return "unknown", ("neither error, class counts nor epoch log names a cause",)
    return found[0][0], tuple(told for _, told in found)


def remedy(facts: Facts, policy: Policy) -> Remedy | None:
    """Return the next remedy for the cause that was not tried in this run, or None."""
    cause, _ = diagnose(facts, policy)
    return _next(cause, facts, policy)


def incident_due(facts: Facts, policy: Policy) -> bool:
    """Whether this run, given up on a training, is one failed run too many and no incident is open for it.

    The incident's severity must not be one that blocks the next run; settings hold the two against each other.
    """
    if facts.failed_section != "training" or facts.open_incident is not None:
        return False
    enough = facts.failed_runs_before + 1 >= policy.incident_after_failed_runs
    return enough and decide(facts, policy).outcome == "give_up"


def _next(cause: Cause, facts: Facts, policy: Policy) -> Remedy | None:
    if cause == "unknown":
        return None
    return next((each for each in policy.remedies.get(cause, ()) if each.name not in facts.remedies_tried), None)


def _imbalance(counts: Mapping[str, int] | None, policy: Policy) -> list[str]:
    if not counts or min(counts.values()) < 0 or sum(counts.values()) == 0:
        return []
    if len(counts) == 1:
        return [f"all {shown(sum(counts.values()))} rows are of one class"]
    smallest, rows = min(counts, key=counts.__getitem__), sum(counts.values())
    if counts[smallest] >= exact(policy.minority_share_floor) * rows:
        return []
    share = f"{100 * counts[smallest] / rows:.2f} %"
    floor = f"{shown(exact(policy.minority_share_floor) * 100)} %"
    return [f"class {smallest} has {share} of {counted(rows, 'row')}, below {floor}"]


def _convergence(log: Sequence[Epoch]) -> list[str]:
    """Look at the losses, validation where it is told: no number any more, not fallen, or still falling."""
    epochs = sorted(log, key=lambda each: each.epoch)
    validated = any(each.validation_loss is not None for each in epochs)
    losses = [each.validation_loss if validated else each.training_loss for each in epochs]
    known = [loss for loss in losses if loss is not None]
    if not known:
        return []
    lost = next((each.epoch for each, loss in zip(epochs, losses, strict=True) if loss is None), None)
    if lost is not None:
        return [f"the loss of epoch {lost} is no number"]
    if len(known) < 2:
        return []
    first, before, last = known[0], known[-2], known[-1]
    if min(known[1:]) >= first:
        return [f"the loss never fell below that of the first epoch, {shown(first)}"]
    if last == min(known) and before - last > _STILL_FALLING * abs(before):
        return [f"the loss was still falling at the last epoch, {epochs[-1].epoch}: {shown(before)} to {shown(last)}"]
    return []


def _cause(cause: Cause, found: tuple[str, ...], facts: Facts) -> Check:
    wanted, evidence = "the evidence names a cause", facts.evidence.get("status", ())
    if cause == "unknown":
        return inconclusive("Cause", wanted, found[0], evidence=evidence)
    written = cause.replace("_", " ")
    reason = f"{written}: {listed(found)}"
    return Check(name=CAUSE, requirement=wanted, observed=written, status=Status.PASS, reason=reason, evidence=evidence)


def _attempts(facts: Facts, policy: Policy) -> Check:
    wanted = f"fewer than {counted(policy.maximum_attempts, 'attempt')} so far"
    left = facts.attempt < policy.maximum_attempts
    reason = f"attempt {facts.attempt} of {policy.maximum_attempts} failed"
    status = Status.PASS if left else Status.FAIL
    return Check(name=ATTEMPTS, requirement=wanted, observed=str(facts.attempt), status=status, reason=reason)


def _remedy_left(cause: Cause, facts: Facts, policy: Policy) -> Check:
    wanted, chosen = "a remedy for the cause that was not tried", _next(cause, facts, policy)
    if chosen is not None:
        reason = f"next: {chosen.name}"
        return Check(name=REMEDY, requirement=wanted, observed=chosen.name, status=Status.PASS, reason=reason)
    if cause == "unknown":
        return inconclusive(REMEDY, wanted, "without a cause there is no remedy")
    tried = f"tried: {listed(facts.remedies_tried)}" if facts.remedies_tried else "the policy holds none for this cause"
    return Check(name=REMEDY, requirement=wanted, observed="none", status=Status.FAIL, reason=tried)


def _gives_up(closed: Sequence[Check], facts: Facts, policy: Policy) -> str:
    why = "; ".join(check.reason for check in closed)
    if facts.failed_section == "training":
        number = facts.failed_runs_before + 1
        row = f"{number} failed runs in a row" if number > 1 else "the first failed run in a row"
        told = f" ({facts.error})" if facts.error else ""
        return f"Give up: the training failed{told}; {why}. This is {row}: look at related/data_quality."
    if facts.failed_section == "evaluation_gate":
        return f"Give up: the candidate was rejected; {why}. Production is unchanged."
    return f"Give up: what failed is not known; {why}."
