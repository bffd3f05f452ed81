"""The head outside never holds up a run: a place that stalls is waited for so long and no longer, and it is told."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from record.conftest import MODEL
from retrain.ledger import Head, LedgerError, StoreError, StoreHead
from retrain.record import decision, records, supervision
from retrain.record.anchors import Anchors
from retrain.record.opening import records_root
from retrain.settings import Settings

SOON = 0.05
NEVER = 60.0


class Stalled:
    """A place that answers once it is told to go on. Whoever waits for it all the same finds out at last."""

    place = "the warehouse"

    def __init__(self, *, reads: bool) -> None:
        self.go, self.kept, self.begun = Event(), list[Head](), Event()
        self._reads = reads

    def push(self, head: Head) -> None:
        self.begun.set()
        assert self.go.wait(NEVER)
        self.kept.append(head)

    def read(self) -> Head | None:
        assert self._reads or self.go.wait(NEVER)
        return None


@pytest.fixture
def pushing() -> Iterator[Stalled]:
    """A place that tells what it keeps, and takes no head."""
    made = Stalled(reads=True)
    yield made
    made.go.set()


def test_close_is_not_held_up_by_a_push_that_stalls(settings: Settings, pushing: Stalled) -> None:
    """The record is final while neither push has come through; what is behind, and what mends it, is a warning."""
    heard: list[tuple[str, str]] = []
    anchors = Anchors([pushing], push_seconds=SOON)
    supervised = supervision.open_run(
        settings, {}, anchors=anchors, warn=lambda told: heard.append((supervised.folder.state, told))
    )
    assert pushing.begun.wait(NEVER)
    supervised.close("interrupted", "SIGTERM came")
    assert not pushing.go.is_set()
    ((state, told),) = heard
    assert state == "closed"
    assert told.startswith(f"the head outside is behind: the warehouse gave no answer within {SOON} s. The next run")
    told_in_it = decision.read(records.find(records_root(settings), "latest"))
    assert (told_in_it.outcome, [text for text in told_in_it.deviations if "head" in text]) == ("interrupted", [])


def test_of_the_heads_that_wait_for_their_turn_the_newest_alone_is_pushed(pushing: Stalled) -> None:
    """An older one would be news to nobody; the one that is under way is not taken back."""
    anchors = Anchors([pushing])
    heads = [Head(number, f"{number:064d}") for number in (1, 2, 3)]
    for head in heads:
        anchors.push(head)
        assert pushing.begun.wait(NEVER)
    pushing.go.set()
    anchors.wait()
    assert pushing.kept == [heads[0], heads[2]]
    assert (anchors.troubles(), anchors.behind()) == ([], [])


def test_a_place_that_stalls_holds_up_no_other(settings: Settings, pushing: Stalled, tmp_path: Path) -> None:
    other = StoreHead(tmp_path / "other", MODEL)
    supervised = supervision.open_run(settings, {}, anchors=Anchors([pushing, other], push_seconds=SOON))
    supervised.close("no_action")
    assert other.read() == supervised.folder.chain.head()


def test_a_place_that_does_not_tell_in_time_what_it_keeps_is_one_clear_error_and_no_run(settings: Settings) -> None:
    """What was not compared is not taken for whole: nothing is opened on it."""
    stalled = Stalled(reads=False)
    with pytest.raises(StoreError, match=f"the warehouse .*no answer within {SOON} s.* Nothing was opened"):
        supervision.open_run(settings, {}, anchors=Anchors([stalled], read_seconds=SOON))
    stalled.go.set()
    assert list(records.runs(records_root(settings))) == []


def test_a_place_that_breaks_in_a_way_of_its_own_is_raised_before_a_run_and_told_after(settings: Settings) -> None:
    """A mistake of ours in reading is no deviation; in pushing it cannot undo what the run did."""

    class Broken(Stalled):
        def read(self) -> Head | None:
            raise ZeroDivisionError("read")

        def push(self, head: Head) -> None:
            raise ZeroDivisionError("push")

    anchors = Anchors([Broken(reads=True)])
    with pytest.raises(ZeroDivisionError):
        supervision.open_run(settings, {}, anchors=anchors)
    anchors.push(Head(1, "1" * 64))
    anchors.wait()
    assert anchors.troubles() == ["the head could not be pushed: push"]


def test_a_later_head_outside_is_told_as_it_is(pushing: Stalled) -> None:
    """That the next run mends it would not be true."""

    class Later(Stalled):
        def push(self, head: Head) -> None:
            raise LedgerError("it keeps entry 9, and 1 is no later one")

    anchors = Anchors([Later(reads=True)])
    anchors.push(Head(1, "1" * 64))
    anchors.wait()
    assert anchors.troubles() == ["the head was not kept in the warehouse: it keeps entry 9, and 1 is no later one"]


def test_the_threads_end_with_the_run(settings: Settings, tmp_path: Path) -> None:
    """And one that cannot end does not keep the process."""
    anchors = Anchors([StoreHead(tmp_path / str(number), MODEL) for number in range(3)])
    threads = [place.thread for place in anchors._places]
    assert all(thread.is_alive() and thread.daemon for thread in threads)
    supervision.open_run(settings, {}, anchors=anchors).close("no_action")
    for thread in threads:
        thread.join(NEVER)
    assert not any(thread.is_alive() for thread in threads)
