"""Runbook: *Rollback*. Put the former version back, once, and see that it serves again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Model, Status, Verdict, inconclusive
from retrain.facts import Effect, Slots
from retrain.sections.blue_green_deployment import observed_enough

__all__ = ["Facts", "Policy", "decide"]

SECTION = "rollback"
SWAPPED, SENT, SERVES = "Swap to undo", "Roll back sent", "Former version serves"


class Facts(Model):
    """Slots before and after the roll back, and the version that served before the swap."""

    swapped: bool = False
    reason: str = ""
    former_version: str | None = None
    before: Slots = Slots()
    after: Slots = Slots()
    effect: Effect = Effect(effect="rollback")
    fingerprint_matches: bool | None = None
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """How the roll back is seen."""

    observe_seconds: float = Field(60, gt=0, description="how long to look for the roll back after it was sent")
    minimum_observation: Literal["attested", "fingerprint", "response"] = Field(
        "response", description="the least that must show the roll back"
    )


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the roll back: the former version serves again only where that was seen."""
    swapped = _swapped(facts)
    if not facts.swapped:
        sentence = "Not ready: nothing was swapped, so there is nothing to roll back."
        return Verdict(
            section=SECTION,
            outcome="not_ready",
            checks=(swapped,),
            sentence=sentence,
            flip="With a swap in this run: a roll back.",
        )
    serves = _serves(facts, policy)
    checks = (swapped, _sent(facts, serves), serves)
    rolled_back = all(check.status is Status.PASS for check in checks)
    why = f" The swap was undone because {facts.reason.rstrip('.')}." if facts.reason else ""
    closed = next((check for check in checks if check.status is not Status.PASS), serves)
    return Verdict(
        section=SECTION,
        outcome="rolled_back" if rolled_back else "unresolved",
        checks=checks,
        sentence=(
            f"Rolled back: {serves.reason}.{why}"
            if rolled_back
            else f"Unresolved: {closed.reason}. Look at the slots before anything else is sent."
        ),
        flip=(
            "Had the former version not been seen to serve: unresolved."
            if rolled_back
            else "With the former version seen in the active slot: rolled back."
        ),
        deviations=_deviations(facts, rolled_back),
    )


def _swapped(facts: Facts) -> Check:
    wanted, observed = "this run swapped the slots", "swapped" if facts.swapped else "not swapped"
    status = Status.PASS if facts.swapped else Status.FAIL
    return Check(
        name=SWAPPED, requirement=wanted, observed=observed, status=status, reason=f"the slots were {observed}"
    )


def _sent(facts: Facts, serves: Check) -> Check:
    """A roll back that was sent and not seen may still come, and would then undo whatever was seen before it."""
    effect, wanted = facts.effect, "sent once, and applied"
    told = f": {effect.detail}" if effect.detail else ""
    status, reason = Status.INCONCLUSIVE, f"the roll back was sent and could not be seen{told}"
    if effect.outcome == "applied":
        status, reason = Status.PASS, f"applied, observed by {effect.observed_by}"
    elif effect.outcome == "not_sent":
        there = serves.status is Status.PASS
        status = Status.PASS if there else Status.FAIL
        reason = "not sent: the former version serves already" if there else f"the roll back was not sent{told}"
    return Check(name=SENT, requirement=wanted, observed=effect.outcome, status=status, reason=reason)


def _serves(facts: Facts, policy: Policy) -> Check:
    former = _former(facts)
    wanted = f"{former or 'the former version'} is active, seen at least by {policy.minimum_observation}"
    evidence = facts.evidence.get("slots", ())
    by, status, reason = _observed(facts)
    if status is Status.PASS and not observed_enough(by, policy.minimum_observation):
        status, reason = Status.INCONCLUSIVE, f"{reason}, by {by} only, and {policy.minimum_observation} is asked for"
    if by == "none":
        return inconclusive(SERVES, wanted, reason, evidence=evidence)
    active = facts.after.active or "unknown"
    return Check(
        name=SERVES, requirement=wanted, observed=f"active {active}", status=status, reason=reason, evidence=evidence
    )


def _former(facts: Facts) -> str | None:
    """The version that served before the swap: the one in standby when the roll back began, where nobody told."""
    return facts.former_version or (facts.before.standby if facts.before.attested else None)


def _observed(facts: Facts) -> tuple[str, Status, str]:
    """Take the best witness on offer: the slots, the fingerprint, the bare response."""
    former, active = _former(facts), facts.after.active
    if facts.fingerprint_matches is False:
        return "fingerprint", Status.FAIL, "the scores are not those that the former version gave"
    if facts.after.attested and former is not None:
        if active == former:
            return "attested", Status.PASS, f"{former} serves again"
        return "attested", Status.FAIL, f"the active slot holds {active or 'nothing'}, not {former}"
    if facts.fingerprint_matches:
        return "fingerprint", Status.PASS, "the scores are those that the former version gave before the swap"
    if facts.effect.outcome == "applied" and facts.effect.observed_by != "none":
        return "response", Status.PASS, "the roll back was answered with success"
    return "none", Status.INCONCLUSIVE, "nothing shows which version serves"


def _deviations(facts: Facts, rolled_back: bool) -> tuple[str, ...]:
    if not rolled_back:
        return ()
    if facts.effect.outcome == "not_sent":
        return ("no roll back was sent: the former version served already",)
    if _observed(facts)[0] == "response":
        return ("the roll back was answered with success and observed in no other way",)
    return ()
