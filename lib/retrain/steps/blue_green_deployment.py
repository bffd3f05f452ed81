"""Steps of *Blue-green deployment*: the slots, the scores that tell two models apart, one swap, and a look after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrain.acts import Fingerprint, Scores, swap_act
from retrain.facts import Effect, Slots
from retrain.record.evidence import approved_by
from retrain.sections import blue_green_deployment, staging_smoke_tests
from retrain.steps import staging_smoke_tests as smoke
from retrain.warehouse import Answer

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["fingerprint", "opened_by", "smoke_test_again", "swap"]

Rows = tuple[dict[str, Any], ...]


def opened_by(run: Run) -> blue_green_deployment.Facts:
    """Return what this run knows before the swap: what opened the way to it, in its order, and whether anything serves.

    A gate that was passed before the training judged another candidate, and the smoke tests before the gate may have
    met one: each counts only where it came after.
    """
    gate = run.facts("evaluation_gate")
    return blue_green_deployment.Facts(
        prerequisites=run.outcome("prerequisites") or blue_green_deployment.NOT_RUN,
        training=run.outcome("training") or blue_green_deployment.NOT_RUN,
        gate=_after(run, "evaluation_gate", "training"),
        smoke_tests=_after(run, "staging_smoke_tests", "evaluation_gate"),
        first_promotion=bool(gate and gate.first_promotion),
        approved_by=approved_by(run.folder),
    )


def _after(run: Run, section: str, earlier: str) -> str | None:
    """Return the newest outcome of ``section``, and say so where it is older than that of ``earlier``."""
    order = [verdict.section for verdict in reversed(run.folder.verdicts())]
    stale = section in order and earlier in order[: order.index(section)]
    return f"{run.outcome(section)}, but before the {earlier.replace('_', ' ')}" if stale else run.outcome(section)


def fingerprint(run: Run, rows: Answer[Rows], told: Slots) -> Fingerprint | None:
    """Return what tells the two models apart where the service does not tell its slots, or None.

    The scores of production are kept in the record: a roll back is seen by them.
    """
    if told.attested:
        return None
    kept = [body for body in run.folder.bodies("fingerprint") if body["of"] == "production"]
    if run.cut_short("swap") is not None:  # who serves now is not known: the scores are those from before the swap
        return _fingerprint(run, rows, tuple(kept[-1]["scores"])) if kept else None
    serving = run.service.predict(rows.value).scores
    print_ = _fingerprint(run, rows, serving)
    if not print_.is_steady():
        return None
    run.say("fingerprint", of="production", scores=list(serving), rows_sha256=rows.evidence[0].result_sha256)
    return print_


def _fingerprint(run: Run, rows: Answer[Rows], serving: Scores) -> Fingerprint:
    return Fingerprint(take=lambda: run.service.predict(rows.value).scores, serving=serving)


def swap(run: Run, before: blue_green_deployment.Facts, slots: Slots, print_: Fingerprint | None) -> Effect:
    """Swap the slots at most once in this run, unless something stands in the way."""
    stopped = blue_green_deployment.may_swap(before, run.policy)
    if stopped is not None:
        return Effect(effect="swap", detail=f"not sent: {stopped.sentence}")
    act = swap_act(
        run.service,
        candidate=smoke.candidate_version(run),
        former=slots.active,
        fingerprint=print_,
        minimum=run.policy.minimum_observation,
        observe_seconds=run.policy.observe_seconds,
    )
    effect = run.perform(act)
    if print_ is not None and effect.observed_by == "fingerprint":
        run.say("fingerprint", of="candidate", scores=list(print_.take()))
    return effect


def smoke_test_again(run: Run, rows: Answer[Rows], effect: Effect) -> str | None:
    """Repeat the smoke test right after the swap where nothing showed which slot answered the first; its outcome."""
    first = run.facts("staging_smoke_tests")
    if effect.outcome != "applied" or first is None or first.answered_by is not None:
        return None
    slots, told, again = smoke.slots(run), smoke.smoke_test(run, rows, Slots()), smoke.asked_again(run, rows, Slots())
    facts = smoke.facts(run, first.candidate_version, slots, rows, told, again)
    policy = run.settings.staging_smoke_tests
    verdict = staging_smoke_tests.after_swap(facts, policy)
    kept = {"facts": facts, "policy": policy, "verdict": verdict}
    run.say("smoke_again", **{name: value.model_dump(mode="json") for name, value in kept.items()})
    return verdict.outcome
