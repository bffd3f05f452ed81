"""Where papermill would write the output, and how it is kept from writing it again in its own, tearing way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from papermill.iorw import LocalHandler, papermill_io

__all__ = ["Destination", "where_to"]


@dataclass(frozen=True)
class Destination:
    """One output: a local path, or a ``write`` for papermill's remote stores, or neither."""

    path: str | None
    local: Path | None
    write: Callable[[str], None] | None

    def keep_papermill_from_writing(self) -> None:
        """Swallow the one write papermill makes when the engine has returned: the final file is there already."""
        if self.path is not None:
            papermill_io.register(self.path, _AlreadyWritten(self.path))


def where_to(path: str | None) -> Destination:
    """Return the destination papermill means by ``path``, resolved against the folder papermill was called in."""
    if path is None:
        return Destination(path=None, local=None, write=None)
    handler = papermill_io.get_handler(path)
    if isinstance(handler, LocalHandler):
        # papermill may have changed the process's folder to the kernel's by now; its handler remembers the first.
        return Destination(path=path, local=Path(handler._cwd or Path.cwd()) / path, write=None)
    return Destination(path=path, local=None, write=lambda text: papermill_io.write(text, path))


class _AlreadyWritten:
    """A handler for one path and one write, which it drops; then it is gone and papermill's own serves again."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, text: str, path: str) -> None:
        papermill_io._handlers.remove((self._path, self))
        if path != self._path:
            papermill_io.write(text, path)

    def __getattr__(self, name: str) -> Any:
        return getattr(papermill_io.get_handler("local"), name)
