"""Slots of a cron expression in UTC: the newest, the next, and how late one is."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from retrain.judgement.words import counted, listed

__all__ = ["late", "newest_slot", "next_slot"]


def newest_slot(schedule: str, now: datetime) -> datetime:
    """Return the newest slot of the schedule at or before ``now``; a slot exactly at ``now`` is due."""
    known = _between.get((schedule, now.tzinfo))
    if known is None or not known[0] <= now < known[1]:
        slot = _cron(schedule, now + timedelta(microseconds=1)).get_prev(datetime)
        known = _between[schedule, now.tzinfo] = (slot, _cron(schedule, slot).get_next(datetime))
    return known[0]


_between: dict[tuple[str, tzinfo | None], tuple[datetime, datetime]] = {}
"""The slots last found around an instant: replaying a year of hourly runs asks the same week 168 times."""


def _cron(schedule: str, start: datetime) -> Any:
    from croniter import croniter  # late: no other section needs it

    return croniter(schedule, start)


def next_slot(schedule: str, now: datetime) -> datetime:
    """Return the first slot of the schedule after ``now``."""
    slot: datetime = _cron(schedule, now).get_next(datetime)
    return slot


def late(since: timedelta) -> str:
    """Say how late a slot is, in its two largest units; nothing within the first minute."""
    hours, minutes = divmod(int(since.total_seconds()) // 60, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "day"), (hours, "hour"), (minutes, "minute"))
    told = [counted(number, unit) for number, unit in parts if number][:2]
    return f", {listed(told)} late" if told else ""
