"""How figures, moments and lists are written in a check or a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from retrain.checks import Check, Evidence, Relation, Status, compare, exact, inconclusive

__all__ = ["at", "counted", "judge", "listed", "share_problem", "shown"]

_PLACES = Decimal("0.000001")
_WHOLE = Decimal(10) ** 15
"""From here on a float has no decimals left to show."""


def shown(value: float | int | Decimal) -> str:
    """Write a figure with at most six decimals, and whole numbers in groups of three."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "not a number"
    number = exact(value)
    if number == number.to_integral_value() or abs(number) >= _WHOLE:
        text = f"{number.to_integral_value():,f}"
    else:
        rounded = number.quantize(_PLACES) if abs(number) >= _PLACES else number
        text = f"{rounded:f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text.replace("-", "−")


def at(moment: datetime) -> str:
    """Write a moment in UTC, to the minute where the seconds say nothing."""
    pattern = "%Y-%m-%d %H:%M:%S UTC" if moment.second or moment.microsecond else "%Y-%m-%d %H:%M UTC"
    return moment.strftime(pattern)


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: "1 label", "3 labels"."""
    return f"{shown(number)} {one if number == 1 else many or one + 's'}"


def listed(items: Iterable[str]) -> str:
    """Write "a", "a and b", "a, b and c"."""
    words = list(items)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def share_problem(name: str, value: float | None) -> str:
    """Return why ``value`` cannot be a share, or an empty string where it is one or is missing."""
    if value is None or 0 <= value <= 1:
        return ""
    return f"{name} of {shown(value)} lies outside [0, 1]"


def judge(
    name: str,
    observed: float | int | Decimal | None,
    relation: Relation,
    limit: float | int | Decimal,
    *,
    requirement: str = "",
    unit: str = "",
    missing: str = "",
    evidence: tuple[Evidence, ...] = (),
) -> Check:
    """Compare exactly, as ``compare`` does, and write both figures as a person would.

    Where rounding would make two different figures look the same, they are written in full.
    """
    wanted = requirement or f"{name} {relation} {shown(limit)}{unit}"
    if observed is None or not math.isfinite(observed):
        return inconclusive(name, wanted, missing or f"{name} was not measured", evidence=evidence)
    check = compare(name, observed, relation, limit, requirement=wanted, unit=unit, evidence=evidence)
    seen, line = shown(observed), shown(limit)
    if seen == line and exact(observed) != exact(limit):
        seen, line = str(observed), str(limit)
    verb = "is" if check.status is Status.PASS else "is not"
    reason = f"{seen}{unit} {verb} {relation} {line}{unit}"
    return check.model_copy(update={"observed": f"{seen}{unit}", "reason": reason})
