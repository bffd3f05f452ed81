"""Requests spread over connections: each has a thread and a wire of its own, and every n-th request goes over it.

So a smoke test opens exactly the connections that its policy names: a pool would open fewer where answers come quickly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from threading import Event
from typing import TypeVar

from retrain.service.loopback import echo
from retrain.service.wire import Wire

__all__ = ["client_p99", "connected", "over"]

_ENOUGH = 50

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def connected(wire: Wire, count: int) -> Iterator[tuple[Wire, ...]]:
    """Yield ``count`` wires to the same service, each with a connection of its own that its first request opens."""
    with ExitStack() as held:
        yield tuple(held.enter_context(closing(wire.another())) for _ in range(count))


def over(wires: Sequence[Wire], items: Sequence[R], ask: Callable[[Wire, R], T]) -> list[T]:
    """Ask for every item and return the answers in order; the first error, or Ctrl-C, ends all of it."""
    stopped = Event()
    count = min(len(wires), len(items))

    def share(number: int) -> list[T]:
        return [ask(wires[number], item) for item in items[number::count] if not stopped.is_set()]

    if not count:
        return []
    with ThreadPoolExecutor(count) as pool:
        try:
            shares = [each.result() for each in [pool.submit(share, number) for number in range(count)]]
        except BaseException:
            stopped.set()
            raise
    return [shares[number % count][number // count] for number in range(len(items))]


def client_p99(wire: Wire, contents: Sequence[bytes], connections: int) -> float | None:
    """Return the 99th percentile (nearest rank) of seconds that requests take against an echo on loopback.

    This is what the client itself adds to a latency, at most; None where there is no loopback to listen on. The first
    request of each connection is not counted, as in a smoke test; fifty requests are enough.
    """
    contents = contents[:_ENOUGH]
    count = min(connections, len(contents))
    try:
        with echo(count) as url, closing(wire.another(base_url=url)) as own, connected(own, count) as wires:
            over(wires, contents[:count], lambda each, content: each.ask("/", content))
            told = over(wires, contents, lambda each, content: each.ask("/", content))
    except OSError:
        return None
    seconds = sorted(answer.seconds for answer in told if answer.succeeded)
    return seconds[math.ceil(0.99 * len(seconds)) - 1] if seconds else None
