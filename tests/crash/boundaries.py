"""Counts what a process does to the world, one boundary at a time, and kills or stops the process at one of them.

A boundary is a moment before or after a durable write (aside, fsync, link, rename), an append, a signature, a lock, a
look, a request, or a stage of one on the wire. Its name tells what it is inside of: ``append intent > link, after``.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import filelock
import httpx
import obstore
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from retrain.clock import EnvironmentClock
from retrain.ledger.chain import Chain
from retrain.service.client import Service

__all__ = ["Boundaries", "die_with_parent"]

_CLOSED_PORT = 1
_LOOKS = ("health", "status", "predict")
_ACTS = ("/training/trigger", "/model/reload", "/incidents")
_WRITES = {"put": "write aside", "copy": "link", "rename": "rename", "delete": "remove aside"}
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the system kill this process when its parent ends, so that a test that is stopped leaves nothing behind."""
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError("prctl")


class Boundaries:
    """Every boundary is written to ``log`` before it is passed; at number ``kill_at`` (0: none) the process dies."""

    def __init__(
        self, log: Path, *, kill_at: int, with_signal: int = signal.SIGKILL, refuse: Path | None = None
    ) -> None:
        """Take the log, when to die (or to stand still, by SIGSTOP), and who is refused.

        ``refuse`` is a marker: while it is absent, a request that changes something meets a closed port.
        """
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._kill_at = kill_at
        self._signal = with_signal
        self._refuse = refuse
        self._count = 0
        self._inside: list[str] = []

    def pass_by(self, name: str) -> None:
        """Note a boundary, or die there."""
        self._count += 1
        os.write(self._log, (" > ".join([*self._inside, name]) + "\n").encode())
        if self._count == self._kill_at:
            os.kill(os.getpid(), self._signal)

    def install(self) -> None:
        """Watch this process from now on. There is no way back: it is meant for a process of its own."""
        for function, name in _WRITES.items():
            self._watch(obstore, function, lambda *_, name=name, **__: name)
        self._watch(os, "fsync", lambda *_, **__: "fsync")
        self._watch(CryptoSigner, "sign", lambda *_: "sign")
        self._watch(Chain, "append", lambda _, kind, **__: f"append {kind}")
        self._watch(filelock.FileLock, "acquire", lambda *_, **__: "lock")
        self._watch(EnvironmentClock, "sleep", lambda *_: "wait")
        self._watch(Service, "trigger", lambda *_: "send")
        self._watch(Service, "reload", lambda *_: "send")
        for look in _LOOKS:
            self._watch(Service, look, lambda *_, **__: "look")
        self._watch_the_wire()

    def _watch(self, owner: Any, attribute: str, named: Callable[..., str]) -> None:
        original = getattr(owner, attribute)

        @wraps(original)
        def watched(*given: Any, **more: Any) -> Any:
            name = named(*given, **more)
            self.pass_by(f"{name}, before")
            self._inside.append(name)
            try:
                result = original(*given, **more)
            finally:
                self._inside.pop()
            self.pass_by(f"{name}, after")
            return result

        setattr(owner, attribute, watched)

    def _watch_the_wire(self) -> None:
        original = httpx.HTTPTransport.handle_request

        def handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            request.extensions = {**request.extensions, "trace": lambda event, _: self.pass_by(event)}
            if self._refuse and request.method == "POST" and request.url.path.endswith(_ACTS):
                self._turn_away(request)
            return original(transport, request)

        httpx.HTTPTransport.handle_request = handle  # type: ignore[method-assign]

    def _turn_away(self, request: httpx.Request) -> None:
        """Point the first request that changes something to a port where nobody listens."""
        if self._refuse is not None and not self._refuse.exists():
            self._refuse.touch()
            request.url = request.url.copy_with(port=_CLOSED_PORT)
