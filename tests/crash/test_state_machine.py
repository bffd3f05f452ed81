"""A machine that steps, kills and restarts processes in every order that Hypothesis thinks of, on the real ledger.

The world (two slots, a training) is the fake one, the time is handed in, and a process is a thread that runs from gate
to gate (see ``gated``).
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crash.cases import MODEL, Keys
from crash.gated import Disk, Process, Watched, World
from fake_world import ANSWERS, FakeClock
from retrain.acts import swap_act, training_act
from retrain.effects import Act, ModelLock, perform
from retrain.ledger import (
    Chain,
    Holder,
    Run,
    decode,
    here,
    open_run,
    resume_run,
    state,
    verify,
)

SECONDS: dict[str, float] = {"observe_seconds": 4, "poll_seconds": 2}
BODY = {"model_type": "classifier", "data_version": "latest"}
PATHS = {"training": "/training/trigger", "swap": "/model/reload"}
FAULTS = sorted({*ANSWERS, "connection refused once"} - {"killed"})
MOST_LIVES = 30


class Processes(RuleBasedStateMachine):
    """At any moment: each act was sent at most once, what the record says of it is so, and the chain verifies."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="machine-")
        self.root = Path(self._folder.name)
        self.keys = Keys(self.root)
        self.writes_that_fail = 0
        self.processes: list[Process] = []
        self.ended = False
        self.lives_begun = 0
        self.verified = 0
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("retrain.ledger.holders.lives", self._holder_lives)

    @initialize(
        answers=st.sampled_from(FAULTS), applies=st.sampled_from(("now", "never", "late")), attests=st.booleans()
    )
    def begin(self, answers: str, applies: Any, attests: bool) -> None:
        """Two slots, no training, and one way in which every request that changes something goes wrong."""
        clock = FakeClock()
        self.world = World(answer=answers, applies=applies, attests=attests, clock=clock, gate=self.gate)
        self.clock = Watched(clock, self.gate)

    # what the machine may do

    @precondition(lambda self: not self.ended and len(self._living()) < 2 and self.lives_begun < MOST_LIVES)
    @rule()
    def restart(self) -> None:
        """Start a process that opens or resumes the run; while another one lives it is turned away."""
        self.lives_begun += 1
        number = self.lives_begun - 1
        self.processes.append(Process(lambda: self._life(number)))

    @precondition(lambda self: self._living())
    @rule(steps=st.integers(1, 12), data=st.data())
    def step(self, steps: int, data: st.DataObject) -> None:
        """Let one process pass a few gates."""
        self._walk(data.draw(st.sampled_from(self._living())), steps)

    @precondition(lambda self: self._living())
    @rule(steps=st.integers(12, 40), data=st.data())
    def walk(self, steps: int, data: st.DataObject) -> None:
        """Let one process pass many."""
        self._walk(data.draw(st.sampled_from(self._living())), steps)

    @precondition(lambda self: self._living())
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Kill a process at the gate where it stands."""
        self._kill(data.draw(st.sampled_from(self._living())))

    @rule()
    def late_apply(self) -> None:
        """What was accepted long ago happens now."""
        self.world.come_late()

    @rule(path=st.sampled_from(sorted(PATHS.values())))
    def other_operator(self, path: str) -> None:
        """Somebody else swaps or trains."""
        self.world.change(path)

    @rule(minutes=st.integers(-600, 600))
    def clock_jump(self, minutes: int) -> None:
        """The machine's clock is set."""
        self.clock.jumped += timedelta(minutes=minutes)

    @rule(writes=st.integers(1, 2))
    def disk_full(self, writes: int) -> None:
        """The disk of the record is full for the next few writes."""
        self.writes_that_fail = writes

    # the law

    @invariant()
    def sent_at_most_once(self) -> None:
        if hasattr(self, "world"):
            assert all(count <= 1 for count in self.world.arrived.values()), self.world.arrived

    @invariant()
    def the_chain_verifies(self) -> None:
        folder = self.root / "records" / MODEL / "entries"
        found = len(list(folder.iterdir())) if folder.exists() else 0
        if found != self.verified:
            report = verify(folder.parent, pinned=self.keys.pinned)
            assert report.status in ("incomplete", "unanchored"), report.findings
            self.verified = found

    def judge(self, data: bytes) -> None:
        """Hold an entry against the world in the moment in which it becomes durable."""
        entry = decode(data, name="an entry")
        if entry.kind != "outcome":
            return
        path = PATHS[entry.body["effect"]]
        arrived, told = self.world.arrived[path], entry.body
        if told["outcome"] == "not_sent":
            assert told["sent"] or not arrived, "not sent, it says, and it had arrived"
        elif told["outcome"] == "unresolved":
            assert told["sent"], "unresolved without anything sent"
        elif told["observed_by"] == "response":
            assert self.world.said_2xx, "applied by an answer that never came"
        else:
            happened = self.world.job if told["effect"] == "training" else "two" in self.world.served
            assert happened, "applied, it says, and the world never was so"

    def teardown(self) -> None:
        """Whatever happened: with room on the disk and nobody in the way, one more life settles and ends the run."""
        for process in self._living():
            self._kill(process)
        if hasattr(self, "world"):
            self.writes_that_fail = 0
            self._settle()
            self.sent_at_most_once()
        self._patch.undo()
        self._folder.cleanup()

    def _settle(self) -> None:
        if not self.ended:
            self.gate_is_open = True
            self._life(MOST_LIVES)
        chain = self._chain()
        report = verify(chain_folder := self.root / "records" / MODEL, pinned=self.keys.pinned, head=chain.head())
        outcomes = {str(entry.body["target"]): entry.body for entry in chain.entries() if entry.kind == "outcome"}
        assert len(outcomes) == 2, chain_folder
        open_ends = [body for body in outcomes.values() if body["outcome"] == "unresolved"]
        assert report.status == ("incomplete" if open_ends else "verified"), report.findings

    # one life

    gate_is_open = False

    def gate(self) -> None:
        if not self.gate_is_open:
            self._running.gate()

    def _walk(self, process: Process, steps: int) -> None:
        for _ in range(steps):
            if process.lives:
                self._running = process
                process.step()

    def _kill(self, process: Process) -> None:
        self._running = process
        process.kill()

    def _living(self) -> list[Process]:
        return [process for process in self.processes if process.lives]

    def _holder_lives(self, holder: Holder) -> bool:
        return holder.pid < len(self.processes) and self.processes[holder.pid].lives

    def _chain(self) -> Chain:
        store = Disk(self.root / "records", machine=self)
        return Chain(store, MODEL, signer=self.keys.signers["runner"], now=lambda: self.clock.now())

    def _life(self, number: int) -> None:
        run = self._taken_up(here().model_copy(update={"pid": number}))
        if run is not None:
            for act in self._acts():
                perform(act, record=run, clock=self.clock, lock=ModelLock(self.root / "effects.lock"))
            run.close("done", {})
        self.ended = True

    def _taken_up(self, holder: Holder) -> Run | None:
        chain = self._chain()
        now = state(chain)
        if now is None:
            return open_run(chain, "run-1", by="ann", body={}, holder=holder)[0]
        return resume_run(chain, "run-1", by="ann", body={}, holder=holder) if now.open else None

    def _acts(self) -> list[Act]:
        service = self.world.service()
        return [
            training_act(service, BODY, **SECONDS),
            swap_act(service, candidate="two", former="one", **SECONDS),
        ]


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
