"""Tables that a benchmark writes into a page, between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

The page is the only copy that a reader sees, so it is replaced in one move: a benchmark that is stopped in the middle
leaves the former table whole.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["README", "read", "write"]

README = Path(__file__).parents[2] / "README.md"


def write(name: str, markdown: str, page: Path = README) -> None:
    """Put ``markdown`` between the markers of ``name``; ValueError where the page does not have each of them once."""
    text = page.read_text(encoding="utf-8")
    start, end = _between(name, text, page)
    written = page.with_name(f".{page.name}.new")
    written.write_text(f"{text[:start]}\n\n{markdown.strip()}\n\n{text[end:]}", encoding="utf-8")
    written.replace(page)


def read(name: str, page: Path = README) -> str:
    """Return what stands between the markers of ``name``, without the empty lines around it."""
    text = page.read_text(encoding="utf-8")
    start, end = _between(name, text, page)
    return text[start:end].strip()


def _between(name: str, text: str, page: Path) -> tuple[int, int]:
    begins, ends = ([*re.finditer(rf"<!-- {re.escape(name)}:{which} -->", text)] for which in ("begin", "end"))
    if len(begins) != 1 or len(ends) != 1 or begins[0].end() > ends[0].start():
        raise ValueError(f"{page.name} needs <!-- {name}:begin --> and after it <!-- {name}:end -->, each once")
    return begins[0].end(), ends[0].start()
