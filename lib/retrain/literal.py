"""The one place where text from outside becomes text that Markdown and HTML take literally.

Whatever a service, a warehouse or a person said goes through ``literal`` before it stands in a notebook.
"""

from __future__ import annotations

import html
import re

__all__ = ["literal"]

_MARKS = str.maketrans(
    {mark: f"\\{mark}" for mark in "`*_[]#~|!"}
    | {"$": "<span>&#36;</span>", "\\": "<span>&#92;</span>"}  # MathJax reads the page, whatever its source was
)
_LINK = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
_BEGINNING = re.compile(r"^([0-9]{1,9}(?=[.)])|(?=[-+]))([-+.)])(?=[ -]|$)")
"""What begins a list, an item or a rule, and so would not stand as it is written: ``- ``, ``---``, ``1. ``."""


def literal(text: str) -> str:
    """Return ``text`` as one line that Markdown, HTML and MathJax show as it is written, and link nowhere.

    What shows nothing of its own (control characters, marks that turn the direction of writing) becomes "�".
    """
    line = " ".join(text.split())
    shown = "".join(one if one.isprintable() else "\ufffd" for one in line)
    escaped = html.escape(shown, quote=False).translate(_MARKS)
    linked_nowhere = _LINK.sub(lambda mark: f"&#{ord(mark.group())};", escaped)
    return _BEGINNING.sub(r"\1\\\2", linked_nowhere, count=1)
