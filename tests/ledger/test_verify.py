"""Verification names every file at fault, and calls nothing verified that nothing outside vouches for."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from retrain.errors import UsageError
from retrain.ledger import FolderStore, Head, Report, approve, encode, open_run, resolve, resume_run, verify
from retrain.ledger.canonical import canonical
from retrain.ledger.chain import HINT
from retrain.ledger.entries import GENESIS, Entry, decode

from .small import APPROVER, MODEL, PINNED, RUNNER, STRANGER, Record


def checked(record: Record, head: Head | None = None) -> Report:
    return verify(record.folder, pinned=PINNED, head=head)


def at_fault(report: Report, grade: str = "tampered") -> list[str]:
    return sorted({finding.file for finding in report.findings if finding.grade == grade})


def name(number: int) -> str:
    return f"entries/{number:08d}.json"


def rewrite(record: Record, number: int, *, signer: object = RUNNER, **other: object) -> Entry:
    """Write entry ``number`` anew with other fields: what somebody who holds the signer's key can do."""
    old = decode(record.entry(number).read_bytes(), name="x")
    fields = {
        each: getattr(old, each) for each in ("number", "previous", "kind", "run", "model", "at", "writer", "body")
    }
    record.entry(number).write_bytes(encode(**fields | other, signer=signer))  # type: ignore[arg-type]
    return decode(record.entry(number).read_bytes(), name="x")


def test_a_whole_record_is_verified_against_its_head(record: Record) -> None:
    """Two runs, closed and sealed, and the head that the last of them returned."""
    record.whole_run("run-1")
    head = record.whole_run("run-2")
    report = checked(record, head)
    assert (report.status, report.exit_code, report.findings) == ("verified", 0, ())
    assert (report.entries, report.runs, report.head) == (10, {"run-1": "closed", "run-2": "closed"}, head)
    assert verify(FolderStore(record.root).within(MODEL), pinned=PINNED, head=head, model=MODEL) == report
    assert json.loads(json.dumps(report.to_json()))["exit_code"] == 0


def test_a_copy_elsewhere_is_as_good(record: Record, tmp_path: Path) -> None:
    """Nothing but the folder, the keys and the head is asked for."""
    head = record.whole_run("run-1")
    shutil.copytree(record.folder, tmp_path / "copy" / "under another name")
    assert verify(tmp_path / "copy" / "under another name", pinned=PINNED, head=head).status == "verified"


def test_without_a_head_nothing_is_verified(record: Record) -> None:
    """It is unanchored: what followed may have been deleted."""
    record.whole_run("run-1")
    report = checked(record)
    assert (report.status, report.exit_code) == ("unanchored", 4)


def test_no_record_is_empty_and_never_valid(record: Record) -> None:
    """An empty folder is empty; with a head that names an entry, all was deleted; a missing folder is a mistake."""
    with pytest.raises(UsageError, match="no folder"):
        checked(record)
    record.folder.mkdir(parents=True)
    for head in (None, Head(0, GENESIS)):
        report = checked(record, head)
        assert (report.status, report.exit_code, report.head) == ("empty", 5, None)
    report = checked(record, Head(5, "5" * 64))
    assert (report.status, at_fault(report)) == ("tampered", [name(1)])


def test_entries_gone_and_files_left_is_tampered(record: Record) -> None:
    """Files that no entry vouches for are named."""
    record.whole_run("run-1", files=1)
    shutil.rmtree(record.folder / "entries")
    report = checked(record)
    assert (report.status, at_fault(report)) == ("tampered", ["runs/run-1/00.ipynb", "runs/run-1/opened.json"])


def test_a_verification_needs_a_key(record: Record) -> None:
    """Without one, every signature would be as good as any."""
    record.folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="pinned public key"):
        verify(record.folder, pinned={})


def test_deleting_the_newest_run_is_found_with_a_head_only(record: Record) -> None:
    """And never verified without."""
    record.whole_run("run-1")
    head = record.whole_run("run-2")
    shutil.rmtree(record.folder / "runs" / "run-2")
    for number in range(6, 11):
        record.entry(number).unlink()
    report = checked(record, head)
    assert (report.status, at_fault(report)) == ("tampered", [name(6)])
    assert f"{name(6)} to {name(10)}" in report.findings[0].problem
    assert checked(record).status == "unanchored"


def test_a_newest_entry_forged_with_the_same_key_is_found_with_a_head_only(record: Record) -> None:
    """Whoever holds the runner's key can write another CLOSE, but not change the head outside."""
    head = record.whole_run("run-1")
    body = decode(record.entry(5).read_bytes(), name="x").body
    rewrite(record, 5, body=body | {"outcome": "rolled_back"})
    report = checked(record, head)
    assert (report.status, at_fault(report)) == ("tampered", [name(5)])
    assert checked(record).status == "unanchored"


def test_a_stale_head_does_not_vouch_for_what_came_later(record: Record) -> None:
    """The entries after it are named as unanchored."""
    head = record.whole_run("run-1")
    record.whole_run("run-2")
    report = checked(record, head)
    assert (report.status, at_fault(report, "unanchored")) == ("unanchored", [name(6)])


def test_an_open_run_is_incomplete(record: Record) -> None:
    """With or without a head; what no signature seals yet is said."""
    head = record.whole_run("run-1")
    run, _ = open_run(record.chain(), "run-2", by="ann", body={})
    record.file("run-2", "a", b"still being written")
    assert [finding.file for finding in checked(record, head).findings if finding.grade == "incomplete"] == [name(6)]
    run.append("verdict", {})
    for known in (head, None):
        report = checked(record, known)
        assert (report.status, report.exit_code, report.runs["run-2"]) == ("incomplete", 3, "open")
        assert at_fault(report, "incomplete") == [name(6), name(7)]


def test_an_effect_without_a_known_outcome_is_incomplete_until_a_person_settles_it(record: Record) -> None:
    """Unresolved stays unresolved in a run that closed; the later, signed entry settles it."""
    run, _ = open_run(record.chain(), "run-1", by="ann", body={})
    for target in ("v1", "v2"):
        run.append("intent", {"effect": "swap", "target": target})
    run.append("outcome", {"effect": "swap", "target": "v1", "outcome": "applied"})
    run.append("outcome", {"effect": "swap", "target": "v2", "outcome": "unresolved"})
    for unknown in ({}, {"outcome": None}, {"outcome": "perhaps"}):
        run.append("outcome", {"effect": "swap", "target": "v2", **unknown})
    head = run.close("unresolved", {})
    report = checked(record, head)
    assert (report.status, at_fault(report, "incomplete")) == ("incomplete", [name(3)])
    entry = resolve(record.chain(APPROVER), "run-1", intent=3, outcome="applied", by="bob", why="seen")
    assert checked(record, Head(entry.number, entry.sha256)).status == "verified"
    assert checked(record, head).status == "unanchored"


def test_a_run_with_an_approval_is_verified(record: Record) -> None:
    """Parked, approved by another key and another person, resumed, closed."""
    run, _ = open_run(record.chain(), "run-1", by="ann", body={})
    run.park({}, until=record.clock.at + timedelta(hours=1))
    assert checked(record).runs == {"run-1": "parked"}
    approve(record.chain(APPROVER), "run-1", by="bob", body={})
    head = resume_run(record.chain(), "run-1", by="ann", body={}).close("deployed", {})
    assert checked(record, head).status == "verified"


def test_an_abandoned_run_is_sealed(record: Record, dead: Callable[[], None]) -> None:
    """Its files are checked like any other's."""
    open_run(record.chain(), "run-1", by="ann", body={})
    record.file("run-1", "a", b"left")
    dead()
    run, _ = open_run(record.chain(), "run-2", by="bob", body={})
    head = run.close("deployed", {})
    assert checked(record, head).runs == {"run-1": "abandoned", "run-2": "closed"}
    assert checked(record, head).status == "verified"
    record.file("run-1", "a", b"changed")
    assert at_fault(checked(record, head)) == ["runs/run-1/a"]


@pytest.mark.parametrize(
    ("kind", "by", "signer", "problem"),
    [
        ("approved", "ann", APPROVER, "started the run"),
        ("approved", "bob", RUNNER, "whose role is runner"),
        ("closed", "ann", APPROVER, "whose role is approver"),
        ("approved", "bob", STRANGER, "not pinned"),
    ],
)
def test_an_entry_signed_by_the_wrong_one_is_named(
    record: Record, kind: str, by: str, signer: object, problem: str
) -> None:
    """An approval by the runner's key or the starter, a CLOSE by an approver, a key that nobody pinned."""
    run, _ = open_run(record.chain(), "run-1", by="Ann ", body={})
    run.park({}, until=record.clock.at)
    chain = record.chain()
    chain.signer = signer
    chain.append(kind, run="run-1", body={"by": by, "files": {}, "opened": 1}, guard=lambda _: None)
    report = checked(record)
    assert (report.status, at_fault(report)) == ("tampered", [name(3)])
    assert problem in next(finding.problem for finding in report.findings if finding.file == name(3))


def test_a_signature_of_something_else_does_not_hold(record: Record) -> None:
    """The right key signed, and another entry: OPEN with the signature of CLOSE."""
    head = record.whole_run("run-1", files=0)
    opened, closed = (json.loads(record.entry(number).read_bytes()) for number in (1, 5))
    record.entry(1).write_bytes(canonical({**opened, "signatures": closed["signatures"]}))
    report = checked(record, head)
    assert at_fault(report) == [name(1)]
    assert report.findings[0].problem == "the signature does not hold by the key of the runner"


def test_one_key_in_both_roles_does_not_approve_what_it_opened(record: Record) -> None:
    """Four eyes are two keys, whatever the pinned file says."""
    run, _ = open_run(record.chain(), "run-1", by="ann", body={})
    run.park({}, until=record.clock.at)
    record.chain(APPROVER).append("approved", run="run-1", body={"by": "bob", "opened": 1}, guard=lambda _: None)
    rewrite(record, 1, signer=APPROVER)
    report = checked(record)
    assert name(1) in at_fault(report)


def impossible(record: Record) -> dict[str, Callable[[], object]]:
    """Histories that are signed and linked well, and cannot have happened."""
    chain = record.chain()

    def add(kind: str, run: str = "run-1", **body: object) -> Entry:
        return chain.append(kind, run=run, body=body, guard=lambda _: None)

    return {
        "after its end": lambda: add("verdict"),
        "never opened": lambda: add("verdict", run="run-9"),
        "settled, never opened": lambda: add("resolved", run="run-9"),
        "opened again": lambda: add("opened"),
        "closed again": lambda: add("closed", files={}),
        "resumed after its end": lambda: add("resumed"),
        "two at once": lambda: (add("opened", run="run-2"), add("opened", run="run-3"))[1],
        "written while parked": lambda: (add("opened", run="run-2"), add("parked", run="run-2"), add("x", run="run-2"))[
            2
        ],
    }


@pytest.mark.parametrize(
    "case",
    [
        *("after its end", "never opened", "settled, never opened", "opened again", "closed again"),
        *("resumed after its end", "two at once", "written while parked"),
    ],
)
def test_what_cannot_have_happened_in_that_order_is_tampered(record: Record, case: str) -> None:
    """A signature does not make it true: one run at a time, from OPEN to CLOSE."""
    record.whole_run("run-1", files=0)
    entry = impossible(record)[case]()
    assert isinstance(entry, Entry)
    assert name(entry.number) in at_fault(checked(record))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_an_entry_of_another_record_is_named(record: Record, number: int) -> None:
    """Model, number and what came before have to be those of this place."""
    record.whole_run("run-1", files=0)
    rewrite(record, number, model="other")
    assert name(number) in at_fault(checked(record))


def test_a_whole_record_of_another_model_is_not_this_one(record: Record) -> None:
    """Where the reader says whose record it should be."""
    head = record.whole_run("run-1", files=0)
    report = verify(record.folder, pinned=PINNED, head=head, model="other")
    assert at_fault(report) == [name(number) for number in range(1, 6)]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_only_the_entry_that_was_changed_is_blamed(record: Record, number: int) -> None:
    """What a later signature seals has the word over what came before, so the neighbour is not accused."""
    record.whole_run("run-1", files=0)
    rewrite(record, number, writer="somebody else")
    assert at_fault(checked(record)) == [name(number)]


def test_in_what_is_not_sealed_yet_the_later_entry_is_blamed(record: Record) -> None:
    """A signed OPEN has the word over an unsigned entry that does not follow from it."""
    run, _ = open_run(record.chain(), "run-1", by="ann", body={})
    run.append("verdict", {})
    rewrite(record, 2, previous="1" * 64)
    assert at_fault(checked(record)) == [name(2)]


def test_a_first_entry_that_follows_something_is_not_the_first(record: Record) -> None:
    """The beginning cannot be cut off and the rest passed off as all there was."""
    record.whole_run("run-1", files=0)
    entry = rewrite(record, 1, previous="1" * 64)
    assert entry.previous != GENESIS
    assert name(1) in at_fault(checked(record))


def test_every_fault_is_named_not_only_the_first(record: Record) -> None:
    """An entry, a run file, and one more of each."""
    record.whole_run("run-1")
    head = record.whole_run("run-2")
    record.entry(3).unlink()
    record.entry(8).write_bytes(b"{}")
    record.file("run-1", "00.ipynb", b"other")
    record.file("run-2", "new", b"new")
    (record.folder / "runs" / "run-2" / "01.ipynb").unlink()
    (record.folder / "notes.txt").write_text("x")
    (record.folder / "entries" / "copy.json").write_text("x")
    expected = ["entries/00000003.json", "entries/00000008.json", "entries/copy.json", "notes.txt"]
    files = ["runs/run-1/00.ipynb", "runs/run-2/01.ipynb", "runs/run-2/new"]
    assert at_fault(checked(record, head)) == expected + files


def test_a_file_that_cannot_be_read_is_at_fault(record: Record) -> None:
    """A link into nowhere in place of an entry or of a file."""
    head = record.whole_run("run-1", files=1)
    for path in (record.entry(2), record.folder / "runs" / "run-1" / "00.ipynb"):
        path.unlink()
        path.symlink_to("nowhere")
    assert at_fault(checked(record, head)) == [name(2), "runs/run-1/00.ipynb"]


def test_opening_a_notebook_in_jupyter_is_no_tampering(record: Record) -> None:
    """Its own copies are left out by name; they vouch for nothing, and a notebook beside them still must be whole."""
    head = record.whole_run("run-1", files=1)
    kept = record.folder / "runs" / "run-1" / ".ipynb_checkpoints"
    kept.mkdir()
    (kept / "00-checkpoint.ipynb").write_text("{}")
    report = checked(record, head)
    assert (report.status, report.left_out) == ("verified", ("runs/run-1/.ipynb_checkpoints/00-checkpoint.ipynb",))
    (record.folder / "runs" / "run-1" / "00.ipynb").write_text("{}")
    (record.folder / "runs" / "run-1" / ".ipynb_checkpoints.ipynb").write_text("{}")
    assert at_fault(checked(record, head)) == ["runs/run-1/.ipynb_checkpoints.ipynb", "runs/run-1/00.ipynb"]


def test_what_jupyter_keeps_is_not_sealed_either(record: Record) -> None:
    """It goes on writing there after the run has ended."""
    kept = record.folder / "runs" / "run-1" / ".ipynb_checkpoints"
    kept.mkdir(parents=True)
    (kept / "00-checkpoint.ipynb").write_text("{}")
    head = record.whole_run("run-1", files=1)
    (kept / "00-checkpoint.ipynb").write_text("{ }")
    assert checked(record, head).status == "verified"


def test_a_head_for_an_entry_that_is_missing_in_between(record: Record) -> None:
    """The hole is named, and the head is not taken as met."""
    record.whole_run("run-1", files=0)
    head = record.whole_run("run-2", files=0)
    record.entry(10).unlink()
    (record.entry(11)).write_bytes(record.entry(9).read_bytes())
    assert name(10) in at_fault(checked(record, head))


def test_a_hint_has_to_be_true(record: Record) -> None:
    """It proves nothing, but one that lies was changed."""
    head = record.whole_run("run-1")
    (record.folder / HINT).write_bytes(bytes(head))
    assert checked(record, head).status == "verified"
    for lie in (bytes(Head(4, head.sha256)), bytes(Head(9, head.sha256)), b"x"):
        (record.folder / HINT).write_bytes(lie)
        assert at_fault(checked(record, head)) == [HINT]
