"""Where everything of a sandbox lies, and ``state.json``: which processes serve it, on which ports.

A home looks like this::

    <home>/
      state.json        ports, pids, the warehouse's password, the admin token (mode 0600)
      world.json        model, world_id, scenario
      clock.json        the sandbox's time
      lifecycle.lock    held while the sandbox goes up or down
      warehouse/        the database (duckdb files; the warehouse process alone opens them)
      service/          what the mlmonitoring service keeps (its artifacts)
      log/              warehouse.log, service.log
      tmp/              scratch of the processes, emptied when the warehouse starts
      cache/            transactions.parquet, trained models; survives `reset`; $RETRAIN_SANDBOX_CACHE puts it elsewhere
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retrain_sandbox.errors import SandboxError

__all__ = [
    "HOST",
    "Server",
    "State",
    "alive",
    "cache_directory",
    "clock_file",
    "default_home",
    "free_port",
    "log_file",
    "read",
    "service_directory",
    "state_file",
    "warehouse_directory",
    "world_file",
    "write",
    "write_json",
]

HOST = "127.0.0.1"
SAME_PROCESS_SECONDS = 2.0  # creation times of one process differ by clock adjustments only


def state_file(home: Path) -> Path:
    """Return the path of ``state.json``."""
    return home / "state.json"


def world_file(home: Path) -> Path:
    """Return the path of ``world.json``."""
    return home / "world.json"


def clock_file(home: Path) -> Path:
    """Return the path of ``clock.json``."""
    return home / "clock.json"


def warehouse_directory(home: Path) -> Path:
    """Return the directory of the database files."""
    return home / "warehouse"


def service_directory(home: Path) -> Path:
    """Return the directory where the mlmonitoring service keeps what must survive a restart."""
    return home / "service"


def log_file(home: Path, name: str) -> Path:
    """Return the log of the process ``name`` ("warehouse" or "service")."""
    return home / "log" / f"{name}.log"


def cache_directory(home: Path) -> Path:
    """Return the directory of what is costly to make and the same in every world: $RETRAIN_SANDBOX_CACHE wins."""
    elsewhere = os.environ.get("RETRAIN_SANDBOX_CACHE")
    return Path(elsewhere).expanduser().resolve() if elsewhere else home / "cache"


def default_home() -> Path:
    """Return $RETRAIN_SANDBOX, else ``.sandbox`` in the project around the working directory (or right here)."""
    if named := os.environ.get("RETRAIN_SANDBOX"):
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    project = next((p for p in (here, *here.parents) if (p / "parameters" / "sandbox.yaml").is_file()), here)
    return project / ".sandbox"


@dataclass(frozen=True)
class Server:
    """A process of the sandbox: its port, and its pid with the moment it was created (pids are used again)."""

    port: int
    pid: int
    created: float  # unix seconds, as psutil tells it


@dataclass(frozen=True)
class State:
    """What ``state.json`` holds. ``ready`` is True once every process has answered."""

    user: str = "RETRAIN"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))  # opens the admin endpoints
    warehouse: Server | None = None
    service: Server | None = None
    ready: bool = False


def read(home: Path) -> State | None:
    """Return the state of the sandbox in ``home``, or None when there never was one."""
    try:
        raw: dict[str, Any] = json.loads(state_file(home).read_text())
        servers = {name: Server(**raw[name]) if raw.get(name) else None for name in ("warehouse", "service")}
        return State(**{**raw, **servers})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise SandboxError(
            f"{state_file(home)} is not a sandbox state ({error}): run `retrain sandbox reset`."
        ) from error


def write(home: Path, state: State) -> None:
    """Replace ``state.json``."""
    write_json(state_file(home), asdict(state))


def write_json(path: Path, body: Any) -> None:
    """Replace ``path`` by ``body`` as JSON, at once and durably; readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(body, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def alive(server: Server | None) -> bool:
    """Tell whether ``server`` is still the very process that was started, not another one with its pid."""
    if server is None:
        return False
    import psutil  # here, because a reader of paths needs none of it

    try:
        process = psutil.Process(server.pid)
        same = abs(process.create_time() - server.created) < SAME_PROCESS_SECONDS
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_port(preferred: int | None = None) -> int:
    """Return ``preferred`` when nobody listens on it, else a free port of the loopback interface."""
    for port in filter(None, (preferred,)):
        if _can_bind(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
