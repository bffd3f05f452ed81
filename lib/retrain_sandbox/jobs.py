"""Training jobs as the service sees them: start one, tell how it goes, stage what comes of it.

A job is a directory ``<home>/service/jobs/<job_id>``. It is *settled* once its end is known to the service and its
candidate stands by; a caller sees "running" until then, so that "completed" means that the standby slot holds it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from retrain_sandbox import clock, state
from retrain_sandbox.job import Request, read_request, write_request

__all__ = ["Busy", "Jobs"]

RESTARTED = "the service was restarted while the job was running: its training was lost"


class Busy(Exception):  # noqa: N818 - a state of affairs
    """A training is running already; the message names it."""


class Jobs:
    """The jobs of one world. ``stage`` is called with the version of each completed one."""

    def __init__(self, home: Path, stage: Callable[[str], None]) -> None:
        """Pick up what an earlier service left: a job without a result has failed."""
        self._home = home
        self._stage = stage
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        directory = self._latest()
        if directory and not (directory / "settled.json").is_file():
            self._settle(directory, RESTARTED)

    def start(self, *, now: datetime, world_id: str, production: str | None, hyperparameters: dict[str, Any]) -> str:
        """Start a job and return its id; Busy while one runs.

        Call it from a thread that lasts: Linux ends the job when the thread that started it ends.
        """
        with self._lock:
            if self._stopped:
                raise Busy("the sandbox's world is being replaced")
            latest = self._latest()
            if latest and not (latest / "settled.json").is_file():
                raise Busy(f"job {latest.name} is running; only one training runs at a time")
            number = int(latest.name.rpartition("-")[2]) + 1 if latest else 1
            directory = self._directory / f"job-{world_id}-{number:04d}"
            write_request(directory, Request(directory.name, now, world_id, production, hyperparameters))
            self._process = _spawn(self._home, directory)
            threading.Thread(target=self._await, args=(self._process, directory), daemon=True).start()
        return directory.name

    def status(self) -> dict[str, Any]:
        """Return what GET /training/status answers, for the latest job."""
        directory = self._latest()
        if directory is None:
            return {"status": "idle"}
        request = read_request(directory)
        told = {"job_id": request.job_id, "started_at": request.now.isoformat(), "status": "running"}
        told |= _read(directory / "progress.json")
        settled = _read(directory / "settled.json")
        if settled:
            told |= _read(directory / "result.json") | settled
        return told

    def stop(self) -> None:
        """End a running training, of which nothing is kept; no job can be started any more."""
        with self._lock:
            self._stopped = True
            if self._process and self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    @property
    def _directory(self) -> Path:
        return state.service_directory(self._home) / "jobs"

    def _latest(self) -> Path | None:
        jobs = sorted(self._directory.glob("job-*/request.json"), key=lambda path: path.parent.name.rpartition("-")[2])
        return jobs[-1].parent if jobs else None

    def _await(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        code = process.wait()
        if not self._stopped:  # otherwise its world is about to be replaced, or a restart will settle it
            self._settle(directory, f"the training process ended with code {code} and left no result: see service.log")

    def _settle(self, directory: Path, otherwise: str) -> None:
        result = _read(directory / "result.json")
        settled = {"finished_at": clock.now(self._home).isoformat()}
        if not result:
            settled |= {"status": "failed", "error": otherwise}
        elif result["status"] == "completed":
            settled |= self._staged(result["model_version"])
        state.write_json(directory / "settled.json", settled)

    def _staged(self, version: str) -> dict[str, str]:
        """Have the candidate stand by; where it cannot be, the job has failed: it would be "running" for ever."""
        try:
            self._stage(version)
        except (OSError, ValueError) as error:
            return {"status": "failed", "error": f"the candidate {version} could not be put in standby: {error}"}
        return {}


def _spawn(home: Path, directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "retrain_sandbox.job", "--home", str(home), "--job", str(directory)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own interpreter and module


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    body: dict[str, Any] = json.loads(path.read_bytes())
    return body
