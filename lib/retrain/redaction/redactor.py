"""Takes secrets out of texts before they are written, however they are spelled; JSON stays JSON.

Looking costs one pass for a few literal words. Only where one of them occurs are the spellings themselves tried, and a
JSON text is then gone through string by string, so that no quote and no escape is ever cut in two.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from retrain.redaction.spellings import Spelling, spellings

__all__ = ["SHORTEST", "Secrets", "weakness"]

SHORTEST = 4
"""A value with fewer characters cannot be told from ordinary text."""

_SWITCHES = frozenset(
    {"true", "false", "none", "null", "enabled", "disabled", "required", "optional", "default", "undefined", "unset"}
)
_STRUCTURE = frozenset('{}[]",: \t\r\n')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[^\s"\[\]{},:]++', re.DOTALL)
_SHORTEST_LINE = 8
_CLUES_FOLLOWED = 64

Told = Callable[[str], None]


def weakness(value: str) -> str | None:
    """Return why ``value`` cannot be kept out of texts without spoiling them, or None where it can."""
    plain = value.strip()
    if not plain:
        return "is empty"
    if len(plain) < SHORTEST:
        return f"has fewer than {SHORTEST} characters"
    if plain.lower() in _SWITCHES:
        return "is an ordinary word"
    if _STRUCTURE.issuperset(plain):
        return "is punctuation only"
    return None


@dataclass(frozen=True)
class _Known:
    """One way to spell one secret."""

    value: str
    name: str
    spelling: Spelling


class Secrets:
    """The values that may not be written, each with a name that may.

    In place of a value stands ``[redacted:NAME]``. Values of four or five characters are found only as whole words,
    longer ones anywhere and in every encoding that ``retrain.redaction.spellings`` knows. Of a value with several lines
    each line of eight or more characters is a secret of its own.
    """

    def __init__(self) -> None:
        """Know no secret yet."""
        self._names: dict[str, str] = {}
        self._known: list[_Known] = []
        self._patterns: dict[tuple[int, ...], re.Pattern[str]] = {}
        self.weak: dict[str, str] = {}
        """Names of secrets that cannot be kept out, and why; whoever resolved them notes them here."""

    def register(self, value: str, name: str) -> None:
        """Keep ``value`` out of all texts from now on, under ``name``; blanks around it do not belong to it.

        Raises ValueError, which does not tell the value, for one that ``weakness`` finds unfit. A value that is known
        keeps its first name.
        """
        why = weakness(value)
        if why:
            raise ValueError(f"{name} {why}: it cannot be told from ordinary text")
        plain = value.strip()
        lines = [line.strip() for line in plain.splitlines()] if "\n" in plain else []
        for part in (plain, *(line for line in lines if _is_worth(line))):
            if part not in self._names:
                self._names[part] = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60] or "secret"
                self._known += (_Known(part, self._names[part], spelling) for spelling in spellings(part))
        self._known.sort(key=lambda known: -len(known.value))
        self._patterns.clear()
        self.__dict__.pop("_clues", None)

    def redact(self, text: str) -> str:
        """Return ``text`` with every registered value, in any spelling, replaced by ``[redacted:NAME]``.

        A JSON document, or JSON lines, stays that, and its strings and numbers without a secret stay as they are.
        """
        return self._redact(text, lambda name: None)

    def redact_value(self, value: Any) -> Any:
        """Return a JSON-like value without secrets: in texts, in names of objects, and in numbers.

        What is neither text, number, list, tuple nor mapping is returned as it is.
        """
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return [self.redact_value(one) for one in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            told = repr(value)
            redacted = self.redact(told)
            return value if redacted == told else redacted
        return value

    def begun_at_the_end(self, text: str) -> int:
        """Return how many characters at the end of ``text`` may be the beginning of a value, spelled as it is."""
        sizes = (
            next((size for size in range(min(len(value) - 1, len(text)), 0, -1) if text.endswith(value[:size])), 0)
            for value in self._names
        )
        return max(sizes, default=0)

    def found_in(self, data: bytes) -> list[str]:
        """Return the names of the secrets that a file with these bytes still holds, sorted."""
        found: set[str] = set()
        self._redact(data.decode("utf-8", "surrogateescape"), found.add)
        return sorted(found)

    def _mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        kept: dict[Any, Any] = {}
        for key, one in value.items():
            name = self.redact_value(key) if isinstance(key, str) else key
            number = 1
            while name in kept and name != key:  # two names may read the same without their secrets
                number += 1
                name = f"{self.redact_value(key)} ({number})"
            kept[name] = self.redact_value(one)
        return kept

    def _redact(self, text: str, told: Told) -> str:
        found = self._found(text)
        if not found:
            return text
        if _is_json(text):
            return self._json(text, found, told)
        return found[0].re.sub(lambda match: self._replacement(match, told), text)

    def _found(self, text: str) -> list[re.Match[str]]:
        suspects = self._suspects(text)
        matches = self._pattern(suspects).finditer(text) if suspects else ()
        return [match for match in matches if match.lastgroup is not None]

    def _suspects(self, text: str) -> tuple[int, ...]:
        """Return the positions of what ``text`` may hold; a superset, found fast."""
        if not self._known:
            return ()
        pattern, owners = self._clues
        found: set[int] = set()
        position = 0
        for _ in range(_CLUES_FOLLOWED):
            match = pattern.search(text, position)
            if match is None:
                return tuple(sorted(found))
            found |= owners[match.group()]
            position = match.start() + 1
        return tuple(at for at, known in enumerate(self._known) if any(clue in text for clue in known.spelling.clues))

    @cached_property
    def _clues(self) -> tuple[re.Pattern[str], dict[str, set[int]]]:
        """Return a pattern of all clues, and whose each is: also theirs whose own clue it begins with."""
        own: dict[str, set[int]] = defaultdict(set)
        for at, known in enumerate(self._known):
            for clue in known.spelling.clues:
                own[clue].add(at)
        owners = {
            clue: set().union(*(own[clue[:end]] for end in range(1, len(clue) + 1) if clue[:end] in own))
            for clue in own
        }
        return re.compile("|".join(re.escape(clue) for clue in sorted(own, reverse=True))), owners

    def _pattern(self, suspects: tuple[int, ...]) -> re.Pattern[str]:
        """Return a pattern with one group for each suspect; a mark of an earlier redaction matches without any."""
        if suspects not in self._patterns:
            marks = "|".join(re.escape(name) for name in sorted(set(self._names.values()), reverse=True))
            groups = "|".join(f"(?P<s{at}>{self._known[at].spelling.pattern})" for at in suspects)
            self._patterns[suspects] = re.compile(rf"\[redacted:(?:{marks})\]|{groups}")
        return self._patterns[suspects]

    def _replacement(self, match: re.Match[str], told: Told) -> str:
        if match.lastgroup is None:
            return match.group()
        name = self._known[int(match.lastgroup[1:])].name
        told(name)
        return f"[redacted:{name}]"

    def _json(self, text: str, found: list[re.Match[str]], told: Told) -> str:
        """Redact the strings that hold a secret; then what spans several of them, or only seems to be in one.

        A secret may begin where an escape ends: it is in the file's bytes and not in the string that they spell.
        """
        redacted = _changed(text, found, lambda token, match: self._token(token, told))
        left = self._found(redacted)
        return _changed(redacted, left, lambda token, match: f'"{self._replacement(match, told)}"')

    def _token(self, token: str, told: Told) -> str:
        """Return a string, number or word of a JSON text without secrets, as JSON."""
        content = json.loads(token, strict=False) if token[0] == '"' else token
        redacted = self._redact(content, told)
        if redacted == content:
            return token
        return json.dumps(redacted, ensure_ascii=token.isascii() or not _is_unicode(redacted))


def _changed(text: str, found: list[re.Match[str]], change: Callable[[str, re.Match[str]], str]) -> str:
    """Return the JSON ``text`` with each string, number or word changed that has a part in one of ``found``."""
    waiting = deque(found)

    def changed(token: re.Match[str]) -> str:
        start, end = token.span()
        if text[start] == '"':
            start, end = start + 1, end - 1
        while waiting and waiting[0].end() <= start:
            waiting.popleft()
        return change(token.group(), waiting[0]) if waiting and waiting[0].start() < end else token.group()

    return _TOKEN.sub(changed, text) if found else text


def _is_worth(line: str) -> bool:
    """Tell whether a line of a longer secret is one of its own; the frame of a key is none."""
    return len(line) >= _SHORTEST_LINE and weakness(line) is None and not line.startswith("-----")


def _is_json(text: str) -> bool:
    """Tell whether ``text`` is a JSON document or lines of them; one that is too deep to read is a text like others."""
    start = text.strip()
    if start[:1] not in ("{", "[", '"'):
        return False
    return _reads(start) or ("\n" in start and all(_reads(line) for line in start.split("\n") if line.strip()))


def _reads(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
