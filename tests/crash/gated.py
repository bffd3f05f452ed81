"""A process, a disk, a clock and a world with gates, at which a state machine lets a step happen, or a death.

A process is a thread that stands at a gate before and after each durable write, each request and each wait, until it is
let on or killed there. Only one runs at a time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import httpx

from fake_world import FakeClock, FakeWorld, Killed
from retrain.errors import RetrainError
from retrain.ledger import FolderStore, StoreError

__all__ = ["Disk", "Machine", "Process", "Watched", "World"]

Gate = Callable[[], None]


class Machine(Protocol):
    """Who lets on. ``writes_that_fail`` is how many writes from now on meet a full disk."""

    writes_that_fail: int

    def gate(self) -> None:
        """Stand here until the machine lets on, or kills."""

    def judge(self, data: bytes) -> None:
        """Look at an entry that has just become durable."""


@dataclass
class World(FakeWorld):
    """The fake world, that counts what arrives by path, and lets the machine in around each request."""

    arrived: Counter[str] = field(default_factory=Counter)
    gate: Gate = lambda: None

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.gate()
        try:
            return super().handle(request)
        finally:
            self.gate()

    def act(self, path: str) -> httpx.Response:
        before = self.arrivals
        try:
            return super().act(path)
        finally:
            self.arrived[path] += self.arrivals - before

    def come_late(self) -> None:
        while self.late:
            self.change(self.late.pop()[1])


class Disk(FolderStore):
    """The real store on a disk that may be full, that lets the machine in, and shows it each entry that is written."""

    def __init__(self, folder: Path, *, machine: Machine, root: Path | None = None) -> None:
        super().__init__(folder, root=root)
        self._inside, self._machine = folder, machine

    def within(self, folder: str) -> Disk:
        return Disk(self._inside / folder, machine=self._machine, root=self._inside)

    def create(self, name: str, data: bytes) -> bool:
        self._machine.gate()
        if self._machine.writes_that_fail:
            self._machine.writes_that_fail -= 1
            raise StoreError(f"cannot write {name}: No space left on device")
        created = super().create(name, data)
        if created and name.startswith("entries/"):
            self._machine.judge(data)
        self._machine.gate()
        return created


class Watched:
    """The clock that processes wait by: its instant may jump, its seconds do not."""

    def __init__(self, clock: FakeClock, gate: Gate) -> None:
        self.clock, self.gate, self.jumped = clock, gate, timedelta()

    def now(self) -> datetime:
        return self.clock.now() + self.jumped

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self.gate()
        self.clock.sleep(seconds)


class Process:
    """A life in a thread. It runs only inside ``step``, from one gate to the next, or to its death inside ``kill``."""

    def __init__(self, life: Callable[[], None]) -> None:
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._life = life
        self.doomed = self.over = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.doomed:
                self._life()
        except (Killed, RetrainError, AssertionError) as error:
            self.error = error
        self.over = True
        self._stands.release()

    def gate(self) -> None:
        """Stand here until the machine lets go, or kills."""
        if self.doomed:
            return  # what unwinds does nothing more of note
        self._stands.release()
        self._go.acquire()
        if self.doomed:
            raise Killed

    def step(self) -> None:
        self._go.release()
        assert self._stands.acquire(timeout=30), "a process hangs"
        if isinstance(self.error, AssertionError):
            raise self.error

    @property
    def lives(self) -> bool:
        return not self.over

    def kill(self) -> None:
        self.doomed = True
        self._go.release()
        self.thread.join(timeout=30)
        assert self.over, "a process outlives its death"
