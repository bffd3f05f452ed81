"""A replay in words: what is decided otherwise, whole; and where only words differ, one example and how often."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from retrain import __version__
from retrain.hindsight.differences import Difference
from retrain.hindsight.replay import AGAIN, Replayed, ReplayedAll, ReplayedVerdict

__all__ = ["lines"]


def lines(found: Replayed | ReplayedAll) -> Iterator[str]:
    """Yield every decision that differs, then a line for each place where only words do, and last what was replayed."""
    runs = found.runs if isinstance(found, ReplayedAll) else (found,)
    for run in runs:
        for verdict in run.verdicts:
            if verdict.decides_otherwise:
                yield from _decided_otherwise(run, verdict)
    for (section, path), places in _words(runs).items():
        run, difference = places[0]
        often = f"in {len(places):,} verdicts, first in {run.run_id}" if len(places) > 1 else f"in {run.run_id}"
        yield f"{section}: the same decision, and another {path} ({often})"
        yield from _both(difference)
    yield _counted(found.status, runs)
    others = sorted({run.recorded_by for run in runs if run.recorded_by not in (None, __version__)}, key=str)
    if others:
        yield f"recorded by retrain {', '.join(map(str, others))}; decided again by {__version__}"


def _decided_otherwise(run: Replayed, verdict: ReplayedVerdict) -> Iterator[str]:
    now = next((each.recomputed for each in verdict.differences if each.path in ("", "outcome")), verdict.outcome)
    attempt = f", attempt {verdict.attempt}" if verdict.attempt > 1 else ""
    yield f"{run.run_id} {_named(verdict)}{attempt}: was {verdict.outcome}, is {now}"
    for difference in sorted(verdict.differences, key=lambda each: not each.decides):
        if difference.path not in ("", "outcome"):
            yield f"  {difference.path}"
            yield from _both(difference)


def _words(runs: Sequence[Replayed]) -> dict[tuple[str, str], list[tuple[Replayed, Difference]]]:
    """Return the places where only words differ: which run, and how, by section and path."""
    found: dict[tuple[str, str], list[tuple[Replayed, Difference]]] = {}
    for run in runs:
        for verdict in run.verdicts:
            for difference in () if verdict.decides_otherwise else verdict.differences:
                found.setdefault((_named(verdict), difference.path), []).append((run, difference))
    return found


def _named(verdict: ReplayedVerdict) -> str:
    return f"{verdict.section} after the swap" if verdict.kind == AGAIN else verdict.section


def _both(difference: Difference) -> Iterator[str]:
    yield f"    recorded  {_shown(difference.recorded)}"
    yield f"    today     {_shown(difference.recomputed)}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=False)


def _counted(status: str, runs: Sequence[Replayed]) -> str:
    verdicts = [verdict for run in runs for verdict in run.verdicts]
    told = f"{status}: {_many(len(verdicts), 'verdict')} of {_many(len(runs), 'run')}"
    otherwise = sum(verdict.decides_otherwise for verdict in verdicts)
    reworded = sum(bool(verdict.differences) for verdict in verdicts) - otherwise
    if status == "different":
        told += f"; {otherwise:,} decided otherwise, {reworded:,} the same in other words"
    empty = sum(run.status == "empty" for run in runs)
    return told + (f"; {_many(empty, 'run')} without a verdict" if empty else "")


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
