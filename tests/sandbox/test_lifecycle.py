"""The sandbox goes up, down and away; state, clock and world survive what they must."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

import retrain_sandbox
from retrain_sandbox import admin, cli, clock, lifecycle, servers, state, world
from retrain_sandbox.errors import SandboxDown, SandboxError
from retrain_sandbox.state import Server, State

WAREHOUSE = ("warehouse",)
INCIDENT = "INSERT INTO RETRAIN.PUBLIC.INCIDENTS (incident_id) VALUES ('kept')"
UP = """
import sys, pathlib
from retrain_sandbox import lifecycle
lifecycle.up(pathlib.Path(sys.argv[1]), only=("warehouse",))
print("up")
"""
COUNT = "SELECT count(*) FROM RETRAIN.PUBLIC.INCIDENTS"


@pytest.fixture
def home(tmp_path: Path, sandbox_cache: Path) -> Iterator[Path]:
    place = tmp_path / "home"
    yield place
    lifecycle.down(place)


def servers_of(home: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if str(home.resolve()) in (process.info["cmdline"] or [])]


def warehouse_of(home: Path) -> Server:
    current = state.read(home)
    assert current
    assert current.warehouse
    return current.warehouse


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "retrain_sandbox.cli", *words, "--home", str(home)]


# Up and down


def test_what_is_down_is_said_to_be_down(home: Path) -> None:
    with pytest.raises(SandboxDown, match="retrain sandbox up") as caught:
        retrain_sandbox.connect(home, start=False)
    assert caught.value.exit_code == 2
    assert lifecycle.down(home) == []
    assert lifecycle.reset(home) == []
    assert not home.exists()


def test_down_closes_the_database_and_up_finds_it_again_on_the_same_port(home: Path) -> None:
    lifecycle.up(home, only=WAREHOUSE)
    before = warehouse_of(home)
    admin.execute(home, [INCIDENT])
    assert lifecycle.down(home) == ["warehouse"]
    assert servers_of(home) == []
    assert [path.name for path in (home / "warehouse").iterdir()] == ["RETRAIN.db"]  # no write-ahead log is left
    assert not (home / "tmp").exists()
    assert not servers.are_up(home, WAREHOUSE)
    lifecycle.up(home, only=WAREHOUSE)
    assert warehouse_of(home).port == before.port
    assert admin.execute(home, [COUNT]) == [[1]]


def test_a_killed_warehouse_is_noticed_and_what_was_written_is_kept(home: Path) -> None:
    lifecycle.up(home, only=WAREHOUSE)
    admin.execute(home, [INCIDENT])
    psutil.Process(warehouse_of(home).pid).kill()
    psutil.Process(warehouse_of(home).pid).wait()
    assert not servers.are_up(home, WAREHOUSE)
    with pytest.raises(SandboxDown):
        admin.execute(home, [COUNT])
    lifecycle.up(home, only=WAREHOUSE)
    assert admin.execute(home, [COUNT]) == [[1]]
    [bucket] = (home / "tmp").iterdir()  # what the killed one left is gone
    assert bucket.name.startswith("fakesnow_bucket")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nsorry", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_somebody_else_on_the_warehouses_port_is_one_clear_error(tmp_path: Path, answer: bytes) -> None:
    """No JSON, or no HTTP at all: another server has the port by now."""

    def reply() -> None:
        with listening.accept()[0] as caller:
            caller.recv(65_536)
            caller.sendall(answer)

    with socket.create_server((state.HOST, 0)) as listening:
        listening.settimeout(10)
        state.write(tmp_path, State(warehouse=Server(port=listening.getsockname()[1], pid=0, created=0.0)))
        thread = threading.Thread(target=reply, daemon=True)
        thread.start()
        with pytest.raises(SandboxError, match="is no warehouse of it"):
            admin.execute(tmp_path, [COUNT])
        thread.join(timeout=10)


def test_two_at_once_start_one_sandbox(home: Path) -> None:
    both = [subprocess.Popen([sys.executable, "-c", UP, str(home)]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert [process.pid for process in servers_of(home)] == [warehouse_of(home).pid]


def test_two_homes_live_side_by_side(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    try:
        first, second = (lifecycle.up(place, only=WAREHOUSE) for place in (home, other))
        assert first.warehouse["port"] != second.warehouse["port"]
        assert first.warehouse["password"] != second.warehouse["password"]
        admin.execute(home, [INCIDENT])
        assert admin.execute(other, [COUNT]) == [[0]]
        lifecycle.down(home)
        assert servers.are_up(other, WAREHOUSE)
    finally:
        lifecycle.down(other)


def test_down_finds_a_process_whose_state_was_lost(home: Path) -> None:
    lifecycle.up(home, only=WAREHOUSE)
    state.state_file(home).unlink()
    assert lifecycle.down(home) == ["warehouse"]
    assert servers_of(home) == []


def test_a_pid_used_again_by_somebody_else_is_neither_ours_nor_ended(home: Path) -> None:
    """The test's own pid stands in for the somebody: it would not survive a mistake."""
    somebody = Server(port=1, pid=os.getpid(), created=psutil.Process().create_time() - 1000)
    home.mkdir()
    state.write(home, State(warehouse=somebody, service=somebody, ready=True))
    assert not lifecycle.is_up(home)
    assert lifecycle.down(home) == []


def test_a_port_that_somebody_took_is_replaced_by_another(home: Path) -> None:
    with socket.socket() as somebody:
        somebody.bind((state.HOST, 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        home.mkdir()
        state.write(home, State(warehouse=Server(port=taken, pid=0, created=0.0)))
        lifecycle.up(home, only=WAREHOUSE)
        assert warehouse_of(home).port != taken


def test_a_service_is_up_only_where_it_listens_itself(tmp_path: Path) -> None:
    """Another sandbox's service that was quicker to take the port answers as well: a run would speak to its world."""

    class Health(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with (
        socketserver.TCPServer((state.HOST, 0), Health) as quicker,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as slower,
    ):
        threading.Thread(target=quicker.serve_forever, daemon=True).start()
        port = quicker.server_address[1]
        found = [
            servers._service_answers(tmp_path, Server(port, pid, psutil.Process(pid).create_time()))
            for pid in (slower.pid, os.getpid())
        ]
        quicker.shutdown()
        slower.kill()
    assert found == [False, True]


def test_a_start_that_fails_shows_the_end_of_the_log_and_leaves_nothing_running(home: Path) -> None:
    (home / "warehouse").mkdir(parents=True)
    (home / "warehouse" / "RETRAIN.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(SandboxError, match=r"(?s)warehouse ended while it started.*RETRAIN\.db"):
        lifecycle.up(home, only=WAREHOUSE)
    assert servers_of(home) == []


def test_reset_keeps_the_cache_and_what_it_does_not_know(home: Path) -> None:
    lifecycle.up(home, only=WAREHOUSE)
    (home / "cache").mkdir()
    (home / "notes.txt").write_text("mine")
    assert {"warehouse", "state.json", "clock.json", "log"} <= set(lifecycle.reset(home))
    assert {path.name for path in home.iterdir()} <= {"cache", "notes.txt", "lifecycle.lock"}
    assert servers_of(home) == []


def test_reset_helps_when_the_state_cannot_be_read(home: Path) -> None:
    lifecycle.up(home, only=WAREHOUSE)
    state.state_file(home).write_text("{")
    with pytest.raises(SandboxError, match="retrain sandbox reset"):
        lifecycle.down(home)
    lifecycle.reset(home)
    assert servers_of(home) == []
    assert state.read(home) is None


# The command line


def test_a_pipe_is_closed_when_up_is_done(home: Path) -> None:
    """A daemon that keeps its caller's pipe open would hang `retrain sandbox up | cat`."""
    done = subprocess.run([sys.executable, "-c", UP, str(home)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "up\n"), done.stderr
    assert servers.are_up(home, WAREHOUSE)


def test_ctrl_c_does_not_reach_the_servers(home: Path) -> None:
    lifecycle.up(home, only=WAREHOUSE)
    assert os.getpgid(warehouse_of(home).pid) != os.getpgid(0)
    assert os.getsid(warehouse_of(home).pid) != os.getsid(0)


@pytest.mark.sandbox
def test_the_whole_sandbox_by_command_line(home: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(home, *words), capture_output=True, text=True, timeout=180)

    up = run("up", "--json")
    assert up.returncode == 0, up.stderr
    told = json.loads(up.stdout)
    assert (told["up"], told["scenario"]) == (True, "f1_drop")
    assert told["model"]
    assert told["warehouse"]["running"]
    assert told["service"]["running"]
    here = retrain_sandbox.connect(home, start=False)
    assert admin.health(told["service"]["port"], path="/health") is not None
    assert here.service_url == f"http://127.0.0.1:{told['service']['port']}"
    plain = run("status").stdout
    assert "sandbox: up\n" in plain
    assert "\x1b" not in plain
    assert here.warehouse["password"] not in plain + up.stdout
    unknown = run("scenario", "f1_dorp")
    assert unknown.returncode == 2
    assert "f1_drop" in unknown.stderr
    assert run("down").stdout == "stopped: service, warehouse\n"
    assert servers_of(home) == []
    assert json.loads(run("status", "--json").stdout)["up"] is False
    assert run("reset").returncode == 0


def test_an_unknown_scenario_starts_nothing(home: Path) -> None:
    result = CliRunner().invoke(cli.app, ["scenario", "no_such", "--home", str(home)])
    assert result.exit_code == 2
    assert "no_such" in result.stderr
    assert servers_of(home) == []


def test_nothing_to_stop_is_said(home: Path) -> None:
    result = CliRunner().invoke(cli.app, ["down", "--home", str(home)])
    assert (result.exit_code, result.stdout) == (0, "nothing was running\n")


# State, world, clock


def test_state_is_for_the_owner_only_and_comes_back_the_same(tmp_path: Path) -> None:
    assert state.read(tmp_path) is None
    current = State(warehouse=Server(port=1, pid=2, created=3.5), ready=True)
    state.write(tmp_path, current)
    assert state.read(tmp_path) == current
    assert stat.S_IMODE(state.state_file(tmp_path).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": 1}'])
def test_a_broken_state_is_named(tmp_path: Path, text: str) -> None:
    state.state_file(tmp_path).write_text(text)
    with pytest.raises(SandboxError, match=r"state\.json"):
        state.read(tmp_path)


def test_the_world_shows_no_password_and_has_a_new_name_with_each_scenario(tmp_path: Path) -> None:
    state.write(tmp_path, State(warehouse=Server(port=5, pid=6, created=7.0)))
    first = world.name_world(tmp_path, model="m", scenario="healthy")
    assert world.name_world(tmp_path, model="m", scenario="healthy") != first
    here = world.read(tmp_path)
    assert (here.model, here.scenario, here.service_url, here.home) == ("m", "healthy", "", tmp_path)
    assert here.warehouse["password"] not in repr(here)


def test_the_home_is_named_or_found_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETRAIN_SANDBOX", raising=False)
    (tmp_path / "parameters").mkdir()
    (tmp_path / "parameters" / "sandbox.yaml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert state.default_home() == tmp_path / ".sandbox"
    monkeypatch.setenv("RETRAIN_SANDBOX", str(tmp_path / "named"))
    assert state.default_home() == tmp_path / "named"


def test_the_clock_runs_at_its_rate_from_its_instant() -> None:
    here = clock.SandboxClock(origin="2013-06-01T00:00:00+00:00", started=1000.0, rate=120.0)
    assert here.at(1015.0) == datetime(2013, 6, 1, 0, 30, tzinfo=UTC)


def test_a_stopped_clock_tells_one_instant(tmp_path: Path) -> None:
    zone = datetime(2013, 6, 1, 2, tzinfo=UTC).astimezone()
    clock.set(tmp_path, zone, rate=0)
    assert clock.now(tmp_path) == zone
    assert clock.now(tmp_path).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("instant", "rate"),
    [
        (datetime(2013, 6, 1), 120.0),
        (datetime(2013, 6, 1, tzinfo=UTC), -1.0),
        (datetime(2013, 6, 1, tzinfo=UTC), float("nan")),
    ],
)
def test_a_clock_without_offset_or_rate_is_refused(tmp_path: Path, instant: datetime, rate: float) -> None:
    with pytest.raises(ValueError, match=r"offset|rate"):
        clock.set(tmp_path, instant, rate)
    with pytest.raises(SandboxDown):
        clock.now(tmp_path)


def test_importing_the_sandbox_costs_next_to_nothing() -> None:
    code = "import sys, retrain_sandbox; print(sorted({n.split('.')[0] for n in sys.modules}))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy: list[Any] = [n for n in ("pandas", "psutil", "snowflake", "fakesnow", "typer", "rich") if f"'{n}'" in names]
    assert heavy == []


def test_a_sandbox_that_will_not_end_is_made_to(home: Path) -> None:
    lifecycle.up(home, only=WAREHOUSE)
    os.kill(warehouse_of(home).pid, signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrain_sandbox.processes.STOP_SECONDS", 0.2)
        assert lifecycle.down(home) == ["warehouse"]
    assert servers_of(home) == []
