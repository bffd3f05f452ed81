"""May a trigger be believed: have enough labels come, has it moved since it last called, how often is it chance?"""

from __future__ import annotations

from decimal import Decimal

from retrain.checks import exact
from retrain.facts import Coverage, Fired
from retrain.judgement.words import at, counted, shown

__all__ = ["beside", "by_chance", "coverage_problem", "coverage_told", "early_labels", "held_back"]

_NOT_KNOWN = "how many of the rows have their label is not known"


def coverage_problem(coverage: Coverage | None, minimum: float) -> str:
    """Return why too few of the rows have their label, or an empty string; not known is too few where any is asked."""
    if not minimum:
        return ""
    if coverage is None or not _can_be(coverage):
        return _NOT_KNOWN
    if coverage.labelled >= exact(minimum) * coverage.rows:
        return ""
    return f"{coverage_told(coverage)}, of {shown(exact(minimum) * 100)} % needed for a verdict on F1"


def early_labels(coverage: Coverage | None, delay_days: float) -> str:
    """Return why F1 may not rest on matured labels alone, or an empty string.

    Labels that come early are not those of any row: where the rest is not waited for, the rows without one are missing.
    """
    if coverage is None or not _can_be(coverage):
        return f"F1 may rest on the labels that came early: {_NOT_KNOWN}"
    if delay_days or coverage.labelled == coverage.rows:
        return ""
    return f"F1 rests on the labels that came early: {coverage_told(coverage)}, and label_delay_days is 0"


def _can_be(coverage: Coverage) -> bool:
    return 0 <= coverage.labelled <= coverage.rows and coverage.rows > 0


def coverage_told(coverage: Coverage) -> str:
    """Say how many rows of the window have their label by now."""
    share = f" ({100 * coverage.labelled / coverage.rows:.1f} %)" if coverage.rows > 0 else ""
    return f"labels of {shown(coverage.labelled)} of {counted(coverage.rows, 'row')}{share} have come"


def beside(coverage: Coverage | None, times: float | None) -> str:
    """Say in brackets what stands beside an F1: its labels, and chance; nothing where neither is known."""
    told = [coverage_told(coverage)] if coverage is not None else []
    told += [by_chance(times)] if times is not None else []
    return f" ({'; '.join(told)})" if told else ""


def by_chance(times: float) -> str:
    """Say how often a year a trigger would be met though nothing has changed."""
    told = "less than 0.001" if times < 0.001 else "about " + (f"{times:.2g}" if times < 10 else f"{times:.0f}")
    return f"by chance alone {told} a year"


def held_back(figure: Decimal, limit: float, share: float, fired: Fired | None) -> str:
    """Return why a trigger beyond its limit does not call again, or an empty string.

    One that has called calls again once its figure was seen ``share`` of the limit below it, or is as much above what
    it was then: a candidate that was rejected does not call for the same training every hour.
    """
    if not share or fired is None or fired.figure is None:
        return ""
    band = exact(limit) * exact(share)
    cleared = fired.lowest_since is not None and exact(fired.lowest_since) <= exact(limit) - band
    if cleared or figure >= exact(fired.figure) + band:
        return ""
    return (
        f"it called at {at(fired.at)} with {shown(fired.figure)} (run {fired.run_id}), and has since neither been"
        f" {shown(exact(limit) - band)} or less nor reached {shown(exact(fired.figure) + band)}"
    )
