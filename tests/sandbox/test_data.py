"""The data: TRANSACTIONS out of the flights of 2013."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from retrain_sandbox import cache, data


@pytest.fixture(scope="module")
def rows(sandbox_cache: Path) -> pd.DataFrame:
    return pd.read_parquet(cache.transactions_parquet(sandbox_cache))


def test_every_usable_flight_is_a_row_in_order_of_arrival(rows: pd.DataFrame) -> None:
    assert len(rows) == 327_346
    assert rows["ingestion_timestamp"].is_monotonic_increasing
    assert rows["transaction_id"].tolist() == list(range(1, len(rows) + 1))


def test_columns_are_the_features_between_the_key_and_the_label(rows: pd.DataFrame) -> None:
    assert list(rows) == ["transaction_id", "ingestion_timestamp", *data.FEATURES, "label"]


def test_a_row_arrives_when_its_flight_reaches_the_gate_in_utc(rows: pd.DataFrame) -> None:
    """UA 1545 left Newark 2 minutes late at 05:17 and was due in Houston, an hour behind, at 08:19: 11 late."""
    flight = rows.query(
        "origin == 'EWR' and carrier == 'UA' and departure_delay_minutes == 2 and air_time_minutes == 227"
        " and distance_miles == 1400 and ingestion_timestamp < '2013-01-02'"
    ).iloc[0]
    assert flight["ingestion_timestamp"] == datetime(2013, 1, 1, 14, 30)
    assert flight["scheduled_block_minutes"] == 244
    assert flight["label"] == 0


def test_block_minutes_are_possible_wherever_the_clock_of_the_destination_stands(rows: pd.DataFrame) -> None:
    """A wrong time zone (Arizona and Puerto Rico know no summer time) shows as a flight much slower or faster."""
    slack = rows["scheduled_block_minutes"] - rows["air_time_minutes"]
    by_season = slack.groupby([rows["distance_miles"], rows["ingestion_timestamp"].dt.quarter])
    assert by_season.median().between(15, 65).all()
    assert rows["scheduled_block_minutes"].between(30, 720).all()


def test_missing_weather_stays_missing(rows: pd.DataFrame) -> None:
    assert rows["pressure_mb"].isna().sum() == 36_142
    assert rows["temperature_f"].isna().sum() == 1_544
    weather = ["temperature_f", "pressure_mb", "wind_speed_mph", "visibility_miles", "precipitation_in"]
    assert not rows.drop(columns=[*weather, "humidity_percent"]).isna().any().any()


def test_the_label_is_known_and_rare(rows: pd.DataFrame) -> None:
    assert set(rows["label"]) == {0, 1}
    assert 0.115 < rows["label"].mean() < 0.117


def test_the_file_is_built_once(sandbox_cache: Path) -> None:
    first = cache.transactions_parquet(sandbox_cache)
    built = first.stat().st_mtime_ns
    assert cache.transactions_parquet(sandbox_cache) == first
    assert first.stat().st_mtime_ns == built


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retrain_sandbox import flights

    def broken(_: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(flights, "write", broken)
    with pytest.raises(OSError, match="disk full"):
        cache.transactions_parquet(tmp_path)
    assert list(tmp_path.iterdir()) == []
