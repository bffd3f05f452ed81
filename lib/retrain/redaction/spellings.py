"""How a secret may be spelled in a text: each way as one regular expression, with the words that give it away.

A secret passes through JSON (also JSON inside JSON), URLs, HTML and Python's repr, and each of them spells some of its
characters differently; which ones depends on who wrote it. So a spelling is matched character by character, each in
any of its forms. Hexadecimal and base64 are ways of their own, base64 at each of its three alignments: what stands
before a secret in the same base64 shifts it by one or two bytes.

A value that somebody broke over two lines, as text or in base64, is matched across the break and the indentation after
it. Over more than two it is found only where one of the two stretches that are looked for first came through whole; in
hexadecimal it is not, nor a value of fewer than eight characters, nor one with anything else between its parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from html.entities import codepoint2name
from itertools import pairwise

__all__ = ["SHORTEST_ANYWHERE", "Spelling", "spellings"]

SHORTEST_ANYWHERE = 6
"""A value with fewer characters is looked for as a whole word only, and not in hexadecimal or base64."""

_RAREST_FIRST = "QZXJKYVWUHGBPqzjxkvNOMFLDRCSIATEwygbpf9876543210mucdlhnsiroat"
_CLUE_LENGTH = 6
_BEFORE = r"\\{0,31}+"  # JSON inside JSON doubles them: five levels deep
_ESCAPE = r"\\{1,31}+"
_PERCENT = r"%(?:25){0,4}"
_AMPERSAND = rf"(?:&|{_ESCAPE}u0026)(?:amp;){{0,4}}"
_WRAP = rf'(?:[ \t]{{0,99}}+(?:\r?\n|(?:{_ESCAPE}r)?{_ESCAPE}n(?:"\s{{0,99}}+,\s{{0,99}}+")?)[ \t]{{0,99}}+)??'
_SHORTEST_WRAPPED = 8
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", "\a": "a", "\v": "v", "\0": "0"}
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True)
class Spelling:
    """One way to spell a secret.

    ``pattern`` is a regular expression without capturing groups. A text that it matches holds one of ``clues``
    literally. ``clues`` begin with characters that texts seldom hold, where there is a choice.
    """

    pattern: str
    clues: tuple[str, ...]


def spellings(value: str) -> Iterator[Spelling]:
    """Yield the ways to spell ``value``: as it is with any of its characters escaped, in hexadecimal, in base64."""
    escaped = _wrapped(re.findall(r"\\+|[^\\]", value), _run)
    yield Spelling(_bounded(value, escaped), _clues_of_halves(value) or _clues_of_one(value))
    if len(value) < SHORTEST_ANYWHERE:
        return
    data = _bytes(value)
    in_hex = data.hex()
    clues = _clues(in_hex) + _clues(in_hex.upper())
    yield Spelling(f"(?i:{in_hex})", tuple(dict.fromkeys(clues)))
    yield from (_base64(data, shift) for shift in range(3))


def _bounded(value: str, pattern: str) -> str:
    """Keep a short word from matching inside others, and a number inside longer ones."""
    if len(value) < SHORTEST_ANYWHERE:
        return rf"(?:(?<![0-9A-Za-z_])|(?<=\\[nrtbfav])){pattern}(?![0-9A-Za-z_])"
    if value.isascii() and value.isdigit():
        return rf"(?<![0-9.]){pattern}(?![0-9])"
    return pattern


def _wrapped(characters: list[str], pattern: Callable[[str], str]) -> str:
    """Put the patterns of a value's characters together; a value that is long enough may be broken over lines.

    Not beside a backslash: a break may be spelled with one, and a run of them would be tried in every division.
    """
    if len(characters) < _SHORTEST_WRAPPED:
        return "".join(map(pattern, characters))
    parts = [pattern(characters[0])]
    for before, one in pairwise(characters):
        parts += [pattern(one)] if "\\" in before + one else [_WRAP, pattern(one)]
    return "".join(parts)


def _run(text: str) -> str:
    """Return the pattern of one character, or of a run of backslashes."""
    if text[0] == "\\":
        each = "|".join(_escapes("\\"))
        return rf"(?:\\{{{len(text)},{32 * len(text)}}}|(?:{each}){{{len(text)}}})"
    return text if _is_plain(text) else _character(text)


@cache
def _character(one: str) -> str:
    raw = rf"{_BEFORE}{re.escape(one)}"
    if one == "\n":  # notebooks keep a text as a list of its lines
        letter = rf'(?:{_ESCAPE}r)?{_ESCAPE}n(?:"\s*+,\s*+")?'
        windows = rf"(?i:{_PERCENT}0d{_PERCENT}0a)"
        return rf"(?:\r?\n|{letter}|{windows}|{'|'.join(_escapes(one))})"
    letter = rf"|{_ESCAPE}{_LETTERS[one]}" if one in _LETTERS else ""
    plus = r"|\+" if one == " " else ""
    return rf"(?:{raw}{letter}{plus}|{'|'.join(_escapes(one))})"


def _escapes(one: str) -> Iterator[str]:
    """Yield how URLs, HTML, JSON and Python's repr (of text and of bytes) spell a character that is no plain one."""
    code, data = ord(one), _bytes(one)
    yield "(?i:" + "".join(f"{_PERCENT}{byte:02x}" for byte in data) + ")"
    yield "(?i:" + "".join(rf"{_ESCAPE}x{byte:02x}" for byte in data) + ")"
    units = one.encode("utf-16-be", "surrogatepass").hex()
    yield "(?i:" + "".join(rf"{_ESCAPE}u{units[at : at + 4]}" for at in range(0, len(units), 4)) + ")"
    if code > 0xFFFF:
        yield rf"(?i:{_ESCAPE}U{code:08x})"
    elif 0x7F < code <= 0xFF:
        yield rf"(?i:{_ESCAPE}x{code:02x})"
    yield rf"(?i:{_AMPERSAND}#(?:0*{code}|x0*{code:x});)"
    name = "apos" if one == "'" else codepoint2name.get(code)
    if name:
        yield f"{_AMPERSAND}{name};"


def _base64(data: bytes, shift: int) -> Spelling:
    """Return the pattern of ``data`` in base64 when ``shift`` bytes (modulo 3) stand before it.

    The first and last character may hold bits of neighbours, so they may be one of a few.
    """
    first, last = 8 * shift, 8 * (shift + len(data))
    bits = int.from_bytes(data, "big") << (-last % 6)
    total = 6 * -(-last // 6)
    known = ((1 << (8 * len(data))) - 1) << (-last % 6)
    options = []
    for at in range(first // 6 * 6, total, 6):
        down = total - at - 6
        mask, want = known >> down & 63, bits >> down & 63
        options.append("".join(one for number, one in enumerate(_BASE64) if number & mask == want))
    padding = rf"(?:=|(?i:{_PERCENT}3d|{_ESCAPE}u003d)){{0,2}}" if (shift + len(data)) % 3 else ""
    certain = "".join(option if len(option) == 1 else "?" for option in options)
    return Spelling(_wrapped(options, _one_of) + padding, _clues_of_halves(certain))


@cache
def _one_of(options: str) -> str:
    plain = "".join(one for one in options if one not in "+/")
    patterns = [plain] if len(plain) == 1 else [f"[{plain}]"] if plain else []
    if "+" in options:
        patterns.append(rf"[+-]|(?i:{_PERCENT}2b|{_ESCAPE}u002b)")
    if "/" in options:
        patterns.append(rf"{_BEFORE}/|_|(?i:{_PERCENT}2f|{_ESCAPE}u002f)")
    return patterns[0] if len(patterns) == 1 and len(plain) else f"(?:{'|'.join(patterns)})"


def _clues_of_halves(literal: str) -> tuple[str, ...]:
    """Return a clue in each half, for a line that ends in one of them leaves the other; one in all if need be."""
    if len(literal) < _SHORTEST_WRAPPED:
        return _clues(literal)
    middle = len(literal) // 2
    return tuple(dict.fromkeys(_clues(literal[:middle]) + _clues(literal[middle:]))) or _clues(literal)


def _clues(literal: str) -> tuple[str, ...]:
    """Return a stretch that no escaping touches, from a seldom character on; nothing where none is long enough."""
    runs = re.findall(r"[0-9A-Za-z]{3,}", literal)
    if not runs:
        return ()
    length = min(_CLUE_LENGTH, max(map(len, runs)))
    stretches = [run[at : at + 2 * length] for run in runs for at in range(len(run) - length + 1)]
    return (min(stretches, key=lambda stretch: _RAREST_FIRST.find(stretch[0])),)


def _clues_of_one(value: str) -> tuple[str, ...]:
    """Return what each form of one character of ``value`` holds; one that is not ASCII if there is any."""
    one = max(value, key=lambda one: (not one.isascii(), not _is_plain(one), not one.isspace(), one))
    if _is_plain(one):
        return (one,)
    code, first = ord(one), f"{_bytes(one)[0]:02x}"
    unit = one.encode("utf-16-be", "surrogatepass").hex()[:4]
    in_hex = [f"%{first}", f"25{first}", f"x{first}", f"u{unit}", f"{code:08x}", f"x{code:02x}", f"{code:x};"]
    name = "apos" if one == "'" else codepoint2name.get(code)
    letter = [f"\\{_LETTERS[one]}"] if one in _LETTERS else []
    clues = [one, f"{code};", *letter, *([f"{name};"] if name else []), *in_hex, *map(str.upper, in_hex)]
    upper = [clue[0] + clue[1:].upper() for clue in in_hex if not _is_hex(clue[0])]
    return tuple(dict.fromkeys((*clues, *upper)))


def _is_hex(one: str) -> bool:
    return one in "0123456789abcdef"


def _is_plain(one: str) -> bool:
    return one.isascii() and one.isalnum()


def _bytes(text: str) -> bytes:
    """Return the bytes that ``text`` stands for; the environment's undecodable bytes come back as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
