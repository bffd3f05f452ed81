"""SIGINT and SIGTERM while a notebook runs: noted once, noticed at the next safe place, handlers put back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

__all__ = ["Stop", "StopRequestedError", "stop_on_signals"]


class StopRequestedError(Exception):
    """A signal came in: unwinds the engine's loop; what leaves the engine is ``Interrupted``."""


class Stop:
    """Whether the run was asked to stop, by which signal, and a way to wait for work or for that."""

    def __init__(self) -> None:
        """Start without a request."""
        self.signal: signal.Signals | None = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def request(self, number: int) -> None:
        """Note the first signal and wake whoever waits. Safe from a signal handler and from any thread."""
        if self.signal is None:
            self.signal = signal.Signals(number)
        if self._waiting is not None:
            loop, event = self._waiting
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)

    async def watch(
        self, work: asyncio.Future[Any], *, tick: Callable[[], None] | None = None, seconds: float | None = None
    ) -> bool:
        """Wait until ``work`` is done or a stop is asked for; call ``tick`` every ``seconds``. Return: done?"""
        event = asyncio.Event()
        self._waiting = (asyncio.get_running_loop(), event)
        if self.signal is not None:  # looked at only now, so that none falls between
            event.set()
        asked = asyncio.ensure_future(event.wait())
        try:
            while not work.done() and not asked.done():
                await asyncio.wait({work, asked}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if tick is not None:
                    tick()
        finally:
            self._waiting = None
            asked.cancel()
        return work.done()


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a request for the time of the block; former handlers come back after it.

    Outside the main thread Python allows no handlers: the block then runs without them.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        stop.request(number)

    former = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
