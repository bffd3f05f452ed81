"""The warehouse, as the sections ask it: one query a file, values bound, evidence beside every answer.

``Warehouse`` is what callers hold; ``answers`` are the types that come back. Importing this package does not import
the connector, which is heavy: that happens on the first query.
"""

from retrain.warehouse.answers import (
    Answer,
    F1Day,
    F1Since,
    Feature,
    NewSamples,
    Production,
    QualityCheck,
    QualityRun,
)
from retrain.warehouse.drift import FeatureProfile, Profile, WeeklyDrift
from retrain.warehouse.failures import Unreachable, WarehouseError
from retrain.warehouse.queries import Warehouse

__all__ = [
    "Answer",
    "F1Day",
    "F1Since",
    "Feature",
    "FeatureProfile",
    "NewSamples",
    "Production",
    "Profile",
    "QualityCheck",
    "QualityRun",
    "Unreachable",
    "Warehouse",
    "WarehouseError",
    "WeeklyDrift",
]
