"""The head is asked by a process that has the connector already, and from here where there is none: it is the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from retrain.engine import zygotes
from retrain.errors import UsageError
from retrain.ledger import Head, LedgerError, StoreError
from retrain.record import elsewhere
from retrain.record.elsewhere import Elsewhere
from retrain.warehouse.heads import WarehouseHead, errand


def head(number: int, letter: str = "a") -> Head:
    return Head(number, letter * 64)


@pytest.fixture(scope="module", autouse=True)
def _zygote() -> Iterator[None]:
    """The process that errands are forks of."""
    zygotes.close()  # of other tests
    zygotes.prestart(stack=False)
    yield
    zygotes.close()


@pytest.fixture
def told(arguments: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    """What makes a head in a table of the test's own."""
    return {
        "connect_arguments": {**arguments, "database": "RETRAIN", "schema": "PUBLIC"},
        "table": f"HEADS_{abs(hash(request.node.name)) % 10**8}",
        "model": "flights",
        "record": "records",
    }


@pytest.fixture
def place(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """A head that is asked elsewhere, and cannot be asked from here."""
    made = Elsewhere(told)
    assert made._channel is not None
    with monkeypatch.context() as patch:
        for name in ("read", "push"):
            patch.setattr(WarehouseHead, name, lambda *_: pytest.fail("it was asked from here"))
        yield made
    made.close()


def test_a_head_is_kept_and_read_elsewhere(place: Elsewhere) -> None:
    """None before the first push."""
    assert place.read() is None
    place.push(Head(1, "a" * 64, run="r1"))
    place.push(head(3, "c"))
    assert place.read() == head(3, "c")


def test_an_earlier_head_is_refused_in_the_same_words(place: Elsewhere) -> None:
    """And the errand goes on."""
    place.push(head(3))
    with pytest.raises(LedgerError, match=r"^warehouse table HEADS_\d+ keeps entry 3 \(a+…\), and 2 is no later"):
        place.push(head(2))
    assert place.read() == head(3)


def test_a_warehouse_that_is_not_there_is_a_store_error(told: dict[str, Any]) -> None:
    """As it is when it is asked from here: a deviation of the run, or a warning."""
    gone = {**told["connect_arguments"], "port": 9, "login_timeout": 1}
    place = Elsewhere({**told, "connect_arguments": gone})
    with pytest.raises(StoreError, match=r"^warehouse table HEADS_"):
        place.read()
    place.close()


class Channel:
    """Asks one thing, and keeps the answer."""

    def __init__(self, asked: bytes) -> None:
        self.asked, self.told = [asked, b""], list[bytes]()

    def recv(self, _: int) -> bytes:
        return self.asked.pop(0)

    def send(self, data: bytes) -> None:
        self.told.append(data)


def test_what_nobody_expected_is_raised_here(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was there: the run does not open on it."""
    monkeypatch.setattr(WarehouseHead, "read", lambda _: {}["no such key"])
    there: Any = Channel(b"null")
    errand(told, there)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(zygotes, "errand", lambda *_: ours)
    place = Elsewhere(told)
    with theirs:
        theirs.send(*there.told)
        with pytest.raises(RuntimeError, match="no such key"):
            place.read()
    place.close()


def test_where_the_other_process_is_lost_the_head_is_asked_from_here(told: dict[str, Any]) -> None:
    """The same push may come twice."""
    place = Elsewhere(told)
    place.push(head(1))
    (zygote,) = zygotes._zygotes.values()
    for process in psutil.Process(zygote._process.pid).children():
        process.kill()
    place.push(head(1))
    place.push(head(2))
    assert place._channel is None
    assert place.read() == head(2)
    place.close()


def test_another_process_that_stalls_is_not_waited_for_longer(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has a minute to open in."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(zygotes, "errand", lambda *_: ours)
    monkeypatch.setattr(elsewhere, "_SECONDS", 0.01)
    place = Elsewhere(told)
    with theirs:
        place.push(head(1))
        assert place.read() == head(1)
    place.close()


def test_a_wrong_name_is_refused_before_anything_is_asked(told: dict[str, Any]) -> None:
    """By the setting that it comes from."""
    with pytest.raises(UsageError, match="heads_table"):
        Elsewhere({**told, "table": "no; drop"})
