"""Records of many runs, made in no time: to see what it costs to read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["write_runs"]

ROOT = Path(__file__).parents[2]
VERDICT = {
    "section": "when_to_retrain",
    "outcome": "no_action",
    "sentence": "Nothing calls for a retraining.",
    "checks": [],
}


def write_runs(root: Path, count: int) -> None:
    """Write that many runs that opened, decided and closed; nothing is forced to disk, it is not what is measured."""
    from retrain.record import records
    from retrain.settings import load

    settings = load(None, file=ROOT / "parameters" / "sandbox.yaml", assignments=["model=flights"])
    forced, os.fsync = os.fsync, lambda _: None
    try:
        (_chained if hasattr(records, "chain_of") else _journalled)(root, settings, count)
    finally:
        os.fsync = forced


def _journalled(root: Path, settings: Any, count: int) -> None:
    from retrain.record import records

    for _ in range(count):
        folder = records.create(root, settings, {"by": "ann"})
        folder.journal.append("verdict", {"section": "when_to_retrain", "attempt": 1, "verdict": VERDICT})
        folder.journal.append("closed", {"outcome": "no_action", "exit_code": 0})


def _chained(root: Path, settings: Any, count: int) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner

    from retrain.ledger import Chain, open_run, open_store

    chain = Chain(open_store(root), str(settings.model), signer=CryptoSigner(Ed25519PrivateKey.generate()))
    for number in range(count):
        body = {"parameters": settings.model_dump(mode="json")}
        run, _ = open_run(chain, f"20130401T{number:012d}Z-abcdef", by="ann", body=body)
        run.append("verdict", {"section": "when_to_retrain", "attempt": 1, "verdict": VERDICT})
        run.close("no_action", {"exit_code": 0, "reason": VERDICT["sentence"]}, files={})
