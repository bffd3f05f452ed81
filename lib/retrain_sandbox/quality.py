"""The data-quality runs of the sandbox: what the newest day of TRANSACTIONS looks like, as rows of DATA_QUALITY."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from retrain_sandbox.table import Table, labelled

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

__all__ = ["EVERY", "Finding", "checks", "run", "run_id"]

EVERY = timedelta(hours=6)
LOOKED_AT = timedelta(days=1)
FEWEST_ROWS = 300  # a day; New York sends off 900
MOST_NULLS = 0.05  # of a feature's rows


@dataclass(frozen=True)
class Finding:
    """One check of a run."""

    check_name: str
    status: Literal["healthy", "warning", "critical"]
    details: str = ""


def checks(rows: Table) -> list[Finding]:
    """Look at the rows of a day: enough of them, and no feature often missing."""
    few = len(rows) < FEWEST_ROWS
    missing = {name: _null_share(values) for name, values in rows.columns.items()}
    often = [f"{name}: {share:.0%} null" for name, share in missing.items() if share > MOST_NULLS]
    return [
        Finding("row_count", "warning" if few else "healthy", f"{len(rows)} labelled rows in a day"),
        Finding("null_share", "warning" if often else "healthy", "; ".join(often)),
    ]


def run_id(at: datetime) -> str:
    """Name the run made at ``at``."""
    return f"dq-{at:%Y%m%dT%H%M}"


def run(connection: SnowflakeConnection, now: datetime) -> None:
    """Check the rows of the day before ``now`` and write what was found."""
    found = checks(labelled(connection, now - LOOKED_AT, now))
    stamp = now.replace(tzinfo=None, microsecond=0)
    statement = "INSERT INTO DATA_QUALITY (run_id, timestamp, check_name, status, details) VALUES (%s, %s, %s, %s, %s)"
    with connection.cursor() as cursor:
        for one in found:
            cursor.execute(statement, [run_id(now), stamp, one.check_name, one.status, one.details])


def _null_share(values: np.ndarray[Any, Any]) -> float:
    if not len(values):
        return 0.0
    missing = np.array([value is None for value in values]) if values.dtype == object else ~np.isfinite(values)
    return float(missing.mean())
