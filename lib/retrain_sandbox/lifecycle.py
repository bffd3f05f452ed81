"""Bringing the sandbox up and down: two detached processes, the warehouse and the mlmonitoring service.

``up`` and ``down`` hold a file lock, so that two at once are one after the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from retrain_sandbox import clock, servers, state, world
from retrain_sandbox.errors import SandboxError
from retrain_sandbox.servers import Progress
from retrain_sandbox.state import Server
from retrain_sandbox.world import World

__all__ = ["apply_scenario", "down", "is_up", "reset", "status", "up"]

DEFAULT_SCENARIO = "f1_drop"
LOCK_SECONDS = 300.0


def is_up(home: Path) -> bool:
    """Tell whether the sandbox in ``home`` runs and has answered once."""
    return servers.are_up(home)


def up(home: Path, *, only: Sequence[str] = servers.NAMES, progress: Progress = lambda _: None) -> World:
    """Bring the sandbox up where it is not, and return its world; the default scenario is applied the first time.

    ``only``: ("warehouse",) brings up the warehouse alone and applies no scenario.
    SandboxError when a process does not come up; the message ends with its log.
    """
    home = home.resolve()
    with _exclusively(home):
        if not servers.are_up(home, only):
            servers.start(home, only, progress)
        if "service" in only and not world.named(home)["scenario"]:
            from retrain_sandbox import scenarios  # late: pandas and friends, for worlds that are yet to be made

            progress(f"applying the scenario {DEFAULT_SCENARIO}")
            scenarios.apply(home, DEFAULT_SCENARIO)
        return world.read(home)


def down(home: Path) -> list[str]:
    """Stop every process of the sandbox in ``home`` and return the names of those that ran."""
    home = home.resolve()
    if not home.is_dir():
        return []
    with _exclusively(home):
        return servers.stop(home)


def reset(home: Path) -> list[str]:
    """Stop the sandbox and delete its world (all but the cache); return the names of what was deleted."""
    home = home.resolve()
    if not home.is_dir():
        return []
    with _exclusively(home):
        try:
            servers.stop(home)
        except SandboxError:  # state.json cannot be read, which is why people reset; the processes are found without it
            state.state_file(home).unlink()
            servers.stop(home)
        doomed = [home / name for name in ("warehouse", "service", "log", "tmp")]
        doomed += [state.world_file(home), state.clock_file(home), state.state_file(home)]
        gone = [path.name for path in doomed if path.exists()]
        for path in doomed:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return gone


def apply_scenario(home: Path, name: str, *, progress: Progress = lambda _: None) -> World:
    """Bring the sandbox up, put its world in the state ``name``, and return it."""
    from retrain_sandbox import scenarios  # late: as above

    home = home.resolve()
    with _exclusively(home):
        if name in scenarios.NAMES and not is_up(home):  # an unknown name is refused without starting anything
            servers.start(home, servers.NAMES, progress)
        progress(f"applying the scenario {name}")
        scenarios.apply(home, name)
        return world.read(home)


def status(home: Path) -> dict[str, Any]:
    """Return what is known of the sandbox in ``home``, as JSON can hold it (no secrets)."""
    home = home.resolve()
    current = state.read(home)
    processes: dict[str, Any] = {}
    for name in servers.NAMES:
        server: Server | None = getattr(current, name, None)
        processes[name] = server and {"port": server.port, "pid": server.pid, "running": state.alive(server)}
    now = clock.now(home).isoformat() if state.clock_file(home).is_file() else None
    rate = clock.read(home).rate if now else None
    return {"home": str(home), "up": is_up(home), **world.named(home), "now": now, "rate": rate, **processes}


@contextmanager
def _exclusively(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "lifecycle.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise SandboxError(f"Another command has been bringing the sandbox in {home} up or down for minutes.") from None
