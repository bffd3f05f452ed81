"""What the connector raises, in one clear sentence each.

RetrainError
├── UsageError       the connection, a table, a column or a privilege is wrong: nothing was changed
│   └── Unreachable  nobody answers there: wrong as well, or only away for a while
└── WarehouseError   a query failed in the middle of a run, or took too long: nothing was changed

Numbers are Snowflake's own error codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from retrain.errors import RetrainError, UsageError, nearest, shortened

if TYPE_CHECKING:
    from snowflake.connector.errors import Error

__all__ = [
    "Unreachable",
    "WarehouseError",
    "is_session_gone",
    "missing_column",
    "missing_table",
    "of_connecting",
    "of_query",
]

_CREDENTIALS = {250001, 390100, 390101, 390102, 390114, 390144, 390195, 394300, 394304}
_SESSION_GONE = {250002, 290401, 390104, 390110, 390111, 390112, 390114}
_NO_PRIVILEGE = {3001, 3003}
_TIMED_OUT = {604, 630}
_NO_WAREHOUSE = {606}
_NO_DATABASE = {90105, 90106}
_MISSING_OBJECT = {2003, 2043}
_COLUMN = re.compile(r"""invalid identifier '"?([^'"]+)"?'|column "?([\w$.]+)"? not found""", re.IGNORECASE)
_TABLE = re.compile(r"""(?:object|table|view)(?: with name)? '?"?([\w$.]+)"?'? does not exist""", re.IGNORECASE)


class Unreachable(UsageError):  # noqa: N818 - named for what is so
    """No connection could be opened, because nobody answers. Whoever was answered before may wait for it."""


class WarehouseError(RetrainError):
    """A query failed or took too long. Nothing was changed by it."""


def of_connecting(error: Error, arguments: Mapping[str, Any]) -> UsageError:
    """Say which connection could not be opened, and why."""
    where = _where(arguments)
    said = _said(error)
    if "connection_name" in said or "Default connection" in said:
        known = re.findall(r"'([^']+)'", said.partition("known ones are")[2])
        wanted = str(arguments.get("connection_name", "default"))
        return UsageError(
            f"warehouse.connection_name: no connection {wanted!r} in the connector's connections.toml."
            f"{nearest(wanted, known)} Known: {', '.join(known) or 'none'}."
        )
    if "Could not connect" in said:
        return Unreachable(f"The warehouse at {where} does not answer: is it up, and are account, host and port right?")
    if error.errno in _CREDENTIALS or getattr(error, "sqlstate", None) == "28000":
        user = arguments.get("user") or "the user of the connection"
        return UsageError(f"The warehouse at {where} refused the login of {user}: {said}")
    return UsageError(f"The warehouse at {where} could not be opened: {said}")


def of_query(error: Error, *, name: str, place: str, timeout_seconds: int) -> RetrainError:
    """Say why the query ``name`` failed, where neither a table nor a column was missing."""
    said = _said(error)
    if error.errno in _NO_PRIVILEGE:
        return UsageError(f"Query {name}: the role of this connection lacks a privilege: {said}")
    if error.errno in _NO_DATABASE:
        return UsageError(f"warehouse.database, warehouse.schema: there is no {place}, or no right to see it.")
    if error.errno in _NO_WAREHOUSE:
        return UsageError(f"Query {name}: the connection names no virtual warehouse to compute on: {said}")
    if error.errno in _TIMED_OUT or "timeout" in said.lower():
        return WarehouseError(
            f"Query {name} took longer than warehouse.statement_timeout_seconds = {timeout_seconds} and was cancelled."
        )
    return WarehouseError(f"Query {name} failed: {said}")


def missing_column(error: Error) -> str | None:
    """Return the column that the warehouse says it does not know, or None where that is not what it says."""
    found = _COLUMN.search(error.msg or "")
    return (found.group(1) or found.group(2)).split(".")[-1] if found else None


def missing_table(error: Error) -> str | None:
    """Return the table that the warehouse says it does not know, or None where that is not what it says."""
    if error.errno not in _MISSING_OBJECT:
        return None
    found = _TABLE.search(error.msg or "")
    return found.group(1) if found else None


def is_session_gone(error: Error) -> bool:
    """Return whether the warehouse forgot this session, so that a new one may ask again."""
    return error.errno in _SESSION_GONE


def listed(names: Iterable[str], *, most: int = 20) -> str:
    """Return the first names for a message, and how many there are beyond."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return (", ".join(known[:most]) or "none") + more


def _said(error: Error) -> str:
    text = error.raw_msg or error.msg or str(error)
    return shortened(text, 300)


def _where(arguments: Mapping[str, Any]) -> str:
    if host := arguments.get("host"):
        return f"{host}:{arguments.get('port', 443)}"
    if account := arguments.get("account"):
        return f"account {account!r}"
    return f"connection {arguments.get('connection_name', 'default')!r}"
