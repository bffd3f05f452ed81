"""Outputs kept to a size: head and tail stay in the notebook, the whole goes beside it, named where it was cut."""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["LIMIT", "CellOutputs"]

LIMIT = 1_000_000
_SUFFIX = {"text/html": "html", "image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
Output = dict[str, Any]


class CellOutputs:
    """Caps what one cell prints and shows, as it comes, so that neither memory nor the notebook grows with it.

    ``limit`` is in characters, for all streams of the cell and again for all its displays. Scraps and other structured
    data are left alone: half of one is worth nothing. ``beside`` is the path of the files for the whole, without its
    suffix; None keeps no whole. Every method raises OSError when the whole cannot be written.
    """

    def __init__(self, beside: Path | None, *, limit: int = LIMIT, redact: Callable[[str], str]) -> None:
        """Take where the whole goes, how much may stay, and what takes secrets out of a text."""
        self._beside = beside
        self._limit = limit
        self._redact = redact
        self._streamed = 0
        self._shown = 0
        self._whole: _Whole | None = None
        self._tail: deque[Output] = deque()
        self._tail_size = 0
        self._blanked: dict[int, Output] = {}  # by identity; held, so that none is given again
        self._head = ""

    def add(self, output: Output, outputs: list[Output]) -> None:
        """Take note of an output just appended to ``outputs``, changing it in place where it is too large."""
        if output["output_type"] == "stream":
            self._add_stream(output, outputs)
        elif output["output_type"] == "error":
            text = "\n".join(output["traceback"])
            if len(text) > self._limit:
                output["traceback"] = self._cut(self._redact(text), self._write("txt", text)).split("\n")
        else:
            self._add_display(output)

    def finish(self, outputs: list[Output]) -> list[int]:
        """Join neighbouring streams, cut what overflowed. Return the former position of each output that stays."""
        if self._whole is not None:
            self._whole.close()
            self._mark(outputs)
        kept: list[int] = []
        joined: list[list[str]] = []
        for position, output in enumerate(outputs):
            former = outputs[kept[-1]] if kept else None
            if former is not None and _same_stream(former, output):
                joined[-1].append(output["text"])
            elif output["output_type"] != "stream" or output["text"]:
                kept.append(position)
                joined.append([output["text"]] if output["output_type"] == "stream" else [])
        for position, texts in zip(kept, joined, strict=True):
            if texts:
                outputs[position]["text"] = "".join(texts)
        outputs[:] = [outputs[position] for position in kept]
        return kept

    def _add_stream(self, output: Output, outputs: list[Output]) -> None:
        self._streamed += len(output["text"])
        if self._streamed <= self._limit:
            return
        if self._whole is None:
            self._overflow(outputs)
        else:
            self._whole.write(output["text"])
            self._tail.append(output)
            self._tail_size += len(output["text"])
        while self._tail_size - len(self._tail[0]["text"]) > self._limit // 2:
            oldest = self._tail.popleft()
            self._tail_size -= len(oldest["text"])
            oldest["text"] = ""  # stays in its place: other outputs are known by their position until the cell ends
            self._blanked[id(oldest)] = oldest

    def _overflow(self, outputs: list[Output]) -> None:
        self._whole = _Whole(self._named("txt"), self._redact)
        self._tail.extend(output for output in outputs if output["output_type"] == "stream")
        text = "".join(output["text"] for output in self._tail)
        self._whole.write(text)
        self._head = text[: self._limit // 2]
        self._tail_size = len(text)

    def _mark(self, outputs: list[Output]) -> None:
        streams = [output for output in outputs if output["output_type"] == "stream"]
        text = "".join(output["text"] for output in streams)
        if len(text) <= self._limit and not any(id(output) in self._blanked for output in streams):
            return  # the notebook cleared its output itself: what is left fits
        for output in streams:
            output["text"] = ""
        head, tail = _line_end(self._head), _line_start(text[-(self._limit // 2) :])
        streams[-1]["text"] = self._redact(self._with_cut(head, tail, self._streamed, self._named("txt")))

    def _add_display(self, output: Output) -> None:
        data: dict[str, Any] = output.get("data", {})
        for mime in [mime for mime in data if mime.startswith(("text/", "image/"))]:
            content = data[mime] if isinstance(data[mime], str) else "".join(data[mime])
            if self._shown + len(content) <= self._limit:
                self._shown += len(content)
                continue
            whole = self._write(
                _SUFFIX.get(mime, "txt"), content, binary=mime.startswith("image/") and "svg" not in mime
            )
            if mime == "text/plain":
                data[mime] = self._cut(self._redact(content), whole)
            else:
                del data[mime]  # half a picture or half a table's markup shows nothing
                data["text/plain"] = f"[{mime}, {len(content):,} characters, not kept here{_named_in(whole)}]"

    def _cut(self, text: str, whole: Path | None) -> str:
        half = self._limit // 2
        if len(text) <= self._limit:
            return text
        return self._with_cut(_line_end(text[:half]), _line_start(text[-half:]), len(text), whole)

    def _with_cut(self, head: str, tail: str, total: int, whole: Path | None) -> str:
        left_out = total - len(head) - len(tail)
        return f"{head}\n[… {left_out:,} characters left out{_named_in(whole)} …]\n{tail}"

    def _named(self, suffix: str, number: int | None = None) -> Path | None:
        if self._beside is None:
            return None
        return self._beside.with_name(f"{self._beside.name}{'' if number is None else f'-{number}'}.{suffix}")

    def _write(self, suffix: str, content: str, *, binary: bool = False) -> Path | None:
        number = 1
        while (path := self._named(suffix, number)) is not None and path.exists():
            number += 1
        if path is not None:
            path.write_bytes(_decoded(content) if binary else self._redact(content).encode("utf-8", "replace"))
        return path


class _Whole:
    """The whole of a stream, written line by line so that a secret is never split before it is taken out."""

    def __init__(self, path: Path | None, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._rest = ""
        self._file = None if path is None else path.open("w", encoding="utf-8", errors="replace", newline="")

    def write(self, text: str) -> None:
        if self._file is None:
            return
        lines, newline, rest = (self._rest + text).rpartition("\n")
        self._file.write(self._redact(lines + newline))
        self._rest = rest

    def close(self) -> None:
        if self._file is not None:
            with self._file as file:
                file.write(self._redact(self._rest))


def _same_stream(one: Output, other: Output) -> bool:
    return bool(one["output_type"] == other["output_type"] == "stream" and one["name"] == other["name"])


def _named_in(whole: Path | None) -> str:
    return "" if whole is None else f"; the whole is in {whole.name}"


def _line_end(text: str) -> str:
    at = text.rfind("\n")
    return text[:at] if at > len(text) // 2 else text


def _line_start(text: str) -> str:
    at = text.find("\n")
    return text[at + 1 :] if 0 <= at < len(text) // 2 else text


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content)
    except binascii.Error:
        return content.encode("utf-8", "replace")
