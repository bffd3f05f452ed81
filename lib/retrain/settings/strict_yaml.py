"""Reads YAML strictly, and remembers where each value was written.

YAML readers disagree about ``off``, ``010``, ``1_000``, ``02:00`` and bare dates. Nothing here guesses: such a value is
refused with what to write instead. Anchors, aliases, tags, merge keys and directives are refused as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from retrain.errors import UsageError

__all__ = ["KEEP_OUT", "Notes", "Place", "Problem", "Where", "clipped", "looks_secret", "plain", "read", "refusal"]

MAXIMUM_DEPTH = 16
LARGEST_INTEGER = 2**53 - 1
"""RFC 8785 tells no larger integer exactly."""

Where = tuple[str | int, ...]
"""The way from the top of a file to a value: names and positions."""

_SECRET_NAME = re.compile(
    r"(^|_)(pass(word|wd|phrase|code)?|pwd|secrets?|tokens?|api_?keys?|(private|access|secret)_?keys?|credentials?"
    r"|authorization)(_|$)",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_\w{20}|eyJ[\w-]{8,}\.eyJ|://[^/\s]*@|[?&;]\w*(?i:token|key|sig|secret|pass)\w*="
)
KEEP_OUT = (
    "looks like a secret, and this file is kept with every run: put it in the connector's connections.toml "
    "or in an environment variable, and name that here (service.token_environment_variable)"
)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TRAPS = (
    (r"", 'has no value: write null for none, or "" for an empty text'),
    (
        r"(?i:yes|no|on|off|y|n)",
        "is {raw}, which is true or false to some YAML readers and text to others: "
        'write true or false, or "{raw}" in quotes for the text',
    ),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*", 'is a bare date, {raw}: put it in quotes, "{raw}"'),
    (
        r"[-+]?0[0-9_]+(\.[0-9_]*)?([eE].*)?",
        "is {raw}, and some YAML readers take a leading zero for octal: "
        'write the number without it, or "{raw}" in quotes for the text',
    ),
    (r"[-+]?0[xob][0-9A-Fa-f_]+", "is {raw}: write the number in plain decimal, or in quotes for the text"),
    (
        r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?",
        "is {raw}: write the number without underscores, or in quotes for the text",
    ),
    (
        r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?",
        'is {raw}, which some YAML readers count in sixties: put it in quotes, "{raw}"',
    ),
    (r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "is {raw}: it must be a finite number"),
    (r"<<", "is a merge key, which is not accepted: write the values out"),
)
_TRAP_PATTERNS = tuple((re.compile(pattern), says) for pattern, says in _TRAPS)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~"), None),
}


@dataclass(frozen=True)
class Place:
    """Where a value was written, and how: ``raw`` is its text, None for a block or a list."""

    source: str
    line: int | None = None
    raw: str | None = None
    quoted: bool = False

    def __str__(self) -> str:
        """Tell the place in words."""
        return self.source if self.line is None else f"{self.source}, line {self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, under which dotted name, and what a person should do about it."""

    place: Place
    where: Where
    says: str

    def __str__(self) -> str:
        """Tell it in one line."""
        return f"{self.place}: {' '.join(filter(None, ('.'.join(map(str, self.where)), self.says)))}"


def refusal(problems: list[Problem]) -> UsageError:
    """Return the one error that tells all ``problems``, each on a line, in the order of the file."""
    ordered = sorted(problems, key=lambda problem: (problem.place.line is None, problem.place.line or 0))
    lines = list(dict.fromkeys(map(str, ordered)))
    if len(lines) == 1:
        return UsageError(lines[0])
    return UsageError("\n  ".join([f"{len(lines)} things are wrong with the parameters:", *lines]))


@dataclass
class Notes:
    """The place of each value that was read, and what was wrong in the reading."""

    places: dict[Where, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(text: str, notes: Notes, *, source: str, at: Where = (), numbered: bool = True) -> Any:
    """Return the value of the only document in ``text``, which stands at ``at``, and fill in ``notes``.

    A value that is refused becomes None, with a problem in the notes. ``numbered`` is False where lines mean nothing.
    Raises UsageError where reading cannot go on.
    """
    return _Reader(notes, source, numbered=numbered).document(text, at)


def looks_secret(name: str, value: Any) -> bool:
    """Whether a value of this name belongs in no file; the name of an environment variable does."""
    if name.endswith("_environment_variable") or value is None or value == "" or isinstance(value, bool):
        return False
    return bool(_SECRET_NAME.search(name)) or (isinstance(value, str) and bool(_SECRET_VALUE.search(value)))


def plain(raw: str) -> tuple[Any, str | None]:
    """Return the value of an unquoted word, and what is wrong with it, or None."""
    for pattern, says in _TRAP_PATTERNS:
        if pattern.fullmatch(raw):
            return None, says.format(raw=clipped(raw))
    if raw in _WORDS:
        return _WORDS[raw], None
    if len(raw) <= 400 and (_INTEGER.fullmatch(raw) or _FLOAT.fullmatch(raw)):
        return _number(raw)
    return raw, None


def _number(raw: str) -> tuple[int | float | None, str | None]:
    number = int(raw) if _INTEGER.fullmatch(raw) else float(raw)
    if isinstance(number, int) and abs(number) > LARGEST_INTEGER:
        return None, f"is {clipped(raw)}: no number here may be larger than {LARGEST_INTEGER}"
    if not math.isfinite(number):
        return None, f"is {clipped(raw)}: it must be a finite number"
    return number, None


def clipped(text: str, length: int = 60) -> str:
    """Return ``text`` in one printable line of at most ``length`` letters."""
    one_line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return one_line if len(one_line) <= length else f"{one_line[:length]}…"


class _Reader:
    """Turns YAML's events into values; notes each one's place, and what is wrong, in the parameters."""

    def __init__(self, notes: Notes, source: str, *, numbered: bool) -> None:
        self._notes, self._source, self._numbered = notes, source, numbered
        self._events: Iterator[Event] = iter(())

    def document(self, text: str, where: Where) -> Any:
        """Return the value of the only document in ``text``, which is written at ``where``."""
        if not text:
            return self._refuse(where, Place(self._source), plain("")[1] or "")
        if hidden := _UNPRINTABLE.search(text.replace("\r", "\n")):
            line = text.count("\n", 0, hidden.start()) + 1 if self._numbered else None
            return self._stop(where, line, "holds a control character")
        self._events = YAML(typ="safe", pure=True).parse(text)
        try:
            return self._only(where)
        except MarkedYAMLError as error:
            never_closed = "end of stream" in str(error.problem) or "stream end" in str(error.problem)
            mark = (error.context_mark if never_closed else None) or error.problem_mark or error.context_mark
            line = mark.line + 1 if mark is not None and self._numbered else None
            return self._stop(where, line, _unreadable(str(error.problem), text, mark))
        except YAMLError:
            return self._stop(where, None, "holds a character that YAML does not allow")

    def _only(self, where: Where) -> Any:
        value: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1 or event.version or event.tags:
                    return self._stop(where, self._line(event), "must be a single document without directives (%)")
            elif isinstance(event, (AliasEvent, ScalarEvent, MappingStartEvent, SequenceStartEvent)):
                value = self._value(event, where)
        if documents:
            return value
        return self._stop(where, None, "holds no values, only comments")

    def _value(self, event: Any, where: Where) -> Any:
        place = self._place(event)
        self._notes.places[where] = place
        if event.anchor is not None:
            return self._stop(where, place.line, "uses an anchor or alias (& or *): write the value out, or quote it")
        if getattr(event, "tag", None) is not None:
            self._refuse(where, place, f"has a tag ({clipped(event.tag)}): write the value without it")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, where, place)
        if len(where) >= MAXIMUM_DEPTH:
            return self._stop(where[:3], place.line, f"is nested more than {MAXIMUM_DEPTH} deep")
        return self._list(where) if isinstance(event, SequenceStartEvent) else self._block(where)

    def _scalar(self, event: ScalarEvent, where: Where, place: Place) -> Any:
        text: str = event.value
        if _SECRET_VALUE.search(text):
            return self._refuse(where, place, KEEP_OUT)
        if _UNPRINTABLE.search(text):
            return self._refuse(where, place, "holds a control character")
        if event.style:
            return text
        if event.start_mark.line != event.end_mark.line:
            return self._refuse(where, place, "runs over several lines: check the indentation, or put it in quotes")
        value, wrong = plain(text)
        return value if wrong is None else self._refuse(where, place, wrong)

    def _list(self, where: Where) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            found.append(self._value(event, (*where, len(found))))
        return found

    def _block(self, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int | None] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            name, place = self._name(event, where), self._place(event)
            inner = (*where, name)
            before = self._notes.places.get(inner)
            value = self._value(next(self._events), inner)
            if name in found:
                first = f"; the first is on line {lines[name]}" if self._numbered else ""
                self._refuse(inner, place, f"is written twice{first}")
                self._notes.places[inner] = before or place
                continue
            if looks_secret(name, value) and not self._refused(inner):
                value = self._refuse(inner, place, KEEP_OUT)
            found[name], lines[name] = value, place.line
        return found

    def _name(self, event: Event, where: Where) -> str:
        if not isinstance(event, ScalarEvent):
            return str(self._stop(where, self._line(event), "has a list or a block where a name belongs"))
        name: str = event.value
        value, wrong = (name, None) if event.style else plain(name)
        if event.anchor or event.tag:
            wrong = "has an anchor or a tag, which are not accepted"
        elif name != "<<" and (wrong or not isinstance(value, str) or not name.strip()):
            wrong = "is not a name, to all YAML readers alike: put it in quotes if it is one"
        if wrong is not None:
            self._refuse((*where, name or "?"), self._place(event), wrong)
        return name

    def _place(self, event: Event) -> Place:
        if not isinstance(event, ScalarEvent):
            return Place(self._source, self._line(event))
        return Place(self._source, self._line(event), raw=event.value, quoted=bool(event.style))

    def _line(self, event: Event) -> int | None:
        return event.start_mark.line + 1 if self._numbered and event.start_mark is not None else None

    def _refused(self, where: Where) -> bool:
        return any(problem.where == where for problem in self._notes.problems)

    def _refuse(self, where: Where, place: Place, says: str) -> Any:
        self._notes.problems.append(Problem(place, where, says))
        return None

    def _stop(self, where: Where, line: int | None, says: str) -> Any:
        raise refusal([*self._notes.problems, Problem(Place(self._source, line), where, says)])


def _unreadable(problem: str, text: str, mark: Any) -> str:
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return "holds a tab: indent with spaces"
    if re.search(r"(^|:|-)\s*[*&]", line):
        return "has a value that begins with * or &, which means something else to YAML: put it in quotes"
    if re.search(r"(^|:|-)\s*[@`%|>!]", line):
        return "has a value that begins with a sign YAML keeps for itself: put it in quotes"
    if "end of stream" in problem or "stream end" in problem:
        return "has an opening quote or bracket that is never closed"
    if "mapping values" in problem:
        return "has a second ': ' on the line, or is indented too far: put the value in quotes, or mend the indentation"
    if "could not find expected ':'" in problem or "block end" in problem:
        return "is out of line: look for a missing ': ', a missing space after the colon, or a wrong indentation"
    return f"cannot be read as YAML ({problem}): look for a quote, a bracket or an indentation out of place"
