"""The client of the mlmonitoring service: it sends what is documented, reads defensively, and hides nothing."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fake_world import FakeClock
from minimal_service import CANDIDATE, minimal_service
from retrain.checks import Evidence
from retrain.errors import UsageError
from retrain.service.client import Service, ServiceUnavailable, TrainingStatus
from retrain.service.reading import bounded, comparison, metrics, parse
from retrain.service.wire import LARGEST_ANSWER

BODY = {"model_type": "classifier", "data_version": "latest"}
TOKEN = "s3cret-token"  # noqa: S105 - a canary
ROW = {"x": 1.0}


class Fake:
    """A service made of one function; it keeps the requests."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response] | httpx.Response, **settings: Any) -> None:
        self.requests: list[httpx.Request] = []
        self.clock = FakeClock()
        self._answer = answer
        transport = httpx.MockTransport(self._handle)
        self.service = Service(base_url="http://fake/api/", transport=transport, clock=self.clock, **settings)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer if isinstance(self._answer, httpx.Response) else self._answer(request)


def told(value: Any, **headers: str) -> Fake:
    """Return a service that answers everything with one JSON value."""
    return Fake(lambda request: httpx.Response(200, json=value, headers=headers))


def content(body: bytes, status_code: int = 200, **headers: str) -> Fake:
    return Fake(lambda request: httpx.Response(status_code, content=body, headers=headers))


def breaks(error: Exception) -> Fake:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return Fake(answer)


def status_of(value: Any) -> TrainingStatus:
    return told(value).service.status()


# What is sent


def test_the_trigger_sends_the_runbook_s_body_and_nothing_else() -> None:
    """The body goes as it is, to the documented path, once."""
    fake = told({"job_id": "j1", "status": "running"})
    answer = fake.service.trigger(BODY)
    [request] = fake.requests
    assert (request.method, request.url.path, json.loads(request.content)) == ("POST", "/api/training/trigger", BODY)
    assert (answer.status_code, answer.json["job_id"], answer.succeeded) == (200, "j1", True)


def test_the_reload_sends_no_body() -> None:
    """The runbook names none."""
    fake = told({})
    fake.service.reload()
    assert (fake.requests[0].content, "content-type" in fake.requests[0].headers) == (b"", False)


@pytest.mark.parametrize("failure", [500, 503, 429, httpx.ReadError("reset"), httpx.ReadTimeout("late")])
@pytest.mark.parametrize("name", ["trigger", "reload"])
def test_what_changes_something_is_sent_exactly_once(failure: Any, name: str) -> None:
    """No failure makes the client send again by itself."""
    fake = breaks(failure) if isinstance(failure, Exception) else content(b"", failure)
    answer = fake.service.trigger(BODY) if name == "trigger" else fake.service.reload()
    assert len(fake.requests) == 1
    assert not answer.succeeded
    assert not answer.never_left
    assert fake.clock.slept == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_and_the_token_goes_nowhere_else(code: int) -> None:
    """A 3xx is an answer to report, for reads too."""
    moved = httpx.Response(code, headers={"location": "http://elsewhere/"})
    fake = Fake(moved, token=TOKEN)
    assert fake.service.trigger(BODY).status_code == code
    with pytest.raises(ServiceUnavailable, match="redirect"):
        fake.service.status()
    assert fake.service.health() is None
    assert fake.service.predict([ROW]).scores == (None,)
    assert {request.url.host for request in fake.requests} == {"fake"}
    assert {request.headers["authorization"] for request in fake.requests} == {f"Bearer {TOKEN}"}


def test_a_token_that_the_service_echoes_is_not_kept() -> None:
    """Neither in an answer, nor in what is raised, nor in evidence."""

    def echo(request: httpx.Request) -> httpx.Response:
        leak = request.headers["authorization"]
        code = 500 if request.method == "GET" else 200
        return httpx.Response(code, json={"error": leak}, headers={"x-request-id": leak})

    fake = Fake(echo, token=TOKEN)
    with pytest.raises(ServiceUnavailable) as error:
        fake.service.status()
    assert TOKEN not in str(error.value) + repr(fake.service.trigger(BODY))


def test_every_answer_says_where_it_came_from() -> None:
    """Evidence: the service's request id, else the one that was sent; the hash of the body; the environment's time."""
    fake = told({"status": "idle"}, **{"x-request-id": "theirs"})
    evidence = fake.service.status().evidence
    assert (evidence.source, evidence.request_id, evidence.at) == ("service", "theirs", fake.clock.now())
    assert evidence.result_sha256
    plain = told({})
    assert plain.service.status().evidence.request_id == plain.requests[0].headers["x-request-id"]


@pytest.mark.parametrize(
    ("error", "never_left"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), True),
        (httpx.ConnectError("[Errno -2] Name or service not known"), True),
        (httpx.ConnectTimeout("timed out"), True),
        (httpx.ReadError("reset"), False),
        (httpx.WriteError("broken pipe"), False),
        (httpx.WriteTimeout("late"), False),
        (httpx.ReadTimeout("late"), False),
        (httpx.RemoteProtocolError("Server disconnected"), False),
        (httpx.ProxyError("502 Bad Gateway"), False),
    ],
)
def test_only_a_request_without_a_connection_never_left(error: Exception, never_left: bool) -> None:
    """Anything that broke later may have arrived."""
    answer = breaks(error).service.reload()
    assert (answer.status_code, answer.never_left) == (None, never_left)
    assert answer.error


def test_a_port_that_nobody_listens_on_is_never_left_and_unreachable() -> None:
    """The same over a real socket: refused before anything was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Service(base_url=f"http://127.0.0.1:{port}", clock=FakeClock()) as service:
        assert service.reload().never_left
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}.*[Rr]efused"):
            service.reach()


# Reads


@pytest.mark.parametrize("passing", [500, 502, 503, 504, 429])
def test_a_read_is_tried_again_where_the_failure_may_pass(passing: int) -> None:
    """Three times at most, with growing pauses."""
    answers = [httpx.Response(passing), httpx.Response(passing), httpx.Response(200, json={"status": "idle"})]
    fake = Fake(lambda request: answers.pop(0))
    assert fake.service.status().status == "idle"
    assert len(fake.requests) == 3
    assert 0.25 <= fake.clock.slept[0] <= 0.5 <= fake.clock.slept[1] <= 1.0


@pytest.mark.parametrize(
    ("header", "waited"),
    [("3", 3.0), ("86400", 10.0), ("Sun, 09 Jun 2013 00:00:04 GMT", 4.0), ("Sun, 09 Jun 2099 00:00:04 GMT", 10.0)],
)
def test_retry_after_is_honoured_with_a_cap(header: str, waited: float) -> None:
    """Seconds or a date; a service cannot make a run sleep for a day."""
    fake = content(b"", 503, **{"retry-after": header, "date": "Sun, 09 Jun 2013 00:00:00 GMT"})
    with pytest.raises(ServiceUnavailable, match="503"):
        fake.service.status()
    assert fake.clock.slept == [waited, waited]


@pytest.mark.parametrize(
    "header", ["", "soon", "-5", "٣", "Sun, 99 Jun 2013", "Mon, 01 Jan 2024 00:00:00 +9999999999999"]
)
def test_a_strange_retry_after_is_ignored(header: str) -> None:
    """What cannot be read is as if it had not come."""
    fake = Fake(lambda request: httpx.Response(503, headers=[(b"retry-after", header.encode())]))
    with pytest.raises(ServiceUnavailable):
        fake.service.status()
    assert all(0.25 <= seconds <= 1 for seconds in fake.clock.slept)


@pytest.mark.parametrize(
    ("fake", "says"),
    [
        (content(b"<!doctype html><title>Log in</title>"), "HTML"),
        (content(b"oops", **{"content-type": "text/html"}), "HTML"),
        (content(b""), "empty"),
        (content(b'{"status": "comp'), "not JSON"),
        (content(b"\xff\xfe\x00"), "not JSON"),
        (content(b"[" * 100_000), "deep"),
        (content(b"[" * 100 + b"]" * 100), "deep"),
        (content(b"1" * 5_000), "not JSON"),
        (content(b"x" * (LARGEST_ANSWER + 1)), "larger than"),
        (content(gzip.compress(b"{}"), **{"content-encoding": "gzip"}), "compressed"),
        (content(b"nope", 401), "credentials"),
        (content(b"nope", 418), "418"),
        (content(b"not found", 404), "404"),
        (breaks(httpx.ReadTimeout("late")), "no answer within"),
        (breaks(httpx.ConnectError("refused")), "no connection"),
    ],
)
def test_an_answer_that_cannot_be_read_is_one_clear_error(fake: Fake, says: str) -> None:
    """While running: ServiceUnavailable. Before anything was sent: UsageError, which names the address."""
    with pytest.raises(ServiceUnavailable, match=says):
        fake.service.status()
    with pytest.raises(UsageError, match=rf"base_url: GET http://fake/api/training/status: .*{says}"):
        fake.service.reach()
    assert {request.method for request in fake.requests} == {"GET"}


def test_a_body_is_not_read_beyond_its_bound() -> None:
    """Fifty megabytes are not taken into memory, nor is a body that drips for ever."""
    taken = 0

    def drip() -> Any:
        nonlocal taken
        while True:
            taken += 1_000_000
            yield b"x" * 1_000_000

    fake = Fake(lambda request: httpx.Response(200, content=drip()))
    assert "larger" in str(fake.service.trigger(BODY).error)
    assert taken <= LARGEST_ANSWER + 2_000_000
    slow = Fake(lambda request: httpx.Response(200, content=crawl()))

    def crawl() -> Any:
        while True:
            slow.clock.seconds += 20
            yield b" "

    answer = slow.service.trigger(BODY)
    assert (answer.timed_out, answer.status_code, answer.never_left) == (True, 200, False)


def test_nothing_trained_yet_is_an_answer() -> None:
    """A 404 in JSON is a status without a word, not a broken service."""
    fake = Fake(httpx.Response(404, json={"detail": "no training yet"}))
    fake.service.reach()
    status = fake.service.status()
    assert (status.status, status.phase, status.metrics) == (None, None, None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"base_url": "host:8443"}, "https://host:port"),
        ({"base_url": "ftp://host"}, "https://host:port"),
        ({"base_url": "http://"}, "https://host:port"),
        ({"base_url": "http://[::1"}, "base_url"),
        ({"base_url": "http://a..b"}, "base_url"),
        ({"base_url": "http://host:99999"}, "https://host:port"),
        ({"base_url": "http://host?x=1"}, "base_url"),
        ({"base_url": "http://user:pass@host"}, "password"),
        ({"base_url": "http://host", "token": "a b\n"}, "token"),
        ({"base_url": "http://host", "paths": {"statsu": "/x"}}, "Did you mean 'status'"),
        ({"base_url": "http://host", "paths": {"status": "http://elsewhere/"}}, "begin with one '/'"),
        ({"base_url": "http://host", "paths": {"status": "//elsewhere/"}}, "begin with one '/'"),
    ],
)
def test_a_wrong_address_is_refused_before_anything_is_sent(wrong: dict[str, Any], says: str) -> None:
    """One error that names what was wrong, without repeating a password."""
    with pytest.raises(UsageError, match=says) as error:
        Service(clock=FakeClock(), **wrong)
    assert "pass@" not in str(error.value)


# Reading a status


def test_a_rich_status_is_read_whole() -> None:
    """Job, version, counts, latency, production, hold-out, class balance, epochs, progress."""
    figures = {"f1": 0.89, "precision": 0.9, "recall": 0.88, "auc_roc": 0.97, "latency_p99_seconds": 0.02}
    status = status_of(
        {
            "status": "Completed",
            "job_id": "job-1",
            "model_version": "v2",
            "progress": {"fraction": 1.0, "epoch": 30},
            "metrics": {**figures, "tp": 10, "fp": 1, "fn": 2, "tn": 100},
            "comparison": {
                "production_version": "v1",
                "production": {**figures, "f1": 0.884},
                "delta": {"f1": 0.006, "auc_roc": 0.0},
                "holdout": {"id": "h1", "rows": 500, "positives": 40, "description": "stratified"},
            },
            "class_counts": {"0": 90, "1": 10},
            "log": [{"epoch": 1, "training_loss": 0.5, "validation_loss": None}],
            "error": None,
        }
    )
    assert (status.status, status.phase, status.job_id, status.version) == ("completed", "completed", "job-1", "v2")
    assert status.metrics and (status.metrics.tp, status.metrics.latency_p99_seconds) == (10, 0.02)
    assert status.production and (status.production.version, status.production.f1) == ("v1", 0.884)
    assert status.deltas == {"f1": 0.006, "auc_roc": 0.0}
    assert status.holdout == "h1: stratified (500 rows, 40 positives)"
    assert (status.class_counts, status.progress, status.error) == ({"0": 90, "1": 10}, 1.0, None)
    assert status.epochs and (status.epochs[0].epoch, status.epochs[0].validation_loss) == (1, None)
    assert TrainingStatus.model_validate_json(status.model_dump_json()) == status


@pytest.mark.parametrize("name", ["f1", "F1", "f1_score", "F1-Score", "f1Score", "F_Score", "F1 score"])
def test_names_are_read_without_case_and_punctuation(name: str) -> None:
    """F1 is F1 however it is spelled."""
    read = metrics({name: "0.89", "AUC-ROC": 0.97, "roc_auc": 0.97}, [], where="metrics")
    assert read is not None
    assert (read.f1, read.auc_roc) == (0.89, 0.97)


@pytest.mark.parametrize(
    "value", [True, "high", "90%", "nan", "1_0", "٠.٩", 91.2, -0.1, float("nan"), float("inf"), [0.9], {}, {"p": 1}]
)
def test_what_is_no_figure_is_missing_with_a_note(value: Any) -> None:
    """A percentage, a boolean or a figure out of range would otherwise pass a gate."""
    notes: list[str] = []
    read = metrics({"f1": value, "recall": 0.9}, notes, where="metrics")
    assert read is not None
    assert read.f1 is None
    assert notes or value == {} or value == {"p": 1}


def test_one_name_with_two_figures_is_missing() -> None:
    """Nobody knows which was meant."""
    notes: list[str] = []
    read = metrics({"auc": 0.9, "auc_roc": 0.8, "f1": 0.9}, notes, where="metrics")
    assert read is not None
    assert read.auc_roc is None
    assert "more than once" in notes[0]


@pytest.mark.parametrize(
    ("told_as", "seconds"),
    [
        ({"latency_p99_seconds": 0.2}, 0.2),
        ({"latency_p99_ms": 200}, 0.2),
        ({"p99_latency": 0.2}, 0.2),
        ({"latency": {"p99": 0.2}}, 0.2),
        ({"latency_ms": {"p99": 200}}, 0.2),
        ({"latency_p99_seconds": -1}, None),
        ({"latency_p50_seconds": 0.1}, None),
    ],
)
def test_latency_is_read_in_seconds(told_as: dict[str, Any], seconds: float | None) -> None:
    """The runbook's unit; milliseconds only where the name says so; another quantile is not the p99."""
    read = metrics({"f1": 0.9, **told_as}, [], where="metrics")
    assert read is not None
    assert read.latency_p99_seconds == seconds


@pytest.mark.parametrize(
    ("told_as", "production", "delta"),
    [
        ({"f1": 0.01}, None, 0.01),
        ({"F1": "-0.01"}, None, -0.01),
        ({"f1_delta": 0.01}, None, 0.01),
        ({"delta_f1": 0.01}, None, 0.01),
        ({"f1_diff": 0.01}, None, 0.01),
        ({"production_f1": 0.88, "delta": {"f1": 0.01}}, 0.88, 0.01),
        ({"production": {"F1": 0.88}, "deltas": {"f1_delta": 0.01}}, 0.88, 0.01),
        ({"production": {"f1": 0.88}, "candidate": {"f1": 0.89}}, 0.88, None),
        ({"f1": {"production": 0.88, "candidate": 0.89, "delta": 0.01}}, 0.88, 0.01),
        ({"f1": {"current": 0.88, "new": 0.89, "difference": "0.01"}}, 0.88, 0.01),
        ({"f1": 0.88}, None, None),  # reads like production's figure, and as a difference would pass any gate
        ({"f1": None}, None, None),
        ({"f1": True}, None, None),
        ({"delta": {"f1": 7}}, None, None),
        ({"f1": 0.01, "delta_f1": 0.02}, None, None),
        ({"production": [0.88]}, None, None),
        ("better", None, None),
        (None, None, None),
    ],
)
def test_a_comparison_is_read_whichever_way_it_is_written(told_as: Any, production: Any, delta: Any) -> None:
    """Production's figures and candidate − production; what is ambiguous is missing."""
    read, deltas = comparison(told_as, [])
    assert (read.f1 if read else None) == production
    assert deltas.get("f1") == delta


@pytest.mark.parametrize(
    "value",
    [
        [],
        "completed",
        None,
        7,
        {"status": ["completed"]},
        {"status": True, "metrics": "good", "comparison": [], "log": {"a": 1}, "error": {}},
        {"status": "completed", "metrics": {"f1": {"value": {"value": 0.9}}}, "class_counts": {"0": -1, "1": "x"}},
        {"log": [{"epoch": "x"}, None, {"epoch": 1.5}], "progress": "half", "holdout": [1], "job_id": {"a": 1}},
        {"status": "\ud800" * 3, "error": "x" * 100_000, "model_version": 10**400},
    ],
)
def test_strange_answers_are_missing_values_and_never_a_crash(value: Any) -> None:
    """Whatever the type, the record can hold it and nothing in it reads as good."""
    status = content(json.dumps(value).encode()).service.status()
    assert status.metrics is None
    assert status.phase in (None, "completed")
    assert json.dumps(status.model_dump(mode="json"), allow_nan=False).encode("utf-8")


def test_nan_and_infinities_are_null() -> None:
    """They are no JSON; a service that writes them says nothing."""
    value, error = parse(b'{"f1": NaN, "a": -Infinity, "b": 1e999}')
    assert (value, error) == ({"f1": None, "a": None, "b": None}, None)


def test_what_is_kept_of_an_answer_is_bounded() -> None:
    """Depth, items, lengths and integers: a record must be able to hold what a service sends."""
    kept = bounded({"a": list(range(5_000)), "b": "x" * 10_000, "c": 2**60, "d": float("nan"), "e": [[[[1]]]]}, 3)
    assert (len(kept["a"]), len(kept["b"]), kept["c"], kept["d"]) == (1_000, 4_000, str(2**60), None)
    assert "not kept" in kept["e"][0][0]


def test_an_answer_of_many_long_texts_is_bounded_in_all() -> None:
    """A thousand lists of a thousand long strings hold each bound, and together more than an entry may."""
    kept = bounded({"job_id": "job-1", "junk": [["x" * 4_000] * 1_000] * 1_000, "later": 1})
    assert kept["job_id"] == "job-1"
    assert len(json.dumps(kept)) < 300_000
    assert "not kept" in json.dumps(kept, ensure_ascii=False)
    assert "later" not in kept
    assert len(json.dumps(bounded([[{}] * 1_000] * 1_000))) < 1_000_000


# Slots


@pytest.mark.parametrize(
    ("value", "slots"),
    [
        ({"slots": {"active": "v1", "standby": "v2"}}, ("v1", "v2", True)),
        ({"slots": {"active": None, "standby": "v2"}}, (None, "v2", True)),
        ({"active": 3, "standby": {"version": "v2"}}, ("3", "v2", True)),
        ({"slots": {"standby": "v2"}}, (None, None, False)),
        ({"slots": {"active": ["v1"]}}, (None, None, False)),
        ({"slots": {"active": True}}, (None, None, False)),
        ({"slots": "v1"}, (None, None, False)),
        ({"status": "ok"}, (None, None, False)),
    ],
)
def test_slots_are_attested_only_where_the_service_tells_the_active_one(value: Any, slots: Any) -> None:
    """A null says that nothing serves; a missing or strange one says nothing."""
    health = told(value).service.health()
    assert health is not None
    assert (health.slots.active, health.slots.standby, health.slots.attested) == slots


@pytest.mark.parametrize("code", [401, 403, 404, 405, 410, 501])
def test_a_service_without_a_health_endpoint_is_fine(code: int) -> None:
    """The runbook documents none."""
    assert content(b"", code).service.health() is None
    assert content(b"<html>", 200).service.health() is None


def test_a_health_endpoint_whose_answer_breaks_off_is_not_taken_for_a_missing_one() -> None:
    """200 and half a body: read again, and if it breaks off each time the slots are not known."""

    def half() -> Any:
        yield b'{"slots": {"active": "v1", '
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    fake = Fake(lambda request: httpx.Response(200, content=half()))
    with pytest.raises(ServiceUnavailable, match="peer closed"):
        fake.service.health()
    assert len(fake.requests) == 3
    whole = httpx.Response(200, json={"slots": {"active": "v1", "standby": "v2"}})
    answers = [httpx.Response(200, content=half()), whole]
    health = Fake(lambda request: answers.pop(0)).service.health()
    assert health is not None
    assert health.slots.active == "v1"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_health_endpoint_that_fails_is_not_taken_for_a_missing_one(code: int) -> None:
    """Else a passing failure would quietly lower what a swap is seen by."""
    with pytest.raises(ServiceUnavailable):
        content(b"", code).service.health()


@pytest.mark.parametrize(
    ("value", "now"),
    [
        ("2013-06-09T02:00:00Z", datetime(2013, 6, 9, 2, tzinfo=UTC)),
        ("2013-06-08T22:00:00-04:00", datetime(2013, 6, 9, 2, tzinfo=UTC)),
        ("2013-06-09T02:00:00", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("soon", None),
        (1370743200, None),
    ],
)
def test_now_needs_an_offset(value: Any, now: Any) -> None:
    """An instant without one could be hours off."""
    health = told({"now": value}).service.health()
    assert health is not None
    assert (health.now, bool(health.notes)) == (now, now is None)


# Predictions


@pytest.mark.parametrize(
    ("value", "scores"),
    [
        ({"scores": [0.1, 0.9]}, (0.1, 0.9)),
        ({"predictions": [{"score": 0.1}, {"probability": 1}]}, (0.1, 1.0)),
        ({"data": {"results": [{"prediction": 0.1}, {"value": 7.5}]}}, (0.1, 7.5)),
        ([0.1, {"score": None}], (0.1, None)),
        ({"scores": [None, True]}, (None, None)),
        ({"scores": ["0.5", float("nan")]}, (None, None)),
        ({"scores": [[0.5, 0.5], {}]}, (None, None)),
        ({"scores": [0.1]}, (None, None)),
        ({"scores": [0.1, 0.2, 0.3]}, (None, None)),
        ({"scores": {}}, (None, None)),
        ({}, (None, None)),
        ("fine", (None, None)),
    ],
)
def test_scores_are_numbers_in_order_or_missing_with_a_reason(value: Any, scores: Any) -> None:
    """A wrong number of scores cannot be told apart by row, so none is used; limits are the section's business."""
    read = content(json.dumps(value).encode()).service.predict([ROW, ROW])
    assert read.scores == scores
    assert bool(read.invalid) == (None in scores)
    assert read.latency_seconds == 0.0


def test_version_and_slot_are_told_where_they_come() -> None:
    """And the slot is asked for only where the caller says so."""
    fake = told({"scores": [0.1], "model_version": "v2", "slot": "standby"})
    read = fake.service.predict([ROW], slot="standby")
    fake.service.predict([ROW])
    assert (read.version, read.slot) == ("v2", "standby")
    sent = [json.loads(request.content) for request in fake.requests]
    assert sent == [{"instances": [ROW], "slot": "standby"}, {"instances": [ROW]}]


@pytest.mark.parametrize("form", ["rows", "records", "inputs", "data", "samples", "transactions", "(bare list)"])
def test_the_rows_field_is_found_once_and_kept(form: str) -> None:
    """A service that refuses the configured name is asked by the usual others, once."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        fits = isinstance(body, list) if form == "(bare list)" else isinstance(body, dict) and list(body) == [form]
        return httpx.Response(200, json=[0.5]) if fits else httpx.Response(422, json={"detail": "unknown"})

    fake = Fake(answer)
    assert fake.service.predict_form is None
    assert fake.service.predict([ROW]).scores == (0.5,)
    assert fake.service.predict_form == form
    before = len(fake.requests)
    fake.service.predict([ROW])
    assert len(fake.requests) == before + 1


def test_a_service_that_takes_no_form_is_asked_by_all_of_them_only_once() -> None:
    """The error told is the one about the configured name."""
    fake = Fake(httpx.Response(422, json={"detail": "x is missing"}))
    read = fake.service.predict([ROW])
    assert (read.scores, read.latency_seconds, len(fake.requests)) == ((None,), None, 8)
    assert "x is missing" in str(read.error)
    fake.service.predict([ROW])
    assert len(fake.requests) == 9


def test_a_refusal_after_a_success_is_about_the_rows() -> None:
    """A form that worked is not looked for again."""
    answers = [httpx.Response(200, json=[0.5]), httpx.Response(422)]
    fake = Fake(lambda request: answers.pop(0))
    fake.service.predict([ROW])
    assert fake.service.predict([ROW]).error
    assert len(fake.requests) == 2


def test_rows_are_sent_as_json_knows_them() -> None:
    """NaN is null; dates, decimals and numpy's numbers are what a person would write."""
    import decimal

    import numpy as np

    fake = told({"scores": [0.5]})
    row = {"a": float("nan"), "b": decimal.Decimal("1.5"), "c": datetime(2013, 6, 9, tzinfo=UTC), "d": np.int64(3)}
    fake.service.predict([{**row, "e": np.float64("nan"), "f": np.float32("nan")}])
    [sent] = json.loads(fake.requests[0].content)["instances"]
    assert sent == {"a": None, "b": 1.5, "c": "2013-06-09T00:00:00+00:00", "d": 3, "e": None, "f": None}


def test_a_prediction_that_times_out_has_no_latency() -> None:
    """It is counted apart, so that nobody counts it twice or not at all."""
    read = breaks(httpx.ReadTimeout("late")).service.predict([ROW])
    assert (read.scores, read.latency_seconds, read.timed_out) == ((None,), None, True)


def test_the_smoke_test_sends_a_request_a_row_after_its_warm_up() -> None:
    """Scores and latencies stand in the order of the rows; timeouts, errors and invalid scores are counted."""

    def answer(request: httpx.Request) -> httpx.Response:
        x = json.loads(request.content)["instances"][0]["x"]
        if x == 3:
            raise httpx.ReadTimeout("late")
        if x == 4:
            return httpx.Response(500)
        score = float("nan") if x == 5 else x / 10
        return httpx.Response(200, content=json.dumps({"scores": [score], "slot": "standby", "model_version": "v2"}))

    fake = Fake(answer)
    smoke = fake.service.smoke([{"x": x} for x in range(8)], slot="standby", concurrency=3, warm_up=2)
    assert smoke.scores == (0.0, 0.1, 0.2, None, None, None, 0.6, 0.7)
    assert smoke.latencies_seconds == (0.0, 0.0, 0.0, None, None, 0.0, 0.0, 0.0)
    assert (smoke.timeouts, smoke.errors, smoke.warm_up_requests, len(fake.requests)) == (1, 2, 2, 10)
    assert [line.split(":")[0] for line in smoke.invalid] == ["request 5", "request 6"]
    assert (smoke.answered_by, smoke.version) == (None, None)
    assert smoke.evidence.rows == 8


def test_a_smoke_test_without_rows_sends_nothing() -> None:
    """And has nothing to show."""
    fake = told({})
    smoke = fake.service.smoke([], slot=None, concurrency=2, warm_up=3)
    assert (smoke.scores, smoke.client_p99_seconds, fake.requests) == ((), None, [])


# Over a real wire


@pytest.mark.timeout(60)
def test_the_minimal_service_serves_the_whole_client() -> None:
    """Four endpoints, unknown names, no health: trained, compared, predicted and swapped."""
    rows = [{"x": number} for number in range(20)]
    with minimal_service(rows_field="records", scores_field="predictions") as url, Service(base_url=url) as service:
        service.reach()
        assert service.health() is None
        assert service.status().phase == "idle"
        assert service.trigger({**BODY, "epochs": 3}).status_code == 422
        assert service.trigger(BODY).status_code == 202
        assert service.trigger(BODY).status_code == 409
        assert [service.status().phase for _ in range(2)] == ["running", "completed"]
        status = service.status()
        assert status.metrics and status.metrics.f1 == CANDIDATE["f1"]
        assert status.deltas == {"f1": 0.007, "precision": 0.01, "recall": 0.003, "auc_roc": 0.002}
        smoke = service.smoke(rows, slot=None, concurrency=4, warm_up=2)
        assert all(score is not None and 0 <= score <= 1 for score in smoke.scores)
        assert all(latency for latency in smoke.latencies_seconds)
        assert (smoke.predict_form, smoke.answered_by, smoke.errors) == ("records", None, 0)
        assert smoke.client_p99_seconds is not None
        before = service.predict(rows).scores
        assert service.reload().succeeded
        assert service.predict(rows).scores != before
        assert url.service.sent("/model/reload") == 1


def test_evidence_is_what_checks_take() -> None:
    """The client's evidence goes into a check as it is."""
    assert isinstance(told({}).service.status().evidence, Evidence)
