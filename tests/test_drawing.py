"""A picture is the same wherever it is drawn, and is drawn here where nobody else can."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retrain import pictures
from retrain.engine import zygotes
from retrain.facts import Window
from retrain.pictures import Picture
from retrain.steps import drawing

START = datetime(2013, 6, 1, tzinfo=UTC)
WINDOWS = [
    Window(window_start=START + timedelta(days=day), window_end=START + timedelta(days=day), version="v1", f1=0.8)
    for day in range(9)
]
Errand = Callable[[str, Any], socket.socket | None]


def f1() -> Picture:
    """Draw F1, elsewhere if that can be."""
    return drawing.drawn(pictures.f1_over_time, WINDOWS, baseline=0.8, tolerance=0.05)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[Errand], None]:
    """Be a process that has not imported matplotlib, and whose errands are done as the test says."""

    def be(errand: Errand) -> None:
        monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
        monkeypatch.setattr(zygotes, "errand", errand)

    return be


def done(target: str, body: Any) -> socket.socket:
    """Do the errand in a thread, as the fork would."""
    assert target == "retrain.steps.drawing:errand"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def do() -> None:
        with theirs:
            drawing.errand(body, theirs)

    threading.Thread(target=do).start()
    return ours


def hung_up(*_: Any) -> socket.socket:
    """Be an errand that fails."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    return ours


def test_it_is_the_same_picture_wherever_it_is_drawn(without: Callable[[Errand], None]) -> None:
    """To the byte, with its text."""
    here = pictures.f1_over_time(WINDOWS, baseline=0.8, tolerance=0.05)
    without(done)
    assert f1() == here


@pytest.mark.parametrize("errand", [lambda *_: None, hung_up], ids=["nobody", "fails"])
def test_it_is_drawn_here_where_nobody_else_can(without: Callable[[Errand], None], errand: Errand) -> None:
    """No zygote, or one that was lost: a picture all the same."""
    without(errand)
    assert f1().png.startswith(b"\x89PNG")


def test_one_that_stalls_is_not_waited_for(without: Callable[[Errand], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture holds up no run."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(drawing, "_SECONDS", 0.01)
    without(lambda *_: ours)
    with theirs:
        assert f1().png.startswith(b"\x89PNG")


def test_who_has_what_draws_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each section but the first."""
    import matplotlib.figure  # noqa: F401

    monkeypatch.setattr(zygotes, "errand", lambda *_: pytest.fail("it was asked elsewhere"))
    assert f1().png.startswith(b"\x89PNG")
