"""The training job: `python -m retrain_sandbox.job --home H --job DIR`, a process of its own beside the service.

Reads ``DIR/request.json``; writes ``DIR/progress.json`` as it goes, the candidate's artifact, and ``DIR/result.json``
last. All of them appear at once or not at all. The process ends when the service that started it does.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from retrain_sandbox import state

__all__ = ["Request", "main", "read_request", "write_request"]

WORKERS = 2
PROGRESS_SECONDS = 0.2
COMPARED = ("f1", "precision", "recall", "auc_roc")
MONTHS = 2  # ``data_version: latest`` is the rows of so many months before now


@dataclass(frozen=True)
class Request:
    """What the service asks of a job."""

    job_id: str
    now: datetime  # the sandbox's instant at the trigger
    world_id: str
    production: str | None  # the version that was active
    hyperparameters: dict[str, Any]


_ADAPTER = TypeAdapter(Request)


def write_request(directory: Path, request: Request) -> None:
    """Create the job's directory with its request."""
    state.write_json(directory / "request.json", _ADAPTER.dump_python(request, mode="json"))


def read_request(directory: Path) -> Request:
    """Read the request of the job in ``directory``."""
    return _ADAPTER.validate_json((directory / "request.json").read_bytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and write the result: a failure of the training is a result too."""
    parser = argparse.ArgumentParser(prog="python -m retrain_sandbox.job", description="One training job.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--job", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    _end_with_parent()
    with _pool() as pool:
        try:
            result = _run(chosen.home, chosen.job, pool)
        except Exception as error:  # noqa: BLE001 - whatever it is, the status must tell
            traceback.print_exc()
            result = {"status": "failed", "error": f"unexpected {type(error).__name__}: {error}"}
        state.write_json(chosen.job / "result.json", result)
    return 0


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent does; elsewhere ``down`` ends both."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _pool() -> Executor:
    """Return the workers, forked before anything heavy is imported and before there is any thread."""
    method = "fork" if sys.platform == "linux" else "spawn"
    pool = ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context(method), initializer=_start_worker)
    pool.submit(os.getpid).result()
    return pool


def _start_worker() -> None:
    _end_with_parent()
    _one_thread()


def _one_thread() -> None:
    import numpy  # noqa: F401 - its libraries must be there to be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # matrices this small are slower on two


def _run(home: Path, directory: Path, pool: Executor) -> dict[str, Any]:
    _one_thread()
    from retrain_sandbox import conditions, models, slots, training

    request = read_request(directory)
    start, rows = _rows(home, request.now)
    about = {
        "class_counts": rows.class_counts,
        "data_window": {"start": start.isoformat(), "end": request.now.isoformat(), "rows": len(rows)},
    }
    plan = training.Plan(
        start=start,
        end=request.now,
        now=request.now,
        world_id=request.world_id,
        hyperparameters=request.hyperparameters,
        conditions=conditions.read(home),
        production=models.load(slots.version_directory(home, request.production)) if request.production else None,
    )
    try:
        trained = training.train(rows, plan, pool, _Reporter(directory, about))
    except training.TrainingFailed as failure:
        log, trials = [asdict(line) for line in failure.log], list(failure.trials)
        return about | {"status": "failed", "error": str(failure), "log": log, "trials": trials}
    models.save(slots.version_directory(home, trained.model.version), trained.model)
    return about | _told(trained, request.production)


def _rows(home: Path, now: datetime) -> tuple[datetime, Any]:
    import pandas as pd
    import snowflake.connector

    from retrain_sandbox import table, world

    start = (pd.Timestamp(now) - pd.DateOffset(months=MONTHS)).to_pydatetime()
    with snowflake.connector.connect(**world.read(home).warehouse) as connection:
        return start, table.labelled(connection, start, now)


def _told(trained: Any, production: str | None) -> dict[str, Any]:
    return {
        "status": "completed",
        "model_version": trained.model.version,
        "metrics": _metrics(trained.candidate),
        "comparison": _comparison(trained, production) if trained.production else None,
        "log": [asdict(line) for line in trained.log],
        "trials": list(trained.trials),
    }


def _metrics(evaluated: Any) -> dict[str, Any]:
    timed = {"timed_requests": evaluated.timed_requests, "slow_requests": evaluated.slow_requests}
    return asdict(evaluated.figures) | timed


def _comparison(trained: Any, production: str | None) -> dict[str, Any]:
    from retrain_sandbox.training import difference_error

    candidate, served = asdict(trained.candidate.figures), asdict(trained.production.figures)
    known = [name for name in COMPARED if None not in (candidate[name], served[name])]
    holdout = trained.holdout
    return {
        "production_version": production,
        "production": _metrics(trained.production),
        "delta": {name: candidate[name] - served[name] for name in known},
        "auc_roc_difference_standard_error": difference_error(trained),
        "holdout": {
            "id": holdout.digest(),
            "rows": len(holdout),
            "positives": holdout.class_counts["1"],
            "description": "one row in five of the training window, of both classes alike, by a fixed hash of "
            "transaction_id: neither the candidate nor production was trained on any of them",
        },
    }


class _Reporter:
    """Writes progress now and then."""

    def __init__(self, directory: Path, about: dict[str, Any]) -> None:
        self._file = directory / "progress.json"
        self._about = about
        self._next = 0.0

    def __call__(self, trial: int, epoch: int, epochs: int, fraction: float) -> None:
        if time.monotonic() < self._next:
            return
        from retrain_sandbox.search import TRIALS

        self._next = time.monotonic() + PROGRESS_SECONDS
        told = {"trial": trial, "trials": TRIALS, "epoch": epoch, "epochs": epochs, "fraction": round(fraction, 4)}
        state.write_json(self._file, self._about | {"progress": told})


if __name__ == "__main__":
    raise SystemExit(main())
