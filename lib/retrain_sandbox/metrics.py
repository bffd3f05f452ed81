"""Rows of MODEL_METRICS: what they hold, and how one is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from retrain_sandbox.figures import Figures, p99
from retrain_sandbox.models import Model

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

__all__ = ["SLOW_SECONDS", "Row", "insert", "promotion", "window"]

SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """A row of MODEL_METRICS. Instants are UTC without an offset, as the table has them."""

    model: str
    model_version: str
    kind: Literal["promotion", "window"]
    window_start: datetime | None
    window_end: datetime | None
    recorded_at: datetime
    requests: int
    labels: int
    tp: int
    fp: int
    fn: int
    tn: int
    f1: float | None
    precision: float | None
    recall: float | None
    auc_roc: float | None
    latency_p99_seconds: float | None
    slow_requests: int | None
    trained_at: datetime | None = None
    reference_start: datetime | None = None
    reference_end: datetime | None = None


def promotion(name: str, model: Model, at: datetime) -> Row:
    """Return the row that says ``model`` became active ``at``: its hold-out figures are the baseline from then on."""
    manifest = model.manifest
    figures = manifest.figures
    rows = figures.tp + figures.fp + figures.fn + figures.tn
    return Row(
        model=name,
        model_version=model.version,
        kind="promotion",
        window_start=None,
        window_end=None,
        recorded_at=_ntz(at),
        requests=rows,
        labels=rows,
        **asdict(figures),
        slow_requests=None,
        trained_at=_ntz(manifest.trained_at),
        reference_start=_ntz(manifest.reference_start),
        reference_end=_ntz(manifest.reference_end),
    )


def window(
    name: str,
    model: Model,
    span: tuple[datetime, datetime],
    *,
    labels: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float64],
    seconds: Sequence[float],
    recorded_at: datetime,
) -> Row:
    """Return the row of the labelled requests of ``span`` = [start, end); ``seconds`` are those that were timed."""
    figures = Figures.of(labels, scores, model.manifest.threshold, latency_p99_seconds=p99(seconds))
    return Row(
        model=name,
        model_version=model.version,
        kind="window",
        window_start=_ntz(span[0]),
        window_end=_ntz(span[1]),
        recorded_at=_ntz(recorded_at),
        requests=len(seconds),
        labels=len(labels),
        **asdict(figures),
        slow_requests=sum(one >= SLOW_SECONDS for one in seconds),
    )


_COLUMNS = [field.name for field in fields(Row)]
_INSERT = f"INSERT INTO MODEL_METRICS ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608


def insert(connection: SnowflakeConnection, row: Row) -> None:
    """Write ``row`` to MODEL_METRICS."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [getattr(row, name) for name in _COLUMNS])


def _ntz(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None, microsecond=0)
