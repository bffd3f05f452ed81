"""People are told how a run ended, over a real wire, and whatever becomes of that changes nothing about the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from typing import Any

import pytest

from record.conftest import MODEL, say
from retrain import runbook
from retrain.errors import UsageError
from retrain.ledger import Head
from retrain.record import decision, notifying, records, supervision
from retrain.record.notifying import Notice
from retrain.record.opening import records_root
from retrain.record.supervision import UnresolvedBefore
from retrain.settings import Settings
from retrain.settings.outside import Notifications

SOON = 0.05
NEVER = 60.0
TOKEN = "hook-token-4711"  # noqa: S105 (the test's own)
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # a plugin of apprise's imports it
NOTICE = Notice("error", MODEL, "production", "run-1", "it broke", Head(7, "7" * 64))


class Sink:
    """A hook on loopback that keeps what was posted to it; it answers with ``status``, once it may."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status, self.may_answer, self.arrived = 200, Event(), Event()
        self.may_answer.set()
        self.address = ""


@contextmanager
def served() -> Iterator[Sink]:
    sink = Sink()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sink.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            sink.arrived.set()
            assert sink.may_answer.wait(NEVER)
            self.send_response(sink.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        sink.address = f"json://127.0.0.1:{server.server_port}/{TOKEN}"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield sink
        sink.may_answer.set()
        server.shutdown()


@pytest.fixture
def sink() -> Iterator[Sink]:
    with served() as made:
        yield made


@pytest.fixture
def told(settings: Settings, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose notifications go to the sink."""
    monkeypatch.setenv("TELL", sink.address)
    return settings.model_copy(update={"notifications": Notifications(urls_environment_variable="TELL")})


def test_what_people_hear_of_a_run_that_ended(told: Settings, sink: Sink) -> None:
    """Outcome, model, environment, run, reason, and the head: with that message the record can be verified later."""
    supervised = supervision.open_run(told, {})
    say(supervised, "prerequisites", "blocked")
    supervised.close("blocked")
    head = supervised.folder.chain.head()
    (message,) = sink.posted
    assert message["title"] == "retrain: blocked: flights (production)"
    assert message["message"].splitlines() == [
        "outcome: blocked",
        "model: flights",
        "environment: production",
        f"run: {supervised.folder.run_id}",
        "reason: prerequisites blocked",
        f"head: entry {head.number}, SHA-256 {head.sha256}",
    ]
    assert message["type"] == "warning"


def test_a_run_that_waits_tells_who_has_to_do_what(told: Settings, sink: Sink) -> None:
    supervised = supervision.open_run(told, {})
    say(supervised, "blue_green_deployment", "awaiting_approval")
    supervised.park()
    (message,) = sink.posted
    assert f"next: retrain approve {supervised.folder.run_id} --by NAME" in message["message"]
    assert (message["title"].split(": ")[1], message["type"]) == ("awaiting_approval", "info")


def test_a_run_that_finds_nothing_to_do_disturbs_nobody(told: Settings, sink: Sink) -> None:
    """And apprise is not imported for it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "apprise"]:
        del sys.modules[name]
    supervision.open_run(told, {}).close("no_action")
    assert sink.posted == []
    assert "apprise" not in sys.modules


@pytest.mark.parametrize("outcome", sorted({*runbook.EXIT_CODES, "incomplete"} - {"no_action"}))
def test_every_other_outcome_is_told(told: Settings, outcome: str) -> None:
    """An outcome that nobody has heard of is told as well, and none but the two good ones sounds good."""
    heard = Notice(outcome, MODEL, "production", "run-1", "", Head(1, "1" * 64))
    assert notifying.announce(told, heard, redact=str)() == []
    assert (heard.kind in ("success", "info")) is (outcome in ("deployed", "awaiting_approval"))


def test_the_address_and_other_secrets_are_in_no_message_and_in_no_record(
    told: Settings, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason may hold what a service answered, and a trouble the address: both are redacted."""
    monkeypatch.setenv("MLMONITORING_TOKEN", "open-sesame-42")
    sink.status = 500
    heard: list[str] = []
    supervised = supervision.open_run(told, {}, warn=heard.append)
    supervised.close("error", "the service said: no open-sesame-42 here")
    (message,) = sink.posted
    assert "the service said: no" in message["message"]
    written = [path.read_bytes() for path in records_root(told).rglob("*") if path.is_file()]  # type: ignore[union-attr]
    everything = [json.dumps(message), *heard, *(data.decode(errors="replace") for data in written)]
    assert len(written) > 5
    assert [text for text in everything for secret in ("open-sesame-42", TOKEN) if secret in text] == []
    assert decision.read(supervised.folder).outcome == "error"


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ("json://127.0.0.1:9/x", "notification 1 of 1 did not arrive: A Connection error"),
        ("json://127.0.0.1:9/x nonsense://y/z", "notification 2 of 2 did not arrive: apprise knows no such address"),
    ],
)
def test_an_address_that_fails_is_a_warning(
    told: Settings,
    addresses: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The run is as it is, and nothing of it goes past the one who listens, to the terminal."""
    monkeypatch.setenv("TELL", addresses)
    heard: list[str] = []
    supervised = supervision.open_run(told, {}, warn=heard.append)
    supervised.close("deployed")
    assert words in heard[-1]
    assert decision.read(records.find(records_root(told), "latest")).outcome == "deployed"
    assert capfd.readouterr().err == ""


def test_an_address_that_refuses_says_why(told: Settings, sink: Sink) -> None:
    sink.status = 403
    (trouble,) = notifying.announce(told, NOTICE, redact=str)()
    assert trouble.startswith("notification 1 of 1 did not arrive: ")
    assert "403" in trouble


def test_an_address_that_stalls_is_not_waited_for_and_holds_up_no_other(
    told: Settings, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the process: when it ends it waits for threads that are no daemons, and there is no such thread."""
    before = {thread for thread in enumerate_threads() if not thread.daemon}
    sink.may_answer.clear()
    with served() as other:
        monkeypatch.setenv("TELL", f"{sink.address}, {other.address}")
        waiting = notifying.announce(told, NOTICE, redact=str, seconds=SOON)
        assert sink.arrived.wait(NEVER)
        assert other.arrived.wait(NEVER)
        assert f"notification 1 of 2 did not arrive: no answer within {SOON} s" in waiting()
        assert any(thread.name == "notice-1" for thread in enumerate_threads())
        assert {thread for thread in enumerate_threads() if not thread.daemon} <= before


def test_nobody_to_tell_though_the_settings_say_so_is_an_error_before_anything_opens(
    told: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a run is open it is a warning: a run that can be ended is ended."""
    monkeypatch.setenv("TELL", " ")
    with pytest.raises(UsageError, match="TELL is not set or empty"):
        supervision.open_run(told, {})
    assert list(records.runs(records_root(told))) == []
    monkeypatch.delenv("TELL")
    (trouble,) = notifying.announce(told, NOTICE, redact=str)()
    assert trouble.startswith("nobody was told: notifications.urls_environment_variable names TELL")


def test_who_is_on_call_hears_of_an_act_that_may_still_happen(
    told: Settings, sink: Sink, dead: Callable[[], None]
) -> None:
    """The runner was killed and told nobody; the next run, which may not open, does: what stands, and what to do."""
    first = supervision.open_run(told, {})
    first.append("intent", {"effect": "swap", "target": "version v2 active", "before": None})
    dead()
    with pytest.raises(UnresolvedBefore):
        supervision.open_run(told, {})
    (message,) = sink.posted
    assert (message["title"], message["type"]) == ("retrain: unresolved: flights (production)", "failure")
    assert f"retrain resolve {first.folder.run_id} --effect swap" in message["message"]


def test_who_is_on_call_hears_of_a_run_that_lost_its_process(
    told: Settings, sink: Sink, dead: Callable[[], None]
) -> None:
    """The next run closes it and says so, also where that one finds nothing to do."""
    first = supervision.open_run(told, {})
    dead()
    supervision.open_run(told, {}).close("no_action")
    (message,) = sink.posted
    assert (message["title"], message["type"]) == ("retrain: abandoned: flights (production)", "failure")
    assert f"next: retrain show {first.folder.run_id}" in message["message"]


def test_settings_without_notifications_tell_nobody(settings: Settings) -> None:
    notifying.check(settings)
    assert notifying.announce(settings, NOTICE, redact=str)() == []
