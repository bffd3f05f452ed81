"""The record of one run, as effects see it, and a plain file that keeps it: one JSON object a line, only ever longer.

A line counts once it is whole: it ends in a newline, and it was flushed to the disk before ``append`` returned. What
stands after the last newline was torn by a crash before anybody could rely on it, so it is dropped, with a note.
Anything else that does not read, or a number that is missing, is damage: a lost intent would allow a second send.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from retrain.clock import wall
from retrain.errors import RetrainError

try:
    import fcntl
except ImportError:  # Windows: there the runner and its kernels take turns without a lock
    fcntl = None  # type: ignore[assignment]

__all__ = ["Entry", "Journal", "JournalError", "Record"]


class JournalError(RetrainError):
    """A whole line of a journal does not read, or its number is not the next: nothing may be sent on its strength."""


@dataclass(frozen=True)
class Entry:
    """One thing that happened: its number from 1, its kind, when it was recorded (UTC), and what it says."""

    number: int
    kind: str
    at: datetime
    body: dict[str, Any]


class Record(Protocol):
    """Where a run keeps what happened."""

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append an entry and return its number. It is durable when this returns."""

    def entries(self) -> Sequence[Entry]:
        """Return all entries of the run, oldest first."""


class Journal:
    """A record in one file of JSON lines. Several processes may append: each looks at the file anew, one at a time."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = wall) -> None:
        """Take the file's path (made on the first append) and what tells when an entry was recorded."""
        self._path = path
        self._now = now
        self._read: tuple[tuple[int, int], tuple[Entry, ...]] = ((0, 0), ())

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the file should know: a last line that was torn by a crash."""
        torn = len(self._bytes()) - len(_whole(self._bytes()))
        return (f"{self._path.name}: the last {torn} bytes are a torn line and were dropped",) if torn else ()

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append an entry and return its number; it is on the disk when this returns.

        A body that is no JSON (a NaN among it) raises ValueError or TypeError and leaves the file as it was; a disk
        that does not take the line raises RetrainError.
        """
        try:
            with self._opened() as descriptor:
                number = len(self.entries()) + 1
                _drop_torn_line(descriptor, self._bytes())
                _write(descriptor, self._line(number, kind, body))
        except OSError as error:
            raise RetrainError(f"{self._path}: the entry {kind!r} could not be written: {error.strerror}") from error
        return number

    def entries(self) -> tuple[Entry, ...]:
        """Return all whole entries, oldest first; none where there is no file yet. Damage raises JournalError."""
        state = self._path.stat() if self._path.exists() else None
        seen = (state.st_size, state.st_mtime_ns) if state else (0, 0)
        if seen != self._read[0]:
            self._read = (seen, self._parse(_whole(self._bytes())))
        return self._read[1]

    def _bytes(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""

    def _parse(self, whole: bytes) -> tuple[Entry, ...]:
        return tuple(self._entry(number, line) for number, line in enumerate(whole.split(b"\n")[:-1], start=1))

    def _entry(self, number: int, line: bytes) -> Entry:
        try:
            told = json.loads(line)
            entry = Entry(
                int(told["number"]), str(told["kind"]), datetime.fromisoformat(told["at"]), dict(told["body"])
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise JournalError(f"{self._path}: line {number} does not read ({error}); nothing was sent") from error
        if entry.number != number:
            raise JournalError(f"{self._path}: line {number} holds entry {entry.number}; entries are missing or moved")
        return entry

    def _line(self, number: int, kind: str, body: Mapping[str, Any]) -> bytes:
        entry = {"number": number, "at": self._now().isoformat(), "kind": kind, "body": dict(body)}
        return (json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n").encode()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file for one append, holding its lock until the descriptor is closed."""
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if fcntl:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(self._path.parent)


def _write(descriptor: int, line: bytes) -> None:
    written = 0
    while written < len(line):
        written += os.write(descriptor, line[written:])
    os.fsync(descriptor)


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _drop_torn_line(descriptor: int, content: bytes) -> None:
    """Cut what a crash left of a line: no append returned for it, so nobody acted on it."""
    if content and not content.endswith(b"\n"):
        os.ftruncate(descriptor, len(_whole(content)))


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable too; where folders cannot be opened (Windows) the system does it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
