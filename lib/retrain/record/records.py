"""A run as its record tells it: its entries in the model's chain, and the files of its folder.

``records/<model>/entries/`` is the chain (see ``retrain.ledger``), ``records/<model>/runs/<run_id>/`` holds
``parameters.json``, ``opened.json``, one ``.ipynb`` a section and attempt, and ``decision.json``. Where the record is
in a bucket, a working copy of the run's folder is kept under ``.retrain/work`` of the project.

An entry that ends or interrupts a run says where the run was opened, so runs are found newest first with one entry
read for each, and the record of thousands is not listed. What only a run's own content needs (its parameters, facts and
verdicts) is imported where it is read.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain.errors import UsageError, nearest
from retrain.ledger.canonical import load
from retrain.ledger.chain import POINTER, Chain
from retrain.ledger.entries import SEALING, STATES, Entry, Reader, entry_file
from retrain.ledger.problems import LedgerError, Missing, StoreError
from retrain.ledger.store import open_store

if TYPE_CHECKING:
    from retrain.checks import Verdict
    from retrain.facts import Effect
    from retrain.ledger.holders import Holder
    from retrain.settings import Settings

__all__ = ["RunFolder", "at", "chain_of", "find", "models", "newest_open", "runs", "telling", "write_atomically"]

_POINTING = STATES | {"approved"}


@dataclass(frozen=True)
class RunFolder:
    """One run. What it knows it reads from the chain, so two processes see the same.

    ``path`` is the folder of its files; ``opening`` and ``seal`` are its first and last entry where they are known.
    """

    path: Path
    chain: Chain = field(compare=False, repr=False)
    opening: int | None = field(default=None, compare=False, repr=False)
    seal: Entry | None = field(default=None, compare=False, repr=False)

    @property
    def run_id(self) -> str:
        """The run's id, which is the folder's name."""
        return self.path.name

    @property
    def model(self) -> str:
        """The model's name, which is that of its chain."""
        return self.chain.model

    @property
    def root(self) -> str:
        """The folder or address of the record that the run is part of, that of all models."""
        return self.chain.store.place.removesuffix(f"/{self.model}")

    @property
    def place(self) -> str:
        """Where the run's files are kept: the folder, or its address in a bucket."""
        return f"{self.chain.store.place}/runs/{self.run_id}" if self.chain.store.remote else str(self.path)

    @cached_property
    def opened_at(self) -> int:
        """The number of the run's OPEN."""
        return self._pointed_at() if self.opening is None else self.opening

    @property
    def opened(self) -> Mapping[str, Any]:
        """Who opened the run, when and why."""
        entry = self.chain.entry(self.opened_at)
        return {"recorded_at": entry.at.isoformat(), **entry.body, "run_id": self.run_id}

    @cached_property
    def settings(self) -> Settings:
        """The parameters in force, as they were when the run was opened."""
        from retrain.settings import Settings

        return Settings.model_validate_json(json.dumps(self.opened["parameters"]))

    def entries(self) -> list[Entry]:
        """Return the run's entries, oldest first, up to the one that ended it."""
        return self._story.look()

    def bodies(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the bodies of all entries of ``kind``, oldest first."""
        return [entry.body for entry in self.entries() if entry.kind == kind]

    @property
    def ended(self) -> Entry | None:
        """The entry that ended the run (CLOSED or ABANDONED), or None while it is open or parked."""
        if self.seal is not None:
            return self.seal
        last = self.entries()[-1]
        return last if last.kind in SEALING else None

    @property
    def closed(self) -> Mapping[str, Any] | None:
        """What the run's own end says; None while it is open, and where another run closed it as abandoned."""
        last = self.ended
        return last.body if last is not None and last.kind == "closed" else None

    @property
    def state(self) -> str:
        """Whether the run is ``open``, ``parked``, ``closed`` or ``abandoned``."""
        if self.ended is not None:
            return self.ended.kind
        kinds = [entry.kind for entry in self.entries() if entry.kind in STATES]
        return "parked" if kinds[-1] == "parked" else "open"

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return every verdict in the order it was reached."""
        from retrain.checks import Verdict

        return tuple(Verdict.model_validate(body["verdict"]) for body in self.bodies("verdict"))

    def latest(self, section: str) -> Mapping[str, Any] | None:
        """Return facts, policy and verdict of the newest verdict of ``section``, or None."""
        told = [body for body in self.bodies("verdict") if body["verdict"]["section"] == section]
        return told[-1] if told else None

    def effects(self) -> tuple[Effect, ...]:
        """Return what became of each effect, in the order they were settled; a person's word goes last."""
        from retrain.facts import Effect

        told: list[tuple[Any, Effect]] = []
        for entry in self._acts():
            if entry.kind == "outcome":
                known = {name: entry.body[name] for name in Effect.model_fields if name in entry.body}
                told.append((_about(entry), Effect.model_validate(known)))
            elif entry.kind == "resolved":
                _resolve(told, entry)
        return tuple(effect for _, effect in told)

    def unsettled(self) -> list[Entry]:
        """Return the intents that nothing was said about afterwards: what they did is not known."""
        open_intents: dict[tuple[Any, Any], Entry] = {}
        for entry in self._acts():
            if entry.kind == "intent":
                open_intents[_about(entry)] = entry
            else:
                open_intents.pop(_about(entry), None)
        return list(open_intents.values())

    def unresolved(self) -> list[Entry]:
        """Return the intents whose outcome is not known: unsettled, or looked for and not seen."""
        intents: dict[tuple[Any, Any], Entry] = {}
        for entry in self._acts():
            if entry.kind == "intent":
                intents[_about(entry)] = entry
            elif entry.body.get("outcome") != "unresolved":
                intents.pop(_about(entry), None)
        return list(intents.values())

    def notebook(self, name: str) -> Path:
        """Return a path for the notebook ``name`` that does not exist yet: a new attempt is a new file."""
        stem = name.removesuffix(".ipynb")
        attempt, path = 1, self.path / name
        while path.exists():
            attempt += 1
            path = self.path / f"{stem}.attempt-{attempt}.ipynb"
        return path

    def sibling(self, run_id: str) -> RunFolder:
        """Return another run of the same model, by its whole id."""
        return replace(self, path=self.path.parent / run_id, opening=None, seal=None)

    @cached_property
    def _story(self) -> _Story:
        return _Story(self.chain, self.run_id, self.opened_at)

    def _pointed_at(self) -> int:
        from retrain.ledger.runs import opening_of

        try:
            number = json.loads(self.chain.store.read(f"runs/{self.run_id}/{POINTER}"))["entry"]
            entry = self.chain.entry(int(number))
        except (Missing, ValueError, KeyError, TypeError):
            return opening_of(self.chain, self.run_id).number
        mine = (entry.kind, entry.run) == ("opened", self.run_id)
        return entry.number if mine else opening_of(self.chain, self.run_id).number

    def _acts(self) -> list[Entry]:
        """Return intents, outcomes and, if anything was left open when the run ended, what a person said later."""
        acts = [entry for entry in self.entries() if entry.kind in ("intent", "outcome", "resolved")]
        settled = {_about(entry): entry.body.get("outcome", "unresolved") for entry in acts}
        if self.ended is not None and "unresolved" in settled.values():
            later = self.chain.entries(start=self.ended.number + 1)
            acts += [entry for entry in later if (entry.kind, entry.run) == ("resolved", self.run_id)]
        return acts


class _Story:
    """The entries of one run, read on from where the last look ended. A sealed run is never looked at twice."""

    def __init__(self, chain: Chain, run: str, opened: int) -> None:
        self._chain = chain
        self._run = run
        self._entries: list[Entry] = []
        self._next = opened
        self._previous: str | None = None
        self._sealed = False

    def _demand_end(self) -> None:
        store = self._chain.store
        if not store.remote and store.exists(entry_file(self._next + 1)):
            raise LedgerError(f"{store.place}/{entry_file(self._next)} is missing")

    def look(self) -> list[Entry]:
        while not self._sealed:
            try:
                entry = self._chain.entry(self._next)
            except Missing:
                self._demand_end()
                break
            if entry.number != self._next or self._previous not in (None, entry.previous):
                raise LedgerError(f"{entry_file(self._next)} does not follow from the entry before it")
            self._next, self._previous = self._next + 1, entry.sha256
            if entry.run == self._run:
                self._entries.append(entry)
                self._sealed = entry.kind in SEALING
        return list(self._entries)


def chain_of(root: str | Path, model: str, *, reader: Reader = load) -> Chain:
    """Return the chain of ``model`` in the record at ``root``, a folder or an address, for reading."""
    return Chain(open_store(root), model, reader=reader)


def at(root: str | Path, model: str, run_id: str, *, chain: Chain | None = None) -> RunFolder:
    """Return the run with this whole id; nothing is read yet. ``chain`` is that of the model, if there is one."""
    chain = chain or chain_of(root, model)
    return RunFolder(_files(chain) / run_id, chain)


def models(root: str | Path) -> list[str]:
    """Return the names of the models that have a record below ``root``."""
    return [name for name in open_store(root).folders() if not name.startswith(".")]


def runs(root: str | Path, model: str | None = None, *, reader: Reader = load) -> Iterator[RunFolder]:
    """Yield the runs below ``root``, of one model or of all, newest first; ``reader`` as a Chain takes it."""
    known = models(root) if model is None else [model]
    each = [of_chain(chain_of(root, name, reader=reader)) for name in known]
    yield from heapq.merge(*each, key=lambda folder: folder.run_id, reverse=True)


def of_chain(chain: Chain, *, before: int | None = None) -> Iterator[RunFolder]:
    """Yield the runs of one model newest first, or those before entry ``before``; one entry is read for each."""
    number = chain.head().number if before is None else before - 1
    while number > 0:
        entry = chain.entry(number)
        number -= 1
        if entry.kind in _POINTING:
            opened = entry.number if entry.kind == "opened" else int(entry.body["opened"])
            if not 0 < opened <= entry.number:
                raise LedgerError(f"{entry_file(entry.number)} names entry {opened} as its run's first, which is later")
            seal = entry if entry.kind in SEALING else None
            yield RunFolder(_files(chain) / entry.run, chain, opened, seal)
            number = opened - 1


def find(root: str | Path, run: str) -> RunFolder:
    """Return the run with this id (or the one whose id begins so); ``latest`` is the newest of all."""
    known: dict[str, RunFolder] = {}
    for folder in runs(root):
        if run in ("latest", folder.run_id):
            return folder
        known[folder.run_id] = folder
    matches = [folder for run_id, folder in known.items() if run and run_id.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    if len(matches) > 1:
        raise UsageError(f"{len(matches)} runs begin with {run!r}, for example {matches[0].run_id}; say more of it")
    raise UsageError(f"no run {run!r} below {root}.{nearest(run, known)} `retrain runs` lists them.")


def newest_open(root: str | Path, settings: Settings) -> RunFolder | None:
    """Return the open run of this model and environment if a person's notebook opened it, or None."""
    from retrain.ledger.runs import state

    chain = chain_of(root, settings.model or "")
    now = state(chain)
    if now is None or not now.open:
        return None
    folder = at(root, chain.model, now.entry.run, chain=chain)
    mine = folder.opened.get("by_notebook") and folder.opened.get("world") == settings.world
    return folder if mine else None


def holder_of(folder: RunFolder) -> tuple[int, Holder | None]:
    """Return the number of the entry under which the run is held, and by which process; None while it is parked."""
    from retrain.ledger.holders import Holder

    entry = [entry for entry in folder.entries() if entry.kind in STATES][-1]
    held = entry.kind in ("opened", "resumed")
    return entry.number, Holder.model_validate(entry.body["holder"]) if held else None


@contextmanager
def telling(what: str, path: Path) -> Iterator[None]:
    """Turn what the file system raises, a full disk's error among it, into a StoreError of one sentence."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {what} {path}: {error.strerror or error}") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write so that ``path`` holds either what it held before or all of ``content``, whatever happens between.

    Raises StoreError where that cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with telling("write", path):
            with temporary.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _files(chain: Chain) -> Path:
    """Return the folder of the runs' folders: in the record itself, or the working copies where that is remote."""
    if chain.store.remote:
        from retrain.settings import project_root

        return project_root() / ".retrain" / "work" / chain.model / "runs"
    return Path(chain.store.place) / "runs"


def _about(entry: Entry) -> tuple[Any, Any]:
    return entry.body.get("effect"), entry.body.get("target")


def _resolve(told: list[tuple[Any, Effect]], entry: Entry) -> None:
    """Put a person's word in place of the outcome that was not known."""
    from retrain.effects import resolved_effect

    about, effect = _about(entry), resolved_effect(entry.body)
    for place in range(len(told) - 1, -1, -1):
        if told[place][0] == about:
            told[place] = (about, effect)
            return
    told.append((about, effect))
