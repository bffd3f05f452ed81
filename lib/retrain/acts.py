"""The acts that change the world outside, for ``retrain.effects`` to perform: training, swap, roll back, incident.

A swap is seen at one of three levels: *attested* (the service tells which version is in which slot), *fingerprint*
(the scores of fixed samples tell two models apart), *response* (a 2xx is all there is).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from retrain.effects import Act, EffectName, Level, State
from retrain.errors import RetrainError, shortened
from retrain.service.answers import Answer, TrainingStatus
from retrain.service.client import Service
from retrain.service.reading import first, text

__all__ = [
    "Fingerprint",
    "compare_scores",
    "incident_act",
    "incident_id",
    "job_named",
    "rollback_act",
    "swap_act",
    "training_act",
    "training_state",
]

Scores = Sequence[float | None]


def training_act(
    service: Service,
    body: Mapping[str, Any],
    *,
    attempt: int = 1,
    observe_seconds: float = 60.0,
    poll_seconds: float = 1.0,
) -> Act:
    """Return the act that triggers a training with ``body``; each attempt of a run is a target of its own.

    It is seen by a job id that is new (the one of the answer, where that told one), or by a status that is no longer
    what it was. Where the status tells no job id, a 2xx suffices. While another training runs it is not sent.
    """
    return Act(
        effect="training",
        target=f"training attempt {attempt}",
        read=lambda: training_state(service.status()),
        send=lambda: service.trigger(body),
        applied=_training_applied,
        own=_training_own,
        shows=lambda before, now: f"{now['job_id'] or 'a training without a job id'} is {now['phase']}",
        obstacle=_training_obstacle,
        response_suffices=lambda before: before is None or before["job_id"] is None,
        observe_seconds=observe_seconds,
        poll_seconds=poll_seconds,
    )


def training_state(status: TrainingStatus) -> dict[str, Any]:
    """Return what tells one training from another: phase, job, version, and a digest of the candidate's figures."""
    told = status.metrics.model_dump_json() if status.metrics else None
    digest = hashlib.sha256(told.encode()).hexdigest() if told else None
    phase = status.phase or status.status
    return {"phase": phase, "job_id": status.job_id, "version": status.version, "metrics_sha256": digest}


def job_named(said: Any) -> str | None:
    """Return the job that an answer (JSON) to the trigger names, or None."""
    return text(first(said, "job_id", "training_id", "run_id", "id"))


def _training_own(before: State, now: State, said: Any) -> bool:
    """Tell whether the training that is seen bears the id that this request's answer gave it."""
    return now["job_id"] is not None and now["job_id"] == job_named(said)


def _training_applied(before: State, now: State, said: Any) -> Level | None:
    job = job_named(said)
    if job is not None and now["job_id"] is not None:
        return "attested" if now["job_id"] == job else None
    if now["job_id"] != before["job_id"]:
        return "attested" if now["job_id"] is not None else None
    began = now["phase"] in ("running", "completed", "failed")
    return "attested" if began and now != before else None


def _training_obstacle(before: State) -> str | None:
    if before["phase"] != "running":
        return None
    return f"another training is running ({before['job_id'] or 'the service tells no job id'})"


@dataclass(frozen=True)
class Fingerprint:
    """The scores that fixed samples get from the active slot.

    ``take`` asks for the scores now. ``serving`` are those of the version that should serve before the act, taken
    earlier in the run: without them a swap by someone else before the first look is not noticed. ``expected`` are
    those of the version that should serve after it. Scores differ where any pair is further apart than ``tolerance``.
    """

    take: Callable[[], Scores]
    serving: Scores | None = None
    expected: Scores | None = None
    tolerance: float = 1e-6

    def is_steady(self) -> bool:
        """Tell whether asking twice gives the same scores; where it does not, they tell nothing about versions."""
        return self.compare(self.take(), self.take()) == "same"

    def compare(self, one: Scores, other: Scores) -> Literal["same", "different", "unknown"]:
        """Compare two takes (see ``compare_scores``)."""
        return compare_scores(one, other, tolerance=self.tolerance)


def compare_scores(one: Scores, other: Scores, *, tolerance: float = 1e-6) -> Literal["same", "different", "unknown"]:
    """Compare two takes of the same samples: unknown where they differ in number or more than half give no pair."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    if not one or len(one) != len(other) or 2 * len(pairs) < len(one):
        return "unknown"
    return "same" if all(abs(a - b) <= tolerance for a, b in pairs) else "different"


def swap_act(
    service: Service,
    *,
    candidate: str | None,
    former: str | None,
    fingerprint: Fingerprint | None = None,
    minimum: Level = "response",
    observe_seconds: float = 60.0,
    poll_seconds: float = 1.0,
) -> Act:
    """Return the act that makes ``candidate`` active instead of ``former``; None is a version that was not told.

    Where the service tells slots, it is sent only while they are what was tested: ``former`` active, ``candidate`` in
    standby. Hand in a fingerprint only if it is steady.
    """
    target = f"version {candidate} active" if candidate else "the candidate active"
    seconds = (observe_seconds, poll_seconds)
    return _toggle("swap", target, service, (candidate, former), fingerprint, minimum, seconds)


def rollback_act(
    service: Service,
    *,
    candidate: str | None,
    former: str | None,
    fingerprint: Fingerprint | None = None,
    minimum: Level = "response",
    observe_seconds: float = 60.0,
    poll_seconds: float = 1.0,
) -> Act:
    """Return the act that makes ``former`` active again instead of ``candidate``; the mirror of ``swap_act``.

    ``fingerprint.expected`` are the scores taken before the swap. Hand one in only where the swap was seen by it.
    """
    target = f"version {former} active again" if former else "the former version active again"
    seconds = (observe_seconds, poll_seconds)
    return _toggle("rollback", target, service, (former, candidate), fingerprint, minimum, seconds)


def _toggle(
    effect: EffectName,
    target: str,
    service: Service,
    versions: tuple[str | None, str | None],
    fingerprint: Fingerprint | None,
    minimum: Level,
    seconds: tuple[float, float],
) -> Act:
    wanted, serving = versions
    return Act(
        effect=effect,
        target=target,
        read=partial(_slots_or_scores, service, fingerprint),
        send=service.reload,
        applied=partial(_toggle_applied, wanted, fingerprint),
        own=_toggle_own,
        shows=_toggle_shows,
        already=partial(_toggle_already, wanted, fingerprint),
        obstacle=partial(_toggle_obstacle, wanted, serving, fingerprint),
        level=_toggle_level,
        same=partial(_toggle_same, fingerprint),
        minimum=minimum,
        observe_seconds=seconds[0],
        poll_seconds=seconds[1],
    )


def _slots_or_scores(service: Service, fingerprint: Fingerprint | None) -> State:
    """Return the slots where they are told, else the scores of the fixed samples, else None."""
    health = service.health()
    if health is not None and health.slots.attested:
        return {"active": health.slots.active, "standby": health.slots.standby}
    scores = None if fingerprint is None else list(fingerprint.take())
    return {"scores": scores} if scores and any(score is not None for score in scores) else None


def _toggle_level(state: State) -> Level:
    if state is None:
        return "response"
    return "fingerprint" if "scores" in state else "attested"


def _toggle_already(wanted: str | None, fingerprint: Fingerprint | None, state: State) -> Level | None:
    if state is None:
        return None
    if "scores" not in state:
        return "attested" if wanted is not None and state["active"] == wanted else None
    return "fingerprint" if _is_expected(fingerprint, state["scores"]) else None


def _is_expected(fingerprint: Fingerprint | None, scores: Scores) -> bool:
    if fingerprint is None or fingerprint.expected is None:
        return False
    return fingerprint.compare(scores, fingerprint.expected) == "same"


def _toggle_applied(
    wanted: str | None, fingerprint: Fingerprint | None, before: State, now: State, said: Any
) -> Level | None:
    if "scores" not in now:
        version = wanted or before.get("standby")
        moved = now["active"] != before.get("active")
        return "attested" if moved and version is not None and now["active"] == version else None
    if fingerprint is None or fingerprint.compare(before.get("scores", ()), now["scores"]) != "different":
        return None
    return "fingerprint" if fingerprint.expected is None or _is_expected(fingerprint, now["scores"]) else None


def _toggle_own(before: State, now: State, said: Any) -> bool:
    """Tell whether this request's answer named the version that is now seen active, and was not before."""
    told = text(first(first(said, "slots") or said, "active"))
    return told is not None and now.get("active") == told != before.get("active")


def _toggle_shows(before: State, now: State) -> str:
    if "scores" not in now:
        return f"active is {now['active']}, standby is {now['standby']}"
    same = compare_scores(before.get("scores", ()), now["scores"])
    return f"the active slot's scores against those before: {same}"


def _toggle_obstacle(
    wanted: str | None, serving: str | None, fingerprint: Fingerprint | None, state: State
) -> str | None:
    if "scores" in state:
        return _scores_obstacle(fingerprint, state["scores"])
    told = f"active is {state['active']}, standby is {state['standby']}"
    if state["standby"] is None:
        return f"nothing is in standby ({told})"
    if wanted is not None and state["standby"] != wanted:
        return f"standby should be {wanted} ({told})"
    if serving is not None and state["active"] != serving:
        return f"active should be {serving} ({told})"
    return None


def _scores_obstacle(fingerprint: Fingerprint | None, scores: Scores) -> str | None:
    if fingerprint is None or fingerprint.serving is None:
        return None
    compared = fingerprint.compare(scores, fingerprint.serving)
    return None if compared == "same" else f"the active slot's scores are not those taken before ({compared})"


def _toggle_same(fingerprint: Fingerprint | None, one: State, other: State) -> bool:
    if fingerprint is not None and "scores" in one and "scores" in other:
        return fingerprint.compare(one["scores"], other["scores"]) == "same"
    return bool(one == other)


def incident_id(run_id: str) -> str:
    """Return the id of the incident that the run ``run_id`` opens: always the same, so that a SELECT finds it."""
    return f"INC-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"


def incident_act(
    incident: str,
    *,
    insert: Callable[[], object],
    lookup: Callable[[], bool],
    observe_seconds: float = 30.0,
    poll_seconds: float = 1.0,
) -> Act:
    """Return the act that opens ``incident``: ``insert`` writes the row, ``lookup`` tells whether it is there.

    Both may raise RetrainError; an insert that did so may have written the row, so it is looked for.
    """
    return Act(
        effect="incident",
        target=f"incident {incident}",
        read=lambda: {"present": lookup()},
        send=partial(_insert, insert),
        applied=lambda before, now, said: "attested" if now["present"] else None,
        own=lambda before, now, said: True,  # nobody else writes a row of this id
        shows=lambda before, now: "its row is there" if now["present"] else "its row is not there",
        already=lambda state: "attested" if state["present"] else None,
        accepted=lambda answer: answer.error is None,
        refused=lambda answer: False,
        response_suffices=lambda state: False,
        observe_seconds=observe_seconds,
        poll_seconds=poll_seconds,
    )


def _insert(insert: Callable[[], object]) -> Answer:
    try:
        insert()
    except RetrainError as error:
        return Answer(error=shortened(str(error), 500))
    return Answer(text="inserted")
