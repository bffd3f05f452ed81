"""Files that are whole under their final name, or not there: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Journal", "Pace", "Reserve", "create", "replace"]


def replace(path: Path, text: str) -> None:
    """Write ``text`` under ``path``, atomically: a reader sees the former file or this one, never a part.

    Raises OSError; the former file then stays as it was and no temporary file is left.
    """
    with _temporary(path, text) as temporary:
        temporary.replace(path)
    _sync_folder(path.parent)


def create(path: Path, text: str) -> None:
    """Write ``text`` under ``path`` only if nothing has that name yet: else FileExistsError, the file untouched."""
    with _temporary(path, text) as temporary:
        os.link(temporary, path)  # a link never overwrites, a rename would
    _sync_folder(path.parent)


@contextlib.contextmanager
def _temporary(path: Path, text: str) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # JSON reads a lone surrogate back from its escape; as raw UTF-8 it could not be written at all.
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # a folder cannot be opened there; the rename alone must do
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Journal:
    """Append-only lines of JSON, each durable when ``append`` returns. A failed append leaves no torn line."""

    def __init__(self, path: Path, *, redact: Callable[[str], str] | None = None) -> None:
        """Create ``path``; FileExistsError when there is one already: a journal belongs to one attempt."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self.path = path
        self._redact = redact or (lambda text: text)
        self._descriptor = os.open(path, flags, 0o666)
        _sync_folder(path.parent)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line and sync it. Raises OSError (a full disk, say) with the file as it was before."""
        line = (self._redact(json.dumps(entry)) + "\n").encode()
        before = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                os.write(self._descriptor, line[written:])  # a full disk writes a part first and says so here
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, before)
            raise

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Pace:
    """When the next save is due: not sooner than ``seconds`` after the last, nor more than ``share`` of the time."""

    def __init__(self, *, clock: Callable[[], float], seconds: float = 2.0, share: float = 0.1) -> None:
        """Take a monotonic clock in seconds."""
        self._clock = clock
        self._seconds = seconds
        self._share = share
        self._due = clock() + seconds

    def due(self) -> bool:
        """Return whether a save may happen now."""
        return self._clock() >= self._due

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Measure one save, and put the next one off accordingly, even when this one fails."""
        started = self._clock()
        try:
            yield
        finally:
            ended = self._clock()
            self._due = ended + max(self._seconds, (ended - started) * (1 / self._share - 1))


class Reserve:
    """Disk space held back so that a full disk can still be told the truth."""

    def __init__(self, path: Path, size: int) -> None:
        """Set ``size`` bytes aside in a hidden file beside ``path``; OSError when the disk is full already."""
        self._path = path.with_name(f".{path.name[:200]}.reserve")
        self._path.write_bytes(b"\0" * size)  # real blocks: a sparse file would reserve nothing

    def release(self) -> None:
        """Give the space back; twice does no harm."""
        self._path.unlink(missing_ok=True)
