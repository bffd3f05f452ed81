"""What the warehouse remembers when a scenario begins: the windows of production, and the data-quality runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import snowflake.connector

from retrain_sandbox import admin, metrics, world
from retrain_sandbox.metrics import Row
from retrain_sandbox.models import Model, send
from retrain_sandbox.table import labelled

__all__ = ["Quality", "data_quality", "load", "windows"]

Quality = Literal["healthy", "critical", "none"]
DAY = timedelta(days=1)
RUN_EVERY = timedelta(hours=6)
RUNS = 28  # a week of them
LATEST_RUN = timedelta(minutes=40)  # before now
TIMED_REQUESTS = 200  # a window: so many of its requests are sent one by one; the others are scored together


def windows(home: Path, name: str, model: Model, *, now: datetime) -> list[Row]:
    """Score the rows that arrived since ``model`` was promoted, and return a window a day, the last up to ``now``."""
    rows: list[Row] = []
    begin = model.manifest.trained_at
    with snowflake.connector.connect(**world.read(home).warehouse) as connection:
        while begin < now:
            end = min(begin.replace(hour=0, minute=0, second=0, microsecond=0) + DAY, now)
            found = labelled(connection, begin, end)
            if len(found):
                timed = send(model, found.instances(np.arange(min(TIMED_REQUESTS, len(found)))), active=True)
                row = metrics.window(
                    name,
                    model,
                    (begin, end),
                    labels=found.labels,
                    scores=model.score(found.columns),
                    seconds=timed.seconds,
                    recorded_at=end,
                )
                rows.append(row)
            begin = end
    return rows


def data_quality(now: datetime, quality: Quality) -> list[dict[str, Any]]:
    """Return the data-quality runs of the week before ``now``, three checks each, every six hours.

    "critical": the newest run found something. "none": the newest run is more than a day old.
    """
    latest = now - LATEST_RUN - (timedelta(hours=30) if quality == "none" else timedelta())
    found = []
    for number in range(RUNS):
        at = latest - number * RUN_EVERY
        for check, status, details in _checks(number, critical=quality == "critical" and number == 0):
            stamp = at.replace(tzinfo=None, microsecond=0)
            found.append(
                {
                    "run_id": f"dq-{at:%Y%m%dT%H%M}",
                    "timestamp": stamp,
                    "check_name": check,
                    "status": status,
                    "details": details,
                }
            )
    return found


def _checks(number: int, *, critical: bool) -> list[tuple[str, str, str]]:
    nulls = ("warning", "pressure_mb: 11 % of the rows have none") if number % 5 == 2 else ("healthy", "")
    return [
        ("row_count", "critical", "no rows from LGA in six hours") if critical else ("row_count", "healthy", ""),
        ("null_share", *nulls),
        ("schema", "healthy", ""),
    ]


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
