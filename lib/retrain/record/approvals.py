"""A person's word in the record, signed with a key: the approval of a swap, and how an effect nobody saw has ended.

An approval says what exactly is approved; before the run goes on it is checked that this still stands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain import ledger
from retrain.errors import UsageError, nearest
from retrain.ledger import Chain, Entry, open_store, push_head
from retrain.ledger.keys import trusts
from retrain.record import keyring
from retrain.record.anchors import sinks
from retrain.record.evidence import evidence
from retrain.record.records import RunFolder

__all__ = ["approve", "check", "resolve"]

_FOUND = ("applied", "not_applied")


def approve(folder: RunFolder, *, by: str, key: Path | None) -> list[str]:
    """Sign the approval of the run, which waits for one, by ``by`` with their own key; return trouble with heads.

    Raises UsageError where the run does not wait, or ``by`` is who started it.
    """
    settings = folder.settings
    signer = keyring.approver(settings, by=by, key=key)
    chain = Chain(open_store(folder.root), folder.model, signer=signer)
    ledger.approve(chain, folder.run_id, by=by, body=evidence(folder))
    return [f"{place}: {why}" for place, why in push_head(chain.head(), sinks(settings)).items()]


def resolve(folder: RunFolder, *, effect: str, outcome: str, by: str, why: str, key: Path | None) -> list[str]:
    """Sign how ``by`` found the newest open ``effect`` of the run to have ended; return trouble with heads.

    ``outcome`` is ``applied`` or ``not_applied``. Without ``key`` the runner's signs. Raises UsageError where no such
    effect is open: what was seen is not overruled.
    """
    if outcome not in _FOUND:
        raise UsageError(f"--outcome {outcome!r}: say {' or '.join(_FOUND)}.{nearest(outcome, _FOUND)}")
    settings = folder.settings
    intent = _open_intent(folder, effect)
    signer = keyring.runner(settings) if key is None else keyring.approver(settings, by=by, key=key)
    chain = Chain(open_store(folder.root), folder.model, signer=signer)
    ledger.resolve(chain, folder.run_id, intent=intent, outcome=outcome, by=by, why=why)
    return [f"{place}: {what}" for place, what in push_head(chain.head(), sinks(settings)).items()]


def _open_intent(folder: RunFolder, effect: str) -> int:
    open_ones = {entry.number: str(entry.body.get("effect")) for entry in folder.unresolved()}
    for number in sorted(open_ones, reverse=True):
        if open_ones[number] == effect:
            return number
    known = ", ".join(sorted(set(open_ones.values()))) or "none"
    raise UsageError(f"run {folder.run_id} has no {effect!r} whose outcome is open; open: {known}")


def check(folder: RunFolder) -> dict[str, Any] | None:
    """Return the approval that a waiting run may go on with; None where the run does not wait for one.

    Raises UsageError where it waits and was not approved, was approved with a key that is not trusted for that, or
    where something changed since.
    """
    if folder.state != "parked":
        return None
    given = [entry for entry in folder.entries() if entry.kind == "approved"]
    if not given:
        raise UsageError(f"run {folder.run_id} waits for an approval: retrain approve {folder.run_id} --by NAME")
    entry = given[-1]
    _trusted(folder, entry)
    told = evidence(folder)
    changed = [name for name, value in told.items() if entry.body.get(name) != value]
    if changed:
        raise UsageError(
            f"{', '.join(changed)} is not what {entry.body['by']} approved: approve run {folder.run_id} anew"
        )
    return {"approved": entry.number, "by": entry.body["by"], **told}


def _trusted(folder: RunFolder, entry: Entry) -> None:
    wrong = trusts(keyring.pinned(folder.settings), entry)
    opening = folder.chain.entry(folder.opened_at)
    if wrong or _signers(opening) & _signers(entry):
        raise UsageError(
            f"the approval of run {folder.run_id} does not count: {wrong or 'signed with the key of the run'}"
        )


def _signers(entry: Entry) -> set[str]:
    return set(entry.envelope.signatures)
