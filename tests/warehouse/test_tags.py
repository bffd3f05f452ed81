"""Every query names its run and the record's entry, the first one and those of the head too: a second witness."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from chained import opened
from record.conftest import ROOT, settings_in
from retrain import environment
from retrain.ledger import Head, join_run
from retrain.notebook import Run
from retrain.record.anchors import Anchors, warehouse_head
from retrain.record.records import RunFolder, chain_of
from warehouse.conftest import NOW, StillClock


@pytest.fixture
def folder(tmp_path: Path, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that is open, whose parameters lead to the tests' warehouse."""
    monkeypatch.setenv("RETRAIN_HOME", str(ROOT))
    monkeypatch.setattr(environment, "connect_arguments", lambda _: arguments)
    settings = settings_in(tmp_path, heads_table="HEADS_OF_TAGS")
    at = settings.warehouse.model_copy(update={"database": "RETRAIN", "schema_": "PUBLIC"})
    return opened(tmp_path / "records", settings.model_copy(update={"warehouse": at}))


def joined(folder: RunFolder) -> Run:
    """The run as a kernel's cells see it, which has asked nothing yet."""
    ledger = join_run(folder.chain, folder.run_id, held_by=folder.opened_at)
    told: Any = SimpleNamespace(folder=folder, ledger=ledger)
    return Run(section="prerequisites", joined=told, policy=None, clock=StillClock(), now=NOW, attempt=1)


def tags(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The tags that have arrived at the warehouse, oldest first."""
    told = httpx.get(f"http://{arguments['host']}:{arguments['port']}/tags").raise_for_status().json()
    return [json.loads(tag or "{}") for tag in told]


def test_the_first_query_of_a_kernel_names_the_entry_before_it(folder: RunFolder, arguments: dict[str, Any]) -> None:
    """The warehouse is made after the section's first entry, and knows of it; of none, it names the run's OPEN."""
    before, run = len(tags(arguments)), joined(folder)
    run.say("section_started", section="prerequisites")
    run.warehouse.quality(now=NOW)
    run.say("note", note="and on")
    run.warehouse.quality(now=NOW)
    run.warehouse.close()
    early = joined(folder)
    early.warehouse.quality(now=NOW)
    early.warehouse.close()
    first = folder.opened_at
    expected = [{"run": folder.run_id, "entry": first + more} for more in (1, 2, 0)]
    assert tags(arguments)[before:] == expected


def test_the_queries_that_keep_the_head_name_its_run_and_entry(folder: RunFolder, arguments: dict[str, Any]) -> None:
    """As the supervisor pushes it, from the chain; what is asked before there is a run says that there is none."""
    before, chain = len(tags(arguments)), chain_of(folder.root, folder.model)
    anchors = Anchors([warehouse_head(folder.settings)])
    assert anchors.agree(chain) == []
    anchors.push(chain.head())
    anchors.wait()
    assert (anchors.troubles(), anchors.behind()) == ([], [])
    anchors.close()
    asked = tags(arguments)[before:]
    assert asked[0] == {"head": "flights", "run": None, "entry": None}
    assert len(asked) > 2
    assert all(tag == {"head": "flights", "run": folder.run_id, "entry": folder.opened_at} for tag in asked[1:])


def test_whose_entry_a_head_is_stands_in_no_file(folder: RunFolder) -> None:
    """What is kept outside is number and SHA-256, as ever; two heads are the same by these alone."""
    head = folder.chain.head()
    assert head.run == folder.run_id
    assert head == Head(head.number, head.sha256)
    assert json.loads(bytes(head)) == {"number": head.number, "sha256": head.sha256}
