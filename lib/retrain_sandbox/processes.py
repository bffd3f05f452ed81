"""The sandbox's processes: started detached, found again, ended with all their children."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from retrain_sandbox import state
from retrain_sandbox.state import Server

__all__ = ["end", "listens", "spawn"]

STOP_SECONDS = 10.0


def spawn(home: Path, name: str, port: int) -> Server:
    """Start ``python -m retrain_sandbox.NAME`` detached: in a session of its own, its output in its log."""
    log = state.log_file(home, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"retrain_sandbox.{name}", "--home", str(home), "--port", str(port)]
    with log.open("ab") as output:  # nothing of the caller's: a daemon that holds its pipe would hang it
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=home, start_new_session=True
        )
    process.returncode = 0  # nobody waits for it; else Python warns that it was left running, as it is meant to be
    return Server(port, process.pid, psutil.Process(process.pid).create_time())


def end(servers: Sequence[Server], name: str, home: Path) -> bool:
    """End the process ``name`` of ``home`` with all its children: asked first, then made to. Tell whether any ran."""
    found = [psutil.Process(server.pid) for server in servers if state.alive(server)]
    found += [process for process in _serving(home, name) if process not in found]
    family = [*found, *(child for process in found for child in _children(process))]
    for process in family:
        _quietly(process.terminate)
    _, left = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for process in left:
        _quietly(process.kill)
    psutil.wait_procs(left, timeout=STOP_SECONDS)
    return bool(found)


def listens(server: Server) -> bool:
    """Tell whether it is ``server``, and no other process, that listens on its port."""
    if not state.alive(server):
        return False
    try:
        connections = psutil.Process(server.pid).net_connections("inet")
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == server.port for each in connections)


def _serving(home: Path, name: str) -> list[psutil.Process]:
    wanted = ["-m", f"retrain_sandbox.{name}", "--home", str(home)]
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if (process.info["cmdline"] or [])[1:5] == wanted]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _quietly(act: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        act()
