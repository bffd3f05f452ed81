"""Status, Evidence, Check and Verdict: the one type that flows through everything.

A *check* is one comparison; a *verdict* is a section's outcome with all of its checks. Only PASS opens a
gate. What is missing, not a number, unknown or empty is INCONCLUSIVE, never good, and the worst check wins.

Figures are compared as ``Decimal(str(x))``: ``0.90 - 0.85 > 0.05`` is true in binary floats, and false on paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

__all__ = [
    "Check",
    "Evidence",
    "Figure",
    "Instant",
    "Model",
    "Status",
    "Verdict",
    "compare",
    "exact",
    "inconclusive",
    "measured",
    "worst",
]

Relation = Literal[">", "≥", "<", "≤"]


def measured(value: Any) -> Any:
    """Turn NaN and infinities into None (missing); leave anything else to the type's own validation."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a timestamp needs an offset, for example 2013-06-09T02:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value.isoformat()} is before or after all years in UTC") from None


Figure = Annotated[float | None, BeforeValidator(measured)]
"""A measured number, or None where nothing was measured. NaN and infinities become None at the door."""

Instant = Annotated[datetime, AfterValidator(_in_utc)]
"""A moment in UTC. A timestamp without an offset is refused."""


class Model(BaseModel):
    """A frozen value that survives a round trip through JSON exactly and refuses names that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Status(StrEnum):
    """What a check found, best to worst."""

    PASS = "PASS"  # noqa: S105 - a word, no password
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"


_ORDER = {Status.PASS: 0, Status.INCONCLUSIVE: 1, Status.FAIL: 2}


class Evidence(Model):
    """Where a figure came from, so that a reader can fetch it again.

    ``source`` is ``warehouse``, ``service``, ``record`` or ``person``; hashes are hexadecimal SHA-256.
    """

    source: str
    at: Instant
    query_id: str | None = None
    sql_sha256: str | None = None
    request_id: str | None = None
    result_sha256: str | None = None
    rows: int | None = None
    note: str = ""


class Check(Model):
    """One comparison: what was required, what was observed, and whether that is enough."""

    name: str
    requirement: str
    observed: str
    status: Status
    reason: str
    evidence: tuple[Evidence, ...] = ()


class Verdict(Model):
    """A section's outcome with all of its checks.

    ``sentence`` is the one that decides; ``flip`` says what would have changed the outcome.
    """

    section: str
    outcome: str
    checks: tuple[Check, ...]
    sentence: str
    flip: str = ""
    deviations: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The worst status among the checks; INCONCLUSIVE where there are none."""
        return worst(self.checks)


def worst(checks: Iterable[Check]) -> Status:
    """Return the worst status among ``checks``; no checks at all are INCONCLUSIVE."""
    return max((check.status for check in checks), key=_ORDER.__getitem__, default=Status.INCONCLUSIVE)


def exact(value: float | int | Decimal) -> Decimal:
    """Return ``value`` as the decimal that a person would write for it."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


_HOLDS = {
    ">": Decimal.__gt__,
    "≥": Decimal.__ge__,
    "<": Decimal.__lt__,
    "≤": Decimal.__le__,
}


def compare(
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
    """Compare ``observed`` with ``limit`` exactly, strict or not as ``relation`` says.

    ``requirement`` replaces the plain "name relation limit"; ``unit`` follows each figure; ``missing`` is the
    reason given when ``observed`` is None or not a finite number, which is INCONCLUSIVE.
    """
    wanted = requirement or f"{name} {relation} {limit}{unit}"
    if observed is None or not math.isfinite(observed):
        return inconclusive(name, wanted, missing or f"{name} was not measured", evidence=evidence)
    holds = _HOLDS[relation](exact(observed), exact(limit))
    says = f"{observed}{unit} {'is' if holds else 'is not'} {relation} {limit}{unit}"
    status = Status.PASS if holds else Status.FAIL
    return Check(
        name=name, requirement=wanted, observed=f"{observed}{unit}", status=status, reason=says, evidence=evidence
    )


def inconclusive(name: str, requirement: str, reason: str, *, evidence: tuple[Evidence, ...] = ()) -> Check:
    """Return a check that found nothing to compare, and says why."""
    return Check(
        name=name,
        requirement=requirement,
        observed="missing",
        status=Status.INCONCLUSIVE,
        reason=reason,
        evidence=evidence,
    )
