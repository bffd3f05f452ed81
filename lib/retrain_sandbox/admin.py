"""Callers of the warehouse's admin interface: loading tables in bulk and changing what already arrived.

Only the process that owns the database can do this quickly; see ``retrain_sandbox.warehouse`` for the endpoints.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from retrain_sandbox import state
from retrain_sandbox.cache import transactions_parquet
from retrain_sandbox.errors import SandboxDown, SandboxError

__all__ = ["empty", "execute", "health", "load", "restore_transactions"]

TIMEOUT_SECONDS = 120.0


def load(home: Path, table: str, parquet: Path, *, mode: Literal["replace", "append"]) -> int:
    """Load ``parquet`` into ``table`` by column names and return the table's rows.

    TRANSACTIONS means all rows, also those still to arrive; replacing it takes whatever columns the file has.
    """
    body = {"table": table, "parquet": str(parquet.resolve()), "mode": mode}
    return int(_request(home, "POST", "/sandbox/load", body)["rows"])


def execute(home: Path, statements: Sequence[str]) -> list[list[Any]]:
    """Run DuckDB statements in one transaction and return the rows of the last.

    All rows of TRANSACTIONS, also those still to arrive, are RETRAIN.SANDBOX.ARRIVALS.
    """
    rows: list[list[Any]] = _request(home, "POST", "/sandbox/sql", {"statements": list(statements)})["rows"]
    return rows


def empty(home: Path, *tables: str) -> None:
    """Delete every row of ``tables``: DATA_QUALITY, INCIDENTS, MODEL_METRICS, or one that a run has made."""
    execute(home, [f"DELETE FROM RETRAIN.PUBLIC.{_identifier(table)}" for table in tables])  # noqa: S608 - an identifier


def restore_transactions(home: Path) -> int:
    """Let TRANSACTIONS be the data as built, and return its rows."""
    return load(home, "TRANSACTIONS", transactions_parquet(state.cache_directory(home)), mode="replace")


def health(port: int, *, path: str = "/sandbox/health", timeout: float = 1.0) -> dict[str, Any] | None:
    """Return what the server on ``port`` says of itself, or None when nobody answers in JSON."""
    try:
        status, body = _exchange(port, "GET", path, None, {}, timeout)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return body if status == http.client.OK else None


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"{name!r} is not the name of a table")
    return name


def _request(home: Path, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    current = state.read(home)
    if current is None or current.warehouse is None:
        raise SandboxDown(f"The sandbox in {home} is not up: run `retrain sandbox up`.")
    headers = {"X-Sandbox-Token": current.token, "Content-Type": "application/json"}
    try:
        status, answer = _exchange(current.warehouse.port, method, path, body, headers, TIMEOUT_SECONDS)
    except OSError as error:
        raise SandboxDown(f"The sandbox's warehouse in {home} does not answer ({error}).") from error
    except (http.client.HTTPException, ValueError) as error:
        raise SandboxError(
            f"What answers {path} for the sandbox in {home} is no warehouse of it ({error!r})."
        ) from error
    if status != http.client.OK:
        raise SandboxError(f"The sandbox's warehouse refused {path}: {answer.get('error', status)}")
    return answer


def _exchange(
    port: int, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str], timeout: float
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(state.HOST, port, timeout=timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        answer = json.loads(response.read() or b"{}")
        return response.status, answer if isinstance(answer, dict) else {}
    finally:
        connection.close()
