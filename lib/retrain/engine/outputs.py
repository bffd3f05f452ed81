"""Outputs kept to a size: head and tail stay in the notebook, the whole goes beside it, named where it was cut."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrain.engine.streams import Output, Streams, cut

__all__ = ["LIMIT", "CellOutputs"]

LIMIT = 1_000_000
_SUFFIX = {"text/html": "html", "image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_LEAST = 1000
"""A display keeps one in so many characters of the limit even where others have used it up."""


class CellOutputs:
    """Caps what one cell prints and shows, as it comes, so that neither memory nor the notebook grows with it.

    ``limit`` is in characters, for all streams of the cell and again for all its displays, each as it was updated last.
    Scraps and other structured data are left alone: half of one is worth nothing. ``beside`` is the path of the files
    for the whole, without its suffix; None keeps no whole. Every method raises OSError when the whole cannot be
    written.
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
            text = "\n".join(output["traceback"])
            if len(text) > self._limit:
                output["traceback"] = cut(self._redact(text), self._limit, self._write(output, "", text)).split("\n")
        else:
            self.update(output)

    def update(self, output: Output) -> None:
        """Cap a display that is new, or that was given another content in place of its last; so is its file."""
        _, former = self._shown.pop(id(output), (output, 0))
        self._used -= former
        room = self._limit - self._used
        data: dict[str, Any] = output.get("data", {})
        kept = 0
        for mime in [mime for mime in data if mime.startswith(("text/", "image/"))]:
            content = data[mime] if isinstance(data[mime], str) else "".join(data[mime])
            least = max(room - kept, self._limit // _LEAST)
            if len(content) <= least:
                kept += len(content)
                continue
            whole = self._write(output, mime, content)
            if mime != "text/plain":
                del data[mime]  # half a picture or half a table's markup shows nothing
                named = "" if whole is None else f"; the whole is in {whole.name}"
                data["text/plain"] = f"[{mime}, {len(content):,} characters, not kept here{named}]"
            else:
                data[mime] = cut(self._redact(content), least, whole)
            kept += min(least, len(data["text/plain"]))
        self._shown[id(output)] = (output, kept)
        self._used += kept

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
        suffix = _SUFFIX.get(mime, "txt")
        number = 1 + sum(path.suffix == f".{suffix}" for path in self._files.values())
        path = self._files.get((id(output), mime)) or self._named(f"-{number}", suffix)
        if path is not None:
            self._files[id(output), mime] = path
            told = self._redact(content)
            picture = mime.startswith("image/") and "svg" not in mime and told == content
            path.write_bytes(_decoded(content) if picture else told.encode("utf-8", "replace"))
        return path


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content)
    except ValueError:
        return content.encode("utf-8", "replace")
