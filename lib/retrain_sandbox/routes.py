"""The endpoints of the mlmonitoring service: what is asked, what is answered, what is refused."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from retrain_sandbox import api, clock, state
from retrain_sandbox.jobs import Busy

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from retrain_sandbox.service import Service

__all__ = ["MOST_BYTES", "add"]

MOST_BYTES = 16_000_000  # of a body: 10,000 rows take about 4 MB
Refusals = dict[int | str, dict[str, Any]]


class Ascii(JSONResponse):
    """JSON in ASCII: also what is no valid Unicode can be told; and a score that is not a number is told as it is."""

    def render(self, content: Any) -> bytes:
        """Return the bytes of ``content``."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def add(app: FastAPI, home: Path) -> None:
    """Add the endpoints to ``app``; ``app.state.service`` is asked anew by each request."""
    app.add_middleware(_AtMost)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    _add_training(app, home)
    _add_serving(app, home)


def _add_training(app: FastAPI, home: Path) -> None:
    log = _request_log(home)

    @app.post(
        "/training/trigger",
        status_code=HTTPStatus.ACCEPTED,
        response_model=api.Accepted,
        responses=_refusals(400, 409, 413, 422, 503),
    )
    async def trigger(body: api.TriggerRequest) -> Any:  # on the loop's own thread: see Jobs.start
        """Start a training in the background."""
        service: Service = app.state.service
        if not service.name:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "there is no model yet: apply a scenario")
        changed = body.hyperparameters.model_dump(exclude_unset=True) if body.hyperparameters else {}
        now = clock.now(home)
        try:
            job = service.jobs.start(
                now=now,
                world_id=service.world_id,
                production=service.slots.active,
                hyperparameters=changed,
            )
        except Busy as busy:
            raise HTTPException(HTTPStatus.CONFLICT, str(busy)) from busy
        log("trigger", job_id=job, hyperparameters=changed)
        return {"job_id": job, "status": "running"}

    @app.get("/training/status", response_model=api.TrainingStatus)
    def training_status() -> Any:
        """Tell how the latest training goes or went."""
        service: Service = app.state.service
        return service.jobs.status()


def _add_serving(app: FastAPI, home: Path) -> None:
    log = _request_log(home)

    @app.post("/predict/batch", response_model=api.PredictResponse, responses=_refusals(400, 409, 413, 422, 503))
    def predict(body: api.PredictRequest) -> Any:
        """Score rows by the model of a slot."""
        service: Service = app.state.service
        model = service.model(body.slot)
        if model is None:
            refused = HTTPStatus.SERVICE_UNAVAILABLE if body.slot == "active" else HTTPStatus.CONFLICT
            raise HTTPException(refused, f"the {body.slot} slot is empty")
        instances = [vars(instance) for instance in body.instances]
        scores = model.predict(instances, active=body.slot == "active")
        return Ascii({"scores": scores, "model_version": model.version, "slot": body.slot})

    @app.post("/model/reload", response_model=api.SlotsResponse, responses=_refusals(409))
    def reload() -> Any:
        """Toggle the slots: what stands by becomes active, and the other way round."""
        service: Service = app.state.service
        try:
            slots = service.swap()
        except ValueError as error:
            raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error
        log("reload", active=slots.active, standby=slots.standby)
        return {"active": slots.active, "standby": slots.standby}

    @app.get("/health", response_model=api.Health)
    def health() -> Any:
        """Tell which model this is, what time it is, and what is in the slots."""
        service: Service = app.state.service
        slots = {"active": service.slots.active, "standby": service.slots.standby}
        return {"status": "ok", "model": service.name, "now": clock.now(home).isoformat(), "slots": slots}


WHY = {
    400: "The body is not readable as JSON.",
    409: "Not now: a training runs already, or nothing stands by.",
    413: f"The body is longer than {MOST_BYTES} bytes.",
    422: "The body is wrong; `loc` names the field.",
    503: "No model is active.",
}


def _refusals(*codes: int) -> Refusals:
    return {code: {"model": api.Problem, "description": WHY[code]} for code in codes}


async def _refuse_body(_: Request, error: Exception) -> Ascii:
    """Name the fields at fault; never repeat what was sent, which may be no valid JSON at all."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the type; it is registered for just this
    faults = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in error.errors()[:20]]
    return Ascii({"detail": faults}, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)


class _AtMost:
    """Refuses a body that says it is longer than MOST_BYTES before it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if length.isdigit() and int(length) > MOST_BYTES:
                refusal = Ascii({"detail": WHY[413]}, status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _request_log(home: Path) -> Callable[..., None]:
    """Return what notes each request that changed something, durably, in ``<home>/service/requests.jsonl``."""
    lock = threading.Lock()

    def note(what: str, **about: Any) -> None:
        path = state.service_directory(home) / "requests.jsonl"
        with lock, path.open("a") as file:
            file.write(json.dumps({"request": what, "at": clock.now(home).isoformat(), **about}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    return note
