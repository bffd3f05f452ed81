"""Live one case, death after death, until a life comes to its end; then judge it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from crash.cases import Case, Keys, Place
from crash.faulty_service import FaultyService
from crash.judging import judge, judge_settled, look_over
from crash.lives import KILLED, abandon, fork, go_on, join, settle, supervise, wait_for, wait_until_stopped

__all__ = ["Result", "run_case"]

_LIVES = 9
_TURNED_AWAY = 18
_TOO_LATE = "has ended and cannot be resumed"


@dataclass(frozen=True)
class Result:
    """What became of a case. ``deaths`` are the boundaries at which its lives were killed, in order."""

    case: Case
    ended: str
    outcome: str
    observed_by: str
    somebody_elses: bool
    deaths: tuple[str, ...]
    turned_away: int
    passed: tuple[str, ...]
    violations: tuple[str, ...]
    seconds: float


class _Living:
    """One case while it is lived."""

    def __init__(self, case: Case, place: Place, service: FaultyService) -> None:
        self.case, self.place, self.service = case, place, service
        self.deaths: list[str] = []
        self.violations: list[str] = []
        self.refused = 0
        self._lives = 0

    def run(self) -> None:
        begin = partial(self.service.begin, self.case.name, self.place.requests, **_about(self.case))
        begin()
        if self.case.mode == "kernel":
            self._under_a_supervisor()
        elif self.case.mode == "stall":
            self._taken_over()
        else:
            self._until_one_survives(go_on, abandon if self.case.mode == "abandon" else go_on)
        self.service.come_late(self.case.name)
        self.service.end(self.case.name)

    def settle(self) -> None:
        """Let a person settle what is unresolved; after that the record verifies."""
        self._until_one_survives(settle, settle)

    def _taken_over(self) -> None:
        """Let the first life stand still at its boundary, be taken over, and go on when all is done."""
        first = self._forked(go_on, self._next_kill(), with_signal=signal.SIGSTOP)
        if wait_until_stopped(first):
            self._until_one_survives(go_on, go_on)
            os.kill(first, signal.SIGCONT)
        if not self._is_turned_away(1, status := wait_for(first)):
            self._ended(1, status)
        self._one(go_on)  # whoever stood still while it pushed the head may have put an older one in its place

    def _under_a_supervisor(self) -> None:
        (told, tell), (hear, tells) = os.pipe(), os.pipe()
        supervisor = fork(supervise, self.case, self.place, number=0, told=told, tells=tells)
        os.close(tells)
        held_by = os.read(hear, 20)
        if held_by:
            life = partial(join, held_by=int(held_by))
            self._until_one_survives(life, life)
        os.write(tell, b".")
        self._ended(0, wait_for(supervisor))
        for descriptor in (told, tell, hear):
            os.close(descriptor)

    def _until_one_survives(self, first: Callable[..., None], later: Callable[..., None]) -> None:
        survived = self._one(first)
        while not survived:
            if self._lives == self.case.late:
                self.service.come_late(self.case.name)
            survived = self._race(later) if self.case.mode == "race" and self._lives == 1 else self._one(later)

    def _one(self, life: Callable[..., None]) -> bool:
        kill_at = self._next_kill()
        status = wait_for(self._forked(life, kill_at))
        if life is abandon and self._is_turned_away(self._lives, status):
            return self._one(go_on)  # the run is parked, and waits for its approval
        return self._ended(self._lives, status)

    def _race(self, life: Callable[..., None]) -> bool:
        """Two go on at once, and one of them may be killed. Whoever comes too late is told so, and did nothing."""
        first = self._forked(life, self._next_kill())
        second = fork(life, self.case, self.place, number=_LIVES)
        ends = [(self._lives, wait_for(first)), (_LIVES, wait_for(second))]
        survived = [self._ended(*end) for end in ends if not self._is_turned_away(*end)]
        return any(survived)

    def _next_kill(self) -> int:
        self._lives += 1
        kills = self.case.kills
        return kills[self._lives - 1] if self._lives <= len(kills) else 0

    def _forked(self, life: Callable[..., None], kill_at: int, with_signal: int = signal.SIGKILL) -> int:
        return fork(life, self.case, self.place, number=self._lives, kill_at=kill_at, with_signal=with_signal)

    def _ended(self, number: int, status: int | None) -> bool:
        """Note how a life ended; return whether it came to its end."""
        if status == KILLED:
            self.deaths.append((self.place.passed(number) or ["?"])[-1])
            self.violations += look_over(self.place)
        elif status != 0:
            self.violations.append(f"life {number} ended with {status}: {self._error(number)}")
        return status != KILLED

    def _is_turned_away(self, number: int, status: int | None) -> bool:
        """Tell whether a life was told that another one has the model, and count it."""
        told = self._error(number)
        away = status == _TURNED_AWAY or (status == 2 and _TOO_LATE in told)
        self.refused += away
        return away

    def _error(self, number: int) -> str:
        told = self.place.folder / f"life-{number}.error"
        return told.read_text().strip().splitlines()[-1] if told.exists() else "it hung, or said nothing"


def _about(case: Case) -> dict[str, Any]:
    world = case.world
    standby = "one" if world.active == "two" else "two"
    told = {"attests": world.attests, "tells_jobs": world.tells_jobs, "active": world.active, "standby": standby}
    return {**told, "fault": case.fault, "path": world.path}


def run_case(case: Case, *, root: Path, service: FaultyService, keys: Keys) -> Result:
    """Live one case in a folder of its own below ``root`` and judge it. The folder is kept if it broke the law."""
    began = time.monotonic()
    place = Place(root / case.name, service.url(case.name), keys)
    place.folder.mkdir(parents=True)
    living = _Living(case, place, service)
    living.run()
    judged = judge(case, place)
    violations = [*living.violations, *judged.violations]
    if judged.ended == "unresolved":
        living.settle()
        violations += judge_settled(place)
    passed = tuple(place.passed(1)) if not case.kills else ()
    if not violations:
        shutil.rmtree(place.folder)
    return Result(
        case=case,
        ended=judged.ended,
        outcome=judged.outcome,
        observed_by=judged.observed_by,
        somebody_elses=judged.somebody_elses,
        deaths=tuple(living.deaths),
        turned_away=living.refused,
        passed=passed,
        violations=tuple(violations),
        seconds=time.monotonic() - began,
    )
