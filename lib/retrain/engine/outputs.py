"""Outputs kept to a size: head and tail stay in the notebook, the whole goes beside it, named where it was cut."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain.engine.streams import Output, Streams, cut

__all__ = ["LIMIT", "CellOutputs"]

LIMIT = 1_000_000
_SUFFIX = {
    "text/html": "html", "image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg", "application/pdf": "pdf",
    "application/javascript": "js", "application/json": "json", "metadata": "json",
}  # fmt: skip
_SCRAP = "application/scrapbook.scrap."
_WORDS = 10_000
"""Characters that stay of an error's name and of what it says, at most; its traceback has the cell's limit."""

_NAME = 100
"""Characters from which the name of a type counts like what it names, and that stay of it."""

_LEAST = 1000
"""A display keeps one in so many characters of the limit even where others have used it up."""


class CellOutputs:
    """Caps what one cell prints and shows, as it comes, so that neither memory nor the notebook grows with it.

    ``limit`` is in characters, for all streams of the cell and again for all its displays, each as it was updated last.
    Scraps alone are left as they are: half of one is worth nothing. ``beside`` is the path of the files for the whole,
    without its suffix; None keeps no whole. Every method raises OSError when the whole cannot be written.
    """

    def __init__(self, beside: Path | None, *, limit: int = LIMIT, redact: Callable[[str], str]) -> None:
        """Take where the whole goes, how much may stay, and what takes secrets out of a text."""
        self._beside = beside
        self._limit = limit
        self._redact = redact
        self._streams = Streams(self._named("", "txt"), limit=limit, redact=redact)
        self._shown: dict[int, tuple[Output, int]] = {}  # by identity; held, so that none is given again
        self._used = 0
        self._files: dict[tuple[int, str], Path] = {}

    def add(self, output: Output, outputs: list[Output]) -> None:
        """Take note of an output just appended to ``outputs``, changing both where it is too large."""
        if len(outputs) == 1:  # it is the first, or the first after the notebook cleared what it had shown
            self._streams.forget()
            self._shown.clear()
            self._used = 0
        if output["output_type"] == "stream":
            self._streams.add(output, outputs)
        elif output["output_type"] == "error":
            self._cap_error(output)
        else:
            self.update(output)

    def _cap_error(self, output: Output) -> None:
        text = "\n".join(output["traceback"])
        if len(text) > self._limit:
            output["traceback"] = cut(self._redact(text), self._limit, self._write(output, "", text)).split("\n")
        for name in ("ename", "evalue"):
            if len(output[name]) > min(_WORDS, self._limit):
                whole = self._write(output, name, output[name])
                output[name] = cut(self._redact(output[name]), min(_WORDS, self._limit), whole)

    def update(self, output: Output) -> None:
        """Cap a display that is new, or that was given another content in place of its last; so is its file."""
        _, former = self._shown.pop(id(output), (output, 0))
        self._used -= former
        room = _Room(max(self._limit - self._used, self._limit // _LEAST))
        data: dict[str, Any] = output.get("data", {})
        told = self._cap_metadata(output, room)
        for mime in [mime for mime in data if not mime.startswith(_SCRAP)]:
            content = _text(mime, data[mime])
            if room.take(len(content) + (len(mime) if len(mime) > _NAME else 0)):
                continue
            whole = self._write(output, mime, content)
            if mime == "text/plain":
                data[mime] = cut(self._redact(content), room.rest(), whole)
            else:
                del data[mime]  # half a picture or half a table's markup shows nothing
                told.append(_left_out(mime, content, whole))
        if told:
            data["text/plain"] = "\n".join([*([_text("", data["text/plain"])] if "text/plain" in data else []), *told])
        self._shown[id(output)] = (output, room.taken)
        self._used += room.taken

    def _cap_metadata(self, output: Output, room: _Room) -> list[str]:
        """Take out what came beside a display if it is too large; return how that is told."""
        content = json.dumps(output.get("metadata", {}), ensure_ascii=False)
        if not output.get("metadata") or room.take(len(content)):
            return []
        output["metadata"] = {}
        return [_left_out("metadata", content, self._write(output, "metadata", content))]

    def settle(self, outputs: list[Output]) -> None:
        """Make ``outputs`` say what was printed so far, so that they can be written while the cell runs."""
        self._streams.settle(outputs)

    def finish(self, outputs: list[Output]) -> list[int]:
        """Settle, and drop what is empty. Return the former position of each output that stays."""
        self._streams.settle(outputs)
        self._streams.close()
        kept = [at for at, output in enumerate(outputs) if output["output_type"] != "stream" or output["text"]]
        outputs[:] = [outputs[at] for at in kept]
        return kept

    def _named(self, number: str, suffix: str) -> Path | None:
        return None if self._beside is None else self._beside.with_name(f"{self._beside.name}{number}.{suffix}")

    def _write(self, output: Output, mime: str, content: str) -> Path | None:
        """Write the whole of one content of an output, in place of a former one of the same."""
        suffix = _SUFFIX.get(mime, "json" if mime.endswith("+json") else "txt")
        number = 1 + sum(path.suffix == f".{suffix}" for path in self._files.values())
        path = self._files.get((id(output), mime)) or self._named(f"-{number}", suffix)
        if path is not None:
            self._files[id(output), mime] = path
            told = self._redact(content)
            encoded = suffix in ("png", "jpg", "pdf") or (mime.startswith("image/") and suffix == "txt")
            path.write_bytes(_decoded(content) if encoded and told == content else told.encode("utf-8", "replace"))
        return path


@dataclass
class _Room:
    """What one display may keep, in characters, and what it keeps so far."""

    size: int
    taken: int = 0

    def take(self, size: int) -> bool:
        """Return whether there is room for so much, and take it."""
        fits = self.taken + size <= self.size
        self.taken += size if fits else 0
        return fits

    def rest(self) -> int:
        """Take all that is left and return how much that was."""
        left, self.taken = self.size - self.taken, self.size
        return left


def _text(mime: str, content: Any) -> str:
    """Return a content as text: as it is, its lines put together, or its JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and not mime.endswith("json") and all(isinstance(line, str) for line in content):
        return "".join(content)
    return json.dumps(content, ensure_ascii=False)


def _left_out(name: str, content: str, whole: Path | None) -> str:
    named = "" if whole is None else f"; the whole is in {whole.name}"
    return f"[{name[:_NAME]}, {len(content):,} characters, not kept here{named}]"


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content)
    except ValueError:
        return content.encode("utf-8", "replace")
