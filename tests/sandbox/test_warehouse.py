"""The sandbox's warehouse over the real wire, and its mends of fakesnow.

Where a mend is tested, ``plain`` (fakesnow as released) shows the defect in the same test or the next: when that part
fails, the mend is not needed any more.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import snowflake.connector
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import DatabaseError, Error, ProgrammingError

from retrain_sandbox import admin, clock, data, state
from retrain_sandbox.errors import SandboxError

Connect = Callable[..., SnowflakeConnection]
ENDLESS = "SELECT count(*) FROM TRANSACTIONS a, TRANSACTIONS b WHERE a.temperature_f < b.wind_speed_mph * b.pressure_mb"


def ask(connection: SnowflakeConnection, sql: str, *values: Any, **options: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None, **options)
        return cursor.fetchall()


@pytest.fixture
def wire(connect: Connect) -> SnowflakeConnection:
    return connect(paramstyle="qmark", network_timeout=30)


@pytest.fixture(scope="module")
def plain_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Fakesnow as released, in its own process."""
    port = state.free_port()
    command = [sys.executable, "-m", "fakesnow", "-s", "--port", str(port)]
    scratch = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("plain"))}
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, env=scratch, **quiet) as process:
        deadline = time.monotonic() + 30
        while not _listens(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield port
        process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((state.HOST, port)) == 0


@pytest.fixture
def plain(plain_port: int) -> Iterator[SnowflakeConnection]:
    to = {"host": state.HOST, "port": plain_port, "protocol": "http", "account": "a", "database": "D", "schema": "S"}
    login = {"user": "anybody", "password": "anything"}
    connection = snowflake.connector.connect(**to, **login, paramstyle="qmark", network_timeout=1)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What fakesnow as released looks like inside, told by a process of its own."""
    scratch = tmp_path_factory.mktemp("released")
    code = """
import json, fakesnow, importlib
server = importlib.import_module("fakesnow.server")
def parsed():
    import fakesnow.cursor, fakesnow.dialect, sqlglot
    from unittest.mock import patch
    cursor = fakesnow.FakeSnow().connect().cursor()
    with patch("sqlglot.parse_one", wraps=sqlglot.parse_one) as told:
        fakesnow.dialect.parse_one("SELECT 1 AS only")  # as the server does first
        cursor.execute("SELECT 1 AS only")
        cursor._describe_last_sql()
    return sum("only" in str(call).lower() for call in told.call_args_list)
abort = next(route for route in server.routes if route.path.endswith("abort-request"))
print(json.dumps({
    "results": type(fakesnow.instance.FakeSnow().results_cache).__name__,
    "abort": abort.endpoint.__name__,
    "parsed": parsed(),
    "real": type(server.from_binding({"type": "REAL", "value": "1.5"})).__name__,
}))"""
    env = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"left": [path.name for path in scratch.iterdir()]}


# What a user of the warehouse relies on


def test_the_four_tables_are_listed(wire: SnowflakeConnection, plain: SnowflakeConnection) -> None:
    listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = CURRENT_SCHEMA()"
    found = ask(wire, listed)
    assert {name for (name,) in found} == {"TRANSACTIONS", "DATA_QUALITY", "INCIDENTS", "MODEL_METRICS"}
    ask(plain, "CREATE VIEW V AS SELECT 1 AS n")
    assert ask(plain, listed) == [], "mend 10 is not needed any more"


def test_the_columns_of_transactions_are_listed_in_order(wire: SnowflakeConnection) -> None:
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = ? ORDER BY ordinal_position"
    names = [name.lower() for (name,) in ask(wire, sql, "TRANSACTIONS")]
    assert names == ["transaction_id", "ingestion_timestamp", *data.FEATURES, "label"]


def test_rows_are_seen_once_the_clock_has_reached_them(wire: SnowflakeConnection, sandbox_home: Path) -> None:
    """The runbook's own query has no upper limit, and yet counts no row of the future."""
    newest = "SELECT max(ingestion_timestamp), count(*) FROM TRANSACTIONS"
    clock.set(sandbox_home, datetime(2013, 2, 1, tzinfo=UTC), rate=0)
    [(winter, few)] = ask(wire, newest)
    clock.set(sandbox_home, datetime(2013, 12, 31, tzinfo=UTC), rate=0)
    [(year, many)] = ask(wire, newest)
    assert winter <= datetime(2013, 2, 1) < year <= datetime(2013, 12, 31)
    assert 25_000 < few < 27_000 < 320_000 < many
    [(since,)] = ask(wire, "SELECT COUNT(*) FROM TRANSACTIONS WHERE ingestion_timestamp > '2013-12-30 12:00:00'")
    assert 0 < since < 700


def test_values_are_bound_on_the_server(wire: SnowflakeConnection) -> None:
    moment = datetime(2013, 5, 6, 7, 8, 9, 123456)
    sql = "SELECT ? = 'it''s', CAST(? AS TIMESTAMP_NTZ), CAST(? AS FLOAT) + 1, ? IS NULL"
    [(text, instant, number, nothing)] = ask(wire, sql, "it's", moment, 1.5, None)
    assert (text, number, nothing) == (True, 2.5, True)
    assert instant == moment


def test_a_query_has_an_id_and_may_be_fetched_later(wire: SnowflakeConnection) -> None:
    with wire.cursor() as cursor:
        cursor.execute_async("SELECT 41 + 1")
        query = cursor.sfqid
        assert query
        assert not wire.is_still_running(wire.get_query_status(query))
        cursor.get_results_from_sfqid(query)
        assert cursor.fetchall() == [(42,)]


def test_results_come_as_arrow_with_names_in_upper_case(wire: SnowflakeConnection) -> None:
    with wire.cursor() as cursor:
        cursor.execute("SELECT transaction_id, origin, label FROM TRANSACTIONS ORDER BY transaction_id LIMIT 2")
        frame = cursor.fetch_pandas_all()
    assert list(frame) == ["TRANSACTION_ID", "ORIGIN", "LABEL"]
    assert frame["TRANSACTION_ID"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("sql", "number", "sql_state"),
    [
        ("SELECT * FROM NO_SUCH_TABLE", 2003, "42S02"),
        ("SELECT no_such_column FROM TRANSACTIONS", 904, "42000"),
        ("SELEC 1", 1003, "42000"),
    ],
)
def test_what_is_missing_is_said_as_snowflake_says_it(
    wire: SnowflakeConnection, sql: str, number: int, sql_state: str
) -> None:
    with pytest.raises(ProgrammingError) as caught:
        ask(wire, sql)
    assert (caught.value.errno, caught.value.sqlstate) == (number, sql_state)


def test_a_query_costs_milliseconds(wire: SnowflakeConnection) -> None:
    """With Nagle's algorithm left on, each costs 40 ms more: the best of ten shows it on a busy machine too."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        ask(wire, "SELECT 1")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.035


# Mends


def test_null_timestamps_stay_null(wire: SnowflakeConnection, plain: SnowflakeConnection) -> None:
    sql = "SELECT * FROM (VALUES (1, NULL::timestamp_ntz), (2, '2013-01-02 03:04:05'::timestamp_ntz)) ORDER BY 1"
    assert ask(wire, sql) == [(1, None), (2, datetime(2013, 1, 2, 3, 4, 5))]
    assert ask(plain, sql)[0][1] == datetime(1970, 1, 1), "mend 1 is not needed any more"


def test_null_timestamps_with_a_zone_stay_null(wire: SnowflakeConnection) -> None:
    [(nothing, something)] = ask(wire, "SELECT NULL::timestamp_tz, '2013-01-02 03:04:05'::timestamp_tz")
    assert nothing is None
    assert something == datetime(2013, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_unsupported_is_an_error_at_once(wire: SnowflakeConnection) -> None:
    start = time.monotonic()
    with pytest.raises(ProgrammingError, match="does not support this statement"):
        ask(wire, "EXPLAIN SELECT 1")
    assert time.monotonic() - start < 5
    assert ask(wire, "SELECT 1") == [(1,)]


def test_plain_fakesnow_answers_the_unsupported_with_http_500(plain: SnowflakeConnection) -> None:
    with pytest.raises(Error) as caught:
        ask(plain, "EXPLAIN SELECT 1")
    assert not isinstance(caught.value, ProgrammingError), "mend 2 is not needed any more"


def test_a_write_conflict_is_an_error_at_once_and_the_other_wins(connect: Connect) -> None:
    first, second = connect(network_timeout=30), connect(network_timeout=30)
    ask(first, "INSERT INTO INCIDENTS (incident_id, title) VALUES ('conflict', 'a')")
    try:
        ask(first, "BEGIN")
        ask(first, "UPDATE INCIDENTS SET title = 'b' WHERE incident_id = 'conflict'")
        start = time.monotonic()
        with pytest.raises(ProgrammingError) as caught:
            ask(second, "UPDATE INCIDENTS SET title = 'c' WHERE incident_id = 'conflict'")
        assert caught.value.errno == 625
        assert time.monotonic() - start < 5
        ask(first, "COMMIT")
        assert ask(second, "SELECT title FROM INCIDENTS WHERE incident_id = 'conflict'") == [("b",)]
    finally:
        ask(first, "DELETE FROM INCIDENTS WHERE incident_id = 'conflict'")


def test_bound_numbers_are_numbers(wire: SnowflakeConnection, released: dict[str, Any]) -> None:
    assert ask(wire, "SELECT COUNT_IF(distance_miles > ?) = COUNT(*) FROM TRANSACTIONS", 1.5) == [(True,)]
    assert ask(wire, "SELECT CAST(? AS FLOAT)", Decimal("1.25")) == [(1.25,)]
    assert released["real"] == "str", "mend 3 is not needed any more"


def test_the_results_cache_is_bounded_by_bytes(released: dict[str, Any]) -> None:
    """The newest result stays however large it is: an asynchronous query is fetched from there."""
    code = """
import pyarrow
from retrain_sandbox.fakesnow_mends import Results
results = Results(100_000)
table = pyarrow.table({"x": list(range(5_000))})
for query in "abcdef":
    results[query] = (table,)
assert list(results) == ["d", "e", "f"][-len(results):] and 1 < len(results) < 4, list(results)
results["large"] = (pyarrow.table({"x": list(range(50_000))}),)
assert list(results) == ["large"], list(results)
del results["large"]
results["small"] = (pyarrow.table({"x": [1]}),)
assert list(results) == ["small"] and results.get("large") is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert released["results"] == "dict", "mend 4 is not needed any more"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a, 'x' AS b, 1.5::float AS c, NULL::timestamp_ntz AS d, 1::number(10, 2) AS e, TRUE AS f",
        "-- said first; and more\nWITH t AS (SELECT 1 AS n) SELECT n, COUNT(*) AS m FROM t GROUP BY n",
        "SELECT 'a /* b */ c' AS kept /* not; this */",
        "SELECT * FROM (VALUES (1), (2)) AS t(n) SAMPLE (100) SEED (1)",
        "SHOW TABLES",
    ],
)
def test_columns_are_described_as_ever(connect: Connect, plain: SnowflakeConnection, sql: str) -> None:
    """A statement that was asked before too, and what it came to then changes nothing now."""
    wire = connect()
    told = []
    for connection in (plain, wire, wire):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            told.append([(column.name, column.type_code) for column in cursor.description])
    assert told[1:] == [told[0], told[0]]


def test_a_query_is_parsed_once(released: dict[str, Any]) -> None:
    assert released["parsed"] == 3, "mend 11 is not needed any more"


def test_abort_interrupts_the_statement(wire: SnowflakeConnection, released: dict[str, Any]) -> None:
    start = time.monotonic()
    with pytest.raises(ProgrammingError) as caught:
        ask(wire, ENDLESS, timeout=1)
    assert caught.value.errno == 604
    assert time.monotonic() - start < 5
    assert ask(wire, "SELECT 1") == [(1,)]
    assert released["abort"] == "<lambda>", "mend 5 is not needed any more"


def test_queries_of_one_session_at_once_do_not_mix(wire: SnowflakeConnection) -> None:
    """No test of plain fakesnow goes with this: there it fails now and then."""
    wrong: list[Any] = []

    def repeat(number: int) -> None:
        for _ in range(10):
            if (answer := ask(wire, f"SELECT {number} AS n{number}")) != [(number,)]:
                wrong.append((number, answer))

    threads = [threading.Thread(target=repeat, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_session_parameters_are_let_through(connect: Connect, plain: SnowflakeConnection) -> None:
    parameters = {"TIMEZONE": "UTC", "QUERY_TAG": "run 1", "STATEMENT_TIMEOUT_IN_SECONDS": 30}
    connection = connect(session_parameters=parameters)
    ask(connection, "ALTER SESSION SET QUERY_TAG = 'run 2 / entry 3'")
    ask(connection, "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 60")
    ask(connection, "ALTER SESSION SET TIMEZONE = 'UTC'")
    ask(connection, "ALTER SESSION UNSET QUERY_TAG")
    with pytest.raises(Error):  # it would not be kept
        ask(connection, "ALTER SESSION SET TIMEZONE = 'Europe/Paris'")
    with pytest.raises(Error):
        ask(plain, "ALTER SESSION SET QUERY_TAG = 'x'")
        pytest.fail("mend 7 is not needed any more")


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"user": "nobody"}, {"password": ""}])
def test_wrong_credentials_are_refused_as_snowflake_refuses_them(connect: Connect, wrong: dict[str, str]) -> None:
    """250001 of older connectors, Snowflake's own 390100 of this one; ``plain`` logs anybody in."""
    with pytest.raises((DatabaseError, ProgrammingError), match=r"Incorrect username or password|Password is empty"):
        connect(**wrong)


def test_the_user_name_knows_no_case(connect: Connect) -> None:
    assert ask(connect(user="retrain"), "SELECT 1") == [(1,)]


@pytest.mark.parametrize("wrong", [{"database": "NO_SUCH"}, {"schema": "NO_SUCH"}])
def test_a_wrong_database_is_not_made_but_missed(
    connect: Connect, plain: SnowflakeConnection, wrong: dict[str, str]
) -> None:
    with pytest.raises(ProgrammingError, match="does not have a current"):
        ask(connect(**wrong), "SELECT COUNT(*) FROM TRANSACTIONS")
    assert ask(plain, "SELECT current_database()") == [("D",)], "part of mend 8 is not needed any more"


def test_temporary_folders_lie_in_the_home(sandbox_home: Path, released: dict[str, Any]) -> None:
    assert [path.name[:15] for path in (sandbox_home / "tmp").iterdir()] == ["fakesnow_bucket"]
    assert [name[:15] for name in released["left"]] == ["fakesnow_bucket"], "mend 9 is not needed any more"


# Loading in bulk


def test_a_table_is_replaced_and_appended_by_column_names(sandbox_home: Path, wire: SnowflakeConnection) -> None:
    file = sandbox_home / "quality.parquet"
    moment = datetime(2013, 3, 4, 5, 6, 7)
    pd.DataFrame({"status": ["healthy"], "run_id": ["r"], "timestamp": [moment]}).to_parquet(file)
    assert admin.load(sandbox_home, "DATA_QUALITY", file, mode="replace") == 1
    assert admin.load(sandbox_home, "DATA_QUALITY", file, mode="append") == 2
    assert ask(wire, "SELECT * FROM DATA_QUALITY") == [("r", moment, None, "healthy", None)] * 2
    admin.empty(sandbox_home, "DATA_QUALITY")
    assert ask(wire, "SELECT COUNT(*) FROM DATA_QUALITY") == [(0,)]


def test_statements_run_in_one_transaction(sandbox_home: Path) -> None:
    count = "SELECT count(*), sum(label) FROM RETRAIN.SANDBOX.ARRIVALS"
    before = admin.execute(sandbox_home, [count])
    with pytest.raises(SandboxError, match="no_such"):
        admin.execute(sandbox_home, ["DELETE FROM RETRAIN.SANDBOX.ARRIVALS", "SELECT no_such"])
    assert admin.execute(sandbox_home, [count]) == before


def test_transactions_are_restored(sandbox_home: Path) -> None:
    admin.execute(sandbox_home, ["DELETE FROM RETRAIN.SANDBOX.ARRIVALS WHERE label = 1"])
    assert admin.restore_transactions(sandbox_home) == 327_346


def test_transactions_may_get_other_columns(sandbox_home: Path, connect: Connect) -> None:
    file = sandbox_home / "other.parquet"
    soon = clock.now(sandbox_home).replace(tzinfo=None) - timedelta(days=1)
    row = {"transaction_id": [1], "ingestion_timestamp": [soon], "amount": [2.5], "label": [None]}
    pd.DataFrame(row).astype({"label": "Int32"}).to_parquet(file)
    try:
        assert admin.load(sandbox_home, "TRANSACTIONS", file, mode="replace") == 1
        assert ask(connect(), "SELECT amount, label FROM TRANSACTIONS") == [(2.5, None)]
    finally:
        admin.restore_transactions(sandbox_home)


def test_nobody_loads_without_the_token(sandbox_home: Path, tmp_path: Path) -> None:
    current = state.read(sandbox_home)
    assert current
    state.write(tmp_path, state.State(warehouse=current.warehouse))  # with a token of its own
    with pytest.raises(SandboxError, match="wrong token"):
        admin.execute(tmp_path, ["SELECT 1"])


def test_an_unknown_table_is_refused(sandbox_home: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot replace FLIGHTS"):
        admin.load(sandbox_home, "FLIGHTS", tmp_path / "x.parquet", mode="replace")
