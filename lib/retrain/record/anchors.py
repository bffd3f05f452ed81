"""The newest entry kept outside: compared before a run opens, pushed when it opens and when it ends.

Reading and pushing go on beside the run's own work, since the warehouse's connector alone takes a second to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from retrain import environment
from retrain.errors import RetrainError
from retrain.ledger.chain import Chain, Head
from retrain.ledger.heads import GitHead, HeadSink, StoreHead, agree, push_head
from retrain.record.opening import records_root
from retrain.settings import Settings, project_root

__all__ = ["Anchors", "sinks", "warehouse_head"]


def sinks(settings: Settings) -> list[HeadSink]:
    """Return the places outside that keep the head of the model's record."""
    return [_sink(settings, named) for named in settings.records.heads]


def warehouse_head(settings: Settings) -> HeadSink:
    """Return the table of heads in the warehouse."""
    from retrain.warehouse.heads import WarehouseHead

    block = settings.warehouse
    arguments = {"network_timeout": block.network_timeout_seconds, **environment.connect_arguments(settings)}
    return WarehouseHead(
        arguments | {"database": block.database, "schema": block.schema_},
        table=settings.records.heads_table,
        model=str(settings.model),
        # two folders of one sandbox are two records; in production a model has one, wherever its runner stands
        record=str(records_root(settings)) if settings.sandbox else settings.records.url,
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
    """The places outside for one run. What fails there is told, and never breaks a run that has begun."""

    def __init__(self, places: Sequence[HeadSink]) -> None:
        """Begin to ask every place what it keeps."""
        self._sinks = tuple(places)
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(self._sinks)), thread_name_prefix="heads")
        self._reads = [self._pool.submit(sink.read) for sink in self._sinks]
        self._pushes: list[Future[dict[str, str]]] = []

    def agree(self, chain: Chain) -> list[str]:
        """Compare the chain with what is kept outside, before a run opens; return what could not be read.

        Raises LedgerError where the chain lost its newest entries, or one of them was replaced.
        """
        troubles = []
        for sink, read in zip(self._sinks, self._reads, strict=True):
            try:
                kept = read.result()
            except RetrainError as error:
                troubles.append(f"the head outside could not be read: {error}")
            else:
                agree(chain, _Kept(sink.place, kept))
        return troubles

    def push(self, head: Head) -> None:
        """Begin to push ``head`` everywhere; ``troubles`` tells how it went."""
        self._pushes.append(self._pool.submit(partial(push_head, head, self._sinks)))

    def troubles(self) -> list[str]:
        """Wait for the pushes so far and return what went wrong, in words."""
        pushes, self._pushes = self._pushes, []
        broken = [f"the head could not be pushed: {push.exception()}" for push in pushes if push.exception()]
        failed = [push.result() for push in pushes if not push.exception()]
        return broken + [f"the head was not kept in {place}: {why}" for told in failed for place, why in told.items()]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True)


class _Kept:
    """A place outside whose answer is here already."""

    def __init__(self, place: str, kept: Head | None) -> None:
        self.place = place
        self._kept = kept

    def push(self, head: Head) -> None:
        raise NotImplementedError

    def read(self) -> Head | None:
        return self._kept
