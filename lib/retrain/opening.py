"""Opening a run: at the environment's instant, with who opened it, why, and what it is made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrain import environment, records
from retrain.provenance import actor, provenance
from retrain.records import RunFolder
from retrain.settings import Settings, project_root

__all__ = ["FOLDER_VARIABLE", "NOTEBOOK_VARIABLE", "open_run", "records_root"]

FOLDER_VARIABLE = "RETRAIN_RUN_FOLDER"
"""Set by the runner for its kernels: the folder of the run to join."""

NOTEBOOK_VARIABLE = "RETRAIN_NOTEBOOK"
"""Set by the runner for its kernels: the file name of the executed notebook in the run's folder."""


def records_root(settings: Settings) -> Path:
    """Return the folder that holds the records: the setting, below the project where it is relative."""
    return project_root() / settings.records.url


def open_run(settings: Settings, opened: Mapping[str, Any]) -> RunFolder:
    """Open a run and say in its record what differs from the runbook from the start."""
    told = {
        "now": environment.clock(settings).now().isoformat(),
        "actor": actor(),
        "environment": settings.environment,
        "world": settings.world,
        "policy_sha256": settings.digest,
        **opened,
        **provenance(project_root()),
    }
    folder = records.create(records_root(settings), settings, told)
    for deviation in settings.deviations_from_runbook():
        folder.journal.append("deviation", {"deviation": deviation})
    return folder
