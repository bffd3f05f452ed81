"""The population stability index: how far a feature's distribution has moved from its reference.

PSI = Σ (p − q) · ln(p / q) over bins, p the reference's share and q the current one's. The bins are the reference's
deciles, open at both ends and frozen with production, with one more for NULL; categories have a bin each, one for
NULL and one for what the reference never saw. Half a row is added to every bin on both sides, so that an empty bin
is a surprise and no infinity.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["category_counts", "decile_edges", "edges_from_quantiles", "expected_without_drift", "numeric_counts", "psi"]

_HALF = 0.5


def psi(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the PSI of two histograms over the same bins, with half a row added to every bin of both.

    Raises ValueError for different bins, a negative count, or a side without rows.
    """
    if len(reference) != len(current):
        raise ValueError(f"{len(reference)} reference bins cannot be held against {len(current)} current ones")
    shares = zip(_shares(reference, "reference"), _shares(current, "current"), strict=True)
    return math.fsum((p - q) * math.log(p / q) for p, q in shares)


def expected_without_drift(bins: int, reference_rows: int, current_rows: int) -> float:
    """Return the mean of PSI where nothing has moved: (B − 1) · (1/n + 1/M)."""
    if bins < 1 or reference_rows < 1 or current_rows < 1:
        raise ValueError("bins and rows on both sides are at least 1")
    return (bins - 1) * (1 / reference_rows + 1 / current_rows)


def edges_from_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return the inner bin edges for ascending quantiles, the smallest and the largest value included.

    A value that fills more than one quantile gets a bin of its own (an edge at it and one just above it), so that a
    flag that is almost always 0, or a constant, can be seen to move.
    """
    repeated = Counter(quantiles)
    if not repeated or any(not math.isfinite(value) for value in repeated):
        raise ValueError("quantiles must be finite numbers, at least one")
    outer = {quantiles[0], quantiles[-1]}
    edges: set[float] = set()
    for value, times in repeated.items():
        if times > 1 or len(quantiles) == 1:
            edges |= {value, _just_above(value)}
        elif value not in outer:
            edges.add(value)
    return tuple(sorted(edges))


def decile_edges(values: ArrayLike, bins: int = 10) -> tuple[float, ...]:
    """Return the inner bin edges that cut the finite reference ``values`` into ``bins`` equally full bins."""
    import numpy

    numbers = numpy.asarray(values, dtype=float)
    numbers = numbers[numpy.isfinite(numbers)]
    if numbers.size == 0:
        raise ValueError("a reference without numbers has no deciles")
    cuts = numpy.quantile(numbers, numpy.linspace(0, 1, bins + 1))
    return edges_from_quantiles([float(cut) for cut in cuts])


def numeric_counts(values: ArrayLike, edges: Sequence[float]) -> tuple[int, ...]:
    """Count ``values`` in the bins x < e1, e1 ≤ x < e2, …, x ≥ ek, and NULL (or NaN) last."""
    import numpy

    numbers = numpy.asarray(values, dtype=float)
    missing = numpy.isnan(numbers)
    placed = numpy.searchsorted(numpy.asarray(edges, dtype=float), numbers[~missing], side="right")
    counts = numpy.bincount(placed, minlength=len(edges) + 1)
    return (*(int(count) for count in counts), int(missing.sum()))


def category_counts(
    reference: Mapping[str | None, int], current: Mapping[str | None, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lay two counts by category over the same bins: the reference's categories, NULL, and unseen ones."""
    known = sorted(category for category in reference if category is not None)
    unseen = sum(rows for category, rows in current.items() if category is not None and category not in reference)
    before = (*(reference[category] for category in known), reference.get(None, 0), 0)
    after = (*(current.get(category, 0) for category in known), current.get(None, 0), unseen)
    return before, after


def _shares(counts: Sequence[int], side: str) -> list[float]:
    if any(count < 0 for count in counts):
        raise ValueError(f"the {side} histogram holds a negative count")
    rows = sum(counts)
    if rows == 0:
        raise ValueError(f"the {side} side has no rows")
    return [(count + _HALF) / (rows + _HALF * len(counts)) for count in counts]


def _just_above(value: float) -> float:
    """Return the next number up; above zero the smallest that every database keeps."""
    return math.nextafter(value, math.inf) if value else sys.float_info.min
