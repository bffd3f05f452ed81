"""Does a record hold? Answered offline, from a copy of one model's folder, public keys and a head kept outside.

    tampered    a file was changed, added, moved or removed since it was sealed        exit 1
    incomplete  a run is still open, or an effect's outcome is not known               exit 3
    unanchored  the record is consistent, but nothing outside says that it is whole    exit 4
    empty       there is no record                                                     exit 5
    verified    none of these                                                          exit 0

The first that applies wins. Verified always means verified against a head: a chain alone cannot show that its newest
entries were deleted, or replaced by somebody who holds the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from retrain.errors import UsageError
from retrain.ledger.chain import HINT, Head, read_head
from retrain.ledger.entries import ENTRIES, GENESIS, SIGNED, Entry, decode, entry_file, entry_number, sha256
from retrain.ledger.history import History
from retrain.ledger.keys import PinnedKey, trusts
from retrain.ledger.problems import LedgerError, StoreError
from retrain.ledger.reports import Finding, Grade, Report, Verification, span
from retrain.ledger.runs import beside
from retrain.ledger.store import FolderStore, Store

__all__ = ["verify"]


def verify(
    record: Store | Path,
    *,
    pinned: Mapping[str, PinnedKey],
    head: Head | None = None,
    model: str | None = None,
) -> Report:
    """Verify the record of one model.

    ``record`` is the folder that holds ``entries/`` and ``runs/``, or the store of it; ``pinned`` are the trusted
    public keys by key id; ``head`` is what is kept outside; ``model`` is whose record it should be (None: whose
    record the first entry says it is). Raises UsageError without any pinned key or with a folder that does not exist.
    """
    if not pinned:
        raise UsageError("a record cannot be verified without a pinned public key")
    if isinstance(record, Path) and not record.is_dir():
        raise UsageError(f"there is no folder {record}")
    store = FolderStore(record) if isinstance(record, Path) else record
    return _Verification(store, pinned, model).report(head)


class _Verification:
    """One verification. Entries that are at fault in themselves are ``faulty``: their neighbours are not blamed."""

    def __init__(self, store: Store, pinned: Mapping[str, PinnedKey], model: str | None) -> None:
        self.store = store
        self.pinned = pinned
        self.model = model
        self.names = store.names()
        self.entries: dict[int, Entry] = {}
        self.digests: dict[int, str] = {}
        self.faulty: set[int] = set()
        self.findings: list[Finding] = []
        self.left_out: list[str] = []
        self.history = History()

    def report(self, head: Head | None) -> Report:
        numbers = self._read_entries()
        self._check_each()
        sealed = max(
            (n for n, entry in self.entries.items() if entry.kind in SIGNED and n not in self.faulty), default=0
        )
        self._check_links(numbers, sealed)
        for number in sorted(self.entries):
            self.history.read(self.entries[number])
        whole = not self.findings
        if whole:  # after a fault the rest can look impossible without being at fault
            self.findings += self.history.impossible
        self._check_files(whole=whole)
        self._check_hint()
        newest = numbers[-1] if numbers else 0
        self._check_head(head, newest, sealed)
        self._check_end(newest, sealed)
        return Report(
            status=self._status(newest),
            findings=tuple(self.findings),
            entries=len(numbers),
            runs={name: run.state for name, run in self.history.runs.items()},
            head=Head(newest, self.digests.get(newest, "")) if newest else None,
            left_out=tuple(self.left_out),
        )

    def _status(self, newest: int) -> Verification:
        grades = {finding.grade for finding in self.findings}
        if "tampered" in grades:
            return "tampered"
        if not newest:
            return "empty"
        if "incomplete" in grades:
            return "incomplete"
        return "unanchored" if "unanchored" in grades else "verified"

    def _find(self, grade: Grade, file: str, problem: str) -> None:
        self.findings.append(Finding(grade, file, problem))

    def _blame(self, number: int, problem: str) -> None:
        self.faulty.add(number)
        self._find("tampered", entry_file(number), problem)

    def _read_entries(self) -> list[int]:
        """Read every file under entries/, each for itself; return the numbers that are there, in order."""
        numbers = []
        for name in self.names:
            number = entry_number(name)
            if number is not None:
                numbers.append(number)
                self._read_entry(number)
            elif name != HINT and not name.startswith("runs/"):
                self._find("tampered", name, "not an entry" if name.startswith(ENTRIES) else "not a part of a record")
        return sorted(numbers)

    def _read_entry(self, number: int) -> None:
        name = entry_file(number)
        try:
            data = self.store.read(name)
            self.digests[number] = sha256(data)
            self.entries[number] = decode(data, name=name)
        except LedgerError as error:
            self._blame(number, str(error))

    def _check_each(self) -> None:
        """Hold each entry against its own name, the record's model and its signature."""
        models = Counter(entry.model for entry in self.entries.values())
        model = self.model or max(models, key=models.__getitem__, default="")
        for number, entry in self.entries.items():
            if entry.number != number:
                self._blame(number, f"it says that it is entry {entry.number}")
            elif entry.model != model:
                self._blame(number, f"an entry of {entry.model} in the record of {model}")
            elif entry.kind in SIGNED and (wrong := trusts(self.pinned, entry)):
                self._blame(number, wrong)

    def _check_links(self, numbers: Sequence[int], sealed: int) -> None:
        """Hold each entry's hash against what the next one says, from the newest back.

        The later of two has the word if a signature seals it. A fault that is known explains the break by itself.
        """
        for earlier, later in reversed(list(pairwise([0, *numbers]))):
            if later != earlier + 1:
                self._find("tampered", entry_file(earlier + 1), f"missing: {span(earlier + 1, later - 1)}")
            elif not {earlier, later} & self.faulty and self.entries[later].previous != self.digests.get(
                earlier, GENESIS
            ):
                if earlier and later <= sealed:
                    self._blame(earlier, f"not the file whose SHA-256 {entry_file(later)} holds")
                else:
                    self._blame(later, "it does not hold the SHA-256 of the entry before it")

    def _check_files(self, *, whole: bool) -> None:
        """Hold the files of each run that ended against the digests in its seal."""
        files: dict[str, dict[str, str]] = {}
        for name in self.names:
            if name.startswith("runs/"):
                run, _, file = name.removeprefix("runs/").partition("/")
                files.setdefault(run, {})[file] = name
        for run, known in self.history.runs.items():
            found = files.pop(run, {})
            if known.seal and known.seal.number not in self.faulty:
                self._check_run(run, known.seal, found)
        for strays in files.values() if whole else ():
            for name in strays.values():
                self._find("tampered", name, "of a run that the record does not hold")

    def _check_run(self, run: str, seal: Entry, found: Mapping[str, str]) -> None:
        sealed = seal.body["files"]
        said = entry_file(seal.number)
        for file in sorted(sealed.keys() | found.keys()):
            name = f"runs/{run}/{file}"
            if file not in found:
                self._find("tampered", name, f"missing: {said} holds its SHA-256")
            elif file not in sealed and beside(file):
                self.left_out.append(name)
            elif file not in sealed:
                self._find("tampered", name, f"added after the run ended: {said} does not name it")
            elif (actual := self._digest(name)) != sealed[file]:
                self._find("tampered", name, f"its SHA-256 is {actual}, and {said} holds {sealed[file]}")

    def _digest(self, name: str) -> str:
        try:
            return sha256(self.store.read(name))
        except StoreError as error:
            return f"unknown ({error})"

    def _check_hint(self) -> None:
        if HINT in self.names:
            try:
                hint = read_head(self.store.read(HINT), name=HINT)
            except LedgerError as error:
                self._find("tampered", HINT, str(error))
                return
            if self.digests.get(hint.number) != hint.sha256:
                self._find("tampered", HINT, f"it does not hold the SHA-256 of {entry_file(hint.number)}")

    def _check_head(self, head: Head | None, newest: int, sealed: int) -> None:
        if head is None:
            self._find(
                "unanchored", entry_file(newest), "no head outside was given: what followed may have been deleted"
            )
        elif head.number > newest:
            gone = f"deleted: {span(newest + 1, head.number)} (the head outside is entry {head.number})"
            left = "" if newest else f"nothing is left in {self.store.place}: "
            self._find("tampered", entry_file(newest + 1), left + gone)
        elif head.number and self.digests.get(head.number) != head.sha256:
            self._find("tampered", entry_file(head.number), "not the one whose SHA-256 is kept outside: replaced")
        elif head.number < sealed:
            later = span(head.number + 1, sealed)
            self._find(
                "unanchored", entry_file(head.number + 1), f"the head outside is older: it says nothing of {later}"
            )

    def _check_end(self, newest: int, sealed: int) -> None:
        self.findings += self.history.unfinished()
        if newest > sealed:
            self._find(
                "incomplete", entry_file(sealed + 1), f"not sealed by a signature yet: {span(sealed + 1, newest)}"
            )
