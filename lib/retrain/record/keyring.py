"""Whose keys sign, and whose are trusted. Never imported by a kernel: only the supervising process loads a key.

In the sandbox keys are made on first use under ``.retrain/keys`` of the project and pinned there. Elsewhere
``records.signing_key`` names the runner's, an approver brings their own, and a person writes the file of pinned keys.
"""

from __future__ import annotations

import re
from pathlib import Path

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # its public home

from retrain.errors import UsageError
from retrain.ledger.keys import PinnedKey, load_pinned, load_signer, make_key, pin, public_pem, save_pinned
from retrain.settings import Settings, project_root

__all__ = ["approver", "pinned", "pinned_file", "runner"]

_KEYS = Path(".retrain") / "keys"


def runner(settings: Settings) -> CryptoSigner:
    """Return what signs for the runner; UsageError where no key is named outside the sandbox, or it does not load."""
    named = settings.records.signing_key
    if named is not None:
        return load_signer(_below_project(named))
    if settings.sandbox is None:
        raise UsageError("records.signing_key is not set: name the file of the private key that signs the record")
    return _own(settings, "runner", role="runner", name="the sandbox's runner")


def approver(settings: Settings, *, by: str, key: Path | None) -> CryptoSigner:
    """Return what signs for the person ``by``: their key, or in the sandbox one of their own made on first use."""
    if key is not None:
        return load_signer(key.expanduser())
    if settings.sandbox is None:
        raise UsageError("outside the sandbox an approver signs with a key of their own: name its file with --key")
    safe = re.sub(r"[^A-Za-z0-9]+", "-", by).strip("-").lower() or "person"
    return _own(settings, f"approver-{safe}", role="approver", name=by)


def pinned_file(settings: Settings) -> Path:
    """Return the path of the file of pinned keys."""
    return _below_project(settings.records.pinned_keys)


def pinned(settings: Settings) -> dict[str, PinnedKey]:
    """Return the public keys that are trusted, by key id; UsageError where there is no such file."""
    return load_pinned(pinned_file(settings))


def _own(settings: Settings, file: str, *, role: str, name: str) -> CryptoSigner:
    path = project_root() / _KEYS / f"{file}.pem"
    make_key(path)
    signer = load_signer(path)
    where = pinned_file(settings)
    known = load_pinned(where) if where.exists() else {}
    if signer.public_key.keyid not in known:
        save_pinned(where, [*known.values(), pin(public_pem(signer), role=role, name=name)])
    return signer


def _below_project(path: str) -> Path:
    return project_root() / Path(path).expanduser()
