"""An mlmonitoring service that offers the four documented endpoints and not one thing more.

It refuses fields that the runbook does not name (422), answers with documented fields only, has no health endpoint, no
job id and no version, and really listens on a loopback port. It holds two models whose scores differ; a completed
training puts a third in standby.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, create_model

__all__ = ["MinimalService", "MinimalUrl", "minimal_service"]

PRODUCTION = {"f1": 0.884, "precision": 0.90, "recall": 0.87, "auc_roc": 0.97}
CANDIDATE = {"f1": 0.891, "precision": 0.91, "recall": 0.873, "auc_roc": 0.972}


@dataclass
class MinimalService:
    """The service's state, and every request it got as (method, path, body) in ``log``."""

    candidate: Mapping[str, float] = field(default_factory=lambda: dict(CANDIDATE))
    production: Mapping[str, float] = field(default_factory=lambda: dict(PRODUCTION))
    running_polls: int = 1
    status: str = "idle"
    active: str = "one"
    standby: str = "two"
    trainings: int = 0
    log: list[tuple[str, str, Any]] = field(default_factory=list)
    polls_left: int = 0

    def sent(self, path: str) -> int:
        """Return how many POST requests came for ``path``, the refused ones among them."""
        return sum(method == "POST" and asked == path for method, asked, _ in self.log)

    def begin(self) -> None:
        """Begin a training that takes ``running_polls`` looks at the status."""
        self.trainings += 1
        self.status, self.polls_left = "running", self.running_polls

    def look(self) -> dict[str, Any]:
        """Return what the status endpoint answers, and let the training go on by one step."""
        if self.status == "running" and self.polls_left <= 0:
            self.status, self.standby = "completed", f"trained {self.trainings}"
        self.polls_left -= 1
        if self.status != "completed":
            return {"status": self.status}
        delta = {name: round(self.candidate[name] - self.production[name], 6) for name in self.candidate}
        return {"status": self.status, "metrics": dict(self.candidate), "comparison": delta}

    def swap(self) -> None:
        """Toggle the slots."""
        self.active, self.standby = self.standby, self.active

    def score(self, row: Mapping[str, Any]) -> float:
        """Return the active model's score in [0, 1] for one row."""
        told = json.dumps([self.active, sorted(row.items())], default=str)
        return int(hashlib.sha256(told.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


class MinimalUrl(str):
    """The service's address, with the service itself to look into."""

    service: MinimalService


class _Trigger(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    model_type: str
    data_version: str


def application(service: MinimalService, *, rows_field: str, scores_field: str) -> FastAPI:
    """Return the web application around ``service``."""
    app = FastAPI(openapi_url=None)
    rows_type: Any = (list[dict[str, Any]], ...)
    batch = create_model("Batch", __config__=ConfigDict(extra="forbid"), **{rows_field: rows_type})

    @app.middleware("http")
    async def keep(request: Request, call_next: Any) -> Any:
        body = await request.body()
        service.log.append((request.method, request.url.path, json.loads(body) if body else None))
        return await call_next(request)

    @app.post("/training/trigger", status_code=202)
    def trigger(body: _Trigger) -> Any:
        if service.status == "running":
            return JSONResponse({"detail": "a training is running"}, status_code=409)
        service.begin()
        return {"status": "running"}

    @app.get("/training/status")
    def status() -> Any:
        return service.look()

    def predict(body: Any) -> Any:
        return {scores_field: [service.score(row) for row in getattr(body, rows_field)]}

    @app.post("/model/reload")
    async def reload(request: Request) -> Any:
        if await request.body():
            return JSONResponse({"detail": "no body is documented"}, status_code=422)
        service.swap()
        return {}

    predict.__annotations__["body"] = batch  # made above, so no annotation can name it
    app.post("/predict/batch")(predict)
    return app


@contextmanager
def minimal_service(
    *, rows_field: str = "instances", scores_field: str = "scores", **state: Any
) -> Iterator[MinimalUrl]:
    """Run the service in a thread on a free loopback port: ``with minimal_service() as url``; ``url.service`` is it.

    ``state`` sets fields of ``MinimalService``: ``candidate``, ``production``, ``running_polls``, ``status``.
    """
    service = MinimalService(**state)
    app = application(service, rows_field=rows_field, scores_field=scores_field)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", loop="asyncio"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = MinimalUrl(f"http://127.0.0.1:{listener.getsockname()[1]}")
    url.service = service
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
