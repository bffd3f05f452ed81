"""Every byte of a record counts: one bit flipped anywhere is found, and the file named."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from retrain.ledger import Head, approve, join_run, open_run, resume_run, verify

from .small import APPROVER, PINNED, Record

SEED = 20261123


@pytest.fixture
def head(record: Record) -> Head:
    """A run with every kind of entry and a few files, and its head."""
    run, _ = open_run(record.chain(), "run-1", by="ann", body={"why": "drift"})
    kernel = join_run(record.chain(None), "run-1", held_by=run.held_by)
    kernel.append("verdict", {"section": "évaluation", "share": 0.25})
    run.park({"candidate": "v2"}, until=record.clock.at + timedelta(hours=1))
    approve(record.chain(APPROVER), "run-1", by="bob", body={"candidate": "v2"})
    run = resume_run(record.chain(), "run-1", by="ann", body={})
    run.append("intent", {"effect": "swap", "target": "v2"})
    run.append("outcome", {"effect": "swap", "target": "v2", "outcome": "applied"})
    for name, data in (("06.ipynb", b'{"cells": []}\n'), ("decision.json", b'{"outcome":"deployed"}'), ("empty", b"")):
        record.file("run-1", name, data)
    return run.close("deployed", {})


def files(record: Record) -> Iterator[Path]:
    yield from sorted(path for path in record.folder.rglob("*") if path.is_file())


def blamed(record: Record, head: Head | None) -> set[str]:
    report = verify(record.folder, pinned=PINNED, head=head)
    assert report.exit_code == 1, report
    return {finding.file for finding in report.findings if finding.grade == "tampered"}


def relative(record: Record, path: Path) -> str:
    return path.relative_to(record.folder).as_posix()


def test_the_record_to_be_tampered_with_is_whole(record: Record, head: Head) -> None:
    """Else finding a fault would prove nothing."""
    assert verify(record.folder, pinned=PINNED, head=head).status == "verified"


@pytest.mark.parametrize("anchored", [True, False])
def test_one_flipped_bit_in_any_byte_of_any_file_is_found(record: Record, head: Head, anchored: bool) -> None:
    """With the head outside and without; and nobody else's file is blamed."""
    flips = 0
    for path in files(record):
        whole = path.read_bytes()
        for at in range(0, len(whole), 1 if anchored else 7):
            bit = (at * 31 + SEED) % 8
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
            found = blamed(record, head if anchored else None)
            assert found == {relative(record, path)}, (path.name, at, bit)
            flips += 1
        path.write_bytes(whole)
    assert flips > (6_000 if anchored else 900)


def test_any_byte_of_the_newest_entry_is_found_without_a_head(record: Record, head: Head) -> None:
    """No later entry holds its hash: its own signature and its one canonical form have to do."""
    path = record.entry(head.number)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        assert blamed(record, None) == {relative(record, path)}, at


def test_any_file_deleted_or_truncated_is_named(record: Record, head: Head) -> None:
    """Gone, cut to half, cut to nothing, or with something after its end."""
    for path in list(files(record)):
        whole = path.read_bytes()
        for left in (None, whole[: len(whole) // 2], b"", whole + b"\n"):
            if left == whole:
                continue
            path.unlink() if left is None else path.write_bytes(left)
            assert blamed(record, head) == {relative(record, path)}
            path.write_bytes(whole)


def test_any_file_duplicated_or_renamed_is_named(record: Record, head: Head) -> None:
    """Under a new name, the next number, or in another folder."""
    for path in list(files(record)):
        copy = record.entry(head.number + 1) if path.suffix == ".json" else path.with_name("copy")
        others = [
            copy,
            path.with_name(f"{path.name}~"),
            record.folder / path.name,
            record.folder / "runs" / "run-9" / "x",
        ]
        for other in others:
            other.parent.mkdir(exist_ok=True)
            shutil.copy(path, other)
            assert blamed(record, head) == {relative(record, other)}
            kept = path.read_bytes()
            path.unlink()
            assert relative(record, path) in blamed(record, head)
            path.write_bytes(kept)
            other.unlink()


def test_any_two_entries_that_changed_places_are_named(record: Record, head: Head) -> None:
    """Both: each says another number than its name."""
    for one in range(1, head.number + 1):
        for other in range(one + 1, head.number + 1):
            first, second = record.entry(one).read_bytes(), record.entry(other).read_bytes()
            record.entry(one).write_bytes(second)
            record.entry(other).write_bytes(first)
            assert blamed(record, head) == {relative(record, record.entry(each)) for each in (one, other)}
            record.entry(one).write_bytes(first)
            record.entry(other).write_bytes(second)


def test_an_earlier_copy_of_the_record_is_found(record: Record, head: Head, tmp_path: Path) -> None:
    """Put back as it was one run ago: the head outside says that there was more."""
    shutil.copytree(record.folder, tmp_path / "earlier")
    later = record.whole_run("run-2")
    shutil.rmtree(record.folder)
    shutil.copytree(tmp_path / "earlier", record.folder)
    assert blamed(record, later) == {relative(record, record.entry(head.number + 1))}
