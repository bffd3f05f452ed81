"""The chain of one model: find its head, read it, append to it.

Entries are numbered without a hole, so the head is found by asking for a few names, never by listing: doubling
steps, then halving. On a remote store a file ``hint.json``, written when a run opens and ends, gives a place to start
from; it is checked before it is used, and never trusted.

An append creates the next number only if absent. Whoever loses that race reads what came in between and either goes
on after it or learns that the model is no longer its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain.clock import wall
from retrain.ledger.canonical import canonical, load
from retrain.ledger.entries import GENESIS, Entry, Reader, decode, encode, entry_file, safe_name
from retrain.ledger.problems import Malformed, Missing
from retrain.ledger.store import Store

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # its public home, without __all__

__all__ = ["HINT", "POINTER", "Chain", "Head", "find_head", "read_head"]

HINT = "hint.json"
"""Where a remote chain keeps a place to start from."""

POINTER = "opened.json"
"""The file of a run that holds the number of its OPEN: nobody has to search, and no second run can have the id."""

Guard = Callable[[list[Entry]], None]
"""Looks at what others appended in between, and raises if that forbids to go on."""


@dataclass(frozen=True)
class Head:
    """A chain's newest entry: its number (0 where there is none) and the SHA-256 of its file.

    ``run`` is whose entry it is, "" where that is not known: for who is asked to keep the head, not a part of it.
    """

    number: int
    sha256: str
    run: str = field(default="", compare=False)

    def __bytes__(self) -> bytes:
        """Return the head as a file holds it."""
        return canonical({"number": self.number, "sha256": self.sha256})


def read_head(data: bytes, *, name: str) -> Head:
    """Return the head in ``data``, as ``bytes(head)`` writes it; Malformed, naming ``name``, otherwise."""
    try:
        value = load(data)
    except ValueError as error:
        raise Malformed(f"{name} is not a head: {error}") from error
    if not (isinstance(value, dict) and set(value) == {"number", "sha256"}):
        raise Malformed(f"{name} is not a head: it has to hold a number and a SHA-256")
    if type(value["number"]) is not int or not isinstance(value["sha256"], str) or len(value["sha256"]) != len(GENESIS):
        raise Malformed(f"{name} is not a head: its number or SHA-256 is none")
    return Head(**value)


def find_head(exists: Callable[[int], bool], *, start: int = 0) -> int:
    """Return the largest number that exists, given that all smaller ones do: 2·log2 questions from ``start``.

    ``start`` is a guess; one that does not exist is dropped.
    """
    low = start if start and exists(start) else 0
    step = 1
    while exists(low + step):
        low += step
        step *= 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exists(middle) else (low, middle)
    return low


class Chain:
    """The chain of ``model`` in ``store``. Only a process with a ``signer`` can open, close, approve or resolve."""

    def __init__(
        self,
        store: Store,
        model: str,
        *,
        signer: Signer | None = None,
        now: Callable[[], datetime] = wall,
        reader: Reader = load,
    ) -> None:
        """Take the store of all records, and the machine's clock for the instant that each entry bears.

        ``reader`` is the canonical one but for lists, which prove nothing and never write.
        Whoever knows secrets sets ``redact``: every body goes through it before it is written.
        """
        self.model = safe_name(model, what="model")
        self.store = store.within(model)
        self.signer = signer
        self.now = now
        self._reader = reader
        self.redact: Callable[[Any], Any] = dict
        self._writer = secrets.token_hex(8)
        self._read: dict[int, Entry] = {}
        self._head: Head | None = None

    def head(self) -> Head:
        """Return the newest entry's number and SHA-256, as it is now."""
        start = self._head.number if self._head else self._hint()
        number = find_head(lambda guess: self.store.exists(entry_file(guess)), start=start)
        entry = self.entry(number) if number else None
        self._head = Head(0, GENESIS) if entry is None else Head(number, entry.sha256, entry.run)
        return self._head

    def entry(self, number: int) -> Entry:
        """Return one entry; Missing where there is none, Malformed where its file is not one."""
        if number not in self._read:
            name = entry_file(number)
            self._read[number] = decode(self.store.read(name), name=name, reader=self._reader)
        return self._read[number]

    def entries(self, *, start: int = 1) -> list[Entry]:
        """Return all entries from number ``start`` on, in order."""
        return [self.entry(number) for number in range(start, self.head().number + 1)]

    def forget(self) -> None:
        """Drop what was read: for who goes through a long record once."""
        self._read.clear()

    def known(self, *, start: int) -> list[Entry]:
        """Return the entries from number ``start`` on that this chain has come across. Asks for none."""
        newest = self._head.number if self._head else 0
        return [self.entry(number) for number in range(start, newest + 1)]

    def append(self, kind: str, *, run: str, body: Mapping[str, Any], guard: Guard) -> Entry:
        """Append one entry; it is durable when this returns.

        Where others were faster, ``guard`` sees their entries, in order, and raises if this one must not follow.
        """
        safe_name(run, what="run")
        while True:
            head = self._head or self.head()
            data = self._encode(kind, run=run, body=body, after=head)
            name = entry_file(head.number + 1)
            if self.store.create(name, data):
                return self._appended(decode(data, name=name))
            guard(self._catch_up(head.number + 1))

    def leave_hint(self) -> Head:
        """Return the head, and on a remote store write where it is for whoever looks for it next."""
        head = self._head or self.head()
        if self.store.remote:
            self.store.replace(HINT, bytes(head))
        return head

    def _encode(self, kind: str, *, run: str, body: Mapping[str, Any], after: Head) -> bytes:
        return encode(
            number=after.number + 1,
            previous=after.sha256,
            kind=kind,
            run=run,
            model=self.model,
            at=self.now(),
            writer=self._writer,
            body=self.redact(body),
            signer=self.signer,
        )

    def _appended(self, entry: Entry) -> Entry:
        self._read[entry.number] = entry
        self._head = Head(entry.number, entry.sha256, entry.run)
        return entry

    def _catch_up(self, number: int) -> list[Entry]:
        """Read entry ``number``, which is known to be there, and all after it."""
        fresh = [self._appended(self.entry(number))]
        while self.store.exists(entry_file(number := number + 1)):
            fresh.append(self._appended(self.entry(number)))
        return fresh

    def _hint(self) -> int:
        if not self.store.remote:
            return 0
        try:
            return read_head(self.store.read(HINT), name=HINT).number
        except (Missing, Malformed):
            return 0
