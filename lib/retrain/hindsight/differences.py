"""Two verdicts side by side, as JSON: every place where they differ, and whether a decision does or only a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retrain.checks import Model

__all__ = ["MISSING", "Difference", "differences"]

MISSING = "(missing)"
"""Stands in a difference where one side has nothing at all; null stays null."""


class Difference(Model):
    """One place in which the verdict of today differs: a path such as ``checks[Recall].status``, and both values."""

    path: str
    recorded: Any
    recomputed: Any

    @property
    def decides(self) -> bool:
        """Whether a decision differs: the outcome, or a check that was recorded has another status or is gone."""
        gone = self.path.endswith("]") and self.recorded != MISSING
        check = self.path.startswith("checks[") and (gone or self.path.endswith("].status"))
        return check or self.path in ("", "section", "outcome")


def differences(recorded: Any, today: Any, path: str = "") -> Iterator[Difference]:
    """Walk both values together; a name or an item that one side lacks is a difference, null is a value.

    Items that have names (checks) are held against those of the same name, so one that came or went moves no other.
    """
    if isinstance(recorded, dict) and isinstance(today, dict):
        for name in dict.fromkeys((*recorded, *today)):
            under = f"{path}.{name}" if path else str(name)
            yield from differences(recorded.get(name, MISSING), today.get(name, MISSING), under)
    elif isinstance(recorded, list) and isinstance(today, list):
        yield from _lists(recorded, today, path)
    elif type(recorded) is not type(today) or recorded != today:
        yield Difference(path=path, recorded=recorded, recomputed=today)


def _lists(recorded: list[Any], today: list[Any], path: str) -> Iterator[Difference]:
    here, there = _by_name(recorded), _by_name(today)
    if here is None or there is None:
        here, there = dict(enumerate(recorded)), dict(enumerate(today))
    for name in dict.fromkeys((*here, *there)):
        yield from differences(here.get(name, MISSING), there.get(name, MISSING), f"{path}[{name}]")
    before, after = [name for name in here if name in there], [name for name in there if name in here]
    if before != after:
        yield Difference(path=f"{path} in order", recorded=before, recomputed=after)


def _by_name(items: list[Any]) -> dict[Any, Any] | None:
    """Return the items by name; None unless each is an object with a name of its own."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    distinct = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return dict(zip(names, items, strict=True)) if distinct else None
