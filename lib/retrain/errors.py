"""What can go wrong, as the command line tells it.

RetrainError            exit 1: something broke; the message says what and whether production changed
└── UsageError          exit 2: a parameter, a file or a connection is wrong; nothing was sent
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable

__all__ = ["RetrainError", "UsageError", "nearest", "shortened"]


class RetrainError(Exception):
    """Something broke. The message is meant for a person."""

    exit_code = 1


class UsageError(RetrainError):
    """Bad input: the message names what was wrong, where, and the nearest right thing. Nothing was sent."""

    exit_code = 2


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" for the known word nearest to ``word``, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def shortened(text: str, longest: int) -> str:
    """Return ``text`` as one line, cut between two words: a part of a secret would not be known for one any more."""
    return textwrap.shorten(text, longest, placeholder=" …")
