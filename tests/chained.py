"""Runs in a chain, opened, written to and closed as the supervisor and its kernels do, without either."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.small import RUNNER
from retrain import ledger
from retrain.ledger import Chain, join_run, open_store, state
from retrain.record import records
from retrain.record.opening import new_run_id
from retrain.record.records import RunFolder
from retrain.settings import Settings

NOW = datetime(2013, 4, 10, 14, tzinfo=UTC)


def opened(root: Path, settings: Settings, **more: Any) -> RunFolder:
    """Open a run as the supervisor does; the one before it, if still open, has lost its process."""
    body = {"now": NOW.isoformat(), "world": settings.world, "parameters": settings.model_dump(mode="json"), **more}
    return begun(root, str(settings.model), body)


def begun(root: Path, model: str, body: dict[str, Any]) -> RunFolder:
    chain = Chain(open_store(root), model, signer=RUNNER)
    run_id = new_run_id()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrain.ledger.holders.lives", lambda _: False)
        ledger.open_run(chain, run_id, by="ann", body=body)
    folder = records.at(root, chain.model, run_id)
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def append(folder: RunFolder, kind: str, body: dict[str, Any]) -> None:
    now = state(folder.chain)
    assert now is not None
    join_run(folder.chain, folder.run_id, held_by=now.entry.number).append(kind, body)


def close(folder: RunFolder, outcome: str, **body: Any) -> None:
    chain = Chain(open_store(folder.root), folder.model, signer=RUNNER)
    now = state(chain)
    assert now is not None
    join_run(chain, folder.run_id, held_by=now.entry.number).close(outcome, body)
