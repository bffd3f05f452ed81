"""What must hold of every run that a test made, whatever the test was about: it replays, and its record verifies."""

from __future__ import annotations

from collections.abc import Iterator, MutableSet
from pathlib import Path

from retrain.hindsight import replay
from retrain.hindsight.telling import lines
from retrain.record import records, verifying

__all__ = ["complaints", "roots"]


def roots(folder: Path) -> list[Path]:
    """Return the records below ``folder``, at most three folders down: whatever has chains in it."""
    found = {entries.parent.parent for depth in ("", "*/", "*/*/") for entries in folder.glob(f"{depth}*/entries")}
    return sorted(found)


def complaints(root: Path, *, keys: Path, seen: MutableSet[str]) -> Iterator[str]:
    """Yield what does not hold of the record at ``root``. A run that has ended is replayed once: it goes to ``seen``.

    A run without a verdict has nothing to replay; one that is open, or whose head nobody kept, still verifies as such.
    """
    for folder in records.runs(root):
        if folder.run_id in seen:
            continue
        found = replay.replay(folder)
        if found.status == "different":
            yield "\n".join([f"{folder.path}", *lines(found)])
        if folder.ended is not None:
            seen.add(folder.run_id)
    for model, report in verifying.reports(root, model=None, keys=keys, head=None).items():
        if report.status not in ("verified", "unanchored", "incomplete"):
            yield f"{root}/{model} is {report.status}: {report.findings}"
