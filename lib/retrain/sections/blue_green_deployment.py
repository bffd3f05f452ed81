"""Runbook: *Blue-green deployment*. Swap the active and the standby slot, once, and see that it happened."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Model, Status, Verdict, inconclusive
from retrain.facts import Effect, Slots

__all__ = ["NOT_RUN", "Facts", "Policy", "decide", "may_swap", "observed_enough"]

SECTION = "blue_green_deployment"
PREREQUISITES, TRAINING = "Prerequisites", "Training"
GATE, SMOKE, APPROVAL = "Evaluation gate", "Smoke tests", "Approval"
SWAP, AGAIN = "Swap observed", "Smoke tests after the swap"

NOT_RUN = "not run"
"""Stands for the outcome of a section that has no verdict in this run."""

_LEVEL = {"none": 0, "response": 1, "fingerprint": 2, "attested": 3}


class Facts(Model):
    """Slots before and after, what became of the swap, and what opened the way to it.

    ``prerequisites`` and ``training`` are the outcomes of this run's, or ``NOT_RUN``. What is None was not asked:
    records made before they were hold neither, and are judged by gate and smoke tests alone.
    """

    prerequisites: str | None = None
    training: str | None = None
    gate: str | None = None
    smoke_tests: str | None = None
    first_promotion: bool = False
    approved_by: str | None = None
    before: Slots = Slots()
    after: Slots = Slots()
    effect: Effect = Effect(effect="swap")
    smoke_again: str | None = None
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """Who must agree, and how the swap is seen."""

    approval: Literal["none", "required"] = Field("none", description="required: a person approves before the swap")
    observe_seconds: float = Field(60, gt=0, description="how long to look for the swap after it was sent")
    minimum_observation: Literal["attested", "fingerprint", "response"] = Field(
        "response", description="the least that must show the swap"
    )


def may_swap(facts: Facts, policy: Policy) -> Verdict | None:
    """Return the verdict that forbids the swap, or None where it may be sent.

    Nothing is sent on facts that were not asked for: here they count as sections that were not run.
    """
    asked = {name: getattr(facts, name) or NOT_RUN for name in ("prerequisites", "training")}
    return _forbidden(facts.model_copy(update=asked), policy)


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the swap: it happened only where it was seen at least as well as the policy asks."""
    forbidden = _forbidden(facts, policy)
    if forbidden is not None:
        return forbidden
    seen, again = _seen(facts, policy), _again(facts)
    checks = (*_before(facts, policy), seen, *([again] if again else []))
    if seen.status is not Status.PASS:
        outcome, sentence = "unresolved", f"Unresolved: {seen.reason}. Look at the slots before anything else is sent."
        flip = "With the slots seen to be swapped: swapped."
    elif again is not None and again.status is not Status.PASS:
        outcome, sentence = "smoke_failed", f"Smoke failed: {again.reason}. The former version goes back."
        flip = "With the smoke tests staged again after the swap: swapped."
    else:
        outcome, sentence = "swapped", f"Swapped: {seen.reason}. The former version is in standby."
        flip = "Had the swap not been seen: unresolved."
    return Verdict(
        section=SECTION,
        outcome=outcome,
        checks=checks,
        sentence=sentence,
        flip=flip,
        deviations=_deviations(facts, seen),
    )


def observed_enough(observed_by: str, minimum: str) -> bool:
    """Whether this way of seeing a swap is at least as good as the one asked for; no way at all never is."""
    return _LEVEL.get(observed_by, 0) >= max(_LEVEL[minimum], 1)


def _forbidden(facts: Facts, policy: Policy) -> Verdict | None:
    checks = _before(facts, policy)
    closed = [check for check in checks if check.status is not Status.PASS]
    if not closed:
        return None
    waits = closed[0].name == APPROVAL
    outcome = "awaiting_approval" if waits else "not_ready"
    flip = f"With {'an approval' if waits else _opens(facts)}: the swap."
    sentence = f"{'Awaiting approval' if waits else 'Not ready'}: {closed[0].reason}. Production is unchanged."
    return Verdict(section=SECTION, outcome=outcome, checks=checks, sentence=sentence, flip=flip)


def _opens(facts: Facts) -> str:
    """Return in words what opens the way to the swap."""
    asked = facts.prerequisites is not None or facts.training is not None
    first = "the prerequisites ready, the training done, " if asked else ""
    return f"{first}the gate passed and the smoke tests staged"


def _before(facts: Facts, policy: Policy) -> tuple[Check, ...]:
    asked = (
        (PREREQUISITES, "the prerequisites are ready", facts.prerequisites, "ready"),
        (TRAINING, "this run's training is done", facts.training, "trained"),
    )
    return (
        *(_opened(*told) for told in asked if told[2] is not None),
        _opened(GATE, "the gate is passed", facts.gate, "passed"),
        _opened(SMOKE, "the smoke tests are staged", facts.smoke_tests, "staged"),
        _approval(facts, policy),
    )


def _opened(name: str, wanted: str, found: str | None, needed: str) -> Check:
    if found is None or found == NOT_RUN:
        return inconclusive(name, wanted, f"{name.lower()}: no verdict")
    status = Status.PASS if found == needed else Status.FAIL
    return Check(name=name, requirement=wanted, observed=found, status=status, reason=f"{name.lower()}: {found}")


def _approval(facts: Facts, policy: Policy) -> Check:
    person = (facts.approved_by or "").strip()
    if policy.approval == "none" and not facts.first_promotion:
        told = f"approved by {person}" if person else "no approval is asked for"
        return Check(
            name=APPROVAL, requirement="none is asked for", observed=person or "none", status=Status.PASS, reason=told
        )
    why = (
        "this is a first promotion, with nothing to compare with" if facts.first_promotion else "the policy asks for it"
    )
    wanted = "a person approves the swap"
    if not person:
        return inconclusive(APPROVAL, wanted, f"no approval yet, and {why}")
    return Check(name=APPROVAL, requirement=wanted, observed=person, status=Status.PASS, reason=f"approved by {person}")


def _seen(facts: Facts, policy: Policy) -> Check:
    effect, evidence = facts.effect, facts.evidence.get("slots", ())
    wanted = f"the swap was seen, at least by {policy.minimum_observation}"
    observed = f"{effect.outcome}, observed by {effect.observed_by}"
    told = f": {effect.detail}" if effect.detail else ""
    status, reason = Status.INCONCLUSIVE, f"the swap was sent and could not be seen{told}"
    contradiction = _contradiction(facts)
    if effect.outcome == "not_sent":
        reason = f"the swap was not sent{told}"
    elif contradiction:
        status, reason = Status.FAIL, contradiction
    elif effect.outcome == "applied" and not observed_enough(effect.observed_by, policy.minimum_observation):
        reason = f"the swap was observed by {effect.observed_by} only, and {policy.minimum_observation} is asked for"
    elif effect.outcome == "applied":
        now = f"{facts.after.active} is active" if facts.after.active else "the slots were swapped"
        status, reason = Status.PASS, f"{now}, observed by {effect.observed_by}"
    return Check(name=SWAP, requirement=wanted, observed=observed, status=status, reason=reason, evidence=evidence)


def _contradiction(facts: Facts) -> str:
    """Return what the attested slots say against a swap that is said to be applied, or an empty string."""
    before, after = facts.before, facts.after
    if facts.effect.outcome != "applied" or not (before.attested and after.attested):
        return ""
    if after.active == before.standby and after.active is not None:
        return ""
    expected = before.standby or "the candidate"
    return f"the active slot holds {after.active or 'nothing'}, not {expected} that was in standby"


def _again(facts: Facts) -> Check | None:
    if facts.smoke_again is None:
        return None
    return _opened(AGAIN, "the smoke tests are staged again after the swap", facts.smoke_again, "staged")


def _deviations(facts: Facts, seen: Check) -> tuple[str, ...]:
    if seen.status is not Status.PASS or facts.effect.observed_by != "response":
        return ()
    return ("the swap was answered with success and observed in no other way",)
