"""The newest entry kept outside: compared before a run opens, pushed when it opens and when it ends.

Reading and pushing go on beside the run's own work: a warehouse that has to wake up takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from retrain import environment
from retrain.errors import RetrainError
from retrain.ledger.chain import Chain, Head
from retrain.ledger.heads import GitHead, HeadSink, StoreHead, agree
from retrain.ledger.problems import LedgerError, StoreError
from retrain.record.aside import tell
from retrain.record.elsewhere import Elsewhere
from retrain.record.opening import records_root
from retrain.settings import Settings, project_root

__all__ = ["PUSH_SECONDS", "READ_SECONDS", "Anchors", "sinks", "warehouse_head"]

READ_SECONDS = 60
"""The longest to wait for a place outside before a run opens."""

PUSH_SECONDS = 20
"""The longest to wait for a place outside once a run has ended, or its process lets go of it."""

_NEXT = "The next run of the model pushes the newest head when it opens, as this one does if it is resumed."

T = TypeVar("T")


def sinks(settings: Settings) -> list[HeadSink]:
    """Return the places outside that keep the head of the model's record."""
    return [_sink(settings, named) for named in settings.records.heads]


def warehouse_head(settings: Settings) -> HeadSink:
    """Return the table of heads in the warehouse; UsageError where its name is none."""
    block = settings.warehouse
    arguments = {"network_timeout": block.network_timeout_seconds, **environment.connect_arguments(settings)}
    return Elsewhere(
        {
            "connect_arguments": arguments | {"database": block.database, "schema": block.schema_},
            "table": settings.records.heads_table,
            "model": str(settings.model),
            # two folders of one sandbox are two records; in production a model has one, wherever its runner stands
            "record": str(records_root(settings)) if settings.sandbox else settings.records.url,
        }
    )


def _sink(settings: Settings, named: str) -> HeadSink:
    model = str(settings.model)
    if named == "warehouse":
        return warehouse_head(settings)
    if named.startswith("git+"):
        remote, _, branch = named.removeprefix("git+").rpartition("#")
        return GitHead(remote, branch, model)
    return StoreHead(named if "://" in named else project_root() / named, model)


class Anchors:
    """The places outside for one run. What fails there is told, and never breaks a run that has begun.

    Nor does a place that does not answer: nothing here waits longer than ``read_seconds`` before a run opens, and
    ``push_seconds`` after it has ended. One that stalls holds up no other.
    """

    def __init__(
        self, sinks: Sequence[HeadSink], *, read_seconds: float = READ_SECONDS, push_seconds: float = PUSH_SECONDS
    ) -> None:
        """Begin to ask every place what it keeps."""
        self._read_seconds, self._push_seconds = read_seconds, push_seconds
        self._places = [_Place(sink) for sink in sinks]

    def agree(self, chain: Chain) -> list[str]:
        """Compare the chain with what is kept outside, before a run opens; return what could not be read.

        Raises LedgerError where the chain lost its newest entries, or one of them was replaced, and StoreError where a
        place does not answer in time: what was not compared is not taken for whole.
        """
        wait([place.read for place in self._places], self._read_seconds)
        troubles = []
        for place in self._places:
            if not place.read.done():
                raise StoreError(
                    f"{place.name} was asked for the head of {chain.model} and gave no answer within"
                    f" {self._read_seconds:g} s, so the record could not be compared with it. Nothing was opened,"
                    " nothing sent. See that it answers, then run again."
                )
            error = place.read.exception()
            if error is None:
                agree(chain, _Kept(place.name, place.read.result()))
            elif isinstance(error, RetrainError):
                troubles.append(f"the head outside could not be read: {error}")
            else:
                raise error
        return troubles

    def push(self, head: Head) -> None:
        """Begin to push ``head`` everywhere, and return at once; ``troubles`` and ``behind`` tell how it went."""
        for place in self._places:
            place.push(head)

    def wait(self) -> None:
        """Wait for the pushes that are under way, as long as one may take and no longer."""
        wait([push for place in self._places for push in place.pushes], self._push_seconds)

    def troubles(self) -> list[str]:
        """Return what went wrong, in words, with the pushes that have come to an end. Waits for none."""
        return [trouble for place in self._places for trouble in place.troubles()]

    def behind(self) -> list[str]:
        """Return, in words, which places have not kept the newest head by now."""
        return [
            f"the head outside is behind: {place.name} gave no answer within {self._push_seconds:g} s. {_NEXT}"
            for place in self._places
            if place.pushes
        ]

    def close(self) -> None:
        """End the threads once nothing is left for them to do; they are daemons, and nobody waits for them."""
        for place in self._places:
            place.close()


class _Place:
    """One place outside, and the thread that asks it one thing after the other: older heads go before newer ones.

    The thread is a daemon: a process that ends does not wait for a place that stalls.
    """

    def __init__(self, sink: HeadSink) -> None:
        """Begin to read what the place keeps."""
        self.name = sink.place
        self.pushes: list[Future[None]] = []
        self._sink = sink
        self._todo: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = Thread(target=self._work, name="heads", daemon=True)
        self.thread.start()
        self.read = self._begin(sink.read)

    def push(self, head: Head) -> None:
        """Begin to push ``head``; one that still waits for its turn is left out for it."""
        for push in self.pushes:
            push.cancel()
        self.pushes.append(self._begin(partial(self._sink.push, head)))

    def troubles(self) -> Iterator[str]:
        """Yield what went wrong with the pushes that have ended, once."""
        ended = [push for push in self.pushes if push.done()]
        self.pushes = [push for push in self.pushes if push not in ended]
        for error in [push.exception() for push in ended if not push.cancelled()]:
            if isinstance(error, StoreError):
                yield f"the head was not kept in {self.name}: {error}. {_NEXT}"
            elif isinstance(error, LedgerError):
                yield f"the head was not kept in {self.name}: {error}"
            elif error is not None:
                yield f"the head could not be pushed: {error}"

    def close(self) -> None:
        """End the thread after what it has begun."""
        self._todo.put(None)

    def _begin(self, call: Callable[[], T]) -> Future[T]:
        told: Future[T] = Future()
        self._todo.put(partial(tell, told, call))
        return told

    def _work(self) -> None:
        while (work := self._todo.get()) is not None:
            work()
        if isinstance(self._sink, Elsewhere):
            self._sink.close()


class _Kept:
    """A place outside whose answer is here already."""

    def __init__(self, place: str, kept: Head | None) -> None:
        self.place = place
        self._kept = kept

    def push(self, head: Head) -> None:
        raise NotImplementedError

    def read(self) -> Head | None:
        return self._kept
