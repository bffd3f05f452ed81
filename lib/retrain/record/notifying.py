"""Tells people how a run ended, or that it waits for one of them, through apprise: mail, chat, a pager, a hook.

The addresses are in an environment variable that ``notifications.urls_environment_variable`` names, and nowhere else.
All outcomes are told save ``no_action``, which is what most runs end with. What is told holds the head of the record:
whoever keeps the message can hold the record against it. Nothing here changes how a run ends: an address that fails,
or does not answer in time, is a warning. apprise is imported only where there is somebody to tell.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from retrain.errors import RetrainError, UsageError
from retrain.ledger.chain import Head
from retrain.record.aside import begin
from retrain.secrets import addresses
from retrain.settings import Settings

__all__ = ["SECONDS", "Notice", "announce", "check"]

SECONDS = 10.0
"""The longest to wait for all addresses together."""

_UNTOLD = frozenset({"no_action"})
_KINDS: Mapping[str, str] = MappingProxyType({"deployed": "success", "awaiting_approval": "info"})
_LOUD = frozenset({"abandoned", "error", "rolled_back", "smoke_failed", "unresolved"})
_NEXT: Mapping[str, str] = MappingProxyType({
    "abandoned": "retrain show {run}, and see what it had sent",
    "awaiting_approval": "retrain approve {run} --by NAME, then retrain run --resume {run}",
    "unresolved": "look at what serves, then retrain resolve {run} --effect EFFECT --outcome applied|not_applied"
    " --by NAME --why TEXT",
})  # fmt: skip


@dataclass(frozen=True)
class Notice:
    """What people are told: how a run ended, or that it waits, and the newest entry of its record."""

    outcome: str
    model: str
    environment: str
    run_id: str
    reason: str
    head: Head

    @property
    def title(self) -> str:
        """The line that a pager shows."""
        return f"retrain: {self.outcome}: {self.model} ({self.environment})"

    @property
    def body(self) -> str:
        """A line for each thing there is to know, and what to do where a person has to."""
        lines = {
            "outcome": self.outcome,
            "model": self.model,
            "environment": self.environment,
            "run": self.run_id,
            "reason": self.reason,
            "head": f"entry {self.head.number}, SHA-256 {self.head.sha256}",
            "next": _NEXT.get(self.outcome, "").format(run=self.run_id),
        }
        return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)

    @property
    def kind(self) -> str:
        """apprise's word for how bad it is."""
        return _KINDS.get(self.outcome, "failure" if self.outcome in _LOUD else "warning")


def check(settings: Settings) -> None:
    """Raise UsageError where the settings name a variable of addresses and there are none in it."""
    if settings.notifications is not None and not _addresses(settings):
        raise UsageError(_missing(settings))


def announce(
    settings: Settings, notice: Notice, *, redact: Callable[[str], str], seconds: float = SECONDS
) -> Callable[[], list[str]]:
    """Begin to tell everybody, and return at once; what is returned waits for it and returns what went wrong."""
    if settings.notifications is None or notice.outcome in _UNTOLD:
        return list
    known = _addresses(settings)
    if not known:
        return lambda: [f"nobody was told: {_missing(settings)}"]
    title, body = redact(notice.title), redact(notice.body)
    sent = [
        begin(partial(_send, address, title, body, kind=notice.kind), name=f"notice-{number}")
        for number, address in enumerate(known, 1)
    ]
    return partial(_troubles, sent, redact=redact, seconds=seconds)


def _troubles(sent: list[Future[None]], *, redact: Callable[[str], str], seconds: float) -> list[str]:
    wait(sent, seconds)
    told = []
    for number, each in enumerate(sent, 1):
        why = f"no answer within {seconds:g} s" if not each.done() else each.exception()
        if why is not None:
            told.append(redact(f"notification {number} of {len(sent)} did not arrive: {why}"))
    return told


def _send(address: str, title: str, body: str, *, kind: str) -> None:
    """Send to one address. The messages of this module name it by its number: the address itself is a secret."""
    import apprise  # a seventh of a second, and half a second more on first use

    # its own time-out would send in a thread that a process waits for when it ends; this one is left behind
    one = apprise.Apprise(asset=apprise.AppriseAsset(service_timeout=0))
    with _Said() as said:
        if not one.add(address):
            raise RetrainError("apprise knows no such address")
        if not one.notify(body, title, notify_type=apprise.NotifyType(kind), body_format=apprise.NotifyFormat.TEXT):
            raise RetrainError(" ".join(said.lines) or "it was refused")


class _Said(logging.Handler):
    """Hears what apprise logs in this thread: why something failed, which would else go to the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())

    def __enter__(self) -> _Said:
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


def _addresses(settings: Settings) -> list[str]:
    return addresses(os.environ.get(_variable(settings), ""))


def _variable(settings: Settings) -> str:
    return "" if settings.notifications is None else settings.notifications.urls_environment_variable


def _missing(settings: Settings) -> str:
    variable = _variable(settings)
    return f"notifications.urls_environment_variable names {variable}, and {variable} is not set or empty"
