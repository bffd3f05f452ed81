"""The head of a record in a table of the warehouse: a row for each push, so that what was pushed stays to be seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain.clock import wall
from retrain.errors import RetrainError, shortened
from retrain.ledger.chain import Head
from retrain.ledger.problems import LedgerError, StoreError
from retrain.warehouse.asker import ntz
from retrain.warehouse.connection import Connections
from retrain.warehouse.failures import missing_table
from retrain.warehouse.statements import identifier, load, render

if TYPE_CHECKING:
    import socket

__all__ = ["WarehouseHead", "errand"]

_SECONDS = 30
_LONGEST = 65_536
_SAID = 10_000


class WarehouseHead:
    """Keeps the head of ``model``'s chain in ``table``, which is made if it is not there.

    ``record`` tells two records of one model apart, such as two folders of a sandbox. Nothing connects before the
    first question. What fails is a StoreError: whether a push arrived is then not known, and a later one mends it.
    """

    def __init__(
        self,
        connect_arguments: Mapping[str, Any],
        *,
        table: str,
        model: str,
        record: str,
        now: Callable[[], datetime] = wall,
    ) -> None:
        """Take the connector's arguments, and database and schema among them; check the table's name."""
        self._table = identifier(table, setting="records.heads_table")
        self._connections = Connections(connect_arguments, statement_timeout_seconds=_SECONDS)
        self._model, self._record, self._now = model, record, now
        self.place = f"warehouse table {table}"

    def push(self, head: Head) -> None:
        """Keep ``head``; LedgerError where a later one, or another of the same number, is kept already."""
        row = [self._model, self._record, head.number, head.sha256, ntz(self._now())]
        binds = [*row, self._model, self._record, head.number]
        try:
            self._ask("push_head", binds, about=head)
        except _NoTableError:
            self._ask("create_heads", [], about=head)
            self._ask("push_head", binds, about=head)
        kept = self._kept(about=head)
        if kept != head:
            told = "none" if kept is None else f"entry {kept.number} ({kept.sha256[:16]}…)"
            raise LedgerError(f"{self.place} keeps {told}, and {head.number} is no later one")

    def read(self) -> Head | None:
        """Return the newest head that is kept, None where there is none yet."""
        return self._kept(about=None)

    def close(self) -> None:
        """Close the connection."""
        self._connections.close()

    def _kept(self, *, about: Head | None) -> Head | None:
        try:
            rows = self._ask("read_head", [self._model, self._record], about=about)
        except _NoTableError:
            return None
        return Head(int(rows[0]["number"]), str(rows[0]["sha256"])) if rows else None

    def _ask(self, name: str, binds: Sequence[Any], *, about: Head | None) -> tuple[dict[str, Any], ...]:
        """Ask; the query is tagged with the entry that ``about`` is and its run: None before there is a run."""
        from retrain.warehouse.driver import connector

        sql = render(load(name), {"heads": self._table})
        named = {"run": None, "entry": None} if about is None else {"run": about.run, "entry": about.number}
        try:
            return self._connections.fetch(sql, binds, tag={"head": self._model, **named}).rows
        except connector.Error as error:
            if missing_table(error):
                raise _NoTableError(str(error)) from None
            raise StoreError(f"{self.place}: {name} failed: {shortened(error.msg or '', 300)}") from error
        except RetrainError as error:
            raise StoreError(f"{self.place}: {error}") from error


class _NoTableError(StoreError):
    """The table is not there yet."""


def errand(arguments: Mapping[str, Any], channel: socket.socket) -> None:
    """Read and push for another process, until it hangs up: it sends a head to push, or null to be told what is kept.

    Answers are ``{"kept": …}``, or ``{"error": kind, "message": …}`` for what was raised.
    """
    place = WarehouseHead(**arguments)
    while asked := channel.recv(_LONGEST):
        head = json.loads(asked)
        try:
            if head is not None:
                place.push(Head(**head))
            kept = None if head is not None else place.read()
            told: dict[str, Any] = {"kept": None if kept is None else asdict(kept)}
        except Exception as error:  # noqa: BLE001 - raised where the answer is read
            told = {"error": _kind(error), "message": str(error)[:_SAID]}
        channel.send(json.dumps(told).encode())
    place.close()


def _kind(error: Exception) -> str:
    kinds = (StoreError, LedgerError, RetrainError)
    return next((kind.__name__ for kind in kinds if isinstance(error, kind)), type(error).__name__)
