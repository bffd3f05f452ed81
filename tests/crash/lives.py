"""One life of a process: it takes the run up where the last one died, acts, closes, pushes the head, or is killed."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from crash.boundaries import Boundaries, die_with_parent
from crash.cases import Case, Place
from retrain import effects
from retrain.clock import EnvironmentClock, wall
from retrain.effects import ModelLock, perform
from retrain.facts import Effect
from retrain.ledger import (
    Chain,
    Holder,
    Run,
    agree,
    approve,
    join_run,
    open_run,
    resolve,
    resume_run,
    state,
)

__all__ = ["KILLED", "abandon", "fork", "go_on", "join", "settle", "supervise", "wait_for", "wait_until_stopped"]

KILLED = -signal.SIGKILL
_LONGEST_SECONDS = 60
RUN = "run-1"


def go_on(case: Case, place: Place) -> None:
    """Open or resume the run, perform, close. A run that has ended only gets its head pushed again."""
    chain = place.chain()
    agree(chain, place.head)
    run = _taken_up(chain, case, place)
    if run is not None:
        effect = _acted(case, place, run)
        run.close("unresolved" if effect.outcome == "unresolved" else "complete", {"outcome_of_act": effect.outcome})
    _push(place, chain)


def abandon(case: Case, place: Place) -> None:
    """Be the next run: the dead one is closed as abandoned, and nothing is sent."""
    chain = place.chain()
    agree(chain, place.head)
    now = state(chain)
    name = f"run-{2 if now is None else now.entry.number + 2}"
    run, _ = open_run(chain, name, by="bob", body={"why": "the next one"})
    run.close("no_action", {})
    _push(place, chain)


def supervise(case: Case, place: Place, *, told: int, tells: int) -> None:
    """Hold the run for kernels without a key: tell who holds it, wait to be told, close."""
    chain = place.chain()
    run, _ = open_run(chain, RUN, by="ann", body={"why": "drift"})
    os.write(tells, str(run.held_by).encode())
    os.read(told, 1)
    outcomes = [entry.body["outcome"] for entry in run.entries() if entry.kind == "outcome"]
    run.close("unresolved" if outcomes[-1:] in ([], ["unresolved"]) else "complete", {})
    _push(place, chain)


def join(case: Case, place: Place, *, held_by: int) -> None:
    """Be a kernel: join the supervisor's run and perform."""
    _acted(case, place, join_run(place.chain(None), RUN, held_by=held_by))


def settle(case: Case, place: Place) -> None:
    """Be the person who looked, and signs how an effect ended."""
    chain = place.chain("approver")
    entries = chain.entries()
    if entries[-1].kind != "resolved":
        intent = [entry.number for entry in entries if entry.kind == "intent"][-1]
        resolve(chain, RUN, intent=intent, outcome="applied", by="eve", why="looked at the service's log")
    _push(place, chain)


def _taken_up(chain: Chain, case: Case, place: Place) -> Run | None:
    now = state(chain)
    if now is not None and not now.open:
        return None
    if now is None:
        run, _ = open_run(chain, RUN, by="ann", body={"why": "drift"}, holder=_holder(case))
    elif now.entry.kind == "parked":
        return _approved(chain, case, place)
    else:
        run = resume_run(chain, RUN, by="ann", body={}, holder=_holder(case))
    _push(place, chain)
    if not case.world.approval or "approved" in [entry.kind for entry in run.entries()]:
        return run
    run.park({"why": "an approval is required"}, until=wall() + timedelta(hours=1))
    return _approved(chain, case, place)


def _holder(case: Case) -> Holder | None:
    """Return who holds the run: this process, or one of a machine far away whose lease is over already."""
    return Holder(host="far away", boot="", pid=1, started=0, lease_seconds=0) if case.mode == "stall" else None


def _approved(chain: Chain, case: Case, place: Place) -> Run:
    if "approved" not in [entry.kind for entry in chain.entries()]:
        approve(place.chain("approver"), RUN, by="eve", body={"candidate": "two"})
    return resume_run(chain, RUN, by="ann", body={}, holder=_holder(case))


def _acted(case: Case, place: Place, run: Run) -> Effect:
    """Perform; a request that provably never left may be sent by one more intent."""
    _sabotage(case.sabotage)
    machine = os.getpid() if case.mode == "stall" else ""  # machines far from each other share no lock
    ways: dict[str, Any] = {"record": run, "clock": EnvironmentClock()}
    effect = perform(place.act(case), lock=ModelLock(place.folder / f"effects.lock{machine}"), **ways)
    if effect.outcome == "not_sent" and case.fault == "refused once":
        effect = perform(place.act(case), lock=ModelLock(place.folder / f"effects.lock{machine}"), **ways)
    return effect


def _sabotage(how: str) -> None:
    """Break the effects layer, so that the judge can be seen to notice."""
    if how == "reads, then sends again":
        effects._Past.is_spent = property(lambda past: past.outcome is not None)  # type: ignore[method-assign]
    elif how == "takes sent for applied":
        effects._observe = lambda *_, **__: ("attested", {"active": "two", "standby": "one"})  # type: ignore[assignment]
    elif how == "claims what it sees":
        effects._WHOSE = "by this request"  # type: ignore[misc]
    elif how == "sends before it intends":
        send = effects._send

        def hasty(doing: Any, before: Any) -> Effect:
            doing.act.send()
            return send(doing, before)

        effects._send = hasty


def _push(place: Place, chain: Chain) -> None:
    place.head.push(chain.head())


def fork(
    life: Callable[..., None],
    case: Case,
    place: Place,
    *,
    number: int,
    kill_at: int = 0,
    with_signal: int = signal.SIGKILL,
    **more: Any,
) -> int:
    """Start a life in a process and session of its own, killed at boundary ``kill_at``; return its process number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        die_with_parent()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        refuse = place.folder / "refused" if case.fault == "refused once" else None
        Boundaries(place.boundaries(number), kill_at=kill_at, with_signal=with_signal, refuse=refuse).install()
        life(case, place, **more)
        code = 0
    except BaseException as error:  # noqa: BLE001 (a process of its own: its end is its exit code)
        code = getattr(error, "exit_code", 1)
        _leave_word(place.folder / f"life-{number}.error", code)
    finally:
        os._exit(code)


def _leave_word(path: Path, code: int) -> None:
    if code != 18:  # Busy and TakenOver are what a race should end in
        with suppress(OSError):
            path.write_text("".join(traceback.format_exception(sys.exception())))


def wait_for(child: int) -> int | None:
    """Return how a process ended: its exit code, ``KILLED``, or None where it hung and was put down."""
    descriptor = os.pidfd_open(child)
    ended, _, _ = select.select([descriptor], [], [], _LONGEST_SECONDS)
    os.close(descriptor)
    if not ended:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if ended else None


def wait_until_stopped(child: int) -> bool:
    """Wait until a process stands still, and tell so; False where it came to its end, which ``wait_for`` then tells."""
    told = os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return told is not None and told.si_code == os.CLD_STOPPED
