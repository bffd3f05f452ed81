"""The models that serve before a run begins: trained once on the data as it is, and kept in the cache."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from retrain_sandbox import models, state
from retrain_sandbox.models import Model

__all__ = ["production"]

# What a kept model depends on: a change to any of these makes another model.
SOURCES = ("data.py", "encoding.py", "figures.py", "models.py", "network.py", "table.py", "training.py")
MONTHS = 2


def production(home: Path, *, watermark: datetime, trained_at: datetime) -> Model:
    """Return the model trained at ``trained_at`` on the labelled rows of the two months before ``watermark``."""
    directory = (
        state.cache_directory(home) / "models" / f"{watermark:%Y%m%dT%H%M}-{trained_at:%Y%m%dT%H%M}-{_sources()}"
    )
    if not (directory / "manifest.json").is_file():
        models.save(directory, _train(home, watermark, trained_at))
    return models.load(directory)


def _sources() -> str:
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in SOURCES)).hexdigest()[:12]


def _train(home: Path, watermark: datetime, trained_at: datetime) -> Model:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from threadpoolctl import threadpool_limits

    from retrain_sandbox import table, training
    from retrain_sandbox.cache import transactions_parquet

    start = (pd.Timestamp(watermark) - pd.DateOffset(months=MONTHS)).to_pydatetime()
    arrived = "ingestion_timestamp"
    span = [(arrived, ">=", start.replace(tzinfo=None)), (arrived, "<", watermark.replace(tzinfo=None))]
    rows: pa.Table = pq.read_table(transactions_parquet(state.cache_directory(home)), filters=span)
    with threadpool_limits(1):
        return training.train_directly(
            table.from_arrow(rows), training.Plan(start=start, end=watermark, now=trained_at)
        )
