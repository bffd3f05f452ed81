"""The plain journal: an entry counts once it is whole and on the disk, and nothing lost goes unnoticed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retrain.errors import RetrainError
from retrain.journal import Journal, JournalError

MOMENT = datetime(2013, 6, 9, 2, 0, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", now=lambda: MOMENT)


def test_a_journal_that_was_not_begun_is_empty(journal: Journal) -> None:
    """No file is no entry, not an error."""
    assert journal.entries() == ()
    assert journal.notes == ()


def test_entries_come_back_as_they_were_appended(journal: Journal) -> None:
    """Numbers run from 1; bodies, kinds and instants survive; text with line breaks stays one line."""
    body = {"text": "two\nlines …", "figure": 0.1 + 0.2, "none": None, "list": [1, {"a": True}]}
    assert [journal.append("opened", {}), journal.append("intent", body)] == [1, 2]
    read = Journal(journal.path).entries()
    assert [(entry.number, entry.kind, entry.at) for entry in read] == [(1, "opened", MOMENT), (2, "intent", MOMENT)]
    assert read[1].body == body
    assert journal.path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("kept", range(1, 20))
def test_a_torn_last_line_is_dropped_with_a_note_and_its_number_used_again(journal: Journal, kept: int) -> None:
    """A crash tears only what no append returned for; the next entry stands on a line of its own."""
    journal.append("opened", {})
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[:kept])
    assert len(journal.entries()) == 1
    assert "torn" in journal.notes[0]
    assert journal.append("intent", {"n": 2}) == 2
    assert [entry.kind for entry in journal.entries()] == ["opened", "intent"]
    assert journal.notes == ()


@pytest.mark.parametrize("damage", ["drop", "garble", "swap", "double"])
def test_a_whole_line_that_is_lost_or_garbled_is_damage(journal: Journal, damage: str) -> None:
    """An intent that nobody can read any more must stop a run: without it the act would be sent again."""
    for number in range(3):
        journal.append("intent", {"n": number})
    lines = journal.path.read_bytes().splitlines(keepends=True)
    damaged = {
        "drop": [lines[0], lines[2]],
        "garble": [lines[0], lines[1][:10] + b"\n", lines[2]],
        "swap": [lines[1], lines[0], lines[2]],
        "double": [lines[0], lines[0], lines[1], lines[2]],
    }
    journal.path.write_bytes(b"".join(damaged[damage]))
    with pytest.raises(JournalError, match="line"):
        journal.entries()
    with pytest.raises(JournalError):
        journal.append("sent", {})


def test_a_body_that_is_no_json_leaves_no_trace(journal: Journal) -> None:
    """A NaN or an object is the caller's mistake; the file stays readable."""
    with pytest.raises(ValueError, match="JSON"):
        journal.append("verdict", {"f1": float("nan")})
    with pytest.raises(TypeError):
        journal.append("verdict", {"f1": object()})
    assert journal.entries() == ()
    assert journal.append("opened", {}) == 1


def test_an_entry_is_flushed_before_append_returns(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Durable means fsync: of the file each time, of its folder when the file is new."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    journal.append("opened", {})
    assert len(flushed) == 2
    journal.append("intent", {})
    assert len(flushed) == 3


def test_a_full_disk_is_one_clear_error_and_loses_nothing_before_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fitted on the disk is a torn line, which the next append clears away."""
    journal.append("opened", {})
    write = os.write

    def half(descriptor: int, line: bytes) -> int:
        write(descriptor, line[: len(line) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(RetrainError, match=r"intent.*No space left"):
        journal.append("intent", {})
    monkeypatch.undo()
    assert journal.append("closed", {}) == 2
    assert [entry.kind for entry in Journal(journal.path).entries()] == ["opened", "closed"]


def test_two_writers_take_turns(tmp_path: Path) -> None:
    """A kernel and its runner may both append: every number is given once."""
    path = tmp_path / "journal.jsonl"

    def fill(kind: str) -> list[int]:
        mine = Journal(path)
        return [mine.append(kind, {}) for _ in range(25)]

    with ThreadPoolExecutor(4) as pool:
        numbers = [number for told in pool.map(fill, "abcd") for number in told]
    assert sorted(numbers) == list(range(1, 101))
    assert len(Journal(path).entries()) == 100
