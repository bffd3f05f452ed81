"""A canary in every channel by which a secret could come into a record, each by the way that it comes in a run."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from snowflake.connector.errors import DatabaseError

from record.conftest import say, settings_in, somebody  # noqa: F401 (a fixture)
from record.test_notifying import Sink, served
from retrain import notebook as cells
from retrain.acts import swap_act
from retrain.clock import EnvironmentClock
from retrain.engine import execute, zygotes
from retrain.errors import RetrainError
from retrain.record import approvals, joining, records, supervision
from retrain.record.supervision import Supervised
from retrain.redaction import Secrets
from retrain.secrets import scan
from retrain.settings import Settings
from retrain.settings.outside import Notifications

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # a plugin of apprise's imports it

CHANNELS = (
    "a display's HTML", "a result's text", "standard output", "standard error", "a traceback", "a parameter",
    "the reason of a run", "the parameters in force", "a deviation", "a service's answer", "what a kernel says",
    "a warehouse's error", "why a run waits", "who approves", "how a run ends", "a person's word afterwards",
)  # fmt: skip
CANARIES = tuple(f'cAn4ry-{number}/q"{"%" * number}{"e" if number == 9 else "é"}' for number in range(len(CHANNELS)))
OF = dict(zip(CHANNELS, CANARIES, strict=True))
NAMES = [f"CANARY_{number}_TOKEN" for number in range(len(CHANNELS))]
"""Where each is resolved from: a variable, but for the bearer token that the service echoes, and the connection's."""
NAMES[CHANNELS.index("a service's answer")] = "MLMONITORING_TOKEN"
NAMES[CHANNELS.index("a warehouse's error")] = "connections.prod.password"
TOLD = CHANNELS.index("how a run ends")
"""What people are told of besides."""


@dataclass(frozen=True)
class Left:
    """What a run left behind: its record, and what was posted to people."""

    record: Path
    posted: bytes

    def everything(self) -> bytes:
        """All bytes of the record, and the payloads of its entries as they were before base64."""
        files = [path.read_bytes() for path in self.record.rglob("*") if path.is_file()]
        payloads = [json.loads(file)["payload"] for file in files if file.startswith(b'{"payload"')]
        return b"".join([*files, *map(base64.b64decode, payloads)])


@pytest.fixture(scope="module", autouse=True)
def zygote_ends_with_the_tests() -> Iterator[None]:
    yield
    zygotes.close()


def knowing(number: int) -> Secrets:
    secrets = Secrets()
    secrets.register(CANARIES[number], f"S{number}")
    return secrets


def test_canaries_in_all_channels_are_in_no_byte_of_the_record_nor_told_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs, parameters and entries, a person's words before and after the end, what outside answers, and notices."""
    left = lived(tmp_path, monkeypatch)
    everything = left.everything()
    for number, channel in enumerate(CHANNELS):
        assert scan(left.record, knowing(number)) == [], channel
        assert knowing(number).found_in(left.posted) == [], channel
        assert f"[redacted:{NAMES[number]}]".encode() in everything, channel
    assert b"cAn4ry" not in everything
    assert f"[redacted:{NAMES[TOLD]}]".encode() in left.posted


def test_each_channel_would_tell_its_canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with redaction off each canary is found, so that its channel leads into the record."""
    monkeypatch.setattr(Secrets, "redact", lambda self, text: text)
    monkeypatch.setattr(Secrets, "redact_value", lambda self, value: value)
    left = lived(tmp_path, monkeypatch)
    for number, channel in enumerate(CHANNELS):
        assert scan(left.record, knowing(number)), channel
    assert b"reason: a secret was found in " in left.posted, "and such a run is not closed as clean"


def lived(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Left:
    """Live a run that waits for a person, goes on, ends unresolved and is settled, a canary by every way."""
    with served() as people, answering() as address:
        settings = environment(folder, monkeypatch, people, address)
        supervised = supervision.open_run(settings, {"reason": f"as asked with {OF['the reason of a run']}"})
        in_notebook(folder, supervised)
        supervised.append("deviation", {"deviation": f"the URL is https://x/?t={quote(OF['a deviation'])}"})
        in_kernel(supervised, monkeypatch)
        until_it_waits(supervised)
        with pytest.MonkeyPatch.context() as ann:
            ann.setenv("RETRAIN_ACTOR", f"ann {OF['who approves']}")
            approvals.approve(newest(settings), by="ann", key=folder / "ann.pem")
        resumed = supervision.resume(newest(settings))
        ended = "line 1\nBasic " + base64.b64encode(f"me:{OF['how a run ends']}".encode()).decode()
        resumed.append("ending", {"outcome": "unresolved", "reason": ended})
        resumed.close("unresolved", ended)
        why = "curl -H Authorization: " + OF["a person's word afterwards"]
        approvals.resolve(newest(settings), effect="swap", outcome="applied", by="ann", why=why, key=None)
    return Left(folder / "records", json.dumps(people.posted, ensure_ascii=False).encode())


def environment(folder: Path, monkeypatch: pytest.MonkeyPatch, people: Sink, address: str) -> Settings:
    for name, canary in zip(NAMES, CANARIES, strict=True):
        if "." not in name:
            monkeypatch.setenv(name, canary)
    (folder / "snowflake").mkdir()
    told = "[prod]\naccount = 'a'\nuser = 'u'\npassword = " + json.dumps(OF["a warehouse's error"])
    (folder / "snowflake" / "connections.toml").write_text(told)
    (folder / "snowflake" / "connections.toml").chmod(0o600)
    monkeypatch.setenv("SNOWFLAKE_HOME", str(folder / "snowflake"))
    monkeypatch.setenv("TELL", people.address)
    settings = settings_in(folder)
    asked = settings.training.model_copy(update={"extra_body": {"note": OF["the parameters in force"]}})
    return settings.model_copy(
        update={
            "warehouse": settings.warehouse.model_copy(update={"connection_name": "prod"}),
            "service": settings.service.model_copy(update={"base_url": address}),
            "notifications": Notifications(urls_environment_variable="TELL"),
            "training": asked,
        }
    )


@contextmanager
def answering() -> Iterator[str]:
    """A service that fails over a reload, and says with which token it was asked; it has no other endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            canary = self.headers["Authorization"]
            body = json.dumps({"echo": canary, canary: [canary]}).encode()
            self.send_response(500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def in_notebook(folder: Path, supervised: Supervised) -> None:
    """Execute a notebook as the runner does; its cells know their canaries by themselves."""
    notebook(folder / "in.ipynb", list(CANARIES))
    output = supervised.folder.path / "out.ipynb"
    given = {"given": OF["a parameter"]}
    execute(folder / "in.ipynb", output, given, redact=supervised.secrets.redact, output_limit=400)
    assert json.loads(output.read_text())["metadata"]["retrain"]["account"]["status"] == "FAILED"
    assert len(list(supervised.folder.path.glob("out.ipynb.*"))) >= 2, "the whole of a long output stands beside it"


def in_kernel(supervised: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    """Join the run as a kernel does, and say, send and fail there."""
    handlers: list[Any] = []
    shell = SimpleNamespace(set_custom_exc=lambda _, told: handlers.append(told), _showtraceback=lambda *_: None)
    monkeypatch.setattr(cells, "display", lambda *_, **__: None)
    monkeypatch.setattr(cells, "get_ipython", lambda: shell)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in supervised.for_kernels.items():
            patch.setenv(name, value)
        joined = joining._of_runner(Path(os.environ["RETRAIN_RUN_FOLDER"]))
    run = cells.Run("training", joined, None, EnvironmentClock(), datetime.now(UTC), 1)
    cells._report_errors(run)
    run.say("training_log", status={"error": OF["what a kernel says"]})
    run.perform(swap_act(run.service, candidate="v2", former="v1", observe_seconds=0))
    monkeypatch.setattr("snowflake.connector.connect", refuses)
    with pytest.raises(RetrainError) as failed:
        run.warehouse.production(run.model)
    handlers[0](shell, type(failed.value), failed.value, None)


def refuses(**_: Any) -> None:
    """Fail over a query as a driver might that quotes what it was given; what is shown of it is cut in the middle."""
    canary = OF["a warehouse's error"]
    raise DatabaseError(f"login with {canary} refused, {'so ' * 80} and {canary}")


def until_it_waits(supervised: Supervised) -> None:
    say(supervised, "evaluation_gate", "passed", candidate={"version": "v2"})
    say(supervised, "staging_smoke_tests", "staged")
    say(supervised, "blue_green_deployment", "awaiting_approval")
    supervised.park(f"waits for {OF['why a run waits']}")


def newest(settings: Settings) -> Any:
    return records.find(settings.records.url, "latest")


def notebook(path: Path, canaries: list[str]) -> None:
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    sources = [
        "given = ''",
        f"c = [bytes.fromhex(one).decode() for one in {[one.encode().hex()[::-1] for one in canaries]!r}]".replace(
            "bytes.fromhex(one)", "bytes.fromhex(one[::-1])"
        ),
        "from IPython.display import HTML, JSON, display\ndisplay(HTML(f'<b title=\"{c[0]}\">'), c[1])",
        "for line in range(99): print(line, c[2], given)\nimport sys; print(repr(c[3]), file=sys.stderr)",
        "raise ValueError(c[4])",
    ]
    cells = [new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)  # type: ignore[no-untyped-call]
