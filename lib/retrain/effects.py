"""An act that changes the world outside is sent at most once for a run and target; then only looking decides.

    take the lock in the process that sends → read the state twice → append INTENT (durable) → send once, with no
    retry and no redirect → append what came back → look until a deadline
        seen:      applied
        not seen:  unresolved: the run stops and says so; a person settles it

An INTENT is spent once it is written: after a crash the state is looked at and nothing is sent. Only a request that
provably never left (no connection stood, and that was recorded) gives a new INTENT. The acts are in ``retrain.acts``.

Where another process holds the lock, ``Busy`` (exit 18) is raised and nothing is sent.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from filelock import FileLock, Timeout

from retrain.clock import Clock
from retrain.errors import RetrainError, shortened
from retrain.facts import Effect
from retrain.ledger.problems import Busy
from retrain.service.answers import Answer

__all__ = [
    "LEVELS", "Act", "EffectName", "Entry", "Level", "ModelLock", "Record", "State", "is_refusal", "perform", "recover",
    "resolved_effect",
]  # fmt: skip

State = Any
"""What an act can see of the world: JSON, or None where it cannot tell."""
Level = Literal["attested", "fingerprint", "response"]
EffectName = Literal["training", "swap", "rollback", "incident"]

LEVELS: tuple[Level, ...] = ("response", "fingerprint", "attested")
"""How an outcome can be seen, worst to best."""

_LOOKS_BEFORE_RESPONSE = 3
_WHOSE = "whether by this request or by another's cannot be told"


class Entry(Protocol):
    """One thing that happened in a run: its number, its kind, when it was recorded (UTC), and what it says."""

    @property
    def number(self) -> int:
        """Its number in the record."""

    @property
    def kind(self) -> str:
        """What happened."""

    @property
    def at(self) -> datetime:
        """When it was recorded, in UTC."""

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""


class Record(Protocol):
    """Where a run keeps what happened (``retrain.ledger.Run``)."""

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append an entry and return its number. It is durable when this returns."""

    def entries(self) -> Sequence[Entry]:
        """Return all entries of the run, oldest first."""


def is_refusal(answer: Answer) -> bool:
    """Tell whether the service said that it did not do it: a 4xx that no waiting would change."""
    code = answer.status_code
    return code is not None and 400 <= code < 500 and code not in (408, 425, 429)


@dataclass(frozen=True, kw_only=True)
class Act:
    """One change to the world outside, and how it is seen.

    ``read`` returns the state and may raise RetrainError where it cannot be read now. ``applied(before, now, said)``
    returns the level at which ``now`` shows the effect, or None; ``said`` is the JSON of the answer, None if it was
    lost. ``already(state)`` does so before anything is sent. ``obstacle(state)`` says why it must not be sent.
    ``level(state)`` is the best level on offer. Where ``response_suffices(state)``, a 2xx counts although nothing
    could be seen. ``own(before, now, said)`` tells whether what is seen is this request's doing, by what an accepting
    answer named: without that, nobody can tell. ``shows(before, now)`` puts a state in words. Seconds are wall seconds.
    """

    effect: EffectName
    target: str
    read: Callable[[], State]
    send: Callable[[], Answer]
    applied: Callable[[State, State, Any], Level | None]
    already: Callable[[State], Level | None] = lambda state: None
    obstacle: Callable[[State], str | None] = lambda state: None
    level: Callable[[State], Level] = lambda state: "response" if state is None else "attested"
    same: Callable[[State, State], bool] = operator.eq
    accepted: Callable[[Answer], bool] = operator.attrgetter("succeeded")
    refused: Callable[[Answer], bool] = is_refusal
    response_suffices: Callable[[State], bool] = lambda state: state is None
    own: Callable[[State, State, Any], bool] = lambda before, now, said: False
    shows: Callable[[State, State], str] = lambda before, now: str(now)
    minimum: Level = "response"
    observe_seconds: float = 60.0
    poll_seconds: float = 1.0


class ModelLock:
    """A lock on one model, for the process that acts; the system frees it when that process dies."""

    def __init__(self, path: Path, *, holder: str = "") -> None:
        """Take the lock file's path (its folder is made) and who would hold it, in words for others."""
        self._path = path
        self._holder = holder or f"process {os.getpid()}"
        self._lock = FileLock(path, timeout=0, fallback_to_soft=False)

    def __enter__(self) -> Self:
        """Take the lock at once, or raise Busy naming its holder. Taking it twice through one object is fine."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise Busy(
                f"{self._told()} holds {self._path}: one run of a model acts at a time. Nothing was sent."
            ) from error
        self._note.write_text(self._holder, encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock."""
        self._lock.release()

    @property
    def _note(self) -> Path:
        return self._path.with_name(self._path.name + ".holder")

    def _told(self) -> str:
        with suppress(OSError):
            return self._note.read_text(encoding="utf-8")[:200] or "another process"
        return "another process"


@dataclass(frozen=True)
class _Sent:
    """What is known of a request that was sent, or may have been."""

    accepted: bool
    refused: bool
    said: Any
    words: str


_LOST = _Sent(False, False, None, "no answer was recorded, so it may have been sent or not")


@dataclass(frozen=True)
class _Past:
    """What a run's record tells of one act. ``intent`` is the newest; it is spent unless it provably never left."""

    intent: Entry | None = None
    sent: Entry | None = None
    outcome: Entry | None = None

    @property
    def is_spent(self) -> bool:
        """Tell whether nothing may be sent any more."""
        if self.outcome is not None and self.outcome.body.get("outcome") != "not_sent":
            return True
        return self.intent is not None and not (self.sent is not None and self.sent.body.get("never_left") is True)


@dataclass(frozen=True)
class _Doing:
    """An act on its way, with what it needs."""

    act: Act
    record: Record
    clock: Clock

    def told(self, kind: str, body: Mapping[str, Any]) -> int:
        return self.record.append(kind, {"effect": self.act.effect, "target": self.act.target, **body})

    def close(
        self, outcome: Literal["applied", "unresolved", "not_sent"], detail: str, *, seen: State = None, **more: Any
    ) -> Effect:
        """Append the outcome, with the state by which it was seen to be applied if it was."""
        effect = Effect(effect=self.act.effect, outcome=outcome, detail=f"{self.act.target}: {detail}", **more)
        self.told("outcome", {**effect.model_dump(mode="json"), **({} if seen is None else {"seen": seen})})
        return effect


def perform(act: Act, *, record: Record, clock: Clock, lock: AbstractContextManager[Any]) -> Effect:
    """Bring ``act`` about, sending at most once in this run, and return what became of it.

    ``record`` holds this run's entries only. A run that comes back after a crash calls this again: what is settled is
    returned as it was recorded, what was intended is looked at and never sent again. ``sent`` is True where the
    request was sent or may have been; a request that the service refused was sent and is ``not_sent`` by outcome.
    Raises Busy where another process holds ``lock``, and whatever ``record.append`` raises.
    """
    doing = _Doing(act, record, clock)
    with lock:
        past = _past(act, record.entries())
        return _settled(doing, past) if past.is_spent else _begin(doing)


def recover(act: Act, *, record: Record, clock: Clock, lock: AbstractContextManager[Any]) -> Effect | None:
    """Settle an act that a crash cut short, by looking only; None where nothing of it was intended or nothing left."""
    with lock:
        past = _past(act, record.entries())
        return _settled(_Doing(act, record, clock), past) if past.is_spent else None


def resolved_effect(body: Mapping[str, Any]) -> Effect:
    """Return an effect as a person found it to have ended (the body of a ``resolved`` entry)."""
    applied = body["outcome"] == "applied"
    found = "applied" if applied else "not applied"
    detail = f"{body.get('target')}: {body['by']} found it {found}: {body['why']}"
    return Effect(effect=body["effect"], sent=True, outcome="applied" if applied else "not_sent", detail=detail)


def _past(act: Act, entries: Sequence[Entry]) -> _Past:
    past = _Past()
    for entry in entries:
        if (entry.body.get("effect"), entry.body.get("target")) != (act.effect, act.target):
            continue
        if entry.kind == "intent":
            past = _Past(intent=entry)
        elif entry.kind == "sent":
            past = _Past(past.intent, entry, past.outcome)
        elif entry.kind in ("outcome", "resolved"):
            past = _Past(past.intent, past.sent, entry)
    return past


def _begin(doing: _Doing) -> Effect:
    act = doing.act
    try:
        first, before = act.read(), act.read()
    except RetrainError as error:
        return doing.close("not_sent", f"not sent: its state could not be read ({error})")
    if not _same(act, first, before):
        return doing.close("not_sent", "not sent: the state changed between two looks, so someone else is acting")
    seen = act.already(before)
    if seen is not None:
        return doing.close("applied", "was so before anything was sent", observed_by=seen)
    wrong = _below_minimum(act, before) or (act.obstacle(before) if before is not None else None)
    return doing.close("not_sent", f"not sent: {wrong}") if wrong else _send(doing, before)


def _same(act: Act, one: State, other: State) -> bool:
    return one is other if one is None or other is None else act.same(one, other)


def _below_minimum(act: Act, before: State) -> str | None:
    level = act.level(before)
    if LEVELS.index(level) >= LEVELS.index(act.minimum):
        return None
    return f"its outcome could be seen by {level} only, and the policy asks for {act.minimum}"


def _send(doing: _Doing, before: State) -> Effect:
    act = doing.act
    intent = doing.told("intent", {"before": before, "level": act.level(before)})
    answer = _answered(act)
    sent = _Sent(act.accepted(answer), act.refused(answer), answer.json, answer.words)
    kept = {"never_left": answer.never_left, "accepted": sent.accepted, "refused": sent.refused, "words": sent.words}
    doing.told("sent", {"intent": intent, **kept, "answer": answer.kept()})
    if answer.never_left:
        return doing.close("not_sent", f"the request never left ({answer.words})")
    return _decide(doing, before, sent)


def _answered(act: Act) -> Answer:
    """Send, and return what came back; what breaks on the way is an answer that was lost, and looking decides.

    To raise instead would leave out of the record that anything was sent.
    """
    try:
        return act.send()
    except Exception as error:  # noqa: BLE001 - no answer may hold anything that keeps the request out of the record
        told = shortened(str(error), 300).encode("utf-8", "replace").decode()
        return Answer(error=f"no answer that can be read ({type(error).__name__}: {told})")


def _settled(doing: _Doing, past: _Past) -> Effect:
    """Return the outcome that was recorded, or look for it now; nothing is sent."""
    if past.outcome is not None and past.outcome.kind == "resolved":
        return resolved_effect(past.outcome.body)
    if past.outcome is not None:
        known = {name: value for name, value in past.outcome.body.items() if name in Effect.model_fields}
        return Effect.model_validate(known)
    before = past.intent.body.get("before") if past.intent is not None else None
    return _decide(doing, before, _LOST if past.sent is None else _recorded(past.sent.body))


def _recorded(body: Mapping[str, Any]) -> _Sent:
    said = (body.get("answer") or {}).get("json")
    return _Sent(body.get("accepted") is True, body.get("refused") is True, said, str(body.get("words")))


def _decide(doing: _Doing, before: State, sent: _Sent) -> Effect:
    act = doing.act
    suffices = sent.accepted and act.response_suffices(before)
    if sent.refused and before is not None:
        return _after_refusal(doing, before, sent)
    seen, now = (None, None) if before is None else _observe(doing, before, sent, few=suffices)
    shown = "nothing shows its state" if now is None else act.shows(before, now)
    if seen is not None:
        whose = "so its answer said" if act.own(before, now, sent.said if sent.accepted else None) else _WHOSE
        said = f"seen: {shown} ({sent.words}); {whose}"
        return doing.close("applied", said, seen=now, sent=True, observed_by=seen)
    if suffices:
        return doing.close("applied", f"the service answered {sent.words}", sent=True, observed_by="response")
    looked = shown if before is None else f"not seen within {act.observe_seconds:g} s: {shown}"
    return doing.close("unresolved", f"{looked} ({sent.words}); it may still happen", sent=True)


def _after_refusal(doing: _Doing, before: State, sent: _Sent) -> Effect:
    """A refusal is believed where the state still is what it was: something between here and there may have retried."""
    now = _look(doing.act)
    if now is not None and _same(doing.act, before, now):
        return doing.close("not_sent", f"refused by the service ({sent.words}), and nothing changed", sent=True)
    return doing.close("unresolved", f"refused ({sent.words}), but its state is not what it was", sent=True)


def _observe(doing: _Doing, before: State, sent: _Sent, *, few: bool) -> tuple[Level | None, State]:
    """Look until the effect is seen or the deadline has passed; a few looks are enough where a 2xx would do.

    Returns the level at which it was seen, if it was, and the last look.
    """
    act, clock = doing.act, doing.clock
    deadline = clock.monotonic() + act.observe_seconds
    looks = 0
    while True:
        now = _look(act)
        looks += 1
        seen = None if now is None else act.applied(before, now, sent.said)
        left = deadline - clock.monotonic()
        if seen is not None or left <= 0 or (few and looks >= _LOOKS_BEFORE_RESPONSE):
            return seen, now
        clock.sleep(min(act.poll_seconds, left))


def _look(act: Act) -> State:
    """Read the state; while it cannot be read, nothing is seen."""
    try:
        return act.read()
    except RetrainError:
        return None
