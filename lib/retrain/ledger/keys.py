"""Ed25519 keys: private ones in PEM files that only their owner reads, public ones pinned with a role.

A key's id is the SHA-256 of its public part in DER, as ``openssl pkey -pubin -outform DER | sha256sum`` prints it.
Only the supervising process and an approver's own process load a private key; a kernel never does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError

from retrain.errors import UsageError, nearest
from retrain.late import left_out
from retrain.ledger.entries import SIGNED, Entry, sha256

with left_out(("boto3", "botocore")):  # for keys in AWS, which are not used here: a tenth of a second
    from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # their public home

__all__ = [
    "ROLES", "CryptoSigner", "PinnedKey", "load_pinned", "load_signer", "make_key", "pin", "public_pem", "save_pinned",
    "trusts", "unfit",
]  # fmt: skip

ROLES: Final = ("runner", "approver")


@dataclass(frozen=True)
class PinnedKey:
    """A public key that a reader trusts, for what, and whose it is."""

    key: SSlibKey
    role: str
    name: str
    pem: str

    @property
    def keyid(self) -> str:
        """The SHA-256 of the public key in DER."""
        return self.key.keyid


def make_key(path: Path) -> bool:
    """Make a private key at ``path``, readable by its owner only; return False if there is one already.

    The file appears whole or not at all, so that two processes that start together end with the same key.
    """
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def load_signer(path: Path) -> CryptoSigner:
    """Return the signer that holds the private key in ``path``: PKCS#8 PEM, Ed25519, without a password."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"no private key can be read from {path}: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} holds a private key, but not an Ed25519 one")
    return CryptoSigner(key, _public(key.public_key()))


def public_pem(signer: CryptoSigner) -> str:
    """Return the public key of ``signer`` in PEM."""
    return _pem(Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_key.keyval["public"])))


def pin(pem: str, *, role: str, name: str) -> PinnedKey:
    """Return the public key ``pem`` pinned to a role, ``runner`` or ``approver``. ``name`` says whose it is."""
    if role not in ROLES:
        raise UsageError(f"{role!r} is not a role of a key: {', '.join(ROLES)}.{nearest(str(role), ROLES)}")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"the key of {name!r} is not a public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"the key of {name!r} is not an Ed25519 key")
    return PinnedKey(key=_public(key), role=role, name=name, pem=_pem(key))


def save_pinned(path: Path, keys: Iterable[PinnedKey]) -> None:
    """Write ``keys`` to ``path``: ``{"keys": [{"keyid", "name", "public", "role"}]}``. It holds no secret."""
    rows = [{"keyid": key.keyid, "name": key.name, "public": key.pem, "role": key.role} for key in keys]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"keys": rows}, indent=2) + "\n")
    draft.replace(path)


def load_pinned(path: Path) -> dict[str, PinnedKey]:
    """Return the keys pinned in ``path``, by key id; UsageError where the file is not as ``save_pinned`` writes it."""
    try:
        rows = json.loads(path.read_bytes())["keys"]
        keys = [pin(row["public"], role=row["role"], name=row["name"]) for row in rows]
        told = [row["keyid"] for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} holds no pinned keys ({type(error).__name__}: {error})") from error
    if told != [key.keyid for key in keys]:
        raise UsageError(f"{path} names a key id that is not the SHA-256 of its key")
    return {key.keyid: key for key in keys}


def trusts(pinned: Mapping[str, PinnedKey], entry: Entry) -> str:
    """Return why the signature of a signed ``entry`` does not hold by the ``pinned`` keys, or an empty string."""
    envelope = entry.envelope
    (signature,) = envelope.signatures.values()
    wrong = unfit(pinned, signature.keyid, kind=entry.kind)
    if wrong:
        return wrong
    key = pinned[signature.keyid]
    try:
        key.key.verify_signature(signature, envelope.pae())
    except (UnverifiedSignatureError, VerificationError):
        return f"the signature does not hold by the key of {key.name}"
    return ""


def unfit(pinned: Mapping[str, PinnedKey], keyid: str, *, kind: str) -> str:
    """Return why an entry ``kind`` that is signed with the key ``keyid`` does not hold, or an empty string."""
    key = pinned.get(keyid)
    if key is None:
        return f"signed with a key that is not pinned ({keyid[:16]}…)"
    if key.role not in SIGNED[kind]:
        return f"{kind!r} is signed with the key of {key.name}, whose role is {key.role}"
    return ""


def _public(key: Ed25519PublicKey) -> SSlibKey:
    return SSlibKey.from_crypto(key, keyid=sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)))


def _pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
