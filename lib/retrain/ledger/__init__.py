r"""The record: one append-only chain of signed entries for each model.

``records/<model>/entries/00000001.json`` and so on, each created only if absent, each holding the SHA-256 of the one
before. From that one rule follow crash recovery, mutual exclusion and tamper evidence. Read ``entries`` for what an
entry is, ``chain`` for how one is appended, ``runs`` for who may, ``verify`` for what a stranger can check.

One entry checked with nothing but openssl and sha256sum (an entry's file has one canonical form, so sed can read it)::

    entry=entries/00000001.json
    sed 's/.*"payload":"\([^"]*\)".*/\1/' $entry | openssl base64 -d -A > payload
    sed 's/.*"sig":"\([^"]*\)".*/\1/' $entry | openssl base64 -d -A > signature
    { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < payload)"; cat payload; } > signed
    openssl pkeyutl -verify -pubin -inkey runner.pem -rawin -in signed -sigfile signature
    openssl pkey -pubin -in runner.pem -outform DER | sha256sum   # the keyid beside the signature
    sha256sum $entry                                              # "previous" in the payload of the next entry
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain.ledger.chain import Chain, Head, find_head, read_head
    from retrain.ledger.entries import Entry, decode, encode, entry_file, sha256
    from retrain.ledger.heads import GitHead, HeadSink, StoreHead, agree, push_head
    from retrain.ledger.holders import Holder, here, lives
    from retrain.ledger.keys import PinnedKey, load_pinned, load_signer, make_key, pin, public_pem, save_pinned
    from retrain.ledger.problems import Busy, LedgerError, Malformed, Missing, StoreError, TakenOver
    from retrain.ledger.reports import EXIT_CODES, Finding, Report
    from retrain.ledger.runs import Run, approve, join_run, open_run, opening_of, resolve, resume_run, run_files, state
    from retrain.ledger.store import BucketStore, FolderStore, Store, open_store
    from retrain.ledger.verify import verify

__all__ = [
    "EXIT_CODES",
    "BucketStore",
    "Busy",
    "Chain",
    "Entry",
    "Finding",
    "FolderStore",
    "GitHead",
    "Head",
    "HeadSink",
    "Holder",
    "LedgerError",
    "Malformed",
    "Missing",
    "PinnedKey",
    "Report",
    "Run",
    "Store",
    "StoreError",
    "StoreHead",
    "TakenOver",
    "agree",
    "approve",
    "decode",
    "encode",
    "entry_file",
    "find_head",
    "here",
    "join_run",
    "lives",
    "load_pinned",
    "load_signer",
    "make_key",
    "open_run",
    "open_store",
    "opening_of",
    "pin",
    "public_pem",
    "push_head",
    "read_head",
    "resolve",
    "resume_run",
    "run_files",
    "save_pinned",
    "sha256",
    "state",
    "verify",
]

# Read by whoever lists a thousand runs: what signs and verifies (a second to import) comes when it is asked for.
_HOMES = {
    "chain": (
        "Chain",
        "Head",
        "find_head",
        "read_head",
    ),
    "entries": (
        "Entry",
        "decode",
        "encode",
        "entry_file",
        "sha256",
    ),
    "heads": (
        "GitHead",
        "HeadSink",
        "StoreHead",
        "agree",
        "push_head",
    ),
    "holders": (
        "Holder",
        "here",
        "lives",
    ),
    "keys": (
        "PinnedKey",
        "load_pinned",
        "load_signer",
        "make_key",
        "pin",
        "public_pem",
        "save_pinned",
    ),
    "problems": (
        "Busy",
        "LedgerError",
        "Malformed",
        "Missing",
        "StoreError",
        "TakenOver",
    ),
    "reports": (
        "EXIT_CODES",
        "Finding",
        "Report",
    ),
    "runs": (
        "Run",
        "approve",
        "join_run",
        "open_run",
        "opening_of",
        "resolve",
        "resume_run",
        "run_files",
        "state",
    ),
    "store": (
        "BucketStore",
        "FolderStore",
        "Store",
        "open_store",
    ),
    "verify": ("verify",),
}


def __getattr__(name: str) -> Any:
    """Return a public name of the package, importing the module that holds it."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return value
