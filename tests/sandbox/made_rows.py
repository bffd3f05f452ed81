"""Rows made for tests: numbers, two categories, and a label that one feature nearly decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from retrain_sandbox import training
from retrain_sandbox.data import CATEGORIES, NUMBERS
from retrain_sandbox.table import Table

NOW = datetime(2013, 6, 1, tzinfo=UTC)
PLAN = training.Plan(start=NOW - timedelta(days=60), end=NOW, now=NOW)


def rows(number: int = 3000, positives: float = 0.2, seed: int = 1) -> Table:
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {name: random.normal(size=number) for name in NUMBERS}
    columns |= {name: random.choice(np.array(["EWR", "JFK"], object), number) for name in CATEGORIES}
    late = columns["departure_delay_minutes"] + 0.1 * random.normal(size=number)
    labels = (late > np.quantile(late, 1 - positives)).astype(np.float32)
    columns["pressure_mb"][::7] = np.nan
    return Table(np.arange(1, number + 1), labels, columns)
