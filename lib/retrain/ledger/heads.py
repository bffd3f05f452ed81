"""The head outside: a chain's newest number and hash, kept where the runner cannot quietly change it.

A chain alone cannot show that its newest entries were deleted, nor that the newest was replaced by whoever holds the
key. So the head is pushed at each signature: to a table (``retrain.warehouse``), a folder or bucket, a Git branch.
Nowhere can a process that stood still put an older head in the place of a newer one.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from retrain.errors import UsageError
from retrain.ledger.chain import Chain, Head, read_head
from retrain.ledger.entries import GENESIS, entry_file, safe_name
from retrain.ledger.problems import LedgerError, Missing, StoreError, TakenOver
from retrain.ledger.store import Store, open_store

__all__ = ["GitHead", "HeadSink", "StoreHead", "agree", "push_head", "without_repository"]

_ATTEMPTS: Final = 4
_GIT_SECONDS: Final = 60
_KEPT: Final = re.compile(r"([0-9]{8,15})\.head\.json", re.ASCII)
_OF_A_REPOSITORY: Final = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR"),
        *("NAMESPACE", "PREFIX", "SHALLOW_FILE", "GRAFT_FILE", "QUARANTINE_PATH"),
    )
)
_WHO: Final = {"NAME": "retrain", "EMAIL": "retrain@localhost"}


class HeadSink(Protocol):
    """A place outside that keeps the head of one model's chain."""

    @property
    def place(self) -> str:
        """The place, for messages."""

    def push(self, head: Head) -> None:
        """Keep ``head``; LedgerError where a later one is kept already."""

    def read(self) -> Head | None:
        """Return the head that is kept, None where there is none yet."""


def push_head(head: Head, sinks: Iterable[HeadSink]) -> dict[str, str]:
    """Push ``head`` to every sink; return what went wrong, by place. One that fails does not stop the others."""
    failed = {}
    for sink in sinks:
        try:
            sink.push(head)
        except LedgerError as error:
            failed[sink.place] = str(error)
    return failed


def agree(chain: Chain, sink: HeadSink) -> Head | None:
    """Return the head that ``sink`` keeps after comparing it with the chain: to be done before a run opens.

    Raises LedgerError where the chain does not hold that very entry: its newest entries were deleted or replaced.
    """
    kept = sink.read()
    if kept is None:
        return None
    newest = chain.head()
    if kept.number > newest.number:
        raise LedgerError(
            f"{sink.place} keeps entry {kept.number} of {chain.model} as its newest, but the record ends at"
            f" {newest.number}: {entry_file(newest.number + 1)} and what follows were deleted"
        )
    found = chain.entry(kept.number).sha256 if kept.number else GENESIS
    if found != kept.sha256:
        raise LedgerError(
            f"{entry_file(kept.number)} is not the one that {sink.place} keeps the hash of: it was replaced"
        )
    return kept


def _forward(old: Head | None, new: Head, place: str) -> None:
    """Raise where ``new`` is no later head than ``old``: TakenOver if somebody else has gone on since."""
    if old and old.number > new.number:
        raise TakenOver(f"{place} keeps entry {old.number} ({old.sha256[:16]}…), and {new.number} is no later one")
    if old and old.number == new.number and old != new:
        raise LedgerError(f"{place} keeps entry {old.number} ({old.sha256[:16]}…), and {new.number} is no later one")


class StoreHead:
    """The head in a folder or bucket: a file for each number, created only if absent; the largest number counts.

    So whoever stood still between looking and writing adds a smaller number, which changes nothing. Once a head is
    there those before it are removed.
    """

    def __init__(self, url: str | Path, model: str) -> None:
        """Take the folder or bucket prefix; the heads are ``<model>/00000001.head.json`` and so on in it."""
        self._store: Store = open_store(url).within(safe_name(model, what="model"))
        self.place = self._store.place

    def push(self, head: Head) -> None:
        """Keep ``head``."""
        _forward(self.read(), head, self.place)
        self._store.create(_kept_file(head.number), bytes(head))
        _forward(self.read(), head, self.place)
        for number in self._numbers():
            if number < head.number:
                self._store.remove(_kept_file(number))

    def read(self) -> Head | None:
        """Return the head that is kept, None where there is none yet."""
        before = ""
        while numbers := self._numbers():
            name = _kept_file(numbers[-1])
            try:
                return read_head(self._store.read(name), name=f"{self.place}/{name}")
            except Missing:  # a later one came in between, and this one was removed
                if name == before:
                    raise
                before = name
        return None

    def _numbers(self) -> list[int]:
        return sorted(int(found[1]) for name in self._store.names() if (found := _KEPT.fullmatch(name)))


def _kept_file(number: int) -> str:
    return f"{number:08d}.head.json"


class GitHead:
    """The head in a file of a remote Git branch: a commit for each push, never forced."""

    def __init__(self, remote: str, branch: str, model: str) -> None:
        """Take the remote's address (there is no clone, so no name) and the branch, which is made if absent."""
        if remote.startswith("-") or not branch:
            raise UsageError(f"no Git branch {branch!r} at {remote!r}")
        self._remote = remote
        self._branch = f"refs/heads/{branch}"
        self._file = f"{safe_name(model, what='model')}.head.json"
        self.place = f"{remote} {branch}:{self._file}"

    def push(self, head: Head) -> None:
        """Commit ``head``; tried again, from the branch as it then is, when another model's push came in between."""
        attempts = 1
        while not self._pushed(head, last=attempts == _ATTEMPTS):
            attempts += 1

    def _pushed(self, head: Head, *, last: bool) -> bool:
        with TemporaryDirectory() as folder:
            tip = self._fetch(folder)
            _forward(self._read(folder, tip), head, self.place)
            commit = self._commit(folder, tip, head)
            try:
                _git(folder, "push", "--quiet", self._remote, f"{commit}:{self._branch}")
            except StoreError:
                if last:
                    raise
                return False
            return True

    def read(self) -> Head | None:
        """Return the head that is kept, None where there is none yet."""
        with TemporaryDirectory() as folder:
            return self._read(folder, self._fetch(folder))

    def _fetch(self, folder: str) -> str:
        """Fetch the branch's tip into a new repository in ``folder``; return its commit, or "" where there is none."""
        _git(folder, "init", "--quiet")
        if not _git(folder, "ls-remote", self._remote, self._branch):
            return ""
        _git(folder, "fetch", "--quiet", "--depth=1", self._remote, self._branch)
        return _git(folder, "rev-parse", "FETCH_HEAD")

    def _read(self, folder: str, tip: str) -> Head | None:
        if not tip or not _git(folder, "ls-tree", tip, "--", self._file):
            return None
        return read_head(_git(folder, "show", f"{tip}:{self._file}").encode(), name=self.place)

    def _commit(self, folder: str, tip: str, head: Head) -> str:
        if tip:
            _git(folder, "read-tree", tip)
        blob = _git(folder, "hash-object", "-w", "--stdin", given=bytes(head))
        _git(folder, "update-index", "--add", "--cacheinfo", f"100644,{blob},{self._file}")
        tree = _git(folder, "write-tree")
        parent = ["-p", tip] if tip else []
        return _git(folder, "commit-tree", tree, *parent, "-m", f"{self._file}: entry {head.number}")


def without_repository(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` without what names a repository of somebody else's, as a Git hook's does."""
    return {name: value for name, value in environment.items() if name not in _OF_A_REPOSITORY}


def _git(folder: str, *words: str, given: bytes = b"") -> str:
    """Run git in ``folder`` without ever asking anybody; return its output, stripped."""
    people = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _WHO.items()}
    environment = without_repository(os.environ) | people | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "-c", "commit.gpgsign=false", *words]
    try:
        done = subprocess.run(  # noqa: S603 (a list of words, no shell)
            command, cwd=folder, env=environment, input=given, capture_output=True, timeout=_GIT_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit {error.returncode}"]
        raise StoreError(f"git {words[0]} failed: {said[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"git {words[0]} failed: {error}") from error
    return done.stdout.decode().strip()
