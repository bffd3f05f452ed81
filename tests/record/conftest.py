"""A record of production's kind without production: a key, pinned keys and a head outside, all in a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.conftest import s3  # noqa: F401 (a fixture)
from retrain.checks import Verdict
from retrain.ledger import join_run, load_signer, make_key, pin, public_pem, save_pinned
from retrain.record.records import chain_of
from retrain.record.supervision import Supervised
from retrain.settings import Settings, load

ROOT = Path(__file__).parents[2]
MODEL = "flights"


def settings_in(folder: Path, **more: str) -> Settings:
    """Settings whose record, keys and head are in ``folder``; ``more`` are further values of ``records``."""
    make_key(folder / "runner.pem")
    make_key(folder / "ann.pem")
    keys = [("runner", "the runner"), ("approver", "ann")]
    files = [folder / "runner.pem", folder / "ann.pem"]
    pinned = [
        pin(public_pem(load_signer(file)), role=role, name=name) for file, (role, name) in zip(files, keys, strict=True)
    ]
    save_pinned(folder / "pinned.json", pinned)
    records = {
        "url": str(folder / "records"),
        "signing_key": str(folder / "runner.pem"),
        "pinned_keys": str(folder / "pinned.json"),
        "heads": f"[{folder / 'heads'}]",
        **more,
    }
    values = {
        "model": MODEL,
        "service.base_url": "http://127.0.0.1:9",
        "warehouse.database": "D",
        "warehouse.schema": "S",
    }
    values |= {f"records.{name}": value for name, value in records.items()}
    return load("production", root=ROOT, assignments=[f"{name}={value}" for name, value in values.items()])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_ACTOR", "tester")
    monkeypatch.setenv("RETRAIN_HOME", str(ROOT))


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Make every holder of this machine look dead from now on."""
    yield lambda: monkeypatch.setattr("retrain.ledger.holders.lives", lambda _: False)


def say(supervised: Supervised, section: str, outcome: str, **facts: Any) -> None:
    """Record a verdict as a kernel of that run does: joined by what the environment tells it, without a key."""
    verdict = Verdict(section=section, outcome=outcome, checks=(), sentence=f"{section} {outcome}")
    body = {"section": section, "attempt": 1, "verdict": verdict.model_dump(mode="json"), "facts": facts, "policy": {}}
    held_by = int(supervised.for_kernels["RETRAIN_RUN_HELD_BY"])
    chain = chain_of(supervised.for_kernels["RETRAIN_RUN_RECORDS"], supervised.folder.model)
    join_run(chain, supervised.folder.run_id, held_by=held_by).append("verdict", body)
