"""One link of the chain: a DSSE envelope around an in-toto Statement, in RFC 8785 JSON.

The file's bytes are the canonical JSON of the envelope, the payload's bytes the canonical JSON of the statement.
An entry holds the SHA-256 of the bytes of the file before it. Kinds in ``SIGNED`` carry exactly one signature;
all others carry none and are sealed by the next signature.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from retrain.errors import UsageError
from retrain.ledger.canonical import canonical, load
from retrain.ledger.problems import LedgerError, Malformed

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # its public home, without __all__

__all__ = [
    "ENTRIES",
    "GENESIS",
    "PAYLOAD_TYPE",
    "PREDICATE_TYPE",
    "SEALING",
    "SIGNED",
    "STATES",
    "Entry",
    "Reader",
    "decode",
    "encode",
    "entry_file",
    "entry_number",
    "safe_name",
    "sha256",
]

Reader = Callable[[bytes], Any]
"""What reads JSON; ValueError where it is none."""

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:retrain:entry:1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
GENESIS: Final = "0" * 64
"""What the first entry holds in place of the SHA-256 of the one before."""

ENTRIES: Final = "entries/"
LARGEST_ENTRY: Final = 4 * 1024 * 1024

SIGNED: Final[Mapping[str, frozenset[str]]] = {
    "opened": frozenset({"runner"}),
    "resumed": frozenset({"runner"}),
    "parked": frozenset({"runner"}),
    "closed": frozenset({"runner"}),
    "abandoned": frozenset({"runner"}),
    "approved": frozenset({"approver"}),
    "resolved": frozenset({"runner", "approver"}),
}
"""The kinds that are signed, and the roles whose key may sign each."""

STATES: Final = frozenset({"opened", "resumed", "parked", "closed", "abandoned"})
"""The kinds that say who holds the model."""

SEALING: Final = frozenset({"closed", "abandoned"})
"""The kinds that end a run and hold the SHA-256 of each of its files."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FILE: Final = re.compile(r"entries/([0-9]{8}|[1-9][0-9]{8,14})\.json", re.ASCII)
_ENVELOPE: Final = {"payload", "payloadType", "signatures"}
_SIGNATURE: Final = {"keyid", "sig"}
_STATEMENT: Final = {"_type", "subject", "predicateType", "predicate"}
_PREDICATE: Final = {"number", "previous", "kind", "run", "model", "at", "writer", "body"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as read. ``at`` is the machine's instant of writing, in UTC; ``sha256`` that of the file's bytes.

    ``writer`` is a random word of the process that wrote it: two writers never make the same bytes. ``written`` is the
    envelope's JSON.
    """

    number: int
    kind: str
    at: datetime
    body: dict[str, Any]
    run: str
    model: str
    previous: str
    writer: str
    sha256: str
    written: Mapping[str, Any]

    @property
    def envelope(self) -> Envelope:
        """The DSSE envelope: what was signed, and by whom."""
        from securesystemslib.dsse import Envelope  # half a second: only for who looks at signatures

        signatures = [dict(signature) for signature in self.written["signatures"]]  # it takes apart what it is given
        return Envelope.from_dict({**self.written, "signatures": signatures})


def safe_name(name: str, *, what: str) -> str:
    """Return ``name`` if it can be a folder's name everywhere; UsageError otherwise. ``what`` names it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r} is not a name: letters, digits, '.', '_' and '-', 128 at most, no dot first")
    return name


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def entry_file(number: int) -> str:
    """Return the name of entry ``number`` below the model's folder."""
    return f"{ENTRIES}{number:08d}.json"


def entry_number(name: str) -> int | None:
    """Return the number of the entry of that name; None where ``name`` is not an entry's."""
    found = _FILE.fullmatch(name)
    return (int(found[1]) or None) if found else None


def encode(
    *,
    number: int,
    previous: str,
    kind: str,
    run: str,
    model: str,
    at: datetime,
    writer: str,
    body: Mapping[str, Any],
    signer: Signer | None = None,
) -> bytes:
    """Return the bytes of an entry's file.

    ``signer`` signs the kinds in ``SIGNED`` and no other. Raises UsageError where such a kind has no signer, and
    LedgerError where the body cannot be written as canonical JSON or is larger than 4 MiB.
    """
    predicate: dict[str, Any] = {
        "number": number,
        "previous": previous,
        "kind": kind,
        "run": run,
        "model": model,
        "at": at.isoformat(),
        "writer": writer,
        "body": dict(body),
    }
    statement = {"_type": STATEMENT_TYPE, "subject": _subject(run, predicate["body"]), "predicateType": PREDICATE_TYPE}
    payload = canonical(statement | {"predicate": predicate})
    if kind not in SIGNED:
        written = {"payload": b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": []}
    elif signer is None:
        raise UsageError(f"an entry {kind!r} is signed, and this process holds no key")
    else:
        written = _signed(payload, signer)
    data = canonical(written)
    if len(data) > LARGEST_ENTRY:
        raise LedgerError(f"an entry {kind!r} of {len(data)} bytes is too large: keep it in a file of the run instead")
    return data


def _signed(payload: bytes, signer: Signer) -> dict[str, Any]:
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return envelope.to_dict()


def decode(data: bytes, *, name: str, reader: Reader = load) -> Entry:
    """Return the entry whose file's bytes are ``data``; its signature is not verified here.

    Raises Malformed, naming ``name``, for anything but the canonical bytes of a well-formed entry. With another
    ``reader`` of JSON than the canonical one nothing is proven: that is for lists, which are read twice as fast.
    """
    try:
        written = _envelope(data, reader)
        statement = reader(_bytes(written["payload"]))
        return _entry(statement, written, sha256(data))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{name} is not an entry: {error}") from error


def _envelope(data: bytes, reader: Reader) -> dict[str, Any]:
    """Return the envelope in ``data``, in the one form in which a DSSE library writes it again."""
    if len(data) > LARGEST_ENTRY:
        raise ValueError(f"{len(data)} bytes are more than an entry may have")
    value = reader(data)
    if not isinstance(value, dict) or set(value) != _ENVELOPE or not isinstance(value["signatures"], list):
        raise ValueError("it is no DSSE envelope: payload, payloadType and signatures")
    if value["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"the payload is {value['payloadType']!r}")
    signers = [_signer(signature) for signature in value["signatures"]]
    if len(set(signers)) != len(signers):
        raise ValueError("two signatures of one key")
    return value


def _signer(signature: Any) -> str:
    if not isinstance(signature, dict) or set(signature) != _SIGNATURE or not isinstance(signature["keyid"], str):
        raise ValueError("a signature is a keyid and a sig")
    _bytes(signature["sig"])
    return str(signature["keyid"])


def _bytes(text: Any) -> bytes:
    """Return what ``text`` is the base64 of, if it is that in its one canonical form."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"no base64: {error}") from error
    if b64encode(data).decode() != text:
        raise ValueError("base64 in another form than the canonical one")
    return data


def _entry(statement: Any, written: Mapping[str, Any], digest: str) -> Entry:
    if not isinstance(statement, dict) or set(statement) != _STATEMENT:
        raise ValueError("the payload is no in-toto statement")
    if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ValueError("the statement is of another type")
    fields = statement["predicate"]
    if not isinstance(fields, dict) or set(fields) != _PREDICATE or not _typed(fields):
        raise ValueError("the predicate lacks a field, has one too many, or one of another type")
    if statement["subject"] != _subject(fields["run"], fields["body"]):
        raise ValueError("the subject is not that of the body")
    if len(written["signatures"]) != (1 if fields["kind"] in SIGNED else 0):
        raise ValueError(f"an entry {fields['kind']!r} with {len(written['signatures'])} signatures")
    return Entry(**fields | {"at": _instant(fields["at"])}, sha256=digest, written=written)


def _typed(fields: dict[str, Any]) -> bool:
    return (
        type(fields["number"]) is int
        and all(isinstance(fields[name], str) for name in ("previous", "kind", "run", "model", "at", "writer"))
        and all(_NAME.fullmatch(fields[name]) for name in ("run", "model"))
        and bool(_HEX.fullmatch(fields["previous"]))
        and isinstance(fields["body"], dict)
        and (fields["kind"] not in SEALING or "files" in fields["body"])
        and _digests(fields["body"].get("files", {}))
    )


def _digests(files: Any) -> bool:
    return isinstance(files, dict) and all(isinstance(one, str) and _HEX.fullmatch(one) for one in files.values())


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or at.isoformat() != text:
        raise ValueError(f"{text!r} is not an instant as entries write it")
    return at


def _subject(run: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the statement is about: the run's files where the body holds their digests, else the run's id."""
    about = {f"runs/{run}/{name}": digest for name, digest in body.get("files", {}).items()}
    about = about or {f"runs/{run}": sha256(run.encode())}
    return [{"name": name, "digest": {"sha256": about[name]}} for name in sorted(about)]
