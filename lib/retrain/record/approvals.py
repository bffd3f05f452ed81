"""A person's word in the record, signed with a key: the approval of a swap, and how an effect nobody saw has ended.

An approval says what exactly is approved; before the run goes on it is checked that this still stands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain import ledger
from retrain.errors import UsageError, nearest
from retrain.ledger import Chain, Entry, open_store, push_head
from retrain.ledger.keys import CryptoSigner, trusts
from retrain.ledger.people import same_name, same_person, wrong_approval
from retrain.record import keyring
from retrain.record.anchors import sinks
from retrain.record.evidence import evidence
from retrain.record.provenance import actor
from retrain.record.records import RunFolder
from retrain.secrets import gather
from retrain.settings import Settings

__all__ = ["approve", "check", "resolve"]

_FOUND = ("applied", "not_applied")


def approve(folder: RunFolder, *, by: str, key: Path | None) -> list[str]:
    """Sign the approval of the run, which waits for one, by ``by`` with their own key; return trouble with heads.

    Raises UsageError, and writes nothing, where the run does not wait, ``by`` or whoever runs this started it, or the
    key is not pinned as an approver's and as that of ``by``. In the sandbox one person plays both.
    """
    settings = folder.settings
    starter = str(folder.opened["by"])
    if settings.sandbox is None and same_person(starter, actor()):
        raise UsageError(
            f"this process acts for {actor()} (RETRAIN_ACTOR, or its user and host), and {starter} started run"
            f" {folder.run_id}: somebody else has to approve it"
        )
    chain = _signing(folder, keyring.approver(settings, by=by, key=key))
    ledger.approve(chain, folder.run_id, by=by, body={**evidence(folder), "actor": actor()})
    return [f"{place}: {why}" for place, why in push_head(chain.head(), sinks(settings)).items()]


def resolve(folder: RunFolder, *, effect: str, outcome: str, by: str, why: str, key: Path | None) -> list[str]:
    """Sign how ``by`` found the newest open ``effect`` of the run to have ended; return trouble with heads.

    ``outcome`` is ``applied`` or ``not_applied``. Without ``key`` the runner's signs. Raises UsageError where no such
    effect is open: what was seen is not overruled; and Busy while the run's process lives and looks for itself.
    """
    if outcome not in _FOUND:
        raise UsageError(f"--outcome {outcome!r}: say {' or '.join(_FOUND)}.{nearest(outcome, _FOUND)}")
    settings = folder.settings
    intent = _open_intent(folder, effect)
    signer = (
        keyring.runner(settings, kind="resolved")
        if key is None
        else keyring.approver(settings, by=by, key=key, kind="resolved")
    )
    chain = _signing(folder, signer)
    ledger.resolve(chain, folder.run_id, intent=intent, outcome=outcome, by=by, why=why)
    return [f"{place}: {what}" for place, what in push_head(chain.head(), sinks(settings)).items()]


def _signing(folder: RunFolder, signer: CryptoSigner) -> Chain:
    """Return the run's chain with ``signer``, made to keep secrets out: what a person pastes is no exception."""
    chain = Chain(open_store(folder.root), folder.model, signer=signer)
    chain.redact = gather(folder.settings).redact_value
    return chain


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
    settings = folder.settings
    opening = folder.chain.entry(folder.opened_at)
    wrong = trusts(keyring.pinned(settings), entry) or wrong_approval(opening, entry) or _wrong_name(settings, entry)
    if wrong:
        raise UsageError(f"the approval of run {folder.run_id} does not count: {wrong}")


def _wrong_name(settings: Settings, entry: Entry) -> str:
    names = [whose for keyid in entry.envelope.signatures if (whose := keyring.whose(settings, keyid))]
    wrong = [name for name in names if not same_name(name, str(entry.body["by"]))]
    return f"it names {entry.body['by']}, and the key is that of {wrong[0]}" if wrong else ""
