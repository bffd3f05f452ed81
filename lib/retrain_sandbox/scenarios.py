"""The scenarios: worlds in which one branch of the runbook can be seen.

A scenario is an instant in 2013, the model that serves then, and what is out of order: rows of the tables, or the
conditions under which this world trains and serves (``conditions``). Nothing tells how a run shall end.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from retrain.errors import UsageError, nearest
from retrain_sandbox import admin, clock, conditions, history, metrics, models, servers, slots, state, world
from retrain_sandbox.conditions import Conditions, Lookup, SearchSpace, Serving, Traffic, Training
from retrain_sandbox.history import Quality
from retrain_sandbox.production import production

__all__ = ["NAMES", "SCENARIOS", "Scenario", "apply"]

SWITCH_SECONDS = 20.0


@dataclass(frozen=True)
class Scenario:
    """A world. ``edits`` are statements on all rows of TRANSACTIONS, also those still to arrive."""

    about: str
    now: datetime
    watermark: datetime  # production's training window ends here
    trained_at: datetime  # and was promoted then
    conditions: Conditions = field(default_factory=Conditions)
    quality: Quality = "healthy"
    open_p1: bool = False
    edits: tuple[str, ...] = ()


def _utc(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2013, month, day, hour, minute, tzinfo=UTC)


# Trained on the winter. Nothing is wrong on 26 March; by 31 March two Sunday slots were missed.
HEALTHY = Scenario(
    "not due, no drift",
    now=_utc(3, 26, 14),
    watermark=_utc(3, 10, 12),
    trained_at=_utc(3, 24, 3, 10),
)
SCHEDULED = replace(
    HEALTHY,
    about="the Sunday slot has come, and two before it were missed",
    now=_utc(3, 31, 2, 20),
    trained_at=_utc(3, 10, 13),
)
# The storms of the second week of April: late departures that make up less time in the air than in winter.
F1_DROP = Scenario(
    "F1 of the last days is more than 0.05 below the baseline",
    now=_utc(4, 10, 14),
    watermark=_utc(3, 17, 12),
    trained_at=_utc(4, 7, 3, 10),
)
# Trained on the spring; in June it is warmer than any decile of the reference, and F1 does not mind.
DRIFT = Scenario(
    "aggregate PSI is above 0.3; F1 is not",
    now=_utc(6, 6, 14),
    watermark=_utc(5, 19, 12),
    trained_at=_utc(6, 2, 3, 10),
)


def _training(about: str, training: Training) -> Scenario:
    return replace(SCHEDULED, about=about, conditions=Conditions(training=training))


def _serving(about: str, serving: Serving) -> Scenario:
    return replace(SCHEDULED, about=about, conditions=Conditions(serving=serving))


def _traffic(about: str, traffic: Traffic) -> Scenario:
    return replace(SCHEDULED, about=about, conditions=Conditions(traffic=traffic))


_ARRIVALS = "RETRAIN.SANDBOX.ARRIVALS"

SCENARIOS: dict[str, Scenario] = {
    "healthy": HEALTHY,
    "f1_drop": F1_DROP,
    "drift": DRIFT,
    "scheduled": SCHEDULED,
    "too_few_samples": Scenario(
        "a Sunday slot has come, nine days of labels have not",
        now=_utc(3, 26, 14),
        watermark=_utc(3, 17, 12),
        trained_at=_utc(3, 17, 13),
    ),
    "critical_quality": replace(F1_DROP, about="the newest data-quality run is critical", quality="critical"),
    "no_quality_runs": replace(
        F1_DROP,
        about="the data-quality runs stopped a day ago",
        quality="none",
        conditions=Conditions(data_quality_runs=False),
    ),
    "open_p1": replace(F1_DROP, about="a P1 incident is open", open_p1=True),
    "worse_candidate": _training(
        "the training extract has lost air_time_minutes: the candidate never learns of it",
        Training(blind_to=("air_time_minutes",)),
    ),
    "slow_candidate": _serving(
        "the candidate looks rows up in a store that takes 1.2 s for one row in twenty",
        Serving(lookup=Lookup(share=0.05, seconds=1.2)),
    ),
    "imbalanced": replace(
        _training(
            "positives are 1.6 % of the rows (only flights that left 160 minutes late and more), "
            "and the trials may only choose small learning rates, at which so small a class is not heard",
            Training(
                space=SearchSpace(
                    learning_rate=(1.6e-4, 1.8e-4), batch_size=(512,), hidden_units=(16,), from_production=False
                )
            ),
        ),
        edits=(
            f"DELETE FROM {_ARRIVALS} WHERE label = 1 AND departure_delay_minutes < 160 "  # noqa: S608
            "AND ingestion_timestamp >= '2013-01-25'",
        ),
    ),
    "no_convergence": _training(
        "the trials may only choose large batches: too few steps in 30 epochs",
        Training(
            space=SearchSpace(
                learning_rate=(2e-3, 2.2e-3), batch_size=(2048,), hidden_units=(16,), from_production=False
            )
        ),
    ),
    "out_of_resources": _training(
        "the trials may only choose batches of 16,384 rows, and a job has 4 MB for activations",
        Training(space=SearchSpace(batch_size=(16_384,), from_production=False), workspace_megabytes=4.0),
    ),
    "cannot_train": replace(
        SCHEDULED,
        about="air_time_minutes has not been delivered for more than two months",
        edits=(f"UPDATE {_ARRIVALS} SET air_time_minutes = NULL WHERE ingestion_timestamp >= '2013-01-25'",),  # noqa: S608
    ),
    "invalid_scores": _serving(
        "the export of the candidate rescales its scores beyond [0, 1]", Serving(scale=1.1, offset=-0.05)
    ),
    "invalid_scores_nan": _serving(
        "the export of the candidate computes in 16 bits and overflows: NaN", Serving(half_precision=True)
    ),
    "invalid_scores_short": _serving(
        "the exported candidate leaves the rows of one carrier out of its answers",
        Serving(leaves_out=("carrier", "AA")),
    ),
    "f1_regression": _traffic(
        "once the candidate serves, a third of its requests get the label of the request before",
        Traffic(shifted_labels_share=0.35),
    ),
    "latency_regression": _serving(
        "the store that the active slot asks takes 1.2 s for one row in ten",
        Serving(lookup=Lookup(share=0.1, seconds=1.2, only_active=True)),
    ),
    "silent_metrics": _traffic("no MODEL_METRICS come once the candidate serves", Traffic(silent_after_minutes=0)),
    "metrics_stop": _traffic(
        "no more MODEL_METRICS come once the candidate has served for ten minutes", Traffic(silent_after_minutes=10)
    ),
}
NAMES = tuple(SCENARIOS)


def apply(home: Path, name: str) -> None:
    """Put the world of the running sandbox in ``home`` in the state ``name``; UsageError for an unknown one."""
    if name not in SCENARIOS:
        raise UsageError(f"There is no scenario {name!r}.{nearest(name, NAMES)} Known: {', '.join(NAMES)}.")
    scenario = SCENARIOS[name]
    model = production(home, watermark=scenario.watermark, trained_at=scenario.trained_at)
    state.write_json(state.world_file(home), {"model": "", "world_id": "", "scenario": ""})
    shutil.rmtree(state.service_directory(home), ignore_errors=True)
    _switch(home, "")
    shutil.rmtree(state.service_directory(home), ignore_errors=True)
    called = "flights-" + name.replace("_", "-")
    _fill(home, called, scenario, model)
    models.save(slots.version_directory(home, model.version), model)
    slots.write(home, slots.Slots(active=model.version))
    conditions.write(home, scenario.conditions)
    clock.set(home, scenario.now)
    world.name_world(home, model=called, scenario=name)
    _switch(home, called)


def _fill(home: Path, called: str, scenario: Scenario, model: models.Model) -> None:
    """Let the four tables hold what this world remembers."""
    admin.restore_transactions(home)
    if scenario.edits:
        admin.execute(home, scenario.edits)
    clock.set(home, scenario.now)
    promotion = metrics.promotion(called, model, scenario.trained_at)
    found = history.arrived(home, min(scenario.trained_at, scenario.now - history.REMEMBERED), scenario.now)
    windows = history.windows(called, model, found, scenario.now)
    history.load(home, "MODEL_METRICS", history.metrics_rows([promotion, *windows]))
    history.load(home, "DATA_QUALITY", history.data_quality(found, scenario.now, scenario.quality))
    incidents = [_P1 | {"opened_at": (scenario.now - timedelta(hours=5)).replace(tzinfo=None)}]
    history.load(home, "INCIDENTS", incidents if scenario.open_p1 else [])
    _forget_heads(home)


def _forget_heads(home: Path) -> None:
    """Empty the table of heads, where runs of an earlier world made one: records may be thrown away between worlds."""
    asked = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'RETRAIN_HEADS'"
    if admin.execute(home, [asked])[0][0]:
        admin.empty(home, "RETRAIN_HEADS")


_P1 = {
    "incident_id": "INC-2041",
    "status": "open",
    "severity": "P1",
    "title": "Departure feed of JFK delivers late",
    "details": "Flights arrive hours after their labels.",
    "opened_by": "data-platform",
}


def _switch(home: Path, called: str) -> None:
    """Have the service take up the world of ``home``, and wait until it says so."""
    current = state.read(home)
    if current is None or current.service is None or not state.alive(current.service):
        return  # it will read the world when it starts
    os.kill(current.service.pid, signal.SIGHUP)
    deadline = time.monotonic() + SWITCH_SECONDS
    while time.monotonic() < deadline:
        said = admin.health(current.service.port, path="/health")
        if said is not None and said.get("model") == called:
            return
        time.sleep(0.02)
    servers.restart_service(home)
