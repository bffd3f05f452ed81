"""Bringing the sandbox up and down: two detached processes, the warehouse and the mlmonitoring service.

``up`` and ``down`` hold a file lock, so that two at once are one after the other. Both processes are started together,
their imports being most of the time; the service's first query waits with ``await_warehouse``. A process counts as the
sandbox's own only when pid *and* creation time are those of state.json: pids are used again.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from retrain_sandbox import admin, clock, processes, state, world
from retrain_sandbox.errors import SandboxError
from retrain_sandbox.state import Server, State
from retrain_sandbox.world import World

__all__ = ["apply_scenario", "await_warehouse", "down", "is_up", "reset", "restart_service", "status", "up"]

DEFAULT_SCENARIO = "f1_drop"
FIRST_INSTANT = datetime(2013, 7, 1, tzinfo=UTC)  # of a sandbox that no scenario has set yet
START_SECONDS = 120.0  # the first start builds the data
LOCK_SECONDS = 300.0
POLL_SECONDS = 0.03
NAMES = ("warehouse", "service")

Progress = Callable[[str], None]


def is_up(home: Path, *, servers: Sequence[str] = NAMES) -> bool:
    """Tell whether the ``servers`` of the sandbox in ``home`` run and have answered once."""
    current = state.read(home)
    return (
        current is not None and current.ready and all(state.alive(getattr(current, name)) for name in _wanted(servers))
    )


def up(home: Path, *, servers: Sequence[str] = NAMES, progress: Progress = lambda _: None) -> World:
    """Bring the sandbox up where it is not, and return its world; the default scenario is applied the first time.

    ``servers``: ("warehouse",) brings up the warehouse alone and applies no scenario.
    SandboxError when a process does not come up; the message ends with its log.
    """
    home = home.resolve()
    with _exclusively(home):
        if not is_up(home, servers=servers):
            _start(home, servers, progress)
        if "service" in servers and not world.named(home)["scenario"] and _available("scenarios"):
            progress(f"applying the scenario {DEFAULT_SCENARIO}")
            _scenarios().apply(home, DEFAULT_SCENARIO)
        return world.read(home)


def down(home: Path) -> list[str]:
    """Stop every process of the sandbox in ``home`` and return the names of those that ran."""
    home = home.resolve()
    if not home.is_dir():
        return []
    with _exclusively(home):
        return _stop(home)


def reset(home: Path) -> list[str]:
    """Stop the sandbox and delete its world (all but the cache); return the names of what was deleted."""
    home = home.resolve()
    if not home.is_dir():
        return []
    with _exclusively(home):
        try:
            _stop(home)
        except SandboxError:  # state.json cannot be read, which is why people reset; the processes are found without it
            state.state_file(home).unlink()
            _stop(home)
        doomed = [home / name for name in ("warehouse", "service", "log", "tmp")]
        doomed += [state.world_file(home), state.clock_file(home), state.state_file(home)]
        gone = [path.name for path in doomed if path.exists()]
        for path in doomed:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return gone


def apply_scenario(home: Path, name: str, *, progress: Progress = lambda _: None) -> World:
    """Bring the sandbox up, put its world in the state ``name``, and return it."""
    home = home.resolve()
    with _exclusively(home):
        scenarios = _scenarios()
        if name in scenarios.NAMES and not is_up(home):  # an unknown name is refused without starting anything
            _start(home, NAMES, progress)
        progress(f"applying the scenario {name}")
        scenarios.apply(home, name)
        return world.read(home)


def restart_service(home: Path) -> None:
    """Stop the mlmonitoring service and start it again on its port (for a scenario: the lock is held already)."""
    current = state.read(home)
    if current is None or current.service is None:
        raise SandboxError(f"The sandbox in {home} has no service to restart: run `retrain sandbox up`.")
    processes.end([current.service], "service", home)
    server = processes.spawn(home, "service", current.service.port)
    state.write(home, replace(current, service=server))
    _await(home, {"service": server})


def status(home: Path) -> dict[str, Any]:
    """Return what is known of the sandbox in ``home``, as JSON can hold it (no secrets)."""
    home = home.resolve()
    current = state.read(home)
    processes: dict[str, Any] = {}
    for name in NAMES:
        server: Server | None = getattr(current, name, None)
        processes[name] = server and {"port": server.port, "pid": server.pid, "running": state.alive(server)}
    now = clock.now(home).isoformat() if state.clock_file(home).is_file() else None
    rate = clock.read(home).rate if now else None
    return {"home": str(home), "up": is_up(home), **world.named(home), "now": now, "rate": rate, **processes}


def await_warehouse(home: Path, *, seconds: float = START_SECONDS) -> World:
    """Return the world once the warehouse answers: for the service, which is started beside it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        current = state.read(home)
        if current is not None and current.warehouse is not None and _warehouse_answers(home, current.warehouse):
            return world.read(home)
        time.sleep(POLL_SECONDS)
    raise SandboxError(f"The sandbox's warehouse did not answer in {seconds:.0f} s{_tail(home, 'warehouse')}")


def _wanted(servers: Sequence[str]) -> list[str]:
    """Return the names of ``servers`` that this installation has."""
    return [name for name in servers if _available(name)]


def _available(module: str) -> bool:
    return importlib.util.find_spec(f"retrain_sandbox.{module}") is not None


def _scenarios() -> Any:
    if not _available("scenarios"):
        raise SandboxError("This sandbox has no scenarios: the module retrain_sandbox.scenarios is not installed.")
    return importlib.import_module("retrain_sandbox.scenarios")


@contextmanager
def _exclusively(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "lifecycle.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise SandboxError(f"Another command has been bringing the sandbox in {home} up or down for minutes.") from None


def _start(home: Path, servers: Sequence[str], progress: Progress) -> None:
    if not state.clock_file(home).is_file():
        clock.set(home, FIRST_INSTANT)
    for attempt in ("first", "last"):
        _stop(home)  # half a sandbox, or what is left of one
        started = _spawn_all(home, servers, progress)
        try:
            _await(home, started)
            break
        except BaseException as error:
            _stop(home)
            taken = any(state.free_port(server.port) != server.port for server in started.values())
            if attempt == "last" or not (isinstance(error, SandboxError) and taken):
                raise  # only a port that somebody else took in between is worth another try
    current = state.read(home) or State()
    state.write(home, replace(current, ready=True))


def _spawn_all(home: Path, servers: Sequence[str], progress: Progress) -> dict[str, Server]:
    current = replace(state.read(home) or State(), ready=False)
    state.write(home, current)  # the processes read the password and the token there
    started: dict[str, Server] = {}
    for name in _wanted(servers):
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
    return admin.health(server.port, path="/health") is not None and state.alive(server)


def _tail(home: Path, name: str, lines: int = 15) -> str:
    log = state.log_file(home, name)
    text = log.read_text(errors="replace").splitlines()[-lines:] if log.is_file() else []
    return "; its log, " + str(log) + ", ends:\n" + "\n".join(text) if text else f"; its log, {log}, is empty"


def _stop(home: Path) -> list[str]:
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
