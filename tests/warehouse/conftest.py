import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrain.warehouse import Warehouse

NOW = datetime(2013, 7, 1, tzinfo=UTC)
START = datetime(2013, 1, 1, tzinfo=UTC)
REFERENCE_END = datetime(2013, 4, 1, tzinfo=UTC)
ROWS = 6_000
TABLES = {name: name.upper() for name in ("transactions", "data_quality", "incidents", "model_metrics")}
COLUMNS = {name: name.upper() for name in ("ingestion_timestamp", "label", "transaction_id")}
STAMP = pa.timestamp("us")


class StillClock:
    """A clock that stands at NOW."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a query does not wait")


def naive(instant: datetime | None) -> datetime | None:
    return instant and instant.replace(tzinfo=None)


def transactions() -> pa.Table:
    """Six thousand rows over half a year; DELAY drifts, HOUR and FLAG are discrete, DIST has NaN, TEMP has NULL."""
    draw = np.random.default_rng(7)
    at = np.sort(draw.integers(0, int((NOW - START).total_seconds()), ROWS))
    late = at > (REFERENCE_END - START).total_seconds()
    dist = draw.lognormal(6, 1, ROWS)
    dist[draw.random(ROWS) < 0.02] = np.nan
    temp = draw.normal(10, 5, ROWS) + 12 * late
    missing = draw.random(ROWS) < 0.05
    carrier = np.where(late & (draw.random(ROWS) < 0.1), "ZZ", draw.choice(["AA", "BB", "CC"], ROWS, p=[0.6, 0.3, 0.1]))
    unknown = at > (NOW - START).total_seconds() - 86_400 * 10
    stamps = [naive(START + timedelta(seconds=int(second))) for second in at]
    return pa.table(
        {
            "TRANSACTION_ID": np.arange(ROWS),
            "INGESTION_TIMESTAMP": pa.array(stamps, STAMP),
            "DELAY": draw.normal(0, 1, ROWS) + 0.8 * late,
            "HOUR": draw.choice([5.0, 6.0, 7.0, 8.0], ROWS, p=[0.7, 0.1, 0.1, 0.1]),
            "DIST": dist,
            "TEMP": pa.array(temp, mask=missing),
            "CARRIER": pa.array(carrier.tolist(), mask=draw.random(ROWS) < 0.01),
            "EMPTY": pa.nulls(ROWS, pa.float64()),
            "FLAG": (draw.random(ROWS) < np.where(late, 0.5, 0.95)).astype(float),
            "LABEL": pa.array((draw.random(ROWS) < 0.2).astype(int), pa.int64(), mask=unknown),
        }
    )


def data_quality() -> pa.Table:
    hours = [
        (1, "healthy"),
        (2, "healthy"),
        (3, "warning"),
        (4, None),
        (24, "healthy"),
        (25, "critical"),
        (-1, "critical"),
    ]
    return pa.table(
        {
            "RUN_ID": [f"q{hour}" for hour, _ in hours],
            "TIMESTAMP": pa.array([naive(NOW - timedelta(hours=hour)) for hour, _ in hours], STAMP),
            "CHECK_NAME": ["nulls"] * len(hours),
            "STATUS": pa.array([status for _, status in hours], pa.string()),
            "DETAILS": ["x"] * len(hours),
        }
    )


def incidents() -> pa.Table:
    rows = [
        ("i1", NOW - timedelta(days=2), "open", "P1"),
        ("i2", None, "Open", "p1 "),
        ("i3", NOW, "closed", "P1"),
        ("i4", NOW, "open", "P2"),
        ("i5", NOW - timedelta(days=1), "open", None),
        ("i6", NOW - timedelta(days=1), "open", " "),
        ("i7", NOW, "closed", None),
    ]
    return pa.table(
        {
            "INCIDENT_ID": [row[0] for row in rows],
            "OPENED_AT": pa.array([naive(row[1]) for row in rows], STAMP),
            "STATUS": [row[2] for row in rows],
            "SEVERITY": pa.array([row[3] for row in rows], pa.string()),
            "TITLE": pa.array([None] * len(rows), pa.string()),
            "DETAILS": pa.array([None] * len(rows), pa.string()),
            "OPENED_BY": pa.array([None] * len(rows), pa.string()),
        }
    )


_METRICS = {
    **{name: pa.string() for name in ("model", "model_version", "kind")},
    **dict.fromkeys(("window_start", "window_end", "recorded_at", "trained_at"), STAMP),
    **dict.fromkeys(("reference_start", "reference_end"), STAMP),
    **{name: pa.int64() for name in ("requests", "labels", "tp", "fp", "fn", "tn", "slow_requests")},
    **{name: pa.float64() for name in ("f1", "precision", "recall", "auc_roc", "latency_p99_seconds")},
}


def window(
    start: datetime, *, version: str = "v1", model: str = "m", minutes: int = 1, **figures: Any
) -> dict[str, Any]:
    """One row of kind "window", recorded a minute after it ended unless ``recorded_at`` says otherwise."""
    end = start + timedelta(minutes=minutes)
    times = {"window_start": start, "window_end": end, "recorded_at": end + timedelta(minutes=1)}
    return {"model": model, "model_version": version, "kind": "window", **times, **figures}


def model_metrics() -> pa.Table:
    hour = timedelta(hours=1)
    counts = {"tp": 8, "fp": 1, "fn": 2, "tn": 89, "labels": 100, "requests": 100, "slow_requests": 0}
    promotion = {"model": "m", "kind": "promotion"}
    rows = [
        {**promotion, "model_version": "v0", "recorded_at": START, "f1": 0.7},
        {
            **promotion,
            **dict(zip(("tp", "fp", "fn", "tn", "labels"), (80, 10, 11, 899, 1000), strict=True)),
            "model_version": "v1",
            "recorded_at": REFERENCE_END + hour,
            "f1": 0.884,
            "precision": float("nan"),
            "reference_start": START,
            "reference_end": REFERENCE_END,
        },
        window(NOW - 3 * hour, **counts, f1=0.5),
        window(NOW - 3 * hour, **{**counts, "tp": 6}, recorded_at=NOW - hour, f1=0.5),  # written again: this counts
        window(NOW - 2 * hour, **counts),
        window(NOW - hour, f1=0.1),  # no counts
        window(NOW - hour, version="v2", **counts, latency_p99_seconds=float("nan")),
        window(NOW + hour, **counts),  # still to come
        window(NOW - 2 * hour, model="plain", f1=0.8, labels=40),
        window(NOW - hour, model="plain", f1=0.6, labels=50),
        window(NOW - 2 * hour, model="nothing", tp=0, fp=0, fn=0, tn=5),
    ]
    cells = {name: [row.get(name) for row in rows] for name in _METRICS}
    values = {name: [naive(cell) if kind == STAMP else cell for cell in cells[name]] for name, kind in _METRICS.items()}
    return pa.table({name.upper(): pa.array(values[name], kind) for name, kind in _METRICS.items()})


@pytest.fixture(scope="session")
def tables() -> dict[str, pa.Table]:
    return {
        "TRANSACTIONS": transactions(),
        "DATA_QUALITY": data_quality(),
        "INCIDENTS": incidents(),
        "MODEL_METRICS": model_metrics(),
        "LOGBOOK": pa.table({"TRANSACTION_ID": [1], "AT": pa.array([naive(NOW)], STAMP), "LABEL": [0]}),
    }


@pytest.fixture(scope="session")
def port(tables: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve the tables in a process of its own, as the sandbox does, and tell its port."""
    folder = tmp_path_factory.mktemp("warehouse")
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"TMPDIR": str(folder)}) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, "the warehouse did not start"
        yield int(line)
        server.terminate()


@pytest.fixture(scope="session")
def arguments(port: int) -> dict[str, Any]:
    where = {"account": "sandbox", "host": "127.0.0.1", "port": port, "protocol": "http"}
    return {**where, "user": "somebody", "password": "secret"}


def opened(arguments: dict[str, Any], **changes: Any) -> Warehouse:
    """Return a warehouse over the test's server, with ``changes`` to its arguments."""
    settings: dict[str, Any] = {
        "database": "RETRAIN",
        "schema": "PUBLIC",
        "tables": TABLES,
        "columns": COLUMNS,
        "features": None,
        "clock": StillClock(),
        "run_id": "r1",
    }
    return Warehouse(arguments, **{**settings, **changes})


@pytest.fixture(scope="session")
def warehouse(arguments: dict[str, Any]) -> Iterator[Warehouse]:
    with opened(arguments) as held:
        yield held


def seen(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the newest statement as the server received it."""
    answer = httpx.get(f"http://{arguments['host']}:{arguments['port']}/seen")
    return dict(answer.raise_for_status().json())
