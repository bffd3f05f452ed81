"""A run holds its model from OPEN to CLOSE: two never act, and the dead are never forgotten."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from retrain.errors import UsageError
from retrain.ledger import (
    Busy,
    Chain,
    Entry,
    Holder,
    TakenOver,
    approve,
    here,
    join_run,
    open_run,
    opening_of,
    resolve,
    resume_run,
    run_files,
    state,
    verify,
)
from retrain.ledger import runs as runs_module

from .small import APPROVER, PINNED, Record

Die = Callable[[], None]
ELSEWHERE = here(lease=timedelta(minutes=30)).model_copy(update={"host": "elsewhere 1"})


def opened(record: Record, run: str = "run-1", *, by: str = "ann", holder: Holder | None = None) -> runs_module.Run:
    return open_run(record.chain(), run, by=by, body={}, holder=holder)[0]


def kinds(record: Record) -> list[str]:
    return [entry.kind for entry in record.chain(None).entries()]


def parked(record: Record) -> runs_module.Run:
    run = opened(record)
    run.park({"candidate": "v2"}, until=record.clock.at + timedelta(hours=8))
    return run


def test_a_run_is_open_until_it_is_closed(record: Record) -> None:
    """Its files are sealed by their digests, and the head to push is returned."""
    run = opened(record)
    assert state(record.chain()).open  # type: ignore[union-attr]
    record.file("run-1", "a/b.txt", b"x")
    head = run.close("deployed", {"note": 1})
    closed = record.chain().entry(2)
    assert head.sha256 == closed.sha256
    assert closed.body["outcome"] == "deployed"
    assert closed.body["files"] == run_files(record.chain().store, "run-1")
    assert list(closed.body["files"]) == ["a/b.txt", "opened.json"]
    assert not state(record.chain()).open  # type: ignore[union-attr]


def test_digests_may_be_handed_in(record: Record) -> None:
    """Where the files are on another store, whoever knows them says what they are."""
    run = opened(record)
    run.close("deployed", {}, files={"a": "1" * 64})
    assert record.chain().entry(2).body["files"] == {"a": "1" * 64}


def test_an_empty_record_has_no_state(record: Record) -> None:
    """Nobody holds a model without entries."""
    assert state(record.chain()) is None


def test_a_second_run_is_busy_while_the_first_lives(record: Record) -> None:
    """It is told who holds the model, and nothing is written."""
    opened(record)
    with pytest.raises(Busy, match="run run-1 holds delays: process") as caught:
        opened(record, "run-2")
    assert caught.value.exit_code == 18
    assert kinds(record) == ["opened"]


@pytest.mark.parametrize("ends", ["open", "closed", "long ago"])
def test_an_id_is_used_once(record: Record, dead: Die, ends: str) -> None:
    """Whether the run of that id is open, or ended just now, or before others: nothing is written, no process asked."""
    run = opened(record)
    if ends != "open":
        run.close("deployed", {})
    if ends == "long ago":
        record.whole_run("run-2")
    dead()
    before = kinds(record)
    with pytest.raises(UsageError, match="holds a run 'run-1' already") as caught:
        opened(record)
    assert caught.value.exit_code == 2
    assert "retrain run --resume run-1" in str(caught.value)
    assert kinds(record) == before


@pytest.mark.parametrize("goes_on", ["abandoned", "resumed"])
def test_an_id_is_used_once_though_its_run_died_before_it_said_where_it_opened(
    record: Record, dead: Die, goes_on: str
) -> None:
    """Whoever ends or resumes it says so in its place."""
    opened(record)
    pointer = record.folder / "runs" / "run-1" / "opened.json"
    pointer.unlink()
    dead()
    with pytest.raises(UsageError, match="holds a run 'run-1' already"):
        opened(record)
    if goes_on == "resumed":
        resume_run(record.chain(), "run-1", by="ann", body={}).close("deployed", {})
    record.whole_run("run-2")
    assert pointer.read_bytes() == b'{"entry":1}'
    with pytest.raises(UsageError, match="holds a run 'run-1' already"):
        opened(record)
    assert verify(record.folder, pinned=PINNED, head=record.chain().head()).status == "verified"


def test_a_name_that_cannot_be_a_folders_is_no_run(record: Record) -> None:
    """It is refused before anything is asked or written under it."""
    with pytest.raises(UsageError, match="is not a name"):
        opened(record, "../run-1")
    assert not list(record.root.rglob("*.json"))


def test_a_dead_holder_is_closed_as_abandoned_by_the_next(record: Record, dead: Die) -> None:
    """Its files are sealed as they were found, and the next run opens."""
    first = opened(record)
    record.file("run-1", "a.txt", b"x")
    first.append("intent", {"effect": "swap", "target": "v2"})
    dead()
    second, abandoned = open_run(record.chain(), "run-2", by="bob", body={})
    assert abandoned == "run-1"
    assert kinds(record) == ["opened", "intent", "abandoned", "opened"]
    entry = record.chain().entry(3)
    assert (entry.run, entry.body["by"], entry.body["next_run"]) == ("run-1", "bob", "run-2")
    assert list(entry.body["files"]) == ["a.txt", "opened.json"]
    assert [each.number for each in second.entries()] == [4]


def test_a_holder_that_was_taken_over_cannot_append(record: Record, dead: Die) -> None:
    """So it cannot send its next INTENT: neither the supervisor nor its kernel, whatever they still believe."""
    first = opened(record)
    kernel = join_run(record.chain(None), "run-1", held_by=first.held_by)
    dead()
    opened(record, "run-2")
    for run in (first, kernel):
        with pytest.raises(TakenOver, match="no longer holds delays") as caught:
            run.append("intent", {"effect": "swap"})
        assert caught.value.exit_code == 18
    assert kinds(record) == ["opened", "abandoned", "opened"]


def test_who_asks_whether_it_still_holds_the_model_writes_nothing(record: Record, dead: Die) -> None:
    """To be asked before a file is written: silent while it does, and an error once another has it."""
    first = opened(record)
    first.hold()
    dead()
    opened(record, "run-2")
    with pytest.raises(TakenOver, match="no longer holds delays"):
        first.hold()
    assert kinds(record) == ["opened", "abandoned", "opened"]


def test_a_run_that_ended_writes_no_more(record: Record, dead: Die) -> None:
    """Nor does one whose place was taken through the very same chain."""
    run = opened(record)
    run.close("deployed", {})
    with pytest.raises(TakenOver, match="'closed'"):
        run.append("verdict", {})
    chain = record.chain()
    first, _ = open_run(chain, "run-2", by="ann", body={})
    dead()
    resume_run(chain, "run-2", by="ann", body={})
    with pytest.raises(TakenOver, match="'resumed'"):
        first.append("verdict", {})


def test_from_elsewhere_the_lease_is_waited_for_and_entries_renew_it(record: Record) -> None:
    """Each entry of the run is a sign of life; when none came for the length of the lease, the run is abandoned."""
    run = opened(record, holder=ELSEWHERE)
    record.clock.forward(minutes=29)
    run.append("verdict", {})
    record.clock.forward(minutes=29)
    with pytest.raises(Busy, match="lease until"):
        opened(record, "run-2")
    record.clock.forward(minutes=1)
    opened(record, "run-2")
    assert kinds(record) == ["opened", "verdict", "abandoned", "opened"]


def test_a_lease_is_renewed_when_half_of_it_is_over(record: Record) -> None:
    """Not before, so that a poll loop may ask each time."""
    run = opened(record, holder=ELSEWHERE)
    record.clock.forward(minutes=15)
    assert run.renew() is None
    record.clock.forward(seconds=1)
    assert run.renew() == 2
    assert run.renew() is None
    assert kinds(record) == ["opened", "renewed"]


def test_supervisor_and_kernel_write_to_one_run(record: Record) -> None:
    """Each goes on after what the other wrote, and both see all of it; the kernel has no key."""
    run = opened(record)
    kernel = join_run(record.chain(None), "run-1", held_by=run.held_by)
    assert [kernel.append("verdict", {}), run.append("section_started", {}), kernel.append("verdict", {})] == [2, 3, 4]
    assert [entry.number for entry in run.entries()] == [entry.number for entry in kernel.entries()] == [1, 2, 3, 4]
    with pytest.raises(UsageError, match="holds no key"):
        kernel.close("deployed", {})


@pytest.mark.parametrize("ends", [lambda run: run.close("x", {}), lambda run: None])
def test_a_kernel_joins_only_what_holds_the_model(record: Record, ends: Callable[[runs_module.Run], object]) -> None:
    """Not a run that was closed, nor under a holder that never was."""
    run = opened(record)
    ends(run)
    held_by = 1 if len(kinds(record)) == 2 else 7
    with pytest.raises(TakenOver):
        join_run(record.chain(None), "run-1", held_by=held_by)


def test_nobody_joins_an_empty_record(record: Record) -> None:
    """There is nothing to write to."""
    with pytest.raises(TakenOver):
        join_run(record.chain(None), "run-1", held_by=1)


def test_a_dead_run_can_be_resumed(record: Record, dead: Die) -> None:
    """The run goes on under a new holder, and sees what it intended before; the old one cannot write any more."""
    first = opened(record)
    first.append("intent", {"effect": "swap"})
    dead()
    again = resume_run(record.chain(), "run-1", by="bob", body={})
    assert (again.opened, again.held_by) == (1, 3)
    assert [entry.kind for entry in again.entries()] == ["opened", "intent", "resumed"]
    with pytest.raises(TakenOver):
        first.append("sent", {})
    kernel = join_run(record.chain(None), "run-1", held_by=3)
    assert kernel.append("outcome", {}) == 4
    third = resume_run(record.chain(), "run-1", by="cat", body={})
    assert (third.opened, third.held_by) == (1, 5)
    record.clock.forward(hours=1)
    assert open_run(record.chain(), "run-2", by="cat", body={})[1] == "run-1"


def test_a_living_run_is_not_resumed(record: Record) -> None:
    """It still goes on."""
    opened(record)
    with pytest.raises(Busy, match="still goes on"):
        resume_run(record.chain(), "run-1", by="bob", body={})


def test_what_ended_or_never_was_is_not_resumed(record: Record) -> None:
    """A closed run is told as ended, an unknown one as unknown."""
    with pytest.raises(UsageError, match="holds no run 'run-1'"):
        resume_run(record.chain(), "run-1", by="bob", body={})
    record.whole_run("run-1")
    with pytest.raises(UsageError, match="run-1 has ended"):
        resume_run(record.chain(), "run-1", by="bob", body={})
    opened(record, "run-2")
    with pytest.raises(UsageError, match="run-1 has ended"):
        resume_run(record.chain(), "run-1", by="bob", body={})


def test_a_parked_run_waits_for_an_approval_and_goes_on(record: Record) -> None:
    """Others are busy meanwhile; the approval is signed by somebody else; then the run is resumed."""
    parked(record)
    with pytest.raises(Busy, match="parked until"):
        opened(record, "run-2")
    entry = approve(record.chain(APPROVER), "run-1", by="bob", body={"candidate": "v2"})
    assert (entry.kind, entry.body["by"], entry.body["opened"]) == ("approved", "bob", 1)
    run = resume_run(record.chain(), "run-1", by="ann", body={})
    assert [each.kind for each in run.entries()] == ["opened", "parked", "approved", "resumed"]


def test_a_parked_run_nobody_comes_back_to_is_abandoned(record: Record) -> None:
    """Once its time is over the model is free."""
    parked(record)
    record.clock.forward(hours=8)
    opened(record, "run-2")
    assert kinds(record) == ["opened", "parked", "abandoned", "opened"]


@pytest.mark.parametrize("by", [" Ann", "ANN@vm", "ann@vm", "ann @ vm"])
def test_the_starter_does_not_approve(record: Record, by: str) -> None:
    """However the name is written, with a host or without; nothing is written."""
    parked(record)
    with pytest.raises(UsageError, match="somebody else has to approve"):
        approve(record.chain(APPROVER), "run-1", by=by, body={})
    assert kinds(record) == ["opened", "parked"]


@pytest.mark.parametrize("by", ["", "@vm", "anna", "ann.lee", "bob@ann"])
def test_another_name_is_another_person(record: Record, by: str) -> None:
    """Control: what only resembles the starter's is let through."""
    parked(record)
    assert approve(record.chain(APPROVER), "run-1", by=by, body={}).kind == "approved"


def test_only_what_waits_is_approved(record: Record) -> None:
    """Neither nothing, nor a run that goes on, nor another than the one that waits."""
    for prepare in (lambda: None, lambda: opened(record)):
        prepare()
        with pytest.raises(UsageError, match="does not wait"):
            approve(record.chain(APPROVER), "run-1", by="bob", body={})
    with pytest.raises(UsageError, match="does not wait"):
        approve(record.chain(APPROVER), "run-2", by="bob", body={})


def test_an_intent_is_settled_by_a_person_as_a_new_entry(record: Record) -> None:
    """Who and why are signed, also after the run ended, and while another run goes on, which is not disturbed."""
    run = opened(record)
    run.append("intent", {"effect": "swap", "target": "v2", "before": None})
    run.append("note", {})
    run.close("unresolved", {})
    other = opened(record, "run-2")
    entry = resolve(record.chain(), "run-1", intent=2, outcome="applied", by="bob", why="the service says so")
    assert entry.body == {
        "effect": "swap",
        "target": "v2",
        "intent": 2,
        "outcome": "applied",
        "by": "bob",
        "why": "the service says so",
        "opened": 1,
    }
    assert other.append("verdict", {}) == entry.number + 1


@pytest.mark.parametrize("how", ["lives", "lease lasts", "resumed meanwhile", "settled meanwhile"])
def test_what_the_run_s_own_process_may_still_tell_is_not_settled_by_a_person(
    record: Record, dead: Die, how: str
) -> None:
    """While its holder lives, here or elsewhere, and where it is taken up or settled at the same moment."""
    run = opened(record, holder=ELSEWHERE if how == "lease lasts" else None)
    run.append("intent", {"effect": "swap", "target": "v2"})
    chain = record.chain()
    if how.endswith("meanwhile"):
        dead()
        settled = partial(resolve, record.chain(), "run-1", intent=2, outcome="applied", by="cat", why="")
        resumed = partial(resume_run, record.chain(), "run-1", by="ann", body={})
        chain = interrupted(record, settled if how == "settled meanwhile" else resumed)
    before = len(kinds(record)) + how.endswith("meanwhile")
    with pytest.raises(Busy):
        resolve(chain, "run-1", intent=2, outcome="not_applied", by="bob", why="")
    assert len(kinds(record)) == before


def test_a_run_that_waits_or_whose_process_died_leaves_its_effects_to_a_person(record: Record, dead: Die) -> None:
    """What others write at the same moment does not matter."""
    run = opened(record)
    run.append("intent", {})
    run.append("intent", {"target": "other"})
    run.park({}, until=record.clock.at + timedelta(hours=8))
    resolve(record.chain(), "run-1", intent=2, outcome="applied", by="bob", why="")
    resume_run(record.chain(), "run-1", by="ann", body={})
    dead()
    chain = interrupted(record, lambda: open_run(record.chain(), "run-2", by="cat", body={})[0].append("note", {}))
    with pytest.raises(Busy):
        resolve(chain, "run-1", intent=3, outcome="applied", by="bob", why="")  # closed as abandoned at that moment
    chain = interrupted(record, lambda: join_run(record.chain(None), "run-2", held_by=8).append("note", {}))
    assert resolve(chain, "run-1", intent=3, outcome="applied", by="bob", why="").number == 11


@pytest.mark.parametrize("intent", [0, 1, 2, 3, 4, 99])
def test_only_an_intent_of_the_run_is_settled(record: Record, intent: int) -> None:
    """Nothing else can be declared to have happened: neither another kind of entry nor another run's intent (4)."""
    opened(record).close("unresolved", {})
    opened(record, "run-2").append("intent", {})
    with pytest.raises(UsageError, match="is not an intent of run run-1"):
        resolve(record.chain(), "run-1", intent=intent, outcome="applied", by="bob", why="")


def test_the_opening_of_a_run_is_found_from_any_of_its_signed_entries(record: Record) -> None:
    """What a kernel writes under that name is not believed."""
    run = opened(record)
    run.append("note", {"opened": 77})
    assert opening_of(record.chain(), "run-1").number == 1


class Interrupted(Chain):
    """A chain whose next append finds that somebody else was faster."""

    meanwhile: Callable[[], object] | None = None

    def append(self, kind: str, *, run: str, body: Mapping[str, Any], guard: Callable[[list[Entry]], None]) -> Entry:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return super().append(kind, run=run, body=body, guard=guard)


def interrupted(record: Record, meanwhile: Callable[[], object]) -> Interrupted:
    chain = record.chain()
    chain.__class__ = Interrupted
    assert isinstance(chain, Interrupted)
    chain.meanwhile = meanwhile
    return chain


def test_of_two_that_open_at_once_one_is_busy(record: Record) -> None:
    """The loser of the race for the next number looks again, and finds the model taken."""
    chain = interrupted(record, lambda: opened(record, "run-2"))
    with pytest.raises(Busy, match="run run-2 holds"):
        open_run(chain, "run-1", by="ann", body={})
    assert kinds(record) == ["opened"]


def test_who_opens_beside_a_mere_note_looks_again_and_opens(record: Record) -> None:
    """A settled effect of an earlier run in between does not take the model."""
    earlier = opened(record, "run-0")
    earlier.append("intent", {})
    earlier.close("unresolved", {})
    chain = interrupted(record, lambda: resolve(record.chain(), "run-0", intent=2, outcome="x", by="b", why=""))
    run, abandoned = open_run(chain, "run-1", by="ann", body={})
    assert (run.opened, abandoned) == (5, None)


def test_what_was_looked_at_before_a_run_opens_is_what_it_opens_on(record: Record) -> None:
    """Whatever is written while somebody looks back is looked at too; what they saw at last stands in the OPEN."""
    earlier = opened(record, "run-0")
    earlier.append("intent", {})
    earlier.close("unresolved", {})
    chain = record.chain()
    seen: list[int] = []

    def look_back() -> dict[str, int]:
        seen.append(chain.head().number)
        if len(seen) == 1:
            resolve(record.chain(), "run-0", intent=2, outcome="applied", by="b", why="")
        return {"looked_back_at": seen[-1]}

    run, _ = open_run(chain, "run-1", by="ann", body={}, look_back=look_back)
    assert (seen, run.opened, chain.entry(5).body["looked_back_at"]) == ([3, 4], 5, 4)


def test_who_may_not_open_a_run_does_not_end_the_dead_one_either(record: Record, dead: Die) -> None:
    """It can still be resumed; and while it lives the answer is that it is busy, whatever else there is."""

    def refuse() -> dict[str, int]:
        raise UsageError("an earlier swap is unresolved")

    opened(record)
    with pytest.raises(Busy):
        open_run(record.chain(), "run-2", by="bob", body={}, look_back=refuse)
    dead()
    with pytest.raises(UsageError, match="unresolved"):
        open_run(record.chain(), "run-2", by="bob", body={}, look_back=refuse)
    assert kinds(record) == ["opened"]


def test_a_sign_of_life_at_the_last_moment_keeps_the_model(record: Record) -> None:
    """Whoever is about to abandon a run looks again when the run writes."""
    run = opened(record, holder=ELSEWHERE)
    record.clock.forward(minutes=30)
    chain = interrupted(record, lambda: run.append("verdict", {}))
    with pytest.raises(Busy):
        open_run(chain, "run-2", by="bob", body={})
    assert kinds(record) == ["opened", "verdict"]


def test_of_two_that_resume_at_once_one_is_busy(record: Record, dead: Die) -> None:
    """And of two that abandon the same run, one."""
    opened(record)
    dead()
    chain = interrupted(record, lambda: resume_run(record.chain(), "run-1", by="bob", body={}))
    with pytest.raises(Busy, match="same moment"):
        resume_run(chain, "run-1", by="ann", body={})
    assert kinds(record) == ["opened", "resumed"]


@pytest.mark.parametrize("resumed", [True, False])
def test_an_approval_comes_too_late_once_the_run_goes_on(record: Record, resumed: bool) -> None:
    """A note in between does not matter; a change of hands does."""
    run = opened(record)
    run.append("intent", {})
    run.park({}, until=record.clock.at + timedelta(hours=8))

    def meanwhile() -> None:
        if resumed:
            resume_run(record.chain(), "run-1", by="ann", body={})
        else:
            resolve(record.chain(), "run-1", intent=2, outcome="applied", by="b", why="")

    chain = interrupted(record, meanwhile)
    chain.signer = APPROVER
    if resumed:
        with pytest.raises(Busy, match="no longer waits"):
            approve(chain, "run-1", by="bob", body={})
    else:
        assert approve(chain, "run-1", by="bob", body={}).number == 5


def test_threads_that_race_open_one_run(record: Record) -> None:
    """Eight at once on the same folder: one opens, seven are busy."""

    def attempt(number: int) -> bool:
        try:
            opened(record, f"run-{number}")
        except Busy:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert kinds(record) == ["opened"]


OTHER_PROCESS = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledger.small import Clock, Record
from retrain.ledger import Busy, open_run
record = Record(Path(sys.argv[1]), Clock())
try:
    run, abandoned = open_run(record.chain(), sys.argv[3], by="bob", body={})
    print(json.dumps([run.opened, abandoned]))
except Busy as error:
    print(json.dumps(str(error)))
"""


def test_processes_that_share_only_the_record_exclude_each_other(
    record: Record, request: pytest.FixtureRequest
) -> None:
    """A second process is busy while this one holds; a run of a process that ended is abandoned by the next."""

    def elsewhere(run: str) -> object:
        tests = str(request.path.parent.parent)
        command = [sys.executable, "-c", OTHER_PROCESS, str(record.root), tests, run]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)

    run = opened(record)
    assert "run run-1 holds delays" in str(elsewhere("run-2"))
    run.close("deployed", {})
    assert elsewhere("run-2") == [3, None]
    assert open_run(record.chain(), "run-3", by="ann", body={})[1] == "run-2"
