"""Runs on a chain: one holds the model from OPEN to CLOSE, and two never do.

``open_run``, ``resume_run``, ``close``, ``park``, ``approve`` and ``resolve`` sign, so they need a chain with a
signer: the supervising process's, or an approver's own. ``join_run`` is for kernels and needs none.

OPEN, RESUMED, PARKED and ABANDONED hold who holds the model (``holder``); CLOSED and ABANDONED hold the SHA-256 of
every file of the run (``files``), after which the run's folder must not change. ``opened.json`` in that folder holds
where the run was opened: an id is used once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from retrain.errors import UsageError
from retrain.ledger.canonical import canonical
from retrain.ledger.chain import POINTER, Chain, Head
from retrain.ledger.entries import SEALING, SIGNED, STATES, Entry, entry_file, safe_name, sha256
from retrain.ledger.holders import Holder, Parked, here, still_holds
from retrain.ledger.people import same_person
from retrain.ledger.problems import Busy, TakenOver
from retrain.ledger.store import Store

__all__ = [
    "Run",
    "approve",
    "beside",
    "join_run",
    "open_run",
    "opening_of",
    "resolve",
    "resume_run",
    "run_files",
    "state",
]


class _Overtaken(Exception):  # noqa: N818 (never leaves this module)
    """Somebody else changed who holds the model, between looking and appending."""


class State(NamedTuple):
    """The newest entry that says who holds the model, and the newest entry of that run."""

    entry: Entry
    newest: Entry

    @property
    def open(self) -> bool:
        """Whether the run still holds the model."""
        return self.entry.kind not in SEALING


def state(chain: Chain) -> State | None:
    """Return who holds the model, or last held it; None on a chain without entries.

    Reads from the head back to the newest change of hands: as many entries as the newest run has, at most.
    """
    newest: dict[str, Entry] = {}
    for number in range(chain.head().number, 0, -1):
        entry = chain.entry(number)
        newest.setdefault(entry.run, entry)
        if entry.kind in STATES:
            return State(entry, newest[entry.run])
    return None


def opening_of(chain: Chain, run: str) -> Entry:
    """Return the OPEN of ``run``, searched from the head back; UsageError where there is no such run."""
    for number in range(chain.head().number, 0, -1):
        entry = chain.entry(number)
        if entry.run == run and entry.kind in SIGNED:
            return chain.entry(_opened(entry))
    raise UsageError(f"the record of {chain.model} holds no run {run!r}")


def run_files(store: Store, run: str) -> dict[str, str]:
    """Return the SHA-256 of every file of ``run``, by its name below the run's folder. ``store`` is the chain's.

    What an editor keeps beside a notebook that a person opens (``beside``) is no part of the run.
    """
    folder = f"runs/{run}/"
    names = [name.removeprefix(folder) for name in store.names(folder)]
    return {name: sha256(store.read(folder + name)) for name in names if not beside(name)}


def beside(file: str) -> bool:
    """Tell whether a file below a run's folder is Jupyter's own copy of a notebook that somebody opened."""
    return ".ipynb_checkpoints" in file.split("/")[:-1]


class Run:
    """A run that is open, as the process sees it that may write to it. It is the ``Record`` that effects write to."""

    def __init__(self, chain: Chain, *, run: str, opened: int, held_by: int) -> None:
        """Take the number of the run's OPEN, and of the OPEN or RESUMED under which this process writes."""
        self.chain = chain
        self.run = run
        self.opened = opened
        self.held_by = held_by
        self.newest = held_by
        """The number of the newest entry that this process wrote, or of that under which it writes."""
        self._seen = held_by

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append an entry of the run and return its number; durable when it returns.

        Raises TakenOver, and writes nothing, where the run was closed, parked, abandoned or resumed by another.
        """
        self._guard(self.chain.known(start=self._seen + 1))
        self.newest = self.chain.append(kind, run=self.run, body=body, guard=self._guard).number
        self._seen = self.newest - 1  # its own CLOSE is a change of hands like any other
        return self.newest

    def hold(self) -> None:
        """Raise TakenOver where another has the model by now: to be asked before a file of the run is written."""
        self.chain.head()
        self._guard(self.chain.known(start=self._seen + 1))

    def entries(self) -> list[Entry]:
        """Return the run's entries so far, in order, those of other processes included."""
        return [entry for entry in self.chain.entries(start=self.opened) if entry.run == self.run]

    def close(self, outcome: str, body: Mapping[str, Any], *, files: Mapping[str, str] | None = None) -> Head:
        """End the run, sealing its files, and return the head to push outside.

        ``files`` are the digests as ``run_files`` tells them; None reads them now.
        """
        sealed = run_files(self.chain.store, self.run) if files is None else dict(files)
        self.append("closed", {**body, "outcome": outcome, "opened": self.opened, "files": sealed})
        return self.chain.leave_hint()

    def park(self, body: Mapping[str, Any], *, until: datetime) -> Head:
        """Let go of the process but keep the model until ``until``, for an approval; ``resume_run`` goes on."""
        parked = Parked(until=until).model_dump(mode="json")
        self.append("parked", {**body, "opened": self.opened, "holder": parked})
        return self.chain.leave_hint()

    def renew(self) -> int | None:
        """Append a sign of life once half of the lease is over; return its number, or None if it is too early."""
        lease = self.chain.entry(self.held_by).body["holder"]["lease_seconds"]
        age = self.chain.now() - self.entries()[-1].at
        return self.append("renewed", {}) if age.total_seconds() > lease / 2 else None

    def _guard(self, fresh: list[Entry]) -> None:
        for entry in fresh:
            if entry.kind in STATES:
                raise TakenOver(
                    f"run {self.run} no longer holds {self.chain.model}: {entry_file(entry.number)} says"
                    f" {entry.kind!r} (run {entry.run}). Nothing was written, nothing was sent."
                )


def open_run(
    chain: Chain,
    run: str,
    *,
    by: str,
    body: Mapping[str, Any],
    holder: Holder | None = None,
    look_back: Callable[[], Mapping[str, Any]] = dict,
) -> tuple[Run, str | None]:
    """Open ``run`` and return it, with the run that was closed as ABANDONED on the way, if one was.

    ``holder`` is the process that holds the model, this one if None. ``look_back`` looks at what the record says once
    nobody holds the model, and raises if no run may open on that, or returns what OPEN is to say of it: nobody writes
    between its look and what is written here. Raises Busy where another run holds the model, and UsageError where the
    record holds a run of this id already: asked for by its pointer, so at the same cost always.
    """
    abandoned = None
    while True:
        _refuse_known(chain, run)
        try:
            left, seen = _abandon_dead(chain, next_run=run, by=by, look_back=look_back)
            abandoned = left or abandoned
            fields = {**body, **seen, "by": by, "holder": (holder or here()).model_dump(mode="json")}
            opened = chain.append("opened", run=run, body=fields, guard=_nobody_else).number
        except _Overtaken:
            continue
        _point(chain, run, opened)
        chain.leave_hint()
        return Run(chain, run=run, opened=opened, held_by=opened), abandoned


def resume_run(chain: Chain, run: str, *, by: str, body: Mapping[str, Any], holder: Holder | None = None) -> Run:
    """Go on with a run that is parked, or whose process died.

    Raises Busy while its process lives, UsageError where the run has ended or never was.
    """
    now = state(chain)
    if now is None or not now.open or now.entry.run != run:
        ended = opening_of(chain, run)
        raise UsageError(f"run {ended.run} has ended and cannot be resumed: start another")
    held = "" if now.entry.kind == "parked" else still_holds(*now, now=chain.now())
    if held:
        raise Busy(f"run {run} still goes on: {held}")
    opened = _opened(now.entry)
    fields = {**body, "by": by, "opened": opened, "holder": (holder or here()).model_dump(mode="json")}
    try:
        number = chain.append("resumed", run=run, body=fields, guard=_nobody_else).number
    except _Overtaken:
        raise Busy(f"run {run} was taken up by another process at the same moment") from None
    _point(chain, run, opened)
    chain.leave_hint()
    return Run(chain, run=run, opened=opened, held_by=number)


def join_run(chain: Chain, run: str, *, held_by: int) -> Run:
    """Return the open run, for a kernel that writes to it beside the supervising process.

    ``held_by`` is ``Run.held_by`` of the supervisor. Raises TakenOver where that no longer holds the model.
    """
    now = state(chain)
    if now is None or (now.entry.run, now.entry.number) != (run, held_by) or not now.open:
        raise TakenOver(f"run {run} no longer holds {chain.model} under {entry_file(held_by)}")
    opened = _opened(now.entry)
    return Run(chain, run=run, opened=opened, held_by=held_by)


def approve(chain: Chain, run: str, *, by: str, body: Mapping[str, Any]) -> Entry:
    """Sign an approval of ``run``, which waits for it, with the approver's own key (the chain's signer).

    Raises UsageError where the run does not wait, or the approver is the one who started it.
    """
    now = state(chain)
    if now is None or now.entry.run != run or now.entry.kind != "parked":
        raise UsageError(f"run {run!r} does not wait for an approval")
    opened = chain.entry(_opened(now.entry))
    if same_person(str(opened.body["by"]), by):
        raise UsageError(
            f"{opened.body['by']} started run {run}, and {by} may be the same person: somebody else has to approve it"
        )
    return chain.append("approved", run=run, body={**body, "by": by, "opened": opened.number}, guard=_still_parked)


def resolve(chain: Chain, run: str, *, intent: int, outcome: str, by: str, why: str) -> Entry:
    """Sign how a person found the effect of entry ``intent`` to have ended: who looked, and why they say so.

    Raises Busy while the run's process lives, since that looks for itself, and UsageError where there is no such
    intent.
    """
    opened = opening_of(chain, run)
    _refuse_living(chain, run)
    entry = chain.entry(intent) if opened.number < intent <= chain.head().number else opened
    if entry.run != run or entry.kind != "intent":
        raise UsageError(f"entry {intent} is not an intent of run {run}")
    about: dict[str, Any] = {name: entry.body[name] for name in ("effect", "target") if name in entry.body}
    fields: dict[str, Any] = {
        **about,
        "intent": intent,
        "outcome": outcome,
        "by": by,
        "why": why,
        "opened": opened.number,
    }
    return chain.append("resolved", run=run, body=fields, guard=partial(_still_left, run))


def _refuse_living(chain: Chain, run: str) -> None:
    """Raise while the process that holds ``run`` lives: what it sees itself could tell otherwise."""
    now = state(chain)
    if now is None or not now.open or now.entry.run != run or now.entry.kind == "parked":
        return
    held = still_holds(*now, now=chain.now())
    if held:
        raise Busy(f"run {run} still goes on ({held}) and looks for itself what became of it. Nothing was written.")


def _abandon_dead(
    chain: Chain, *, next_run: str, by: str, look_back: Callable[[], Mapping[str, Any]]
) -> tuple[str | None, Mapping[str, Any]]:
    """Close the open run if its holder is dead; return its id, None if nothing is open, and what ``look_back`` says.

    Raises Busy if the holder lives.
    """
    seen, now = chain.head(), state(chain)
    held = still_holds(*now, now=chain.now()) if now is not None and now.open else ""
    if now is not None and held:
        raise Busy(f"run {now.entry.run} holds {chain.model}: {held}")
    told = look_back()
    if chain.head() != seen:
        raise _Overtaken  # what was looked at is not what would be written after
    if now is None or not now.open:
        return None, told
    run = now.entry.run
    opened = _opened(now.entry)
    _point(chain, run, opened)
    fields = {"by": by, "next_run": next_run, "opened": opened, "files": run_files(chain.store, run)}
    chain.append("abandoned", run=run, body=fields, guard=_nobody_else)
    return run, told


def _refuse_known(chain: Chain, run: str) -> None:
    """Raise if the record holds a run of this id: by its pointer, or the newest that has not written one yet."""
    now = state(chain)
    newest = now.entry.run if now is not None else None
    if newest == run or chain.store.exists(_pointer(safe_name(run, what="run"))):
        raise UsageError(
            f"the record of {chain.model} holds a run {run!r} already, and an id is used once: open a run under another"
            f" id, or go on with that one by `retrain run --resume {run}` if it has not ended"
        )


def _point(chain: Chain, run: str, opened: int) -> None:
    """Write where the run was opened, if that is not there: whoever opened it may have died before."""
    if not chain.store.exists(_pointer(run)):
        chain.store.create(_pointer(run), canonical({"entry": opened}))


def _pointer(run: str) -> str:
    return f"runs/{run}/{POINTER}"


def _opened(entry: Entry) -> int:
    """Return the number of the OPEN of the run that a signed ``entry`` is about."""
    return entry.number if entry.kind == "opened" else int(entry.body["opened"])


def _nobody_else(_: list[Entry]) -> None:
    """Going by what was true a moment ago is only right if nobody wrote since: the dead one may live after all."""
    raise _Overtaken


def _still_left(run: str, fresh: list[Entry]) -> None:
    """What others write does not matter; what is written of this run may tell how the effect ended."""
    if any(entry.run == run for entry in fresh):
        raise Busy(f"run {run} was taken up or settled by another process at the same moment. Nothing was written.")


def _still_parked(fresh: list[Entry]) -> None:
    if any(entry.kind in STATES for entry in fresh):
        raise Busy("the run no longer waits for an approval: another process has taken it up. Nothing was written.")
