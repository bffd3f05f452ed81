"""What ``retrain verify`` reads: the record of one model or of all, the trusted keys, and a head kept outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from retrain.errors import UsageError
from retrain.ledger import EXIT_CODES, Head, HeadSink, Report, Store, load_pinned, open_store, verify
from retrain.ledger.canonical import canonical
from retrain.ledger.chain import read_head
from retrain.ledger.problems import LedgerError
from retrain.ledger.reports import Verification

__all__ = ["reports", "worst"]

_WORST: Final[tuple[Verification, ...]] = ("tampered", "empty", "incomplete", "unanchored", "verified")
"""The statuses, worst first: one record that was tampered with makes all of them so."""


def reports(root: str | Path, *, model: str | None, keys: Path, head: str | HeadSink | None) -> dict[str, Report]:
    """Verify the record of ``model`` below ``root``, or of every model there; return a report for each.

    ``root`` may also be the folder of one model. ``head`` is a file, a head in JSON, or a place that keeps heads.
    Raises UsageError where nothing can be verified: no keys, no such folder or model, no head to be read. With a head
    a folder that is not there is no mistake in writing it, but a record that is gone.
    """
    pinned = load_pinned(keys)
    found = _records(root, model, gone=head is not None)
    if len(found) > 1 and head is not None:
        raise UsageError(f"a head is that of one model, and there are {', '.join(found)}: say --model")
    kept = _head(head)
    if kept is not None and not found:  # nothing is left, and a head says that there was something
        found = {model or "": open_store(root)}
    return {name: verify(store, pinned=pinned, head=kept, model=name or None) for name, store in found.items()}


def worst(found: dict[str, Report]) -> tuple[str, int]:
    """Return the worst status and its exit code; no record at all is ``empty``."""
    status: Verification = min((report.status for report in found.values()), key=_WORST.index, default="empty")
    return status, EXIT_CODES[status]


def _records(root: str | Path, model: str | None, *, gone: bool) -> dict[str, Store]:
    if isinstance(root, Path) and not root.exists() and gone:
        return {}
    if isinstance(root, Path) and not root.is_dir():
        raise UsageError(f"there is no folder {root}")
    store = open_store(root)
    inside = [name for name in store.folders() if not name.startswith(".")]
    if "entries" in inside:  # one model's folder: its name may have been changed by whoever copied it
        return {model or "": store}
    if model is None:
        return {name: store.within(name) for name in inside}
    return {model: store.within(model)}


def _head(told: str | HeadSink | None) -> Head | None:
    if told is None:
        return None
    if not isinstance(told, str):
        kept = told.read()
        if kept is None:
            raise UsageError(f"{told.place} keeps no head of this record")
        return kept
    return _parsed(told) if told.lstrip().startswith("{") else _read(Path(told))


def _parsed(text: str) -> Head:
    try:
        value: Any = json.loads(text)
        return read_head(canonical(value), name="--head")
    except (ValueError, LedgerError) as error:
        raise UsageError(f'--head: {text[:80]!r} is not like {{"number": 12, "sha256": "…"}} ({error})') from error


def _read(path: Path) -> Head:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--head: {path} cannot be read ({error}); say a file, a head in JSON, or warehouse"
        ) from error
    return _parsed(text)
