"""Connections to the warehouse: opened on the first query, one for each query that runs at the same time."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from retrain.warehouse.answers import plain
from retrain.warehouse.failures import is_session_gone, of_connecting

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

__all__ = ["Connections", "Fetched", "connect"]

_LOGIN_TIMEOUT_SECONDS = 15

_decoding = Lock()
"""Held while rows are decoded, which takes no time and waits for nothing: answers come whole, and every one is short.

The connector's decoder sets itself up on first use, by ``std::call_once`` while it holds the interpreter: two threads
in their first answers wait for each other for ever, and no signal ends it (4.8; its Logger::log and initPyDecimal).
"""


@dataclass(frozen=True)
class Fetched:
    """The rows of one query, names in lower case and values plain, and the warehouse's id of it."""

    query_id: str | None
    rows: tuple[dict[str, Any], ...]


def connect(arguments: Mapping[str, Any]) -> SnowflakeConnection:
    """Open a connection with ``?`` for bound values, a session in UTC, and time-outs.

    ``arguments`` are those of ``snowflake.connector.connect``. Without an account or a connection name the
    connector's default connection is taken. Raises UsageError when it cannot be opened.
    """
    logger = logging.getLogger("snowflake.connector")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)  # retries and warnings of the connector are not for people: errors are raised
    from retrain.warehouse.driver import connector  # half a second: only for those who ask

    chosen = {**_default(arguments), **arguments, **_fixed(arguments)}
    try:
        return connector.connect(**chosen)
    except connector.Error as error:
        raise of_connecting(error, chosen) from None


def _default(arguments: Mapping[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {"login_timeout": _LOGIN_TIMEOUT_SECONDS}
    if not arguments.get("account") and not arguments.get("connection_name"):
        chosen["connection_name"] = os.environ.get("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "default")
    return chosen


def _fixed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    session = {**(arguments.get("session_parameters") or {}), "TIMEZONE": "UTC", "CLIENT_TELEMETRY_ENABLED": False}
    return {
        "application": "retrain",
        "autocommit": True,
        "client_session_keep_alive": False,
        "paramstyle": "qmark",
        "platform_detection_timeout_seconds": 0.0,  # no questions to a cloud's metadata address
        "session_parameters": session,
    }


class Connections:
    """The connections of one run: a query takes an idle one or opens another, and puts it back."""

    def __init__(self, arguments: Mapping[str, Any], *, statement_timeout_seconds: int) -> None:
        """Take the connector's arguments and the seconds that a statement may take; open nothing yet."""
        session = {
            **(arguments.get("session_parameters") or {}),
            "STATEMENT_TIMEOUT_IN_SECONDS": statement_timeout_seconds,
        }
        self._arguments = {**arguments, "session_parameters": session}
        self._timeout_seconds = statement_timeout_seconds
        self._idle: list[SnowflakeConnection] = []
        self._lock = Lock()

    def fetch(self, sql: str, binds: Sequence[Any], *, tag: Mapping[str, Any]) -> Fetched:
        """Run one statement and return all of its rows, which every statement here keeps few.

        ``tag`` becomes the statement's QUERY_TAG. A session that the warehouse has forgotten is replaced once: each
        statement here can be sent twice without harm. Raises the connector's errors.
        """
        from retrain.warehouse.driver import connector

        try:
            return self._run(self._take(), sql, binds, tag)
        except connector.Error as error:
            if not is_session_gone(error):
                raise
        return self._run(connect(self._arguments), sql, binds, tag)

    def close(self) -> None:
        """Close every connection."""
        while self._idle:
            _drop(self._idle.pop())

    def _take(self) -> SnowflakeConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return connect(self._arguments)

    def _run(self, connection: SnowflakeConnection, sql: str, binds: Sequence[Any], tag: Mapping[str, Any]) -> Fetched:
        """Run one statement; ``connection`` is idle afterwards, or closed where the warehouse forgot its session."""
        from retrain.warehouse.driver import connector

        try:
            fetched = self._execute(connection, sql, binds, tag)
        except connector.Error as error:
            if is_session_gone(error):
                _drop(connection)
            else:
                self._idle.append(connection)
            raise
        self._idle.append(connection)
        return fetched

    def _execute(
        self, connection: SnowflakeConnection, sql: str, binds: Sequence[Any], tag: Mapping[str, Any]
    ) -> Fetched:
        with connection.cursor() as cursor:
            cursor.execute(
                sql,
                tuple(binds),
                timeout=self._timeout_seconds,
                # a parameter of the statement: no ALTER SESSION, no second round trip
                _statement_params={"QUERY_TAG": json.dumps(tag, sort_keys=True)},
            )
            names = [column.name.lower() for column in cursor.description]
            with _decoding:
                rows = cursor.fetchall()
            return Fetched(cursor.sfqid, tuple(dict(zip(names, map(plain, row), strict=True)) for row in rows))


def _drop(connection: SnowflakeConnection) -> None:
    from retrain.warehouse.driver import connector

    with suppress(connector.Error):  # it may be gone already, which is what is wanted
        connection.close()
