"""RFC 8785 JSON: one value, one sequence of bytes."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import rfc8785

from retrain.ledger.problems import LedgerError

__all__ = ["canonical", "load"]

_LARGEST: Final = 2**53 - 1  # beyond it two JSON readers may disagree about an integer
_ASTRAL: Final = re.compile(rb"[\xf0-\xf7]")  # keys beyond U+FFFF sort otherwise in UTF-16 than by code point


def canonical(value: Any) -> bytes:
    """Return ``value`` in RFC 8785 JSON.

    Raises LedgerError for what JSON cannot carry: NaN, infinities, integers beyond 2**53 − 1, keys that are not
    strings, other types.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise LedgerError(f"not writable as canonical JSON: {error}") from error


def load(data: bytes) -> Any:
    """Return the value that ``data`` is the canonical JSON of.

    Raises ValueError where ``data`` is not JSON, or is JSON in any other form than the canonical one.
    """
    numbers = _Numbers()
    try:
        value = json.loads(data.decode(), parse_int=numbers.whole, parse_float=numbers.real)
        plain = numbers.plain and not _ASTRAL.search(data)
        again = _plain(value) if plain else rfc8785.dumps(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if again != data:
        raise ValueError("not in canonical form")
    return value


def _plain(value: Any) -> bytes:
    """Return the canonical form of a value without astral keys and unusual numbers: five times as fast."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class _Numbers:
    """Reads numbers, and notes whether all are of those that Python and RFC 8785 write alike."""

    def __init__(self) -> None:
        self.plain = True

    def whole(self, text: str) -> int | float:
        value = int(text)
        if abs(value) <= _LARGEST:
            return value
        self.plain = False
        return float(text)  # 1e17 is written 100000000000000000

    def real(self, text: str) -> float:
        value = float(text)
        self.plain = self.plain and repr(value) == text and "e" not in text and not text.endswith(".0")
        return value
