"""Rows into numbers: numbers are filled in, standardised and kept within bounds; categories become one-hot columns.

A null number is its mean in training; a null or unknown category is a row of zeros. Nothing a caller sends can make a
score other than a number in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_sandbox.network import Floats

__all__ = ["Columns", "Encoder", "Instance", "encoder_for", "instances_to_columns", "take"]

Columns = Mapping[str, npt.NDArray[Any]]
"""Rows by column: float64 with NaN for null in numbers, objects with None for null in categories."""

Instance = Mapping[str, float | str | None]
BOUND = 8.0  # standard deviations; a delay of a whole day is no more telling than one of six hours


@dataclass(frozen=True)
class Encoder:
    """What was learnt of the columns in training."""

    means: dict[str, float]
    deviations: dict[str, float]
    categories: dict[str, tuple[str, ...]]

    @property
    def width(self) -> int:
        """The number of inputs that a row becomes."""
        return len(self.means) + sum(len(known) for known in self.categories.values())

    def encode(self, columns: Columns) -> Floats:
        """Return rows × inputs."""
        parts = [self._number(name, columns[name])[:, None] for name in self.means]
        parts += [columns[name][:, None] == np.array(known, object) for name, known in self.categories.items()]
        return np.hstack([np.asarray(part, np.float32) for part in parts])

    def _number(self, name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        known = np.where(np.isfinite(values), values, self.means[name])
        with np.errstate(over="ignore"):  # 1e308 is far away, however far
            return np.clip((known - self.means[name]) / self.deviations[name], -BOUND, BOUND)

    def encode_one(self, instance: Instance) -> Floats:
        """Return one row of inputs; the same figures as ``encode``, many times faster for a single row."""
        row = []
        for name, mean in self.means.items():
            value = instance.get(name)
            away = 0.0 if value is None else (float(value) - mean) / self.deviations[name]
            row.append(min(max(away, -BOUND), BOUND))
        for name, known in self.categories.items():
            value = instance.get(name)
            row.extend(1.0 if value == one else 0.0 for one in known)
        return np.array([row], np.float32)


def encoder_for(columns: Columns, *, numbers: Sequence[str], categories: Sequence[str]) -> Encoder:
    """Learn means, deviations and categories. ValueError names a feature in which no row has a value."""
    for name in (*numbers, *categories):
        if not _present(columns[name]).any():
            raise ValueError(f"feature {name!r} has no value in any of the {len(columns[name])} training rows")
    known = {name: columns[name][_present(columns[name])] for name in (*numbers, *categories)}
    return Encoder(
        means={name: float(np.mean(known[name])) for name in numbers},
        deviations={name: float(np.std(known[name])) or 1.0 for name in numbers},
        categories={name: tuple(sorted(set(known[name]))) for name in categories},
    )


def take(columns: Columns, rows: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return the chosen ``rows`` (indices or a mask) of every column."""
    return {name: values[rows] for name, values in columns.items()}


def instances_to_columns(instances: Sequence[Instance], encoder: Encoder) -> Columns:
    """Turn a list of instances into columns for ``encoder``."""
    numbers = {
        name: np.array([np.nan if row.get(name) is None else row[name] for row in instances], np.float64)
        for name in encoder.means
    }
    categories = {name: np.array([row.get(name) for row in instances], object) for name in encoder.categories}
    return {**numbers, **categories}


def _present(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype == object:
        return np.array([value is not None for value in values], bool)
    return np.asarray(np.isfinite(values))
