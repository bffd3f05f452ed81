"""Runbook: the whole run on one page. What triggered, what was checked, what was decided, and how to undo it."""

from __future__ import annotations

from pydantic import Field

from retrain import runbook
from retrain.checks import Check, Model, Status, Verdict, inconclusive
from retrain.facts import Effect

_WANTED = "sent at most once, and what it did was seen"


class Facts(Model):
    """Every verdict of the run in the order it was reached, and what became of each effect.

    ``ended`` is the runner's own word where a section broke (``usage`` or ``error``), with its ``reason``.
    """

    verdicts: tuple[Verdict, ...] = ()
    effects: tuple[Effect, ...] = ()
    unsettled: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    ended: str | None = None
    reason: str = ""


class Policy(Model):
    """How much the page shows."""

    rows_shown: int = Field(10, ge=1, le=1000, description="rows of a table before it says how many more there are")


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Return the run's outcome with a check for each section and each effect."""
    told = facts.verdicts
    outcome = facts.ended or runbook.run_outcome(told)
    deciding = _deciding(told)
    said = facts.reason or (deciding.sentence if deciding else "no section reached a verdict")
    return Verdict(
        section=runbook.LAST,
        outcome=outcome,
        checks=(*_sections(told), *_effects(facts), *_broken(facts)),
        sentence=f"{outcome.replace('_', ' ').capitalize()}: {said}",
        flip=deciding.flip if deciding else "",
    )


def undo(facts: Facts, run_id: str) -> str:
    """Return how to undo what this run changed in production, in one sentence."""
    changed = [effect.effect for effect in facts.effects if effect.outcome == "applied" and effect.effect != "training"]
    if facts.unsettled or any(effect.outcome == "unresolved" for effect in facts.effects):
        return "What the unresolved act did is not known: look at the slots before anything else is done."
    if "rollback" in changed:
        return "Nothing to undo: the swap was rolled back and the former version serves."
    if "swap" in changed:
        return f"The former version is in standby. To put it back: `retrain rollback {run_id} --reason WHY`"
    if "incident" in changed:
        return "Production is as it was. An incident was opened: close it when its cause is found."
    return "Nothing to undo: production is as it was."


def _broken(facts: Facts) -> tuple[Check, ...]:
    """A run in which a section broke does not read as passed, whatever came before it."""
    if facts.ended is None:
        return ()
    wanted, why = "every section came to its end", facts.reason or "a section broke"
    return (Check(name="Run", requirement=wanted, observed=facts.ended, status=Status.FAIL, reason=why),)


def _deciding(verdicts: tuple[Verdict, ...]) -> Verdict | None:
    """Return the verdict that decided: a rejection is the gate's, whatever was tried after it."""
    if not verdicts:
        return None
    last = verdicts[-1]
    if last.section == "if_retraining_fails" and len(verdicts) > 1:
        return verdicts[-2]
    return last


def _sections(verdicts: tuple[Verdict, ...]) -> tuple[Check, ...]:
    if not verdicts:
        return (inconclusive("Sections", "at least one section reached a verdict", "none did"),)
    return tuple(
        Check(
            name=runbook.section(verdict.section).title,
            requirement="a verdict",
            observed=verdict.outcome,
            status=Status.PASS,
            reason=verdict.sentence,
        )
        for verdict in verdicts
    )


def _effects(facts: Facts) -> tuple[Check, ...]:
    settled = tuple(
        Check(
            name=f"Effect: {effect.effect}",
            requirement=_WANTED,
            observed=f"{'sent' if effect.sent else 'not sent'}, {effect.outcome}, by {effect.observed_by}",
            status=Status.FAIL if effect.outcome == "unresolved" else Status.PASS,
            reason=effect.detail or effect.outcome,
        )
        for effect in facts.effects
    )
    open_ones = tuple(
        inconclusive(f"Effect: {name}", _WANTED, "nothing was recorded after its intent") for name in facts.unsettled
    )
    return settled + open_ones
