"""The data as a parquet file, built once and kept beside the worlds that are made of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["transactions_parquet"]

FILE = "transactions-1.parquet"  # count up when the rows change: old caches are then left alone


def transactions_parquet(cache: Path) -> Path:
    """Return the parquet file of all TRANSACTIONS under ``cache``, built when it is not there yet."""
    path = cache / FILE
    if path.is_file():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=cache, prefix=f".{FILE}.")
    os.close(handle)
    try:
        from retrain_sandbox import flights  # late: pandas is needed once, not at every start

        flights.write(Path(temporary))
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path
