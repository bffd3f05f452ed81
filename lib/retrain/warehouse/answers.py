"""What the warehouse answers: a value, and the evidence that lets a reader ask again.

Counts are rows, timestamps are UTC, and what the warehouse does not know is None.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from retrain.checks import Evidence, Figure, Instant, Model
from retrain.facts import Metrics

__all__ = [
    "Answer",
    "F1Day",
    "F1Since",
    "Feature",
    "NewSamples",
    "Production",
    "QualityCheck",
    "QualityRun",
    "digest",
    "plain",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A value and where it came from, one piece of evidence for each query that it took."""

    value: T
    evidence: tuple[Evidence, ...]


class Feature(Model):
    """A column that the model reads.

    ``name`` is how the service and people spell it; ``column`` is the warehouse's exact spelling.
    """

    name: str
    column: str
    kind: Literal["numeric", "text"]


class NewSamples(Model):
    """Rows since the last training: those whose label is known, and all of them."""

    labelled: int
    total: int


class QualityRun(Model):
    """One row of DATA_QUALITY."""

    run_id: str | None = None
    checked_at: Instant | None = None
    check_name: str | None = None
    status: str | None = None
    details: str | None = None


class QualityCheck(Model):
    """How often one check ended in one status, and when first and last."""

    check_name: str | None = None
    status: str | None = None
    runs: int
    first_at: Instant | None = None
    last_at: Instant | None = None


class Production(Model):
    """The newest promotion: the baseline figures, and the window of data that the version was trained on.

    ``reference_end`` is the data watermark that the runbook calls the last training date.
    """

    metrics: Metrics
    labels: int | None = None
    promoted_at: Instant | None = None
    trained_at: Instant | None = None
    reference_start: Instant | None = None
    reference_end: Instant | None = None


class F1Since(Model):
    """F1 = 2 TP / (2 TP + FP + FN) over the summed counts of the windows that have them.

    ``labels`` are the labels behind ``f1``. ``note`` says what was left out or could not be computed; without any
    counts ``f1`` is that of the newest window that has one, never an average.
    """

    f1: Figure = None
    labels: int = 0
    tp: int | None = None
    fp: int | None = None
    fn: int | None = None
    tn: int | None = None
    windows: int = 0
    windows_counted: int = 0
    note: str = ""


class F1Day(Model):
    """One day of one version, for pictures. ``f1`` is None where its windows carry no counts."""

    day: Instant
    version: str | None = None
    f1: Figure = None
    labels: int | None = None
    windows: int = 0
    requests: int | None = None
    slow_requests: int | None = None


def plain(value: Any) -> Any:
    """Turn a value of the connector into one that JSON can hold, save that timestamps become aware (UTC).

    NaN and infinities become None; decimals become integers where they have no scale, floats otherwise.
    """
    if isinstance(value, Decimal):
        value = int(value) if value.is_finite() and value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


def digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of ``rows`` as JSON with sorted names, no spaces, and timestamps in ISO 8601."""
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_iso)
    return hashlib.sha256(text.encode()).hexdigest()


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
