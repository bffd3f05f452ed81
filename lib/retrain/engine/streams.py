"""What a cell prints, kept to a size: its head and its tail stay in the notebook, the whole goes beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Output", "Streams", "cut"]

Output = dict[str, Any]

_BLOCK, _HELD = 1 << 17, 1 << 14


class Streams:
    """The stdout and stderr of one cell as it runs, held to ``limit`` characters together.

    Texts are looked at for secrets before they are cut and across the messages they came in: a secret that two messages
    or two outputs of one stream hold only together is found.
    """

    def __init__(self, whole: Path | None, *, limit: int, redact: Callable[[str], str]) -> None:
        """Take the file for the whole (None keeps no whole), the limit, and what takes secrets out of a text."""
        self._path = whole
        self._limit = limit
        self._redact = redact
        self._whole: _Whole | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew: the notebook cleared what it had shown. The file for the whole keeps what it has."""
        self._size = 0
        self._texts: dict[int, list[str]] = {}
        self._cut: Output | None = None
        self._head = ""
        self._tail: deque[str] = deque()
        self._tail_size = 0

    def add(self, output: Output, outputs: list[Output]) -> None:
        """Take an output just appended to ``outputs``; what continues the one before it is taken off again."""
        text = output["text"]
        self._size += len(text)
        if self._cut is not None:
            outputs.pop()
            self._write(text)
            return
        former = outputs[-2] if len(outputs) > 1 else None
        if former is not None and former["output_type"] == "stream" and former["name"] == output["name"]:
            outputs.pop()
            self._texts[id(former)].append(text)
        else:
            self._texts[id(output)] = [text]
        if self._size > self._limit:
            self._overflow([output for output in outputs if output["output_type"] == "stream"])

    def settle(self, outputs: list[Output]) -> None:
        """Put into ``outputs`` what there is by now, so that they can be written; more may come."""
        if self._cut is not None:
            self._cut["text"] = self._shortened()
            return
        streams = [output for output in outputs if output["output_type"] == "stream"]
        for output in streams:
            text = "".join(self._texts[id(output)])
            self._texts[id(output)] = [text]
            output["text"] = text
        for name in ("stdout", "stderr"):
            self._reunite([output for output in streams if output["name"] == name])

    def close(self) -> None:
        """Write the rest of the whole, if there is one."""
        if self._whole is not None:
            self._whole.close()

    def _reunite(self, streams: list[Output]) -> None:
        """Put the texts of one stream together where they hold a secret only together."""
        texts = [output["text"] for output in streams]
        whole = "".join(texts)
        if len(streams) > 1 and self._redact(whole) != "".join(map(self._redact, texts)):
            for output in streams:
                output["text"] = ""
            streams[0]["text"] = whole

    def _overflow(self, streams: list[Output]) -> None:
        text = "".join(part for output in streams for part in self._texts[id(output)])
        for output in streams:
            output["text"] = ""  # stays in its place: other outputs are known by their position until the cell ends
        self._head = self._redact(text)[: self._limit // 2]
        self._cut = streams[-1]
        if self._whole is None and self._path is not None:
            self._whole = _Whole(self._path, self._redact)
        self._write(text)

    def _write(self, text: str) -> None:
        if self._whole is not None:
            self._whole.write(text)
        # Twice what is shown: the beginning of the tail may be the end of a secret, which is not recognised as one.
        self._tail.append(text[-self._limit :])
        self._tail_size += len(self._tail[-1])
        while self._tail_size - len(self._tail[0]) >= self._limit:
            self._tail_size -= len(self._tail.popleft())

    def _shortened(self) -> str:
        tail = self._redact("".join(self._tail))[-(self._limit // 2) :]
        return _with_cut(self._head, tail, self._size, self._path)


def cut(text: str, limit: int, whole: Path | None) -> str:
    """Return head and tail of ``text``, which is free of secrets, with a line between that tells what is left out."""
    half = limit // 2
    return text if len(text) <= limit else _with_cut(text[:half], text[len(text) - half :], len(text), whole)


def _with_cut(head: str, tail: str, total: int, whole: Path | None) -> str:
    head, tail = _line_end(head), _line_start(tail)
    named = "" if whole is None else f"; the whole is in {whole.name}"
    return f"{head}\n[… {total - len(head) - len(tail):,} characters left out{named} …]\n{tail}"


class _Whole:
    """The whole of a stream, written in blocks; what may be the beginning of a secret waits for the next."""

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")
        self._waiting: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= _BLOCK:
            self._flush(held=_HELD)

    def close(self) -> None:
        with self._file:
            self._flush(held=0)

    def _flush(self, *, held: int) -> None:
        text = self._redact("".join(self._waiting))
        end = max(0, len(text) - held)
        if held:  # at the end of a line if there is one: a text that starts inside a word reads differently
            end = text.rfind("\n", end // 2, end) + 1 or end
        self._file.write(text[:end])
        self._waiting, self._size = [text[end:]], len(text) - end


def _line_end(text: str) -> str:
    at = text.rfind("\n")
    return text[:at] if at > len(text) // 2 else text


def _line_start(text: str) -> str:
    at = text.find("\n")
    return text[at + 1 :] if 0 <= at < len(text) // 2 else text
