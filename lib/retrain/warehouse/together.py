"""Questions that do not depend on each other, asked side by side: a thread and a connection each.

Not ``execute_async``: the sandbox's warehouse answers it only once the statement has run, and the connector then looks
for the result in steps of half a second, without the statement's own time-out. One connection with several cursors
will not do either, since the sandbox takes the statements of one session in turn. Threads with a connection each run
side by side on both; the connector lets go of the interpreter while it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any

__all__ = ["AT_ONCE", "begin", "ended"]

AT_ONCE = 4
"""Connections that one set of questions takes at most."""


def begin(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Future[Any]]:
    """Start ``calls``, at most four at once, and return what each will tell.

    The threads are daemons: a cell that is interrupted, or a kernel that ends, does not wait for a slow statement.
    """
    told: dict[str, Future[Any]] = {name: Future() for name in calls}
    todo = deque((told[name], call) for name, call in calls.items())
    for number in range(min(AT_ONCE, len(todo))):
        Thread(target=_work, args=(todo,), name=f"warehouse-{number}", daemon=True).start()
    return told


def ended(told: Mapping[str, Future[Any]]) -> dict[str, Any]:
    """Return the answers by name once all have come to an end, or raise the first error with the others as notes.

    Where the waiting is interrupted, what has not been asked yet is not asked any more.
    """
    try:
        wait(told.values())
    except BaseException:
        for future in told.values():
            future.cancel()
        raise
    failed = {name: error for name, future in told.items() if (error := future.exception()) is not None}
    if failed:
        (_, first), *others = failed.items()
        for name, error in others:
            if str(error) != str(first):
                first.add_note(f"asked together with it, {name} failed too: {error}")
        raise first
    return {name: future.result() for name, future in told.items()}


def _work(todo: deque[tuple[Future[Any], Callable[[], Any]]]) -> None:
    while todo:
        try:
            future, call = todo.popleft()
        except IndexError:  # another thread was quicker
            return
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is asked for
            future.set_exception(error)
