"""The sandbox's mlmonitoring service: `python -m retrain_sandbox.service --home H --port P`.

SIGHUP makes it serve the world that lies in its home by then. All it knows is on disk and replaced atomically
(``slots``, ``jobs``), so it may be killed at any moment and started again.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from threadpoolctl import threadpool_limits

from retrain_sandbox import clock, conditions, models, routes, slots, state, world
from retrain_sandbox.jobs import Jobs
from retrain_sandbox.models import Model
from retrain_sandbox.slots import Slots
from retrain_sandbox.traffic import Serving, Traffic

__all__ = ["Service", "application", "main"]

PROMOTION_SECONDS = 3.0  # how long a swap waits for its promotion row; the row is written later otherwise
KEEP_ALIVE_SECONDS = 75
EXIT_PORT_TAKEN = 98


class Service:
    """One world's models, slots, jobs and traffic."""

    def __init__(self, home: Path) -> None:
        """Take up the world that lies in ``home``."""
        self.home = home
        named = world.named(home)
        self.name, self.world_id = named["model"], named["world_id"]
        self._lock = threading.Lock()
        self._slots = slots.read(home)
        self._models: dict[str, Model] = {}
        for version in filter(None, (self._slots.active, self._slots.standby)):
            self._models[version] = models.load(slots.version_directory(home, version))
        self.jobs = Jobs(home, self.stage)
        self.traffic = Traffic(home, self.name, self.world_id, conditions.read(home), self.serving)
        self.traffic.on_promotion_recorded = self._promotion_recorded

    def close(self) -> None:
        """Stop trainings and traffic."""
        self.jobs.stop()
        self.traffic.stop()

    @property
    def slots(self) -> Slots:
        """The slots at this moment."""
        return self._slots

    def serving(self) -> Serving:
        """Return what the traffic meets."""
        now = self._slots
        model = self._models.get(now.active) if now.active else None
        return Serving(model, now.swaps, now.swapped_at, now.promotion_recorded)

    def model(self, slot: str) -> Model | None:
        """Return the model in ``slot``."""
        version = self._slots.active if slot == "active" else self._slots.standby
        return self._models.get(version) if version else None

    def stage(self, version: str) -> None:
        """Load ``version`` into the standby slot."""
        with self._lock:
            self._models[version] = models.load(slots.version_directory(self.home, version))
            self._change(self._slots.staged(version))

    def swap(self) -> Slots:
        """Toggle the slots; ValueError where nothing stands by."""
        with self._lock:
            self._change(self._slots.swapped(clock.now(self.home)))
            swapped = self._slots
        self.traffic.promoted(swapped.swaps, PROMOTION_SECONDS)
        return swapped

    def _promotion_recorded(self, swaps: int) -> None:
        with self._lock:
            if self._slots.swaps == swaps:
                self._change(replace(self._slots, promotion_recorded=True))

    def _change(self, changed: Slots) -> None:
        slots.write(self.home, changed)
        self._slots = changed


def application(home: Path) -> FastAPI:
    """Return the service over ``home``."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = await run_in_threadpool(_begin, home)
        loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGHUP, lambda: _keep(loop.create_task(_replace_world(app, home))))
        yield
        app.state.service.close()

    app = FastAPI(
        title="mlmonitoring (sandbox)",
        description="Trains, serves two slots, tells of its labelled traffic. A sandbox: all of it can be thrown away.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    routes.add(app, home)
    return app


def _begin(home: Path) -> Service:
    service = Service(home)
    service.traffic.start()
    return service


async def _replace_world(app: FastAPI, home: Path) -> None:
    former: Service = app.state.service
    await run_in_threadpool(former.close)
    app.state.service = await run_in_threadpool(_begin, home)


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)  # the loop holds tasks weakly
    task.add_done_callback(_tasks.discard)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Exit 98 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m retrain_sandbox.service", description="The sandbox's service.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    threadpool_limits(1)  # requests come side by side; a matrix product of one row needs no help
    config = uvicorn.Config(
        application(chosen.home.resolve()),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is: 40 ms a request otherwise.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((state.HOST, chosen.port))
        except OSError:
            return EXIT_PORT_TAKEN
        uvicorn.Server(config).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
