"""A mlmonitoring service of its own process that goes wrong on demand, and logs what truly happened.

Every case has a state of its own below ``/c/<case>``: ``/health`` tells the slots, the four documented endpoints are
there, and ``/incidents`` stands in for the warehouse's table. ``POST /cases/<case>/{begin,late,end}`` is the side of
the tests: what was held back by a late apply happens at ``late``, not after some seconds.

The log holds a line of JSON for each arrival, application and answer of a request that changes something, synced
before the next thing happens.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from crash.boundaries import die_with_parent

__all__ = ["FAULTS", "LATE", "OPERATOR", "FaultyService", "scores"]

FAULTS: dict[str, tuple[str, str]] = {
    "ok": ("now", "202"),
    "500 before": ("never", "500"),
    "500 after": ("now", "500"),
    "503 before": ("never", "503"),
    "503 after": ("now", "503"),
    "reset before": ("never", "reset"),
    "reset after": ("now", "reset"),
    "timeout before": ("never", "timeout"),
    "timeout after": ("now", "timeout"),
    "late, no answer": ("late", "timeout"),
    "late, 202": ("late", "202"),
    "late, reset": ("late", "reset"),
    "truncated JSON": ("now", "truncated"),
    "cut off": ("now", "cut off"),
    "wrong JSON": ("now", "wrong"),
    "409": ("never", "409"),
    "blind after": ("now", "blind"),
    "refused once": ("now", "202"),  # the process that sends is turned to a closed port, once
    "operator between the looks": ("now", "202"),
    "operator before ours": ("now", "202"),
    "operator after ours": ("now", "202"),
    "operator, ours lost": ("never", "reset"),
}
"""When a request that changes something is applied, and how it is answered."""

LATE = frozenset(name for name, (applies, _) in FAULTS.items() if applies == "late")
OPERATOR = frozenset(name for name in FAULTS if name.startswith("operator"))

_HELD_SECONDS = 20
_ACTS = ("/training/trigger", "/model/reload", "/incidents")
_RESET = struct.pack("ii", 1, 0)


def scores(version: str, rows: int) -> list[float]:
    """Return the scores of ``version``; two versions differ in each."""
    return [(0.1 if version == "one" else 0.3) + number / 100 for number in range(rows)]


@dataclass
class _Case:
    """One case's world. ``about`` is what ``begin`` was told: log, fault, attests, tells_jobs, active, standby."""

    about: dict[str, Any]
    job: int = 0
    rows: int = 0
    looks: int = 0
    told: dict[str, Any] = field(default_factory=dict)
    blind: bool = False
    pending: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def log(self, event: str, **more: Any) -> None:
        with self.lock:
            line = json.dumps({"event": event, "at": time.time(), **more}) + "\n"
            descriptor = os.open(self.about["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
            os.close(descriptor)

    def change(self, path: str, *, by: str) -> None:
        """Do what a request to ``path`` asks for. What is logged as applied cannot be seen by anybody before."""
        with self.lock:
            if path == "/model/reload":
                now = {"active": self.about["standby"], "standby": self.about["active"]}
            elif path == "/training/trigger":
                now = {"job": self.job + 1}
            else:
                now = {"rows": self.rows + 1}
            self.log("applied", path=path, by=by, **now)
            self.job, self.rows = now.get("job", self.job), now.get("rows", self.rows)
            self.about |= {name: now[name] for name in ("active", "standby") if name in now}

    def look(self, path: str) -> tuple[int, Any]:
        """Return what a read answers; another operator may come right after the first one."""
        with self.lock:
            answer = (503, {"detail": "warming up"}) if self.blind else self.seen(path)
            self.looks += answer[0] == 200
            if self.looks == 1 and self.about["fault"] == "operator between the looks":
                self.looks += 1
                self.change(self.about["path"], by="operator")
            return answer

    def seen(self, path: str) -> tuple[int, Any]:
        if path == "/health" and self.about["attests"]:
            return 200, {"slots": {"active": self.about["active"], "standby": self.about["standby"]}}
        if path == "/training/status":
            job = {"job_id": f"job-{self.job}"} if self.about["tells_jobs"] and self.job else {}
            return 200, {"status": "running" if self.job else "idle", **job}
        if path == "/predict/batch":
            return 200, {"scores": scores(self.about["active"], 5)}
        if path == "/incidents":
            return 200, {"rows": self.rows}
        return 404, {"detail": "Not Found"}

    def act(self, path: str, request: str) -> str:
        """Take a request that changes something, and return how it is answered."""
        fault = self.about["fault"]
        applies, answer = FAULTS[fault]
        self.log("arrived", path=path, request=request)
        if fault == "operator before ours":
            self.change(path, by="operator")
        if applies == "now":
            self.change(path, by="run")
        elif applies == "late":
            self.pending.append(path)
        self.told = self.named(path)
        if fault in ("operator after ours", "operator, ours lost"):
            self.change(path, by="operator")
        self.blind = answer == "blind"
        return answer

    def named(self, path: str) -> dict[str, Any]:
        """Return what a 202 names as done by this very request, on a service that tells as much."""
        if path == "/model/reload" and self.about["attests"]:
            return {"active": self.about["active"], "standby": self.about["standby"]}
        return {"job_id": f"job-{self.job}"} if path == "/training/trigger" and self.about["tells_jobs"] else {}

    def come_late(self) -> None:
        with self.lock:
            self.blind = False
            while self.pending:
                self.change(self.pending.pop(), by="run")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Say nothing."""

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        _, kind, name, rest = self.path.split("/", 3)
        if kind == "cases":
            self.obey(name, rest, body)
            return
        case, path = self.server.cases[name], f"/{rest}"
        if self.command == "POST" and path in _ACTS:
            request = self.headers.get("x-request-id", "")
            self.answer(case, case.act(path, request), request)
        else:
            code, told = case.look(path)
            self.say(code, json.dumps(told).encode())

    def obey(self, name: str, what: str, body: bytes) -> None:
        if what == "begin":
            self.server.cases[name] = _Case(json.loads(body))
        elif name in self.server.cases:
            case = self.server.cases[name] if what == "late" else self.server.cases.pop(name)
            case.come_late()
            if what == "end":
                case.released.set()
        self.say(200, b"{}")

    def answer(self, case: _Case, answer: str, request: str) -> None:
        if answer == "timeout":
            case.released.wait(_HELD_SECONDS)
        if answer in ("timeout", "reset", "blind"):
            self.reset()
        elif answer == "truncated":
            case.log("answered", code=202, request=request)
            self.say(202, b'{"status": "runn')
        elif answer == "cut off":
            case.log("answered", code=202, request=request)
            self.say(202, b'{"status": "runn', more=20)
        elif answer == "wrong":
            case.log("answered", code=200, request=request)
            self.say(200, b'[1, {"job_id": []}, null]')
        else:
            case.log("answered", code=int(answer), request=request)
            told = {"status": "running", **case.told}
            self.say(int(answer), json.dumps(told if answer == "202" else {"detail": "no"}).encode())

    def say(self, code: int, body: bytes, *, more: int = 0) -> None:
        """Answer in one write; ``more`` bytes are promised and never come."""
        self.close_connection = self.close_connection or bool(more)
        head = f"HTTP/1.1 {code} -\r\ncontent-type: application/json\r\ncontent-length: {len(body) + more}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def reset(self) -> None:
        """Break the connection off with RST."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        os.close(self.connection.detach())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.cases: dict[str, _Case] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class FaultyService:
    """The service in a process of its own, forked from here: ``with FaultyService() as service``."""

    def __enter__(self) -> FaultyService:
        """Start it on a free port of loopback."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = listener.getsockname()[1]
        self._pid = os.fork()
        if not self._pid:
            try:
                die_with_parent()
                _Server(listener).serve_forever()
            finally:
                os._exit(0)
        listener.close()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def url(self, case: str) -> str:
        """Return the base address of one case."""
        return f"http://127.0.0.1:{self.port}/c/{case}"

    def begin(self, case: str, log: Path, **about: Any) -> None:
        """Make the world of ``case``, logged to the file ``log``."""
        self._tell(case, "begin", {"log": str(log), **about})

    def come_late(self, case: str) -> None:
        """Apply now what a late apply held back."""
        self._tell(case, "late", {})

    def end(self, case: str) -> None:
        """Forget the case, and break off what still waits for an answer."""
        self._tell(case, "end", {})

    def _tell(self, case: str, what: str, about: dict[str, Any]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", f"/cases/{case}/{what}", json.dumps(about))
        connection.getresponse().read()
        connection.close()
