"""The process that holds a run: it opens it, gives it to kernels, closes it, and is the only one that loads a key.

``open_run`` and ``resume`` return a ``Supervised``. A person's notebook has no such process around it, so it starts
one for each signature: ``python -m retrain.record.supervision`` (see ``retrain.record.signing``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from retrain import ledger, runbook
from retrain.errors import RetrainError
from retrain.ledger import (
    Chain,
    Holder,
    StoreError,
    TakenOver,
    here,
    join_run,
    open_store,
    resume_run,
    run_files,
    sha256,
    state,
)
from retrain.ledger.holders import still_holds
from retrain.record import decision, history, keyring, notifying, records
from retrain.record.anchors import Anchors, sinks
from retrain.record.decision import Decision
from retrain.record.notifying import Notice
from retrain.record.opening import FOLDER_VARIABLE, HELD_VARIABLE, RECORDS_VARIABLE, new_run_id, opening, records_root
from retrain.record.provenance import actor
from retrain.record.records import RunFolder, telling, write_atomically
from retrain.record.reserve import Reserve
from retrain.secrets import gather, scan, scan_entries
from retrain.settings import Settings

__all__ = ["Supervised", "UnresolvedBefore", "joined", "notebook_holder", "open_run", "resume"]

APPROVAL_DAYS = 7
_HEARTBEAT_SECONDS = 60.0

Warn = Callable[[str], None]


class UnresolvedBefore(RetrainError):  # noqa: N818 - named for what is so
    """An earlier run's swap or roll back is unresolved: a person settles it first. Nothing was opened or sent."""

    exit_code = 17

    def __init__(self, message: str, *, run_id: str) -> None:
        """Take the message, and the run whose act is not settled."""
        super().__init__(message)
        self.run_id = run_id


class Supervised:
    """A run that this process holds, from OPEN or RESUMED to CLOSE or PARKED."""

    def __init__(self, folder: RunFolder, run: ledger.Run, anchors: Anchors, warn: Warn) -> None:
        """Take the run as readers see it, as writers see it, the heads outside, and who hears of trouble there."""
        self.folder = folder
        self.secrets = gather(folder.settings)
        self.run = run
        self.reserve = Reserve(folder)
        self._anchors = anchors
        self._warn = warn
        self._uploaded: dict[str, str] = {}
        self._heard: list[Callable[[], list[str]]] = []

    @property
    def for_kernels(self) -> dict[str, str]:
        """What a kernel's environment says of the run to join."""
        return {
            FOLDER_VARIABLE: str(self.folder.path.absolute()),
            RECORDS_VARIABLE: self.folder.root,
            HELD_VARIABLE: str(self.run.held_by),
        }

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append an entry to the run."""
        return self.run.append(kind, body)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Keep the lease for whoever sees this run from another machine, while kernels wait without a word."""
        done = threading.Event()
        thread = threading.Thread(target=self._renew, args=(done,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()

    def keep_files(self) -> None:
        """Copy what is new in the working folder to a remote record; in a local one it is there already."""
        store = self.folder.chain.store
        if not store.remote:
            return
        self.run.hold()  # what another process has sealed must not be overwritten
        for path in sorted(path for path in self.folder.path.rglob("*") if path.is_file()):
            name = f"runs/{self.folder.run_id}/{path.relative_to(self.folder.path).as_posix()}"
            with telling("read", path):
                data = path.read_bytes()
            if self._uploaded.get(name) != sha256(data):
                store.replace(name, data)
                self._uploaded[name] = sha256(data)

    def close(self, outcome: str, reason: str = "", *, seconds: float | None = None) -> None:
        """Write the decision, seal every file of the run, and push the head; nothing of the run changes after it.

        No push is waited for before that: one that has failed by now is a deviation of the run, one that fails or is
        late afterwards a warning. A run in whose files or entries a secret is found ends as ``error``, never as clean.
        """
        self._use_reserve()
        for trouble in self._anchors.troubles():
            self.append("deviation", {"deviation": trouble})
        found = [*scan(self.folder.path, self.secrets), *scan_entries(self.folder.entries(), self.secrets)]
        if found:
            outcome, reason = "error", "; ".join(map(str, found))
        body = self._closing(outcome, reason, seconds)
        told = self._write_decision(body)
        head = self.run.close(outcome, body, files=run_files(self.folder.chain.store, self.folder.run_id))
        self._make_read_only()
        self._let_go(head, told)

    def park(self, reason: str = "") -> None:
        """Let go of the process and keep the model for a person's approval."""
        self._use_reserve()
        told = self._write_decision({"outcome": "awaiting_approval"})
        until = self.folder.chain.now() + timedelta(days=APPROVAL_DAYS)
        self._let_go(self.run.park({"reason": reason}, until=until), told)

    def leave_open(self) -> None:
        """Let go of the process only: the run can be resumed, or is closed as abandoned by the next."""
        with suppress(TakenOver):  # nothing is ours to give back, and whoever calls knows or will hear
            self._use_reserve()
        self.keep_files()
        self._leave_anchors()

    def _use_reserve(self) -> None:
        """Give back what was held back for the last words; whoever took the run over has a reserve of its own."""
        self.run.hold()
        self.reserve.release()

    def _make_read_only(self) -> None:
        """So that an editor opens a file to be read. The run is closed by now: what cannot be done is only told."""
        for path in self.folder.path.rglob("*"):
            try:
                if path.is_file() and not path.is_symlink():
                    path.chmod(0o444)
            except OSError as error:
                self._warn(f"{path} could not be made read-only: {error.strerror}")

    def _closing(self, outcome: str, reason: str, seconds: float | None) -> dict[str, Any]:
        told = decision.read(self.folder, closing={"outcome": outcome, "reason": reason})
        return {
            "outcome": outcome,
            "exit_code": runbook.exit_code(outcome),
            "reason": told.reason,
            "total_seconds": seconds,
            "sections": [[section.section, section.outcome] for section in told.sections],
            "deviations": list(told.deviations),
            "effects": [effect.model_dump(mode="json") for effect in told.effects],
            "unsettled": [entry.body["effect"] for entry in self.folder.unsettled()],
        }

    def _write_decision(self, closing: Mapping[str, Any]) -> Decision:
        self.run.hold()
        told = decision.read(self.folder, closing=closing)
        write_atomically(self.folder.path / "decision.json", self.secrets.redact(told.model_dump_json(indent=2)) + "\n")
        self.keep_files()
        return told

    def _let_go(self, head: ledger.Head, told: Decision) -> None:
        """Push the head and tell people, side by side. What is late or fails by now is only told."""
        self._anchors.push(head)
        self.tell(Notice(told.outcome, told.model, told.environment, told.run_id, told.reason, head))
        self._leave_anchors()
        for heard in self._heard:
            for trouble in heard():
                self._warn(trouble)

    def tell(self, notice: Notice) -> None:
        """Begin to tell people; whether they were reached is asked when the process lets go of the run."""
        self._heard.append(notifying.announce(self.folder.settings, notice, redact=self.secrets.redact))

    def _leave_anchors(self) -> None:
        self._anchors.wait()
        for trouble in (*self._anchors.troubles(), *self._anchors.behind()):
            self._warn(trouble)
        self._anchors.close()

    def _renew(self, done: threading.Event) -> None:
        chain = Chain(open_store(self.folder.root), self.folder.model)
        while not done.wait(_HEARTBEAT_SECONDS):
            try:
                join_run(chain, self.folder.run_id, held_by=self.run.held_by).renew()
            except RetrainError:
                continue  # the lease is a courtesy: whoever acts still has to append first


def open_run(
    settings: Settings,
    told: Mapping[str, Any],
    *,
    anchors: Anchors | None = None,
    holder: Holder | None = None,
    warn: Warn = lambda _: None,
) -> Supervised:
    """Open a run of the settings' model, signed, and say in its record what differs from the runbook from the start.

    ``holder`` is the process that holds it (this one if None). Raises Busy where another run holds the model,
    UnresolvedBefore where an earlier swap is not settled (people are told), UsageError where there is nobody to tell
    though the settings say so, and LedgerError where the record lost entries that are kept outside.
    """
    notifying.check(settings)
    anchors = anchors or Anchors(sinks(settings))
    chain = _signing(settings, records_root(settings), str(settings.model))
    troubles = anchors.agree(chain)
    body = opening(settings, told)
    look_back = partial(_refuse_unresolved, chain, settings)
    try:
        run, abandoned = ledger.open_run(chain, new_run_id(), by=actor(), body=body, holder=holder, look_back=look_back)
    except UnresolvedBefore as stopped:
        notice = Notice("unresolved", chain.model, settings.environment, stopped.run_id, str(stopped), chain.head())
        for trouble in notifying.announce(settings, notice, redact=gather(settings).redact)():
            warn(trouble)
        raise
    folder = records.at(records_root(settings), chain.model, run.run, chain=chain)
    supervised = Supervised(folder, run, anchors, warn)
    anchors.push(chain.head())
    if abandoned is not None:
        lost = f"run {abandoned} had lost its process and was closed as abandoned"
        warn(lost)
        supervised.tell(Notice("abandoned", chain.model, settings.environment, abandoned, lost, chain.head()))
    try:
        _begin(supervised, settings, abandoned=abandoned, troubles=troubles)
    except StoreError as full:
        supervised.close("error", str(full))
        raise
    return supervised


def _begin(supervised: Supervised, settings: Settings, *, abandoned: str | None, troubles: Sequence[str]) -> None:
    """Write what stands in a run from the start: its parameters as a file, what went before, and its deviations."""
    folder = supervised.folder.path
    with telling("make", folder):
        folder.mkdir(parents=True, exist_ok=True)
    supervised.reserve.hold()
    in_force = supervised.secrets.redact(settings.model_dump_json(indent=2))
    write_atomically(folder / "parameters.json", in_force + "\n")
    supervised.keep_files()
    if abandoned is not None:
        supervised.append("abandoned_before", {"run": abandoned})
    weak = (f"{name} {why}: it cannot be kept out of the record" for name, why in supervised.secrets.weak.items())
    for deviation in (*troubles, *weak, *settings.deviations_from_runbook()):
        supervised.append("deviation", {"deviation": deviation})


def _refuse_unresolved(chain: Chain, settings: Settings) -> dict[str, int]:
    """Raise if an earlier swap may still happen; else return for the OPEN up to where that was looked for.

    A run that still goes on is not asked: it holds the model anyway.
    """
    now = state(chain)
    if now is not None and now.open and still_holds(*now, now=chain.now()):
        return {}
    looked = chain.head().number
    found = history.unresolved_swap(chain, world=settings.world)
    if found is not None:
        run, effect = found[0].run_id, found[1]
        raise UnresolvedBefore(
            f"the {effect} of run {run} is unresolved: it may have happened or may still. Look at the slots, then"
            f" `retrain run --resume {run}` if that run was cut short, or `retrain resolve {run} --effect {effect}"
            " --outcome applied|not_applied --by NAME --why TEXT`. Nothing was opened, nothing sent.",
            run_id=run,
        )
    return {history.LOOKED_BACK: looked}


def resume(folder: RunFolder, *, holder: Holder | None = None, warn: Warn = lambda _: None) -> Supervised:
    """Go on with a run that is parked or whose process died; Busy while it lives, UsageError where it has ended."""
    settings = folder.settings
    anchors = Anchors(sinks(settings))
    chain = _signing(settings, folder.root, folder.model)
    troubles = anchors.agree(chain)
    run = resume_run(chain, folder.run_id, by=actor(), body={}, holder=holder)
    mine = records.at(folder.root, folder.model, folder.run_id, chain=chain)
    supervised = Supervised(mine, run, anchors, warn)
    anchors.push(chain.head())
    supervised.reserve.hold()
    _fetch_files(mine)
    for trouble in troubles:
        supervised.append("deviation", {"deviation": trouble})
    return supervised


def notebook_holder(pid: int) -> Holder:
    """Return a person's kernel as a holder: it may stand for hours between two cells."""
    return here(pid=pid, lease=timedelta(hours=12))


def joined(folder: RunFolder, held_by: int, *, warn: Warn = lambda _: None) -> Supervised:
    """Return a run that somebody else holds, for a process that only signs its end."""
    settings = folder.settings
    chain = _signing(settings, folder.root, folder.model)
    run = join_run(chain, folder.run_id, held_by=held_by)
    mine = records.at(folder.root, folder.model, folder.run_id, chain=chain)
    return Supervised(mine, run, Anchors(sinks(settings)), warn)


def _signing(settings: Settings, root: str | Path, model: str) -> Chain:
    chain = Chain(open_store(root), model, signer=keyring.runner(settings))
    chain.redact = gather(settings).redact_value
    return chain


def _fetch_files(folder: RunFolder) -> None:
    """Bring the files of a remote run that are not here, such as the notebooks that were executed elsewhere."""
    store = folder.chain.store
    under = f"runs/{folder.run_id}/"
    for name in store.names(under) if store.remote else ():
        path = folder.path / name.removeprefix(under)
        if ".." not in path.parts and not path.exists():
            with telling("make", path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, store.read(name))
