"""A smoke test opens as many connections as the policy says, and its own client is measured beside them."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from fake_world import FakeClock
from retrain.clock import EnvironmentClock
from retrain.service.client import Service
from retrain.service.loopback import echo
from retrain.service.spread import client_p99, over
from retrain.service.wire import Wire

ROWS = [{"x": number} for number in range(20)]


class Told(ThreadingHTTPServer):
    """A service that scores, and keeps what came over which connection."""

    daemon_threads = True
    request_queue_size = 64  # of sixteen that come at once a queue of five turns some away on a busy machine

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.came: dict[int, list[int]] = defaultdict(list)
        self.order: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Told

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.came[self.client_address[1]].append(body["instances"][0]["x"])
        self.server.order.append(self.client_address[1])
        answer = b'{"scores": [0.5]}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def told() -> Iterator[Told]:
    with Told() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("connections", [1, 3, 4, 16])
def test_as_many_connections_are_opened_as_the_policy_says(told: Told, connections: int) -> None:
    """However quickly answers come, and each is warm before anything is measured: none is opened later."""
    with Service(base_url=told.url) as service:
        smoke = service.smoke(ROWS, slot=None, concurrency=connections, warm_up=connections)
    assert (smoke.concurrency, smoke.errors, smoke.warm_up_requests) == (connections, 0, connections)
    assert len(told.came) == connections
    assert len(set(told.order[:connections])) == connections
    assert len(told.order) == len(ROWS) + connections
    measured = [rows[1:] for rows in told.came.values()]
    assert sorted(measured) == sorted([row["x"] for row in ROWS[number::connections]] for number in range(connections))


def test_the_client_alone_is_measured_and_told_in_the_evidence(told: Told) -> None:
    """Against an echo: above nothing, far below the ceiling, and in the words that the record keeps."""
    with Service(base_url=told.url) as service:
        smoke = service.smoke(ROWS, slot=None, concurrency=4, warm_up=4)
    assert smoke.client_p99_seconds is not None
    assert 0 < smoke.client_p99_seconds < 1
    assert f"an echo on loopback: p99 {smoke.client_p99_seconds:.4f} s" in smoke.evidence.note
    assert "over 4 connections" in smoke.evidence.note
    assert len(told.order) == len(ROWS) + 4  # the service itself is not asked for it


def test_a_transport_that_stands_in_for_the_network_has_no_client_to_measure() -> None:
    """Nothing is measured that is not on a wire."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=[0.5]))
    service = Service(base_url="http://fake", transport=transport, clock=FakeClock())
    assert service.smoke(ROWS, slot=None, concurrency=2, warm_up=0).client_p99_seconds is None


def wire(url: str) -> Wire:
    return Wire(base_url=url, timeout_seconds=5, token="t0ken", transport=None, clock=EnvironmentClock())  # noqa: S106


def test_the_echo_answers_on_as_many_connections_and_gets_no_token() -> None:
    """The service's secret stays between the client and the service."""
    with echo(2) as url:
        own = wire("http://elsewhere.invalid").another(base_url=url)
        assert "authorization" not in own._headers("id", b"")
        assert [own.ask("/", b"x" * size).json for size in (0, 10, 300_000)] == [{"scores": [0.5]}] * 3
        own.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "echo" and thread is _living(thread)]


def _living(thread: threading.Thread) -> threading.Thread | None:
    thread.join(5)
    return thread if thread.is_alive() else None


def test_where_nobody_may_listen_the_client_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smoke test itself goes on."""

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("no loopback here")

    monkeypatch.setattr("socket.create_server", refused)
    assert client_p99(wire("http://elsewhere.invalid"), [b"{}"] * 4, 2) is None


def test_answers_stand_in_the_order_of_the_items() -> None:
    """Whichever connection was quicker."""
    wires = [wire("http://elsewhere.invalid") for _ in range(3)]
    seen: dict[int, set[int]] = defaultdict(set)

    def ask(each: Wire, item: int) -> int:
        seen[wires.index(each)].add(item)
        return item * item

    assert over(wires, range(10), ask) == [item * item for item in range(10)]
    assert seen == {0: {0, 3, 6, 9}, 1: {1, 4, 7}, 2: {2, 5, 8}}
    assert over(wires, [], ask) == over([], [], ask) == []


def test_an_error_ends_the_other_connections_too() -> None:
    """A thousand requests are not sent after the first one broke."""
    asked = []

    def ask(each: Wire, item: int) -> int:
        asked.append(item)
        if item == 0:
            raise ZeroDivisionError
        gate.wait(5)
        return item

    gate = threading.Event()
    wires = [wire("http://elsewhere.invalid") for _ in range(2)]
    threading.Timer(0.2, gate.set).start()
    with pytest.raises(ZeroDivisionError):
        over(wires, range(1_000), ask)
    assert set(asked) <= {0, 1}
