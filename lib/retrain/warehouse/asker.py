"""Asking one question: the statement, its bound values, the evidence, and clear words where it fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar

from retrain.checks import Evidence
from retrain.clock import Clock
from retrain.errors import RetrainError, UsageError, nearest
from retrain.warehouse.answers import Feature, digest
from retrain.warehouse.connection import Connections
from retrain.warehouse.failures import listed, missing_column, missing_table, of_query
from retrain.warehouse.statements import Sql, identifier, load, render

if TYPE_CHECKING:
    from snowflake.connector.errors import Error

__all__ = ["COLUMNS", "Asker", "Rows", "ntz"]

Rows = tuple[dict[str, Any], ...]
T = TypeVar("T")

COLUMNS: dict[str, tuple[str, ...]] = {
    "data_quality": ("run_id", "timestamp", "check_name", "status", "details"),
    "incidents": ("incident_id", "opened_at", "status", "severity", "title", "details", "opened_by"),
    "model_metrics": (
        *("model", "model_version", "kind", "window_start", "window_end", "recorded_at", "requests", "labels"),
        *("tp", "fp", "fn", "tn", "f1", "precision", "recall", "auc_roc", "latency_p99_seconds", "slow_requests"),
        *("trained_at", "reference_start", "reference_end"),
    ),
}
"""What the queries read of each table; of TRANSACTIONS they read the columns that the settings name."""

_NUMERIC = ("FLOAT", "DOUBLE", "REAL", "NUMBER", "DECIMAL", "NUMERIC", "INT", "BIGINT", "SMALLINT", "TINYINT")
_TEXT = ("VARCHAR", "TEXT", "STRING", "CHAR", "BOOLEAN")


def ntz(instant: datetime) -> datetime:
    """Return an aware instant as the naive UTC timestamp that the NTZ columns hold."""
    if instant.tzinfo is None:
        raise ValueError("a timestamp needs an offset, for example 2013-06-09T02:00:00Z")
    return instant.astimezone(UTC).replace(tzinfo=None)


class Asker:
    """Knows the tables, the columns and the features by name, and asks one query at a time of a connection."""

    def __init__(
        self,
        connections: Connections,
        *,
        tables: Mapping[str, str],
        columns: Mapping[str, str],
        features: Sequence[str] | None,
        clock: Clock,
        place: str,
        timeout_seconds: int,
    ) -> None:
        """Check every name; ask nothing yet. ``place`` is database.schema, for messages.

        Raises UsageError for a name that is no plain identifier."""
        self.tables = {key: identifier(name, setting=f"warehouse.tables.{key}") for key, name in tables.items()}
        self.columns = {key: identifier(name, setting=f"warehouse.columns.{key}") for key, name in columns.items()}
        self._wanted = None if features is None else tuple(features)
        self._connections = connections
        self._clock = clock
        self._place = place
        self._timeout_seconds = timeout_seconds
        self._described: dict[str, dict[str, str]] = {}
        self._of_all: Mapping[str, Any] = {}
        self._of_thread = local()

    @property
    def tag(self) -> Mapping[str, Any]:
        """The QUERY_TAG of what is asked from here on; a question that was begun earlier keeps its own."""
        return getattr(self._of_thread, "tag", self._of_all)

    @tag.setter
    def tag(self, tag: Mapping[str, Any]) -> None:
        self._of_all = tag

    def as_now(self, call: Callable[[], T]) -> Callable[[], T]:
        """Return ``call`` for a thread of its own: what it asks there, however late, carries the tag of now."""
        tag = self.tag

        def asked() -> T:
            self._of_thread.tag = tag
            return call()

        return asked

    def ask(
        self, name: str, binds: Sequence[Any] = (), *, names: Mapping[str, Sql | Sequence[Sql]] | None = None
    ) -> tuple[Rows, Evidence]:
        """Ask ``sql/<name>.sql``; ``names`` are placeholders beyond the tables and columns of the settings.

        Raises UsageError where the connection, a table, a column or a privilege is wrong, WarehouseError otherwise.
        """
        from retrain.warehouse.driver import connector

        sql = render(load(name), {**self.tables, **self.columns, **(names or {})})
        try:
            fetched = self._connections.fetch(sql, binds, tag=self.tag)
        except connector.Error as error:
            raise self._explain(error, name) from None
        evidence = Evidence(
            source="warehouse",
            at=self._clock.now(),
            query_id=fetched.query_id,
            sql_sha256=hashlib.sha256(sql.encode()).hexdigest(),
            result_sha256=digest(fetched.rows),
            rows=len(fetched.rows),
            note=_note(name, binds),
        )
        return fetched.rows, evidence

    def describe(self, table: str) -> dict[str, str]:
        """Return the columns of one of the four tables, exact name → type, asked once."""
        if table not in self._described:
            rows, _ = self.ask("describe_table", names={"table": self.tables[table]})
            self._described[table] = {str(row["name"]): str(row["type"]).upper() for row in rows}
        return self._described[table]

    def features(self) -> tuple[Feature, ...]:
        """Return what the model reads: the features of the settings, or every other column of TRANSACTIONS.

        Names are as the settings spell them; a discovered column in plain upper case is spelled in lower case.
        Raises UsageError for a feature that is not there, or a column that is neither a number nor text.
        """
        self.require("transactions")  # a column that is misspelled in the settings must not pass for a feature
        types = self.describe("transactions")
        taken = {name.upper() for name in self.columns.values()}
        if self._wanted is None:
            found = [(name.lower() if name.isupper() else name, name) for name in types if name.upper() not in taken]
        else:
            found = [(name, self._column(name, types)) for name in self._wanted]
        columns = [column for _, column in found]
        for column in columns:
            if column.upper() in taken or columns.count(column) > 1:
                why = "is no feature" if column.upper() in taken else "is named twice"
                raise UsageError(f"warehouse.features: column {column!r} {why}.")
        if not found:
            raise UsageError(f"table {self.tables['transactions']} has no column that a model could read.")
        return tuple(Feature(name=name, column=column, kind=_kind(column, types[column])) for name, column in found)

    def require(self, table: str) -> None:
        """Raise UsageError unless ``table`` has every column that the queries read of it."""
        types = self.describe(table)
        wanted = tuple(self.columns.values()) if table == "transactions" else COLUMNS[table]
        known = {name.upper() for name in types}
        for column in wanted:
            if column.upper() not in known:
                raise self._no_column(column, self.tables[table], types)

    def _column(self, name: str, types: Mapping[str, str]) -> str:
        for column in types:
            if name in (column, column.lower()) or name.upper() == column:
                return column
        raise self._no_column(name, self.tables["transactions"], types, setting="warehouse.features: ")

    def _explain(self, error: Error, name: str) -> RetrainError:
        if column := missing_column(error):
            table = next((key for key in self.tables if f"{{{key}}}" in load(name)), None)
            if table is not None:
                return self._no_column(column, self.tables[table], self.describe(table))
        if (table := missing_table(error)) and name != "tables":
            return self._no_table(table)
        return of_query(error, name=name, place=self._place, timeout_seconds=self._timeout_seconds)

    def _no_column(
        self, column: str, table: str, types: Mapping[str, str], *, setting: str | None = None
    ) -> UsageError:
        if setting is None:
            key = next((key for key, name in self.columns.items() if name.upper() == column.upper()), None)
            setting = f"warehouse.columns.{key}: " if key else ""
        hint = nearest(column.upper(), types)
        return UsageError(f"{setting}table {table} has no column {column!r}.{hint} It has: {listed(types)}.")

    def _no_table(self, table: str) -> UsageError:
        last = table.split(".")[-1].upper()
        key = next((key for key, name in self.tables.items() if name.split(".")[-1].upper() == last), None)
        rows, _ = self.ask("tables")
        known = [str(row["table_name"]) for row in rows]
        setting = f"warehouse.tables.{key}: " if key else ""
        return UsageError(
            f"{setting}no table {table!r} in {self._place}, or no right to see it."
            f"{nearest(last, known)} There is: {listed(known)}."
        )


def _kind(column: str, type_name: str) -> Any:
    if type_name.startswith(_NUMERIC):
        return "numeric"
    if type_name.startswith(_TEXT):
        return "text"
    raise UsageError(
        f"TRANSACTIONS column {column!r} is {type_name}, neither a number nor text:"
        " name the features that the model reads in warehouse.features."
    )


def _note(name: str, binds: Sequence[Any]) -> str:
    text = ", ".join(bind.isoformat() if isinstance(bind, datetime) else str(bind) for bind in binds)
    return f"{name}({text if len(text) <= 300 else f'{len(binds)} values'})"
