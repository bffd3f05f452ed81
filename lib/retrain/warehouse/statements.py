"""SQL text: read from ``sql/*.sql``, with names put in and values left to be bound.

This is the only place where a name becomes part of a statement. A placeholder such as ``{transactions}`` takes an
``Sql``, and an ``Sql`` comes only from ``identifier``, ``quoted`` and ``render``: a string from a file or a person
cannot get in unless it looks like a plain identifier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from retrain.errors import UsageError

__all__ = ["Sql", "identifier", "load", "quoted", "render"]

_PART = r"[A-Za-z_][A-Za-z0-9_$]{0,254}"
_COLUMN = re.compile(_PART)
_TABLE = re.compile(rf"{_PART}(\.{_PART}){{0,2}}")
_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")


class Sql(str):
    """Text that may stand in a statement."""

    __slots__ = ()


def identifier(name: str, *, setting: str) -> Sql:
    """Return ``name`` (at most ``database.schema.table``) as SQL; refuse it, naming ``setting``, if it is no name."""
    if not _TABLE.fullmatch(name):
        raise UsageError(
            f"{setting}: {name!r} is not a plain identifier (letters, digits, _ and $, parts joined by dots)."
        )
    return Sql(name)


def quoted(column: str) -> Sql:
    """Return ``column`` in quotes, so that its case is kept; refuse what is no plain identifier."""
    if not _COLUMN.fullmatch(column):
        raise UsageError(
            f"column {column!r} is not a plain identifier (letters, digits, _ and $): rename it in a view."
        )
    return Sql(f'"{column}"')


@cache
def load(name: str) -> str:
    """Return the text of ``sql/<name>.sql``."""
    return files("retrain.warehouse").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def render(template: str, names: Mapping[str, Sql | Sequence[Sql]]) -> Sql:
    """Put ``names`` into the placeholders of ``template``; a sequence is joined by commas.

    Raises KeyError for a placeholder without a name and TypeError for a name that is not ``Sql``.
    """
    return Sql(_PLACEHOLDER.sub(lambda match: _text(names[match.group(1)]), template))


def _text(value: Sql | Sequence[Sql]) -> str:
    if isinstance(value, Sql):
        return value
    if isinstance(value, str) or not all(isinstance(part, Sql) for part in value):
        raise TypeError(f"only names that were checked may stand in a statement, not {value!r}")
    return ",\n  ".join(value)
