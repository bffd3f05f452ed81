"""The two servers of a home, started, awaited and stopped: the warehouse and the mlmonitoring service.

Both are started together, their imports being most of the time. A process counts as the sandbox's own only when pid
*and* creation time are those of state.json: pids are used again. Who starts or stops holds the lock of ``lifecycle``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from retrain_sandbox import admin, clock, processes, state
from retrain_sandbox.errors import SandboxError
from retrain_sandbox.state import Server, State

__all__ = ["NAMES", "Progress", "are_up", "restart_service", "start", "stop"]

NAMES = ("warehouse", "service")
FIRST_INSTANT = datetime(2013, 7, 1, tzinfo=UTC)  # of a sandbox that no scenario has set yet
START_SECONDS = 120.0  # the first start builds the data
POLL_SECONDS = 0.03

Progress = Callable[[str], None]


def are_up(home: Path, names: Sequence[str] = NAMES) -> bool:
    """Tell whether the servers of ``home`` run and have answered once."""
    current = state.read(home)
    return current is not None and current.ready and all(state.alive(getattr(current, name)) for name in names)


def start(home: Path, servers: Sequence[str], progress: Progress) -> None:
    """Start ``servers`` and wait until they answer; SandboxError, with the end of its log, when one does not."""
    if not state.clock_file(home).is_file():
        clock.set(home, FIRST_INSTANT)
    for attempt in ("first", "last"):
        stop(home)  # half a sandbox, or what is left of one
        started = _spawn_all(home, servers, progress)
        try:
            _await(home, started)
            break
        except BaseException as error:
            stop(home)
            taken = any(state.free_port(server.port) != server.port for server in started.values())
            if attempt == "last" or not (isinstance(error, SandboxError) and taken):
                raise  # only a port that somebody else took in between is worth another try
    current = state.read(home) or State()
    state.write(home, replace(current, ready=True))


def restart_service(home: Path) -> None:
    """Stop the mlmonitoring service and start it again on its port (for a scenario: the lock is held already)."""
    current = state.read(home)
    if current is None or current.service is None:
        raise SandboxError(f"The sandbox in {home} has no service to restart: run `retrain sandbox up`.")
    processes.end([current.service], "service", home)
    server = processes.spawn(home, "service", current.service.port)
    state.write(home, replace(current, service=server))
    _await(home, {"service": server})


def _spawn_all(home: Path, servers: Sequence[str], progress: Progress) -> dict[str, Server]:
    current = replace(state.read(home) or State(), ready=False)
    state.write(home, current)  # the processes read the password and the token there
    started: dict[str, Server] = {}
    for name in servers:
        progress(f"starting the {name}")
        former: Server | None = getattr(current, name)
        started[name] = processes.spawn(home, name, state.free_port(former.port if former else None))
        current = _with(current, name, started[name])
        state.write(home, current)
    return started


def _with(current: State, name: str, server: Server) -> State:
    return replace(current, warehouse=server) if name == "warehouse" else replace(current, service=server)


def _await(home: Path, started: dict[str, Server]) -> None:
    """Wait until every started process answers; SandboxError when one ends or takes too long."""
    answers = {"warehouse": _warehouse_answers, "service": _service_answers}
    waiting = dict(started)
    deadline = time.monotonic() + START_SECONDS
    while waiting:
        for name, server in list(waiting.items()):
            if answers[name](home, server):
                del waiting[name]
            elif not state.alive(server):
                raise SandboxError(f"The sandbox's {name} ended while it started{_tail(home, name)}")
        if waiting and time.monotonic() > deadline:
            name = next(iter(waiting))
            raise SandboxError(f"The sandbox's {name} did not answer in {START_SECONDS:.0f} s{_tail(home, name)}")
        time.sleep(POLL_SECONDS if waiting else 0)


def _warehouse_answers(home: Path, server: Server) -> bool:
    said = admin.health(server.port)
    return said is not None and said.get("pid") == server.pid


def _service_answers(home: Path, server: Server) -> bool:
    # Its answer does not name its process, and another sandbox's service may have been quicker to take the port.
    return admin.health(server.port, path="/health") is not None and processes.listens(server)


def _tail(home: Path, name: str, lines: int = 15) -> str:
    log = state.log_file(home, name)
    text = log.read_text(errors="replace").splitlines()[-lines:] if log.is_file() else []
    return "; its log, " + str(log) + ", ends:\n" + "\n".join(text) if text else f"; its log, {log}, is empty"


def stop(home: Path) -> list[str]:
    """Stop what state.json names, and what it does not name but serves this home (the file was lost)."""
    current = state.read(home)
    stopped = []
    for name in reversed(NAMES):  # the service writes to the warehouse: it goes first
        server: Server | None = getattr(current, name, None)
        if processes.end([server] if server else [], name, home):
            stopped.append(name)
    if current is not None and current.ready:
        state.write(home, replace(current, ready=False))
    return stopped
