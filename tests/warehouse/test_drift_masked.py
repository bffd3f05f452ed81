"""One outlier does not hide a drift: through the warehouse's own SQL, beside bins of equal width, which it blinds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import snowflake.connector
from numpy.typing import NDArray

from retrain.warehouse import Warehouse

from .conftest import COLUMNS, NOW, REFERENCE_END, START, TABLES, naive, opened

ROWS, OUTLIER = 2_000, 1_000.0


def drawn() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two thousand rows of a reference, and as many that have moved by half a standard deviation."""
    draw = np.random.default_rng(7)
    return draw.normal(0, 1, ROWS), draw.normal(0.51, 1, ROWS)


def columns() -> dict[str, NDArray[np.float64]]:
    """Reference, then current: as drawn, and with one value at 1,000 in either."""
    reference, current = drawn()
    plain = np.concatenate([reference, current])
    found = {name: plain.copy() for name in ("PLAIN", "MASKED", "MASKED_BEFORE")}
    found["MASKED"][-1] = OUTLIER
    found["MASKED_BEFORE"][0] = OUTLIER
    return found


def equal_width_psi(values: NDArray[np.float64]) -> float:
    """PSI over bins of equal width from the least to the greatest value of both sides, an empty bin taken as 0.0001."""
    edges = np.histogram_bin_edges(values, bins="sturges")
    sides = [np.histogram(side, edges)[0] / ROWS for side in (values[:ROWS], values[ROWS:])]
    p, q = (np.where(side == 0, 0.0001, side) for side in sides)
    return float(np.sum((p - q) * np.log(p / q)))


@pytest.fixture(scope="module")
def masked(arguments: dict[str, Any]) -> Iterator[Warehouse]:
    """A table of its own beside the others: one timestamp a side, three features."""
    stamps = [naive(REFERENCE_END)] * ROWS + [naive(NOW - timedelta(hours=1))] * ROWS
    rows = zip(range(2 * ROWS), stamps, *(values.tolist() for values in columns().values()), strict=True)
    told = ", ".join(f"({number}, '{stamp}', {a!r}, {b!r}, {c!r}, 0)" for number, stamp, a, b, c in rows)
    with snowflake.connector.connect(**arguments, database="RETRAIN", schema="PUBLIC") as connection:
        cursor = connection.cursor()
        typed = ", ".join(f"{name} FLOAT" for name in columns())
        cursor.execute(
            f"CREATE OR REPLACE TABLE MASKED_DRIFT ({COLUMNS['transaction_id']} INTEGER,"
            f" {COLUMNS['ingestion_timestamp']} TIMESTAMP_NTZ, {typed}, {COLUMNS['label']} INTEGER)"
        )
        cursor.execute(f"INSERT INTO MASKED_DRIFT VALUES {told}")  # noqa: S608 (numbers, made above)
    with opened(arguments, tables=TABLES | {"transactions": "MASKED_DRIFT"}) as held:
        yield held


def test_one_outlier_changes_psi_by_less_than_a_hundredth(masked: Warehouse) -> None:
    """Two thousand rows, one of them at 1,000, on either side: the drift is seen as it was."""
    profile = masked.reference_profile(reference_start=START, reference_end=REFERENCE_END).value
    found = {drift.feature: drift for drift in masked.drift(profile, since=REFERENCE_END, until=NOW).value}
    assert {(each.reference_rows, each.current_rows) for each in found.values()} == {(ROWS, ROWS)}
    plain, current, reference = (found[name].psi for name in ("plain", "masked", "masked_before"))
    assert plain is not None
    assert plain > 0.25
    assert current == pytest.approx(plain, abs=0.01)
    assert reference == pytest.approx(plain, abs=0.01)


def test_bins_of_equal_width_are_blinded_by_it() -> None:
    """Control: the same rows, and nearly nothing is left of the drift."""
    plain, masked, _ = (equal_width_psi(values) for values in columns().values())
    assert plain == pytest.approx(0.315, abs=0.01)
    assert masked == pytest.approx(0.0006, abs=0.0001)
