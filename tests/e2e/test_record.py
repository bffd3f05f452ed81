"""The record in force, with real kernels: killed, stopped and waiting runs, and what verify says of them."""

import dataclasses
import json
import os
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from retrain.ledger import Entry, decode

from .conftest import RETRAIN, ROOT, Sandbox
from .test_scenarios import ends, sections

pytestmark = pytest.mark.e2e


def entries(sandbox: Sandbox) -> list[Entry]:
    files = sorted(sandbox.records.glob("flights-f1-drop/entries/*.json"))
    return [decode(file.read_bytes(), name=file.name) for file in files]


def hit(sandbox: Sandbox, number: signal.Signals, kind: str, about: str) -> tuple[int, float]:
    """Start a run and send a signal as soon as such an entry is there; return the exit code and when it was sent."""
    before = len(entries(sandbox))
    environment = {**os.environ, "RETRAIN_SANDBOX": str(sandbox.home), "RETRAIN_ACTOR": "tester"}
    command = [str(RETRAIN), "run", "--json", "--set", f"records.url={sandbox.records}"]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 120
        while run.poll() is None and time.monotonic() < deadline:
            new = entries(sandbox)[before:]
            told = [(entry.kind, entry.body.get("effect") or entry.body.get("section")) for entry in new]
            if (kind, about) in told:
                break
        run.send_signal(number)
        sent = time.time()
        return run.wait(timeout=60), sent


def verified(sandbox: Sandbox) -> Any:
    return sandbox.retrain("verify", "--json", "--records", str(sandbox.records), "--model", "flights-f1-drop",
                           "--head", "warehouse").json  # fmt: skip


def resumed(sandbox: Sandbox) -> Any:
    return sandbox.run("--resume", entries(sandbox)[-1].run)


def test_a_run_killed_after_it_sent_the_swap_goes_on_without_sending_it_again(sandbox: Sandbox) -> None:
    sandbox.scenario("f1_drop")
    hit(sandbox, signal.SIGKILL, "sent", "swap")
    time.sleep(1.5)  # its kernel is gone by then
    decision = ends(resumed(sandbox), "deployed", 0)
    assert [effect["effect"] for effect in decision["effects"]] == ["training", "swap"]
    mine = [entry for entry in entries(sandbox) if entry.run == decision["run_id"]]
    kinds = [(entry.kind, entry.body.get("effect")) for entry in mine]
    assert kinds.count(("intent", "swap")) == kinds.count(("sent", "swap")) == 1
    assert verified(sandbox)["status"] == "verified"


def test_a_killed_run_is_closed_as_abandoned_by_the_next(sandbox: Sandbox) -> None:
    sandbox.scenario("f1_drop")
    hit(sandbox, signal.SIGKILL, "section_started", "prerequisites")
    killed = entries(sandbox)[-1].run
    ends(sandbox.run(), "deployed", 0)
    assert [entry.run for entry in entries(sandbox) if entry.kind == "abandoned"] == [killed]
    told = sandbox.retrain("runs", "--json", "--records", str(sandbox.records)).json
    assert next(run for run in told if run["run_id"] == killed)["outcome"] == "abandoned"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_is_ended_in_the_record_within_two_seconds(sandbox: Sandbox, number: signal.Signals) -> None:
    sandbox.scenario("f1_drop")
    code, sent = hit(sandbox, number, "intent", "training")
    last = entries(sandbox)[-1]
    assert (code, last.kind, last.body["outcome"]) == (19, "closed", "interrupted")
    assert last.at.timestamp() - sent < 2
    notebook = sandbox.records / "flights-f1-drop" / "runs" / last.run / "03_training.ipynb"
    assert json.loads(notebook.read_text())["metadata"]["retrain"]["account"]["status"] == "INTERRUPTED"


def test_a_swap_waits_for_a_person_and_then_goes_on(sandbox: Sandbox) -> None:
    """In a record of its own: what other tests leave open there is, rightly, incomplete."""
    sandbox = dataclasses.replace(sandbox, records=sandbox.records.parent / "approved")
    sandbox.scenario("f1_drop")
    waiting = ends(sandbox.run("--set", "blue_green_deployment.approval=required"), "awaiting_approval", 16)
    assert [effect["effect"] for effect in waiting["effects"]] == ["training"]
    records = ("--records", str(sandbox.records))
    assert sandbox.run().code == 18
    assert sandbox.run("--resume", waiting["run_id"]).code == 2
    assert sandbox.retrain("approve", waiting["run_id"], "--by", "tester", *records).code == 2
    assert sandbox.retrain("approve", waiting["run_id"], "--by", "ann", *records).code == 0
    decision = ends(sandbox.run("--resume", waiting["run_id"]), "deployed", 0)
    assert sections(decision).count("blue_green_deployment:swapped") == 1
    assert Path(decision["record"]) == Path(waiting["record"])
    assert datetime.fromisoformat(decision["opened"]["recorded_at"])
    told = verified(sandbox)
    assert told["status"] == "verified", told
