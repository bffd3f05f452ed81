"""The mlmonitoring service, as the runbook documents it: trigger, status, predictions, reload.

Only what is documented is sent; a health endpoint, a job id, slots or versions are used where they come. Reading is
in ``retrain.service.replies``; what happens on the wire in ``retrain.service.wire``.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import cycle, islice
from types import TracebackType
from typing import Any, Self

import httpx

from retrain.checks import Evidence, measured
from retrain.clock import Clock, EnvironmentClock
from retrain.errors import UsageError, nearest
from retrain.service.answers import Answer, Health, Prediction, Smoke, TrainingStatus
from retrain.service.replies import read_health, read_prediction, read_status
from retrain.service.spread import client_p99, connected, over
from retrain.service.wire import ServiceUnavailable, Wire

__all__ = ["Answer", "Health", "Prediction", "Service", "ServiceUnavailable", "Smoke", "TrainingStatus"]

_PATHS = {
    "trigger": "/training/trigger",
    "status": "/training/status",
    "predict": "/predict/batch",
    "reload": "/model/reload",
    "health": "/health",
}
_ROWS_FIELDS = ("instances", "rows", "records", "inputs", "data", "samples", "transactions")
_BARE = ""  # the rows as the body itself, under no name
_NOT_NOW = {408, 425, 429}

Row = Mapping[str, Any]


class Service:
    """A client of one mlmonitoring service. Close it, or use it in a ``with`` statement."""

    def __init__(
        self,
        *,
        base_url: str,
        timeout_seconds: float = 30.0,
        paths: Mapping[str, str | None] | None = None,
        predict_rows_field: str = "instances",
        predict_slot_field: str | None = "slot",
        token: str | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Take where the service is and how it names things; a wrong address or path raises UsageError.

        ``timeout_seconds`` is the longest wait (wall seconds) for one answer; ``token`` is sent as a bearer token;
        ``paths`` may replace trigger, status, predict, reload and health; a health of None is never asked, and a
        ``predict_slot_field`` of None never sent; ``redact`` takes secrets out of what is kept of an answer.
        """
        given = dict(paths or {})
        self._health_path = given.pop("health", _PATHS["health"])
        checked = given if self._health_path is None else {**given, "health": self._health_path}
        self._paths = _checked_paths(checked)
        self._clock = clock or EnvironmentClock()
        self._wire = Wire(
            base_url=base_url,
            timeout_seconds=timeout_seconds,
            token=token,
            transport=transport,
            clock=self._clock,
            redact=redact,
        )
        self._on_network = transport is None
        self._slot_field = predict_slot_field
        self._rows_field = predict_rows_field
        self._form: str | None = None
        self._looked_for_form = False
        self._finding = threading.Lock()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._wire.base_url

    @property
    def predict_form(self) -> str | None:
        """The field name under which rows were taken, ``(bare list)``, or None before any were."""
        return "(bare list)" if self._form == _BARE else self._form

    def reach(self) -> None:
        """Raise UsageError, naming the address, unless the service answers its status in a way that can be read.

        A 404 in JSON is an answer: nothing was trained yet.
        """
        answer = self._wire.get(self._paths["status"])
        wrong = _why_unusable(answer, absent_is_fine=True)
        if wrong:
            asked = f"GET {self.base_url}{self._paths['status']}"
            raise UsageError(f"service.base_url: {asked}: {wrong}. Nothing was sent that changes anything.")

    def status(self) -> TrainingStatus:
        """Return what the service tells of its training; ServiceUnavailable where it tells nothing usable."""
        answer = self._wire.get(self._paths["status"])
        wrong = _why_unusable(answer, absent_is_fine=True)
        if wrong:
            raise self._unavailable("status", wrong, answer)
        read = read_status(answer.json if answer.succeeded else {}, _evidence(answer))
        return read.model_copy(update={"retry_after_seconds": answer.retry_after_seconds})

    def health(self) -> Health | None:
        """Return what the health endpoint tells, or None where the service offers none that can be read.

        The runbook documents no such endpoint. Where one is offered and fails (5xx, no answer), ServiceUnavailable.
        """
        if self._health_path is None:
            return None
        answer = self._wire.get(self._health_path)
        if answer.succeeded and isinstance(answer.json, Mapping):
            return read_health(answer.json, _evidence(answer))
        code = answer.status_code
        if code is not None and (code < 500 or code == 501) and code not in _NOT_NOW and not answer.broke_off:
            return None
        raise self._unavailable("health", answer.words, answer)

    def trigger(self, body: Mapping[str, Any]) -> Answer:
        """Send the training request, exactly once. Whatever happens is in the answer; a NaN in ``body`` ValueError."""
        return self._wire.send_once(self._paths["trigger"], json.dumps(dict(body), allow_nan=False).encode())

    def reload(self) -> Answer:
        """Ask to toggle the slots, exactly once, with no body. Whatever happens is in the answer."""
        return self._wire.send_once(self._paths["reload"], None)

    def predict(self, rows: Sequence[Row], *, slot: str | None = None) -> Prediction:
        """Ask for a score for each row; ``slot`` is sent only where it is given.

        Where the service refuses the rows' field name (400 or 422) on the first use, the usual other names are tried,
        once; the one that works is kept. Nothing is raised: an error is in the prediction.
        """
        return self._predict(self._wire, rows, slot)

    def _predict(self, wire: Wire, rows: Sequence[Row], slot: str | None) -> Prediction:
        answer = self._ask(wire, self._form if self._form is not None else self._rows_field, rows, slot)
        if answer.succeeded and self._form is None:
            self._form = self._rows_field
        elif answer.status_code in (400, 422) and self._form is None:
            answer = self._find_form(wire, rows, slot) or answer
        return read_prediction(answer, len(rows), _evidence(answer))

    def smoke(self, rows: Sequence[Row], *, slot: str | None, concurrency: int, warm_up: int) -> Smoke:
        """Send one request a row over ``concurrency`` connections and time each; ``warm_up`` more go first, untimed.

        Each connection takes every n-th row, of the warm-up too. A service whose rows' field name is not known yet
        gets at least one to warm up. Afterwards the same requests go to an echo on loopback, which shows what of a
        latency is this client's own.
        """
        untimed = max(warm_up, 0 if self._form is not None else 1) if rows else 0
        first_rows = list(islice(cycle(rows), untimed))
        with connected(self._wire, concurrency) as wires:
            over(wires, first_rows, lambda wire, row: self._predict(wire, [row], slot))
            began = self._clock.monotonic()
            told = over(wires, rows, lambda wire, row: self._predict(wire, [row], slot))
            wall_seconds = self._clock.monotonic() - began
        own = self._own_p99(rows, slot, concurrency)
        return self._summed(told, concurrency, untimed, wall_seconds, own)

    def _own_p99(self, rows: Sequence[Row], slot: str | None, concurrency: int) -> float | None:
        if not self._on_network:
            return None
        field = self._form if self._form is not None else self._rows_field
        return client_p99(self._wire, [self._content(field, [row], slot) for row in rows], concurrency)

    def _summed(
        self, told: Sequence[Prediction], concurrency: int, warm_up: int, wall_seconds: float, own: float | None
    ) -> Smoke:
        invalid = [f"request {number}: {why}" for number, why in _invalid(told)]
        scores = tuple(prediction.scores[0] for prediction in told)
        return Smoke(
            scores=scores,
            latencies_seconds=tuple(prediction.latency_seconds for prediction in told),
            invalid=tuple(invalid[:20]),
            timeouts=sum(prediction.timed_out for prediction in told),
            errors=sum(prediction.error is not None for prediction in told),
            answered_by=_agreed([prediction.slot for prediction in told]),
            version=_agreed([prediction.version for prediction in told]),
            predict_form=self.predict_form,
            concurrency=concurrency,
            warm_up_requests=warm_up,
            wall_seconds=wall_seconds,
            client_p99_seconds=own,
            evidence=self._smoke_evidence(told, scores, concurrency, own),
        )

    def _smoke_evidence(
        self, told: Sequence[Prediction], scores: tuple[float | None, ...], concurrency: int, own: float | None
    ) -> Evidence:
        ids = [prediction.evidence.request_id for prediction in told]
        alone = "" if own is None else f"; the client alone, against an echo on loopback: p99 {own:.4f} s"
        over_ = f" over {concurrency} connections; the hash is of the scores in order{alone}"
        return Evidence(
            source="service",
            at=self._clock.now(),
            request_id=ids[0] if ids else None,
            result_sha256=hashlib.sha256(json.dumps(scores).encode()).hexdigest(),
            rows=len(told),
            note=f"{len(ids)} requests, {ids[0]} to {ids[-1]},{over_}" if ids else "",
        )

    def _ask(self, wire: Wire, field: str, rows: Sequence[Row], slot: str | None) -> Answer:
        return wire.ask(self._paths["predict"], self._content(field, rows, slot))

    def _content(self, field: str, rows: Sequence[Row], slot: str | None) -> bytes:
        body: Any = [_plain(row) for row in rows]
        if field != _BARE:
            body = {field: body, **({self._slot_field: slot} if slot and self._slot_field else {})}
        return json.dumps(body, allow_nan=False, default=_scalar).encode("utf-8", "replace")

    def _find_form(self, wire: Wire, rows: Sequence[Row], slot: str | None) -> Answer | None:
        """Try the usual names once, whoever comes first; the others then use what was found."""
        with self._finding:
            if self._form is not None or self._looked_for_form:
                return self._ask(wire, self._form, rows, slot) if self._form is not None else None
            self._looked_for_form = True
            for field in (*_ROWS_FIELDS, *([_BARE] if slot is None else [])):
                answer = self._ask(wire, field, rows, slot) if field != self._rows_field else None
                if answer is not None and answer.succeeded:
                    self._form = field
                    return answer
        return None

    def _unavailable(self, name: str, wrong: str, answer: Answer) -> ServiceUnavailable:
        asked = f"GET {self.base_url}{self._paths[name]}"
        error = ServiceUnavailable(f"the mlmonitoring service: {asked}: {wrong}. This request changed nothing.")
        error.retry_after_seconds = answer.retry_after_seconds
        return error


def _checked_paths(paths: Mapping[str, str | None]) -> dict[str, str]:
    checked = dict(_PATHS)
    for name, path in paths.items():
        if name not in _PATHS:
            raise UsageError(f"service.paths: {name!r} is not known.{nearest(name, _PATHS)}")
        if path is None or not path.startswith("/") or path.startswith("//") or not path.isprintable() or " " in path:
            raise UsageError(f"service.paths.{name}: {path!r} should begin with one '/', as {_PATHS[name]!r} does")
        checked[name] = path
    return checked


def _why_unusable(answer: Answer, *, absent_is_fine: bool) -> str | None:
    """Return why an answer to a read cannot be used, in a person's words, or None."""
    code = answer.status_code
    if code is None:
        return answer.error or "no answer"
    if 300 <= code < 400:
        return f"answered {code}, a redirect, which is not followed"
    if code in (401, 403):
        return f"answered {code}: the service does not accept these credentials"
    if answer.is_page:
        return f"answered {code} with a page of HTML, not JSON; is this the service's address?"
    if code == 404 and absent_is_fine and isinstance(answer.json, Mapping):
        return None
    if not answer.succeeded:
        return f"answered {code} ({answer.text[:200]})" if answer.text else f"answered {code}"
    return f"answered {code}, but {answer.error}" if answer.error else None


def _evidence(answer: Answer) -> Evidence:
    if answer.evidence is None:
        raise ValueError("an answer from the wire always carries evidence")
    return answer.evidence


def _plain(row: Row) -> dict[str, Any]:
    """Return a row as JSON knows it: NaN is null there, as everywhere here."""
    return {str(name): measured(value) for name, value in row.items()}


def _scalar(value: Any) -> Any:
    """Turn what comes out of a warehouse or a data frame into JSON."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return measured(float(value))
    if hasattr(value, "item"):
        return measured(value.item())
    raise TypeError(f"{type(value).__name__} {value!r} cannot be sent as JSON")


def _invalid(told: Sequence[Prediction]) -> Iterator[tuple[int, str]]:
    for number, prediction in enumerate(told, start=1):
        yield from ((number, why) for why in prediction.invalid)
        if prediction.error is not None and not prediction.timed_out and not prediction.invalid:
            yield number, prediction.error


def _agreed(told: Sequence[str | None]) -> str | None:
    return told[0] if told and len(set(told)) == 1 else None
