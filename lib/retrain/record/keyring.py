"""Whose keys sign, and whose are trusted. Never imported by a kernel: only the supervising process loads a key.

In the sandbox keys are made on first use under ``.retrain/keys`` of the project and pinned there. Elsewhere
``records.signing_key`` names the runner's, an approver brings their own, and a person writes the file of pinned keys.
"""

from __future__ import annotations

import re
from pathlib import Path

from filelock import FileLock

from retrain.errors import UsageError
from retrain.ledger.entries import SIGNED, sha256
from retrain.ledger.keys import (
    CryptoSigner,
    PinnedKey,
    load_pinned,
    load_signer,
    make_key,
    pin,
    public_pem,
    save_pinned,
    unfit,
)
from retrain.ledger.people import same_name
from retrain.settings import Settings, project_root

__all__ = ["approver", "pinned", "pinned_file", "runner", "whose"]

_KEYS = Path(".retrain") / "keys"
_LONGEST = 60


def runner(settings: Settings, *, kind: str = "opened") -> CryptoSigner:
    """Return what signs an entry ``kind`` for the runner.

    UsageError where no key is named outside the sandbox, it does not load, or it is not pinned for that: what it signs
    would make the record read as tampered ever after.
    """
    named = settings.records.signing_key
    if named is not None:
        path = _below_project(named)
        return _fit(settings, load_signer(path), f"records.signing_key {path}", kind=kind)
    if settings.sandbox is None:
        raise UsageError("records.signing_key is not set: name the file of the private key that signs the record")
    signer = _own(settings, "runner", role="runner", name="the sandbox's runner")
    return _fit(settings, signer, "the sandbox's own key", kind=kind)


def approver(settings: Settings, *, by: str, key: Path | None, kind: str = "approved") -> CryptoSigner:
    """Return what signs an entry ``kind`` for the person ``by``: their key, or in the sandbox one made on first use.

    UsageError where that key is not pinned for it, or is pinned as another's.
    """
    if key is not None:
        path = key.expanduser()
        return _of_person(settings, _fit(settings, load_signer(path), f"--key {path}", kind=kind), by)
    if settings.sandbox is None:
        raise UsageError("outside the sandbox an approver signs with a key of their own: name its file with --key")
    own = _own(settings, f"approver-{_file_name(by)}", role="approver", name=by)
    return _of_person(settings, _fit(settings, own, f"the sandbox's key for {by}", kind=kind), by)


def whose(settings: Settings, keyid: str) -> str:
    """Return the name under which an approver's key is pinned; "" where it is not, or under none."""
    known = pinned(settings).get(keyid)
    return known.name.strip() if known is not None and known.role == "approver" else ""


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
    where.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(where.with_name(f".{where.name}.lock")):  # of two that begin together neither takes the other's out
        known = load_pinned(where) if where.exists() else {}
        if signer.public_key.keyid not in known:
            save_pinned(where, [*known.values(), pin(public_pem(signer), role=role, name=name)])
    return signer


def _fit(settings: Settings, signer: CryptoSigner, where: str, *, kind: str) -> CryptoSigner:
    known = pinned(settings)
    wrong = unfit(known, signer.public_key.keyid, kind=kind)
    if wrong:
        others = ", ".join(sorted(key.name for key in known.values() if key.role in SIGNED[kind])) or "none"
        raise UsageError(
            f"{where} does not sign an entry {kind!r}: {wrong}. Nothing was written. Keys that do, in"
            f" {pinned_file(settings)}: {others}"
        )
    return signer


def _of_person(settings: Settings, signer: CryptoSigner, by: str) -> CryptoSigner:
    name = whose(settings, signer.public_key.keyid)
    if name and not same_name(name, by):
        raise UsageError(
            f"--by {by!r}: the key is pinned as that of {name!r}. Nothing was written. Did you mean {name!r}?"
        )
    return signer


def _file_name(by: str) -> str:
    """Return a name of a file for the key of ``by``, which no other name leads to."""
    plain = " ".join(by.casefold().split())
    safe = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return (
        safe
        if safe == plain and len(safe) <= _LONGEST
        else f"{safe[:_LONGEST] or 'person'}-{sha256(plain.encode())[:8]}"
    )


def _below_project(path: str) -> Path:
    return project_root() / Path(path).expanduser()
