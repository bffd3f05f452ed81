"""Mends for fakesnow 0.12.1, each with a test that tells when a new release makes it unnecessary.

 1. NULL timestamps come back as 1970            null_timestamps
 2. an unsupported statement is an HTTP 500,     ordinary_errors, answer
    which the connector retries for half a minute
 3. bound floats are strings, bound fractions    bindings
    of a Decimal crash
 4. the results cache never forgets              Results
 5. abort does nothing                           abort
 6. two queries of one session at once mix up    answer (one at a time)
 7. ALTER SESSION of what is not kept fails      LET_THROUGH
 8. anybody may log in, and any database name    login; ``prepare`` in ``tables``
    makes a database
 9. temporary folders stay behind                ``warehouse`` sets the temporary directory first
10. INFORMATION_SCHEMA.TABLES lists no views     list_views
11. a query is parsed three times, which takes   parsed, described
    longer than the query

Import this only in the warehouse's process, after ``tempfile.tempdir`` is set: fakesnow makes a folder when imported.
"""

from __future__ import annotations

import asyncio
import gzip
import hmac
import importlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from decimal import Decimal
from functools import lru_cache, wraps
from typing import Any

import duckdb
import fakesnow.arrow
import fakesnow.cursor
import fakesnow.dialect
import fakesnow.info_schema
import pyarrow as pa
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import DatabaseError, Error, ProgrammingError
from sqlglot import Expr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = ["LET_THROUGH", "Results", "abort", "answer", "apply", "forget_session", "list_views", "login"]

server: Any = importlib.import_module("fakesnow.server")  # by name: the package has a function of the same name

RESULTS_BYTES = 64 * 1024 * 1024
PARAMETERS = r"QUERY_TAG|STATEMENT_TIMEOUT_IN_SECONDS|STATEMENT_QUEUED_TIMEOUT_IN_SECONDS|LOCK_TIMEOUT"
LET_THROUGH = [
    rf"\s*ALTER\s+SESSION\s+SET\s+({PARAMETERS})\s*=",
    rf"\s*ALTER\s+SESSION\s+UNSET\s+({PARAMETERS})\b",
    r"\s*ALTER\s+SESSION\s+SET\s+TIMEZONE\s*=\s*'(UTC|Etc/UTC)'\s*;?\s*$",  # what it is anyway
]
NOT_SUPPORTED, NOT_SUPPORTED_STATE = 2, "0A000"  # Snowflake's 000002
TABLES_AND_VIEWS = """
    SELECT database_name, schema_name, table_name, estimated_size, 'BASE TABLE' AS kind FROM duckdb_tables()
    UNION ALL SELECT database_name, schema_name, view_name, NULL, 'VIEW' FROM duckdb_views() WHERE NOT internal"""
UNSUPPORTED = "The sandbox's warehouse does not support this statement"
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
LOCKED, CANCELLED, CANCELLED_STATE = 625, 604, "57014"
UNKNOWN_COLUMN, UNKNOWN_COLUMN_STATE = 904, "42000"
BINDER_ERROR = 2043  # what fakesnow gives for every binder error
WRONG_LOGIN = "390100"

_originals: dict[str, Callable[..., Any]] = {}
_turns: dict[str, asyncio.Lock] = {}  # session token -> one query at a time
_running: dict[str, str] = {}  # request id -> session token


def apply(shared: FakeSnow) -> None:
    """Mend fakesnow in this process, and let every session use ``shared``."""
    if not _originals:
        _originals["timestamps"] = fakesnow.arrow.timestamp_to_sf_struct
        _originals["binding"] = server.from_binding
        _originals["execute"] = FakeSnowflakeCursor.execute
        _originals["describe"] = FakeSnowflakeCursor._describe_last_sql
        fakesnow.arrow.timestamp_to_sf_struct = null_timestamps
        server.from_binding = bindings
        FakeSnowflakeCursor.execute = ordinary_errors(FakeSnowflakeCursor.execute)  # type: ignore[method-assign]
        server.parse_one = fakesnow.cursor.parse_one = parsed  # type: ignore[attr-defined]
        FakeSnowflakeCursor._describe_last_sql = described  # type: ignore[method-assign, assignment]
    shared.results_cache = Results(RESULTS_BYTES)  # type: ignore[assignment]
    shared.nop_regexes = LET_THROUGH
    server.shared_fs = shared


def list_views(duck: duckdb.DuckDBPyConnection, database: str) -> None:
    """Let INFORMATION_SCHEMA.TABLES of ``database`` list views too, as Snowflake's does."""
    made = fakesnow.info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW.substitute(catalog=database)
    mended = made.replace("create view if not exists", "create or replace view").replace("'BASE TABLE'", "tables.kind")
    duck.execute(mended.replace("from duckdb_tables tables", f"from ({TABLES_AND_VIEWS}) tables"))


def null_timestamps(ts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return timestamps as the connector wants them, NULL staying NULL."""
    whole = ts.combine_chunks() if isinstance(ts, pa.ChunkedArray) else ts
    struct = _originals["timestamps"](whole)
    if not whole.null_count:
        return struct
    children = [child.fill_null(0) for child in struct.flatten()]  # the fields may hold no NULL, the struct may
    return pa.StructArray.from_arrays(children, fields=list(struct.type), mask=whole.is_null())


def bindings(binding: dict[str, Any]) -> Any:
    """Return a bound value as Python's: REAL as float, a FIXED with a fraction as Decimal."""
    kind, value = binding["type"], binding["value"]
    if kind == "REAL" and value is not None:
        return float(value)
    if kind == "FIXED" and value is not None and not re.fullmatch(r"[+-]?\d+", value):
        return Decimal(value)
    return _originals["binding"](binding)


def parsed(command: str) -> Expr:
    """Parse a statement as fakesnow does, one that was parsed before by copying what came of it."""
    return _parsed(command).copy()


@lru_cache(maxsize=128)
def _parsed(command: str) -> Expr:
    return fakesnow.dialect.parse_one(command)


def described(cursor: FakeSnowflakeCursor) -> list[Any]:
    """Return the columns of the last result as DuckDB tells them of a plain query, whose text it has understood."""
    sql = COMMENT.sub("", cursor._last_sql or "")
    if not re.match(r"\s*(SELECT|WITH)\b", sql) or ";" in sql:  # two statements, where it sets a seed
        return list(_originals["describe"](cursor))
    with cursor._conn.cursor() as other:
        return list(other._duck_conn.execute(f"DESCRIBE {sql}", cursor._last_params).fetchall())


def ordinary_errors(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``execute`` raising only what the server answers as Snowflake would, never what becomes an HTTP 500."""

    @wraps(execute)
    def mended(self: FakeSnowflakeCursor, *args: Any, **kwargs: Any) -> Any:
        try:
            return execute(self, *args, **kwargs)
        except Error as error:
            raise _named_as_snowflake(error) from error
        except Exception as error:  # every one is answered to the client, with its cause
            raise _as_programming_error(error) from error

    return mended


def _named_as_snowflake(error: Error) -> Error:
    message = error.msg or str(error)
    unknown = re.search(r'Referenced column "(\w+)" not found|column named "(\w+)"', message)
    if error.errno == BINDER_ERROR and unknown:
        text = f"SQL compilation error: invalid identifier '{unknown[1] or unknown[2]}' ({message.splitlines()[0]})"
        return ProgrammingError(text, errno=UNKNOWN_COLUMN, sqlstate=UNKNOWN_COLUMN_STATE)
    if isinstance(error, ProgrammingError) and error.errno is not None and error.errno >= 0:
        return error
    return ProgrammingError(message, errno=max(error.errno or 0, NOT_SUPPORTED), sqlstate=error.sqlstate)


def _as_programming_error(error: Exception) -> ProgrammingError:
    if isinstance(error, duckdb.InterruptException):
        return ProgrammingError("SQL execution canceled", errno=CANCELLED, sqlstate=CANCELLED_STATE)
    if isinstance(error, duckdb.TransactionException):
        text = f"Statement could not be executed: another transaction changed the same rows ({error})"
        return ProgrammingError(text, errno=LOCKED, sqlstate=CANCELLED_STATE)
    text = f"{UNSUPPORTED}: {type(error).__name__}: {error}"
    return ProgrammingError(text, errno=NOT_SUPPORTED, sqlstate=NOT_SUPPORTED_STATE)


class Results(MutableMapping[str, tuple[Any, ...]]):
    """Results by query id, the oldest forgotten when all together are larger than ``limit`` bytes. The newest stays."""

    def __init__(self, limit: int) -> None:
        """Take the limit in bytes."""
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[str, tuple[Any, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def __setitem__(self, query: str, result: tuple[Any, ...]) -> None:
        """Keep ``result`` (its first item the Arrow table) and forget what is too much."""
        with self._lock:
            self._size += _bytes(result) - _bytes(self._kept.pop(query, None))
            self._kept[query] = result
            while self._size > self._limit and len(self._kept) > 1:
                self._size -= _bytes(self._kept.popitem(last=False)[1])

    def __getitem__(self, query: str) -> tuple[Any, ...]:
        """Return the result of ``query``."""
        return self._kept[query]

    def __delitem__(self, query: str) -> None:
        """Forget the result of ``query``."""
        with self._lock:
            self._size -= _bytes(self._kept.pop(query))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the query ids, the oldest first."""
        return iter(list(self._kept))

    def __len__(self) -> int:
        """Return how many results are kept."""
        return len(self._kept)


def _bytes(result: tuple[Any, ...] | None) -> int:
    return result[0].nbytes + 1024 if result else 0  # 1024: about what the parsed statement weighs


async def login(request: Request, *, user: str, password: str) -> Response:
    """Answer a login: a wrong user or password is refused as Snowflake does (the connector's 250001)."""
    data = (await _body(request)).get("data", {})
    given = (str(data.get("LOGIN_NAME", "")).upper(), str(data.get("PASSWORD", "")))
    right = [hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(given, (user.upper(), password), strict=True)]
    if not all(right):  # both were compared, whichever is wrong
        return _failure("Incorrect username or password was specified.", WRONG_LOGIN, state=None)
    response: Response = await server.login_request(request)
    return response


async def answer(request: Request) -> Response:
    """Answer a query: one at a time in a session, and never with an HTTP 500."""
    token = request.headers.get("Authorization", "")
    number = request.query_params.get("requestId", "")
    async with _turns.setdefault(token, asyncio.Lock()):
        _running[number] = token
        try:
            response: Response = await server.query_request(request)
        except DatabaseError as error:
            return _failure(error.msg or str(error), f"{max(error.errno or 0, 0):06d}", error.sqlstate)
        except Exception as error:  # noqa: BLE001 - answered to the client; the connector would retry a 500
            mended = _as_programming_error(error)
            return _failure(str(mended.msg), f"{mended.errno:06d}", mended.sqlstate)
        finally:
            _running.pop(number, None)
    if response.status_code == 500:
        text = f"{UNSUPPORTED}: {json.loads(bytes(response.body))['message']}"
        return _failure(text, f"{NOT_SUPPORTED:06d}", NOT_SUPPORTED_STATE)
    return response


async def abort(request: Request) -> Response:
    """Interrupt the statement that the request names (by ``requestId`` in the body), if it still runs."""
    named = str((await _body(request)).get("requestId", ""))
    token = _running.get(named)
    session = server.sessions.get(token[17:-1]) if token else None
    if session is not None:
        session._duck_conn.interrupt()
    return JSONResponse({"data": None, "code": None, "message": None, "success": True})


async def forget_session(request: Request) -> Response:
    """Answer a heartbeat or the end of a session, and forget its turn with it."""
    response: Response = await server.session(request)
    if request.query_params.get("delete"):
        _turns.pop(request.headers.get("Authorization", ""), None)
    return response


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        raw = gzip.decompress(raw)
    parsed: dict[str, Any] = json.loads(raw) if raw else {}
    return parsed


def _failure(message: str, code: str, state: str | None) -> JSONResponse:
    data = {"errorCode": code, "sqlState": state}
    return JSONResponse({"data": data, "code": code, "message": message, "success": False, "headers": None})
