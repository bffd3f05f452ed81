"""What a run's OPEN says: who opened it, why, at which instant, with which parameters and which code."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from retrain import environment
from retrain.clock import wall
from retrain.ledger.store import folder_of
from retrain.record.provenance import actor, provenance
from retrain.settings import Settings, project_root

__all__ = [
    "FOLDER_VARIABLE", "HELD_VARIABLE", "NOTEBOOK_VARIABLE", "RECORDS_VARIABLE", "new_run_id", "opening",
    "records_root",
]  # fmt: skip

FOLDER_VARIABLE = "RETRAIN_RUN_FOLDER"
"""Set by the runner for its kernels: the folder of the run to join."""

RECORDS_VARIABLE = "RETRAIN_RUN_RECORDS"
"""Set by the runner for its kernels: where the record is, a folder or the address of a bucket."""

HELD_VARIABLE = "RETRAIN_RUN_HELD_BY"
"""Set by the runner for its kernels: the number of the entry under which it holds the model."""

NOTEBOOK_VARIABLE = "RETRAIN_NOTEBOOK"
"""Set by the runner for its kernels: the file name of the executed notebook in the run's folder."""


def records_root(settings: Settings) -> str | Path:
    """Return where the records are: a folder, below the project where it is relative, or the address of a bucket."""
    url = settings.records.url
    if urlsplit(url).scheme == "file":
        return folder_of(url)
    return url if "://" in url else project_root() / url


def new_run_id() -> str:
    """Return the id of a run that opens now: by its time, with a random end."""
    return f"{wall():%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(3)}"


def opening(settings: Settings, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a run's OPEN; ``told`` says why it is opened."""
    return {
        "now": environment.clock(settings).now().isoformat(),
        "actor": actor(),
        "environment": settings.environment,
        "world": settings.world,
        "policy_sha256": settings.digest,
        "parameters": settings.model_dump(mode="json"),
        **told,
        **provenance(project_root()),
    }
