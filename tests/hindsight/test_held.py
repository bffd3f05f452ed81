"""The fixture that holds every run of the end-to-end tests fails where it must."""

import pytest

from held import complaints, roots
from ledger.small import PINNED
from recorded_runs import record, trigger
from retrain.ledger import save_pinned


@pytest.fixture
def found(tmp_path):
    """A function that tells what does not hold of the one record below the test's folder."""
    save_pinned(tmp_path / "pinned.json", list(PINNED.values()))
    seen = set()

    def complain():
        (root,) = roots(tmp_path)
        return list(complaints(root, keys=tmp_path / "pinned.json", seen=seen))

    return complain


def test_a_run_as_it_was_recorded_holds(tmp_path, found):
    record(tmp_path / "records", [trigger()])
    assert found() == []


def test_a_verdict_that_replays_otherwise_is_told_whenever_it_came(tmp_path, found):
    """Also where a test before it left runs that hold; and it is told once."""
    record(tmp_path / "project" / "records", [trigger()])
    assert found() == []
    run = record(tmp_path / "project" / "records", [trigger()], change=lambda body: body["verdict"].update(flip="x"))
    (told,) = found()
    assert run.run_id in told
    assert "when_to_retrain: the same decision, and another flip" in told
    assert found() == []


def test_a_record_that_was_changed_is_told(tmp_path, found):
    run = record(tmp_path / "records", [trigger()])
    (run.path / "note.txt").write_text("added later")
    (told,) = found()
    assert "flights is tampered" in told
