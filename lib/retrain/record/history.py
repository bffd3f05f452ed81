"""What earlier runs of the same model say: when it was last trained, and how many trainings failed in a row.

Read newest first, and only until the answer is known. Runs of another world of the sandbox are not facts of this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from retrain import runbook
from retrain.ledger.chain import Chain
from retrain.record import records
from retrain.record.records import RunFolder

__all__ = [
    "LOOKED_BACK", "failed_runs_in_a_row", "incidents", "last_trained_at", "triggers_judged", "unresolved_swap",
]  # fmt: skip

_TOGGLES = ("swap", "rollback")

LOOKED_BACK = "looked_back_at"
"""In an OPEN: the newest entry when the record was searched for an unresolved swap of this world and held none."""


def last_trained_at(root: str | Path, run: RunFolder, *, promoted: datetime | None) -> datetime | None:
    """Return the newest completed training: production's, or a later one of these records, promoted or not."""
    for earlier in _earlier(run):
        told = earlier.latest("training")
        if told and told["verdict"]["outcome"] == "trained":
            at = datetime.fromisoformat(told["facts"]["now"])
            return at if promoted is None else max(at, promoted)
    return promoted


def failed_runs_in_a_row(root: str | Path, run: RunFolder) -> int:
    """Return how many runs before this one, without a completed training between, ended in ``training_failed``.

    Runs that never came to train (no action, blocked) neither count nor break the row.
    """
    return len(list(_failed_in_a_row(run)))


def incidents(root: str | Path, run: RunFolder) -> Iterator[str]:
    """Yield the ids of the incidents that the failed runs before this one opened, newest first."""
    from retrain.acts import incident_id  # takes the service's client along

    for earlier in _failed_in_a_row(run):
        if any(effect.effect == "incident" and effect.outcome == "applied" for effect in earlier.effects()):
            yield incident_id(earlier.run_id)


def unresolved_swap(chain: Chain, *, world: str | None) -> tuple[RunFolder, str] | None:
    """Return the newest run whose swap or roll back is still unresolved, and which of the two it is, or None.

    Such an act may still happen, and the next one would then be undone by it. Looks back to the newest run of this
    world whose OPEN says that it was looked back before it (``LOOKED_BACK``), or that swapped and saw it: that one
    could not begin before everything earlier was settled, and who has ended sends nothing more. So it costs the same in
    a record of any length, save where runs of before that mark, or of other worlds of a sandbox, lie in between.
    """
    before_the_mark = False  # there, what did nothing is passed over unread
    for folder in records.of_chain(chain):
        closed = folder.closed if folder.seal is not None else None
        idle = closed is not None and closed.get("effects") == closed.get("unsettled") == []
        if idle and before_the_mark:
            continue
        before_the_mark = LOOKED_BACK not in folder.opened
        if folder.opened.get("world") != world:
            continue
        for entry in () if idle else folder.unresolved():
            if entry.body.get("effect") in _TOGGLES:
                return folder, str(entry.body["effect"])
        if not before_the_mark or (not idle and _swapped(folder)):
            return None
    return None


def _swapped(folder: RunFolder) -> bool:
    return any(effect.effect in _TOGGLES and effect.sent for effect in folder.effects())


def triggers_judged(run: RunFolder, *, since: datetime | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield run id and recorded facts, policy and verdict of each earlier judgement of the triggers, newest first.

    Only those of the same world, and no earlier than ``since``.
    """
    for folder in records.of_chain(run.chain, before=run.opened_at):
        if folder.opened.get("world") != run.opened.get("world"):
            continue
        told = folder.latest("when_to_retrain")
        if told is None:
            continue
        if since is not None and datetime.fromisoformat(told["facts"]["now"]) < since:
            return
        yield folder.run_id, told


def _failed_in_a_row(run: RunFolder) -> Iterator[RunFolder]:
    for earlier in _earlier(run):
        if runbook.run_outcome(earlier.verdicts()) == "training_failed":
            yield earlier
        elif earlier.latest("training"):
            return


def _earlier(run: RunFolder) -> Iterator[RunFolder]:
    """Yield the model's earlier runs in the same world that came to train, newest first.

    One that was closed tells its sections in its last entry, so the others are passed over unread.
    """
    world = run.opened.get("world")
    for folder in records.of_chain(run.chain, before=run.opened_at):
        closed: Any = folder.closed if folder.seal is not None else None
        told = None if closed is None else closed.get("sections")
        if isinstance(told, list) and not {"training", "if_retraining_fails"} & {each[0] for each in told}:
            continue
        if folder.opened.get("world") == world:
            yield folder
