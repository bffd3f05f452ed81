"""Steps of *Rollback*: put the former version back, once, and see it serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrain.acts import Fingerprint, rollback_act
from retrain.facts import Effect, Slots
from retrain.steps.post_deploy_monitoring import swapped_at
from retrain.warehouse import Answer

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["fingerprint", "former_version", "matches", "reason", "roll_back", "was_swapped"]

Rows = tuple[dict[str, Any], ...]


def was_swapped(run: Run) -> bool:
    """Tell whether the run in question swapped the slots: there is nothing to roll back otherwise."""
    return swapped_at(run.swapper) is not None


def former_version(run: Run) -> str | None:
    """Return the version that served before the swap, where the service told it."""
    deployed = run.swapper.latest("blue_green_deployment")
    return Slots.model_validate(deployed["facts"]["before"]).active if deployed else None


def reason(run: Run) -> str:
    """Return why: the watch's sentence, or that a person asked."""
    if run.swapper.run_id != run.folder.run_id:
        return str(run.folder.opened["reason"])
    told = run.folder.latest("post_deploy_monitoring") or run.folder.latest("blue_green_deployment")
    return str(told["verdict"]["sentence"]) if told else "a person asked for it"


def fingerprint(run: Run, rows: Answer[Rows]) -> Fingerprint | None:
    """Return the scores of both versions, taken around a swap that was seen by them; None where it was not."""
    kept = {str(told["of"]): told for told in run.swapper.bodies("fingerprint")}
    if set(kept) != {"production", "candidate"} or kept["production"]["rows_sha256"] != rows.evidence[0].result_sha256:
        return None
    serving, expected = kept["candidate"]["scores"], kept["production"]["scores"]
    return Fingerprint(take=lambda: run.service.predict(rows.value).scores, serving=serving, expected=expected)


def roll_back(run: Run, slots: Slots, print_: Fingerprint | None) -> Effect:
    """Swap back at most once in this run."""
    if not was_swapped(run):
        return Effect(effect="rollback", detail="not sent: this run has swapped nothing")
    act = rollback_act(
        run.service,
        candidate=slots.active,
        former=former_version(run),
        fingerprint=print_,
        minimum=run.policy.minimum_observation,
        observe_seconds=run.policy.observe_seconds,
    )
    return run.perform(act)


def matches(print_: Fingerprint | None) -> bool | None:
    """Tell whether the scores now are those taken before the swap; None where they cannot tell."""
    if print_ is None or print_.expected is None:
        return None
    return {"same": True, "different": False, "unknown": None}[print_.compare(print_.take(), print_.expected)]
