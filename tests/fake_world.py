"""A service that misbehaves on demand, a clock that is handed in, and a record that dies: for tests of effects."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx

from retrain.acts import Fingerprint
from retrain.service.client import Service

__all__ = ["Entry", "FakeClock", "FakeWorld", "Killed", "Memory"]

ROWS = [{"x": number} for number in range(5)]

Applies = Literal["now", "never", "late"]
Operator = Literal["", "between reads", "before the send", "after the send"]


class Killed(BaseException):
    """The process is gone: nothing of it catches this."""


@dataclass(frozen=True)
class Entry:
    """An entry as effects see it."""

    number: int
    kind: str
    at: datetime
    body: dict[str, Any]


@dataclass
class FakeClock:
    """A clock that moves only by sleeping."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2013, 6, 9, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "a wait of no time is a busy wait"
        self.slept.append(seconds)
        self.seconds += seconds


class Memory:
    """A record in memory. ``dies`` is (append number of this life, before or after it is durable)."""

    def __init__(self, entries: list[Entry], dies: tuple[int, str] | None = None) -> None:
        self._entries = entries
        self._dies = dies
        self._appends = 0

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        self._appends += 1
        if self._dies == (self._appends, "before"):
            raise Killed
        kept = json.loads(json.dumps(body, allow_nan=False))
        self._entries.append(Entry(len(self._entries) + 1, kind, datetime(2013, 6, 9, tzinfo=UTC), kept))
        if self._dies == (self._appends, "after"):
            raise Killed
        return len(self._entries)

    def entries(self) -> Sequence[Entry]:
        return tuple(self._entries)


@dataclass
class FakeWorld:
    """Two slots and a training behind HTTP. ``answer`` and ``applies`` say how a POST that changes something goes."""

    answer: str = "ok"
    applies: Applies = "now"
    attests: bool = True
    tells_jobs: bool = True
    operator: Operator = ""
    clock: FakeClock = field(default_factory=FakeClock)
    active: str = "one"
    standby: str = "two"
    phase: str = "idle"
    job: int = 0
    arrivals: int = 0
    said_2xx: bool = False
    served: list[str] = field(default_factory=lambda: ["one"])
    reads: int = 0
    late: list[tuple[float, str]] = field(default_factory=list)

    def service(self) -> Service:
        transport = httpx.MockTransport(self.handle)
        return Service(base_url="http://fake", transport=transport, clock=self.clock, timeout_seconds=5)

    def fingerprint(self, service: Service) -> Fingerprint:
        return Fingerprint(take=lambda: service.predict(ROWS).scores, serving=self.scores("one"))

    def scores(self, version: str) -> list[float]:
        shift = 0.1 if version == "one" else 0.3
        return [shift + row["x"] / 100 for row in ROWS]

    def toggle(self) -> None:
        self.active, self.standby = self.standby, self.active
        self.served.append(self.active)

    def handle(self, request: httpx.Request) -> httpx.Response:
        for moment, path in [item for item in self.late if self.clock.seconds >= item[0]]:
            self.late.remove((moment, path))
            self.change(path)
        if request.url.path in ("/model/reload", "/training/trigger"):
            return self.act(request.url.path)
        self.reads += self.attests or request.url.path != "/health"
        answer = self.read(request)
        if self.operator == "between reads" and self.reads == 1:
            self.operator = ""
            self.change("/training/trigger")
            self.toggle()
        return answer

    def read(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/training/status":
            job = {"job_id": f"job-{self.job}"} if self.tells_jobs and self.job else {}
            return httpx.Response(200, json={"status": self.phase, **job})
        if request.url.path == "/predict/batch":
            return httpx.Response(200, json={"scores": self.scores(self.active)})
        if not self.attests:
            return httpx.Response(404, json={"detail": "Not Found"})
        return httpx.Response(200, json={"slots": {"active": self.active, "standby": self.standby}})

    def change(self, path: str) -> None:
        if path == "/model/reload":
            self.toggle()
        else:
            self.job += 1
            self.phase = "running"

    def act(self, path: str) -> httpx.Response:
        if self.answer in ("connection refused", "connection refused once"):
            self.answer = "ok" if self.answer.endswith("once") else self.answer
            raise httpx.ConnectError("[Errno 111] Connection refused")
        if self.operator == "before the send":
            self.change(path)
        self.arrivals += 1
        if self.applies == "now":
            self.change(path)
        elif self.applies == "late":
            self.late.append((self.clock.seconds + 1_000, path))
        if self.operator == "after the send":
            self.change(path)
        response = ANSWERS[self.answer]()
        self.said_2xx = self.said_2xx or response.is_success
        return response


def _raises(error: BaseException) -> Callable[[], httpx.Response]:
    def answer() -> httpx.Response:
        raise error

    return answer


ANSWERS: dict[str, Callable[[], httpx.Response]] = {
    "ok": lambda: httpx.Response(202, json={"status": "running"}),
    "empty": lambda: httpx.Response(204),
    "wrong JSON": lambda: httpx.Response(200, json=[1, {"job_id": []}, None]),
    "truncated JSON": lambda: httpx.Response(200, content=b'{"active": "tw'),
    "a page": lambda: httpx.Response(200, html="<!doctype html><p>Please log in"),
    "redirect": lambda: httpx.Response(307, headers={"location": "http://elsewhere/model/reload"}),
    "500": lambda: httpx.Response(500, text="Internal Server Error"),
    "503": lambda: httpx.Response(503, headers={"retry-after": "1"}),
    "429": lambda: httpx.Response(429, headers={"retry-after": "1"}),
    "409": lambda: httpx.Response(409, json={"detail": "busy"}),
    "422": lambda: httpx.Response(422, json={"detail": [{"loc": ["body", "model_type"]}]}),
    "reset": _raises(httpx.ReadError("Connection reset by peer")),
    "cut off": _raises(httpx.RemoteProtocolError("Server disconnected without sending a response.")),
    "timeout": _raises(httpx.ReadTimeout("timed out")),
    "killed": _raises(Killed()),
}
"""How a POST may be answered once it has arrived."""
