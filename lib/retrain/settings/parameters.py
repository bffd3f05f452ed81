"""Reads a parameter file and the ``--set`` assignments over it.

What is wrong is collected, so that one message tells all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrain.errors import UsageError, nearest
from retrain.settings import strict_yaml
from retrain.settings.strict_yaml import KEEP_OUT, Notes, Place, Problem, Where, clipped, looks_secret, refusal

__all__ = ["MAXIMUM_BYTES", "Parameters", "read"]

MAXIMUM_BYTES = 256 * 1024

_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")


@dataclass
class Parameters:
    """Values as they were written, the place of each, and what was wrong in the reading of them."""

    source: str
    tree: dict[str, Any] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    assigned: set[Where] = field(default_factory=set)

    def place(self, where: Where) -> Place:
        """Return where the value at ``where`` was written; if it was not, something in it or the block around it."""
        places = self.notes.places
        inside = (known for known in places if known[: len(where)] == where)
        around = (where[:length] for length in range(len(where) - 1, 0, -1) if where[:length] in places)
        nearest_known = where if where in places else next(inside, None) or next(around, None)
        return places[nearest_known] if nearest_known else Place(self.source)

    def refused(self, where: Where) -> bool:
        """Whether ``where``, or a block around it, was refused already: a second complaint would be noise."""
        return any(problem.where == where[: len(problem.where)] for problem in self.notes.problems if problem.where)

    def complain(self, where: Where, says: str) -> None:
        """Note what is wrong with the value at ``where``, unless it was refused already."""
        if not self.refused(where):
            self.notes.problems.append(Problem(self.place(where), where, says))

    def assign(self, text: str, *, is_block: Callable[[Where], bool]) -> None:
        """Put ``text``, written ``section.name=value``, over what the file says; the value is read as in a file."""
        name, equals, value = (part.strip() for part in text.partition("="))
        where: Where = tuple(name.split("."))
        source = _shown(name, equals, value)
        wrong = _not_assignable(name, equals, value, is_block=is_block)
        if wrong is None and where in self.assigned:
            wrong = "is given twice"
        if wrong is not None:
            self.notes.problems.append(Problem(Place(source), (), wrong))
            return
        self.assigned.add(where)
        self._forget(where)
        self.put(where, strict_yaml.read(value, self.notes, source=source, at=where, numbered=False), source)

    def put(self, where: Where, value: Any, source: str) -> None:
        """Set the value at ``where``, making the blocks around it; only a block can hold a further name."""
        self.notes.places.setdefault(where, Place(source))
        inner: Any = self.tree
        for name in where[:-1]:
            if inner.get(name) is None:
                inner[name] = {}
            inner = inner[name]
            if not isinstance(inner, dict):
                self.complain(where, f"cannot be set: {name} holds a single value, not a block")
                return
        inner[where[-1]] = value

    def replace(self, where: Where, value: Any, source: str) -> None:
        """Set the value at ``where`` and forget where it stood before."""
        self._forget(where)
        self.put(where, value, source)

    def _forget(self, where: Where) -> None:
        for known in [known for known in self.notes.places if known[: len(where)] == where]:
            del self.notes.places[known]


def read(path: Path, *, shown: str | None = None, assignments: Sequence[str] = (), is_block: Callable[[Where], bool]
         ) -> Parameters:  # fmt: skip
    """Read a parameter file and the assignments over it; ``shown`` is how messages call the file.

    ``is_block`` tells the names that hold other names and so cannot be assigned. Raises UsageError where there is
    nothing to read values from: no file, not UTF-8, no YAML, no mapping at the top.
    """
    parameters = Parameters(shown or str(path))
    text = _text(path, parameters.source)
    tree = strict_yaml.read(text, parameters.notes, source=parameters.source)
    if not isinstance(tree, dict):
        problem = Problem(Place(parameters.source), (), "must hold blocks of names and values, like 'model: fraud'")
        raise refusal(parameters.notes.problems or [problem])
    parameters.tree = tree
    for assignment in assignments:
        parameters.assign(assignment, is_block=is_block)
    return parameters


def _text(path: Path, shown: str) -> str:
    try:
        _must_be_a_file(path, shown)
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{clipped(shown)} cannot be read: {reason}") from error
    if len(content) > MAXIMUM_BYTES:
        raise UsageError(f"{shown} is larger than {MAXIMUM_BYTES // 1024} KiB: that is no parameter file")
    return _decoded(content, shown)


def _must_be_a_file(path: Path, shown: str) -> None:
    if path.is_dir():
        raise UsageError(f"{shown} is a folder; a parameter file is wanted")
    if not path.exists():
        known = [file.name for file in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise UsageError(f"{shown}: there is no such file.{nearest(path.name, known)}")
    if not path.is_file():
        raise UsageError(f"{shown} is not a regular file")


def _decoded(content: bytes, shown: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{shown}, line {line}: this is not UTF-8 text; save the file as UTF-8") from error
    if not text.strip():
        raise UsageError(f"{shown} is empty")
    return text


def _not_assignable(name: str, equals: str, value: str, *, is_block: Callable[[Where], bool]) -> str | None:
    if not equals or not _NAMES.fullmatch(name):
        return "is not an assignment: write section.name=value"
    if name == "environment":
        return "cannot be set: choose the environment with --environment"
    if looks_secret(name.rpartition(".")[2], None if value in ("null", "~") else value):
        return KEEP_OUT
    if is_block(tuple(name.split("."))):
        return f"is a block: set one of its names, as in {name}.name=value"
    if re.search(r"(^|\s)#", value) and value[0] not in "\"'":
        return "holds a '#', which begins a comment: put the value in quotes"
    return None


def _shown(name: str, equals: str, value: str) -> str:
    if not equals:
        return f"--set {clipped(name)}"
    secret = any(looks_secret(part, value) for part in name.split("."))
    return f"--set {clipped(name)}={'…' if secret else clipped(value)}"
