"""Who holds a model, and whether they still can.

A run holds its model from OPEN to CLOSE. On the machine that opened it, the operating system tells whether the
process still lives. From another machine only the lease tells: it runs from the newest entry of the run. A parked
run (one that waits for an approval) holds until the instant that it names.

Being wrong here costs a run, never a second effect: a holder that was taken over cannot append.
"""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]  # stubs are a package of their own
from pydantic import ValidationError

from retrain.checks import Instant, Model
from retrain.ledger.entries import Entry, entry_file
from retrain.ledger.problems import Malformed

__all__ = ["Holder", "Parked", "here", "lives", "still_holds"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


class Holder(Model):
    """A process that holds a model.

    ``host`` is the machine's name and its process namespace; ``boot`` names the time since its last start;
    ``started`` is when the process started, in seconds since then, which no change of the clock moves.
    """

    host: str
    boot: str
    pid: int
    started: float
    lease_seconds: float


class Parked(Model):
    """No process holds the model, but the run goes on until ``until``, if somebody resumes it."""

    until: Instant


def here(*, pid: int | None = None, lease: timedelta = timedelta(minutes=30)) -> Holder:
    """Return process ``pid`` of this machine, this one if None, as a holder."""
    process = psutil.Process(pid)
    return Holder(
        host=_host(), boot=_boot(), pid=process.pid, started=_started(process), lease_seconds=lease.total_seconds()
    )


def still_holds(state: Entry, newest: Entry, *, now: datetime) -> str:
    """Return who still holds the model, for a message, or an empty string if it is free to take over.

    ``state`` is the newest ``opened``, ``resumed`` or ``parked`` entry, ``newest`` the newest entry of its run, ``now``
    the machine's instant.
    """
    try:
        if state.kind == "parked":
            parked = Parked.model_validate(state.body.get("holder"))
            return f"parked until {parked.until.isoformat(timespec='seconds')}" if now < parked.until else ""
        holder = Holder.model_validate(state.body.get("holder"))
    except ValidationError as error:
        raise Malformed(f"{entry_file(state.number)} does not say who holds the model") from error
    if holder.host == _host():
        return f"process {holder.pid} of this machine" if lives(holder) else ""
    until = newest.at + timedelta(seconds=holder.lease_seconds)
    there = f"process {holder.pid} of {holder.host}, lease until {until.isoformat(timespec='seconds')}"
    return there if now < until else ""


def lives(holder: Holder) -> bool:
    """Return whether a holder of this machine still runs; a zombie does not, nor a process that got its number."""
    if holder.boot != _boot():
        return False
    try:
        process = psutil.Process(holder.pid)
        return process.status() != psutil.STATUS_ZOMBIE and _started(process) == holder.started
    except psutil.NoSuchProcess:
        return False


def _started(process: psutil.Process) -> float:
    # both sides are told against the clock, so the difference stays when the clock is set
    return float(round(process.create_time() - psutil.boot_time(), 2))


def _host() -> str:
    # two containers may share a name, and their process numbers mean nothing to each other
    return f"{socket.gethostname()} {_PID_NAMESPACE.stat().st_ino if _PID_NAMESPACE.exists() else 0}"


def _boot() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
