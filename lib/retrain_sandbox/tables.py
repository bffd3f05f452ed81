"""The warehouse's tables: what they hold, how they are filled, and which rows of TRANSACTIONS are to be seen.

Everything here runs in the process that owns the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_sandbox import state
from retrain_sandbox.cache import transactions_parquet
from retrain_sandbox.world import DATABASE, SCHEMA

if TYPE_CHECKING:
    import duckdb
    from fakesnow.instance import FakeSnow

__all__ = ["TABLES", "load", "prepare", "run"]

TABLES = {
    "DATA_QUALITY": """
        run_id VARCHAR, timestamp TIMESTAMP_NTZ, check_name VARCHAR, status VARCHAR, details VARCHAR""",
    "INCIDENTS": """
        incident_id VARCHAR, opened_at TIMESTAMP_NTZ, status VARCHAR, severity VARCHAR, title VARCHAR,
        details VARCHAR, opened_by VARCHAR""",
    "MODEL_METRICS": """
        model VARCHAR, model_version VARCHAR, kind VARCHAR, window_start TIMESTAMP_NTZ, window_end TIMESTAMP_NTZ,
        recorded_at TIMESTAMP_NTZ, requests INTEGER, labels INTEGER, tp INTEGER, fp INTEGER, fn INTEGER, tn INTEGER,
        f1 FLOAT, precision FLOAT, recall FLOAT, auc_roc FLOAT, latency_p99_seconds FLOAT, slow_requests INTEGER,
        trained_at TIMESTAMP_NTZ, reference_start TIMESTAMP_NTZ, reference_end TIMESTAMP_NTZ""",
}
ARRIVALS = f"{DATABASE}.SANDBOX.ARRIVALS"
TRANSACTIONS = f"{DATABASE}.{SCHEMA}.TRANSACTIONS"


def prepare(home: Path, shared: FakeSnow) -> None:
    """Create what is not there yet: database, tables, and the year's rows."""
    from retrain_sandbox import fakesnow_mends  # late: importing fakesnow makes a temporary folder

    session = shared.connect(DATABASE, SCHEMA)
    shared.create_database_on_connect = shared.create_schema_on_connect = False  # a wrong name is an error from now on
    for table, columns in TABLES.items():
        session.cursor().execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
    session.close()
    duck = shared.duck_conn.cursor()
    fakesnow_mends.list_views(duck, DATABASE)
    duck.execute(f"CREATE SCHEMA IF NOT EXISTS {DATABASE}.SANDBOX")
    if not _has_arrivals(duck):
        load(home, duck, "TRANSACTIONS", transactions_parquet(state.cache_directory(home)), mode="replace")
    else:
        duck.execute(_arrived(home))  # the home may have been moved
    duck.close()


def _has_arrivals(duck: duckdb.DuckDBPyConnection) -> bool:
    there = "FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'SANDBOX' AND table_name = 'ARRIVALS'"
    if not duck.execute(there, [DATABASE]).fetchone():
        return False
    return duck.execute(f"FROM {ARRIVALS} LIMIT 1").fetchone() is not None


def _arrived(home: Path) -> str:
    """Return the definition of TRANSACTIONS: the rows that have arrived by the sandbox's clock."""
    file = str(state.clock_file(home)).replace("'", "''")
    return f"""
        CREATE OR REPLACE VIEW {TRANSACTIONS} AS
        SELECT * FROM {ARRIVALS} WHERE INGESTION_TIMESTAMP <= (
            SELECT origin + to_microseconds(((epoch(now()) - started) * rate * 1e6)::BIGINT)
            FROM read_json('{file}', columns = {{origin: 'TIMESTAMP', started: 'DOUBLE', rate: 'DOUBLE'}}))"""  # noqa: S608 - our own names; the path is quoted


def load(home: Path, duck: duckdb.DuckDBPyConnection, table: str, parquet: Path, *, mode: str) -> int:
    """Load ``parquet`` into ``table`` ("replace" or "append") in one transaction, and return the table's rows."""
    name = table.upper()
    if mode not in ("replace", "append") or name not in ("TRANSACTIONS", *TABLES):
        raise ValueError(f"cannot {mode} {table}: replace or append one of TRANSACTIONS, {', '.join(TABLES)}")
    target = ARRIVALS if name == "TRANSACTIONS" else f"{DATABASE}.{SCHEMA}.{name}"
    with _transaction(duck):
        if target == ARRIVALS and mode == "replace":
            _replace_arrivals(home, duck, str(parquet))
        else:
            if mode == "replace":
                duck.execute(f"DELETE FROM {target}")  # noqa: S608 - one of TABLES
            duck.execute(f"INSERT INTO {target} BY NAME FROM read_parquet(?)", [str(parquet)])
    row = duck.execute(f"SELECT count(*) FROM {target}").fetchone()  # noqa: S608 - one of TABLES
    return int(row[0]) if row else 0


def run(duck: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> list[list[Any]]:
    """Run ``statements`` in one transaction and return the rows of the last, as JSON can hold them."""
    rows: list[tuple[Any, ...]] = []
    with _transaction(duck):
        for statement in statements:
            rows = duck.execute(statement).fetchall()
    return [[_plain(value) for value in row] for row in rows]


def _replace_arrivals(home: Path, duck: duckdb.DuckDBPyConnection, parquet: str) -> None:
    columns = [row[0] for row in duck.execute("DESCRIBE FROM read_parquet(?)", [parquet]).fetchall()]
    upper = ", ".join(f'"{column}" AS "{column.upper()}"' for column in columns)  # as unquoted names are in Snowflake
    fill = f"CREATE OR REPLACE TABLE {ARRIVALS} AS SELECT {upper} FROM read_parquet(?)"  # noqa: S608 - the file's names
    duck.execute(fill, [parquet])
    duck.execute(_arrived(home))


@contextmanager
def _transaction(duck: duckdb.DuckDBPyConnection) -> Iterator[None]:
    duck.execute("BEGIN")
    try:
        yield
        duck.execute("COMMIT")
    except BaseException:
        duck.execute("ROLLBACK")
        raise


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
