"""Whether a holder still lives is asked of the system on its own machine, and of the lease elsewhere."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain.ledger import Malformed, here, lives
from retrain.ledger.entries import GENESIS, Entry, decode, encode
from retrain.ledger.holders import still_holds

from .small import RUNNER

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def state(holder: object, kind: str = "opened") -> Entry:
    fields: dict[str, Any] = {"number": 1, "previous": GENESIS, "run": "run-1", "model": "m", "at": AT, "writer": "w"}
    return decode(encode(kind=kind, signer=RUNNER, body={"holder": holder}, **fields), name="x")


@pytest.fixture
def child() -> Iterator[int]:
    """A process of ours that waits."""
    pid = os.fork()
    if not pid:
        signal.pause()
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_process_that_runs_lives(child: int) -> None:
    """This one does, and so does its child."""
    assert lives(here())
    assert lives(here(pid=child))


def test_a_killed_process_is_dead_even_before_anybody_takes_notice(child: int) -> None:
    """A zombie cannot act any more."""
    holder = here(pid=child)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not lives(holder)


@pytest.mark.parametrize("other", [{"pid": 2**22 + 1}, {"started": 1.0}, {"boot": "another"}])
def test_another_process_with_its_number_is_not_it(other: dict[str, object]) -> None:
    """A number that is free, that went to a later process, or that is of an earlier start of the machine."""
    assert not lives(here().model_copy(update=other))


def test_a_machine_that_tells_no_boot_id_or_namespace_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off Linux the process number and its start have to do."""
    monkeypatch.setattr("retrain.ledger.holders._BOOT_ID", Path("/nowhere"))
    monkeypatch.setattr("retrain.ledger.holders._PID_NAMESPACE", Path("/nowhere"))
    assert lives(here())
    assert here().boot == ""


def test_on_its_own_machine_the_process_decides() -> None:
    """A living one holds however old the lease; a dead one does not however fresh."""
    alive = here(lease=timedelta(0))
    entry = state(alive.model_dump(mode="json"))
    assert f"process {os.getpid()}" in still_holds(entry, entry, now=AT + timedelta(days=9))
    entry = state(alive.model_copy(update={"started": 1.0}).model_dump(mode="json"))
    assert still_holds(entry, entry, now=AT) == ""


def test_from_elsewhere_the_lease_decides() -> None:
    """It runs from the newest entry of the run, and is over when it is over."""
    elsewhere = here(lease=timedelta(minutes=30)).model_copy(update={"host": "elsewhere 1"})
    entry = state(elsewhere.model_dump(mode="json"))
    assert "elsewhere" in still_holds(entry, entry, now=AT + timedelta(minutes=29))
    assert still_holds(entry, entry, now=AT + timedelta(minutes=30)) == ""


def test_a_parked_run_holds_until_the_instant_it_names() -> None:
    """No process is asked."""
    entry = state({"until": (AT + timedelta(hours=1)).isoformat()}, kind="parked")
    assert still_holds(entry, entry, now=AT).startswith("parked until")
    assert still_holds(entry, entry, now=AT + timedelta(hours=1)) == ""


@pytest.mark.parametrize("kind", ["opened", "parked"])
@pytest.mark.parametrize("holder", [None, {}, {"pid": 1}, "me"])
def test_an_entry_that_names_no_holder_is_malformed(kind: str, holder: object) -> None:
    """Not knowing who holds the model never reads as nobody."""
    entry = state(holder, kind=kind)
    with pytest.raises(Malformed, match="who holds the model"):
        still_holds(entry, entry, now=AT)
