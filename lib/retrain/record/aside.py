"""Work beside a run's own that may stall: in daemon threads, so that a process that ends does not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

__all__ = ["begin", "tell"]

T = TypeVar("T")


def begin(call: Callable[[], T], *, name: str) -> Future[T]:
    """Do ``call`` in a thread of its own, and return what will tell how it went."""
    told: Future[T] = Future()
    Thread(target=tell, args=(told, call), name=name, daemon=True).start()
    return told


def tell(told: Future[T], call: Callable[[], T]) -> None:
    """Do ``call`` and tell what came of it, unless it is not wanted any more."""
    if not told.set_running_or_notify_cancel():
        return
    try:
        told.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised or told where the answer is asked for
        told.set_exception(error)
