"""Who started a run does not approve it, however the name is written."""

from __future__ import annotations

import unicodedata

from retrain.ledger.entries import Entry

__all__ = ["same_name", "same_person", "wrong_approval"]


def same_name(one: str, other: str) -> bool:
    """Tell whether two names differ in nothing but capitals, width of letters and blanks."""
    return _plain(one) == _plain(other)


def same_person(one: str, other: str) -> bool:
    """Tell whether two names may be one person's: also where only what stands before ``@`` is the same.

    A name is refused rather than believed: of two people with one name on two hosts, one has to be told by another.
    """
    return same_name(one, other) or _user(one) == _user(other)


def wrong_approval(opening: Entry, approval: Entry) -> str:
    """Return why the person or the key of ``approval`` may not approve the run of ``opening``, or an empty string."""
    if opening.envelope.signatures.keys() & approval.envelope.signatures.keys():
        return "the approver's key is the one that opened the run"
    starter, approver = (str(entry.body.get("by", "")) for entry in (opening, approval))
    return "the approver is the one who started the run" if same_person(starter, approver) else ""


def _user(name: str) -> str:
    plain = _plain(name)
    return plain.partition("@")[0].strip() or plain


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
