"""What the warehouse remembers when a scenario begins: the windows of production, and the data-quality runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import snowflake.connector

from retrain_sandbox import admin, metrics, quality, world
from retrain_sandbox.metrics import Row
from retrain_sandbox.models import Model, send
from retrain_sandbox.quality import Finding
from retrain_sandbox.table import Table, labelled

__all__ = ["REMEMBERED", "Arrived", "Quality", "arrived", "data_quality", "load", "metrics_rows", "windows"]

Quality = Literal["healthy", "critical", "none"]
DAY = timedelta(days=1)
RUNS = 28  # a week of them
LATEST_RUN = timedelta(minutes=40)  # before now
REMEMBERED = RUNS * quality.EVERY + 3 * DAY  # before now: the data-quality runs, and the days that they looked at
_INSTANTS = """
SELECT ingestion_timestamp
FROM TRANSACTIONS
WHERE ingestion_timestamp >= %s AND ingestion_timestamp < %s AND label IS NOT NULL
ORDER BY transaction_id
"""
TIMED_REQUESTS = 200  # a window: so many of its requests are sent one by one; the others are scored together


@dataclass(frozen=True)
class Arrived:
    """Labelled rows and when each arrived."""

    rows: Table
    at: npt.NDArray[np.datetime64]

    def between(self, start: datetime, end: datetime) -> Table:
        """Return the rows of [start, end)."""
        return self.rows.take((self.at >= _naive(start)) & (self.at < _naive(end)))


def arrived(home: Path, start: datetime, end: datetime) -> Arrived:
    """Fetch the labelled rows of [start, end) at once."""
    with snowflake.connector.connect(**world.read(home).warehouse) as connection, connection.cursor() as cursor:
        cursor.execute(_INSTANTS, [start.replace(tzinfo=None), end.replace(tzinfo=None)])
        at = cursor.fetch_arrow_all(force_return_table=True).column(0).to_numpy()
        return Arrived(labelled(connection, start, end), at)


def windows(name: str, model: Model, found: Arrived, now: datetime) -> list[Row]:
    """Score the rows that arrived since ``model`` was promoted, and return a window a day, the last up to ``now``."""
    rows: list[Row] = []
    begin = model.manifest.trained_at
    while begin < now:
        end = min(begin.replace(hour=0, minute=0, second=0, microsecond=0) + DAY, now)
        served = found.between(begin, end)
        if len(served):
            timed = send(model, served.instances(np.arange(min(TIMED_REQUESTS, len(served)))), active=True)
            row = metrics.window(
                name,
                model,
                (begin, end),
                labels=served.labels,
                scores=model.score(served.columns),
                seconds=timed.seconds,
                recorded_at=end,
            )
            rows.append(row)
        begin = end
    return rows


def data_quality(found: Arrived, now: datetime, state: Quality) -> list[dict[str, Any]]:
    """Return the data-quality runs of the week before ``now``, every six hours, as they came out then.

    "critical": the newest run says so of the feed. "none": the newest run is more than a day old.
    """
    latest = now - LATEST_RUN - (timedelta(hours=30) if state == "none" else timedelta())
    told = []
    for number in range(RUNS):
        at = latest - number * quality.EVERY
        findings = quality.checks(found.between(at - DAY, at))
        if number == 0 and state == "critical":
            findings.append(Finding("feed", "critical", "the airline's feed has sent the same file twice"))
        about = {"run_id": quality.run_id(at), "timestamp": at.replace(tzinfo=None, microsecond=0)}
        told += [about | asdict(finding) for finding in findings]
    return told


def load(home: Path, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Let ``table`` hold just ``rows``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    admin.empty(home, table)
    if not rows:
        return
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        path = Path(scratch) / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(list(rows), schema=_schema(rows)), path)
        admin.load(home, table, path, mode="append")


def metrics_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return ``rows`` as ``load`` takes them."""
    return [asdict(row) for row in rows]


def _schema(rows: Sequence[dict[str, Any]]) -> Any:
    import pyarrow as pa

    types = {datetime: pa.timestamp("us"), str: pa.string(), int: pa.int32(), float: pa.float64()}
    known = {field.name: field for field in fields(Row)}
    instants = {name for name in known if name.endswith(("_at", "_start", "_end"))}

    def kind(name: str) -> Any:
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            return types[type(values[0])]
        return pa.timestamp("us") if name in instants else pa.float64()

    return pa.schema([(name, kind(name)) for name in rows[0]])


def _naive(instant: datetime) -> np.datetime64:
    return np.datetime64(instant.replace(tzinfo=None))
