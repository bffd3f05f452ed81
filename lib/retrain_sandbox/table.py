"""Labelled rows of TRANSACTIONS, and which of them no training may see.

A row belongs to the hold-out by a fixed hash of its transaction_id: one in five, of both classes alike. So the hold-out
of a training is untouched by that training, and by every other one of this service: production never saw it either.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retrain_sandbox.data import CATEGORIES, FEATURES, NUMBERS
from retrain_sandbox.encoding import Columns, Instance, take

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection

__all__ = ["HOLDOUT_SHARE", "Table", "from_arrow", "held_out", "labelled"]

HOLDOUT_SHARE = 0.2
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # SplitMix64's finalizer (Steele et al., 2014)


@dataclass(frozen=True)
class Table:
    """Rows by column. ``labels`` are 0 or 1; ``ids`` are transaction_ids."""

    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32]
    columns: Columns

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.ids)

    @property
    def class_counts(self) -> dict[str, int]:
        """Rows by label."""
        positives = int(self.labels.sum())
        return {"0": len(self) - positives, "1": positives}

    def take(self, rows: npt.NDArray[Any]) -> Table:
        """Return the chosen rows (indices or a mask)."""
        return Table(self.ids[rows], self.labels[rows], take(self.columns, rows))

    def instances(self, rows: npt.NDArray[Any]) -> list[Instance]:
        """Return the chosen rows as a caller of the service would send them; nulls are None."""
        chosen = take(self.columns, rows)
        values = [[None if value != value else value for value in column.tolist()] for column in chosen.values()]
        return [dict(zip(chosen, row, strict=True)) for row in zip(*values, strict=True)]

    def digest(self) -> str:
        """Return a name for just these rows: a hash of their ids and labels."""
        return hashlib.sha256(self.ids.tobytes() + self.labels.tobytes()).hexdigest()[:16]


def held_out(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell which of ``ids`` no training may see."""
    mixed = ids.astype(np.uint64)
    for multiplier, shift in zip(_MIX, (np.uint64(30), np.uint64(27)), strict=True):
        mixed = (mixed ^ (mixed >> shift)) * multiplier
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed.astype(np.float64) / 2.0**64 < HOLDOUT_SHARE)


def from_arrow(table: pa.Table) -> Table:
    """Turn a result with the columns of TRANSACTIONS (names in any case) into rows; all must be labelled."""
    found = {name.lower(): table.column(name) for name in table.column_names}
    columns: dict[str, npt.NDArray[Any]] = {
        name: found[name].to_pandas().to_numpy(np.float64, na_value=np.nan) for name in NUMBERS
    }
    columns |= {name: np.array(found[name].to_pylist(), object) for name in CATEGORIES}
    return Table(
        ids=found["transaction_id"].to_numpy().astype(np.int64),
        labels=found["label"].to_numpy().astype(np.float32),
        columns=columns,
    )


_SELECT = f"""
SELECT transaction_id, {", ".join(FEATURES)}, label
FROM TRANSACTIONS
WHERE ingestion_timestamp >= %s AND ingestion_timestamp < %s AND label IS NOT NULL
ORDER BY transaction_id
"""  # noqa: S608 - the names are this package's own constants


def labelled(connection: SnowflakeConnection, start: datetime, end: datetime) -> Table:
    """Fetch the labelled rows of [start, end), as Arrow, by id. Both instants have an offset."""
    with connection.cursor() as cursor:
        cursor.execute(_SELECT, [_ntz(start), _ntz(end)])
        return from_arrow(cursor.fetch_arrow_all(force_return_table=True))


def _ntz(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)
