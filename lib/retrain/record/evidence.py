"""What an approval is about, and whether one that was checked still is about what the run's record holds now.

Needs no key: kernels ask here, the supervising process and the approver's own sign in ``retrain.record.approvals``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrain.errors import UsageError
from retrain.ledger.entries import Entry, sha256
from retrain.record.records import RunFolder

__all__ = ["approved_by", "evidence"]

_JUDGED = ("evaluation_gate", "staging_smoke_tests")


def evidence(folder: RunFolder) -> dict[str, Any]:
    """Return what an approval is about: the candidate's version, and one hash over the verdicts that speak for it.

    The hash is the SHA-256 of the SHA-256s of the newest entries of the gate's and the smoke tests' verdicts, in that
    order, a line each.
    """
    newest = {section: _verdict(folder, section) for section in _JUDGED}
    candidate = newest["evaluation_gate"].body["facts"].get("candidate") or {}
    hashes = "".join(f"{newest[section].sha256}\n" for section in _JUDGED)
    return {"candidate_version": candidate.get("version"), "evidence_sha256": sha256(hashes.encode())}


def approved_by(folder: RunFolder) -> str | None:
    """Return who approved what the record holds now, as the supervising process checked it; None for nobody."""
    checked = folder.bodies("approval_checked")
    if not checked or any(checked[-1].get(name) != value for name, value in evidence(folder).items()):
        return None
    return str(checked[-1]["by"])


def _verdict(folder: RunFolder, section: str) -> Entry:
    told = [entry for entry in folder.entries() if entry.kind == "verdict" and _section(entry.body) == section]
    if not told:
        raise UsageError(f"run {folder.run_id} holds no verdict of {section}: there is nothing to approve")
    return told[-1]


def _section(body: Mapping[str, Any]) -> Any:
    return body["verdict"]["section"]
