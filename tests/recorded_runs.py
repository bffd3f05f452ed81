"""Runs as their notebooks record them, made from facts: for tests that read the past."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chained import append, begun, close
from retrain.checks import Model
from retrain.facts import Effect, FeatureDrift, Metrics, Slots, Window
from retrain.hindsight.replay import room
from retrain.record.records import RunFolder
from retrain.sections import (
    blue_green_deployment,
    evaluation_gate,
    post_deploy_monitoring,
    prerequisites,
    staging_smoke_tests,
    training,
    when_to_retrain,
)

NOW = datetime(2013, 6, 10, 12, tzinfo=UTC)

Told = tuple[str, Model, Model]
"""A section, its facts, and the policy in force."""


def section(name: str, facts: Model, policy: Model | None = None) -> Told:
    return name, facts, policy or room(name).Policy()


def record(
    root: Path,
    told: list[Told],
    *,
    at: datetime | None = NOW,
    model: str = "flights",
    change: Callable[[dict[str, Any]], None] = lambda _: None,
) -> RunFolder:
    """Write a run whose verdicts are decided from ``told``; ``change`` may doctor each body before it is written."""
    folder = begun(root, model, {"now": at.isoformat()} if at else {})
    for name, facts, policy in told:
        append(folder, "section_started", {"section": name})
        body = body_of(name, facts, policy)
        change(body)
        append(folder, "verdict", body)
    close(folder, "no_action", exit_code=0)
    return folder


def body_of(name: str, facts: Model, policy: Model) -> dict[str, Any]:
    parts: Mapping[str, Model] = {"facts": facts, "policy": policy, "verdict": room(name).decide(facts, policy)}
    return {"section": name, "attempt": 1, "notebook": None, **{k: v.model_dump(mode="json") for k, v in parts.items()}}


def trigger(drop: float = 0.08, **more: Any) -> Told:
    """F1 fell by ``drop`` from 0.9. Trained after the last slot, and nothing drifted: nothing else triggers."""
    still = FeatureDrift(feature="x", psi=0.1, reference_rows=5000, current_rows=5000)
    facts = {"now": NOW, "drift": (still,), "baseline_f1": 0.9, "f1": round(0.9 - drop, 6), "f1_labels": 3000, **more}
    return section("when_to_retrain", when_to_retrain.Facts(**{"last_trained_at": NOW - timedelta(hours=1), **facts}))


def ready(samples: int = 20_000) -> Told:
    facts = prerequisites.Facts(
        now=NOW,
        last_training_watermark=NOW - timedelta(days=7),
        new_samples=samples,
        quality={"healthy": 24},
        open_incidents=(),
    )
    return section("prerequisites", facts)


def trained() -> Told:
    effect = Effect(effect="training", sent=True, outcome="applied", observed_by="attested")
    metrics = Metrics(version="v2", f1=0.9, precision=0.9, recall=0.9, auc_roc=0.95)
    facts = training.Facts(now=NOW, prerequisites="ready", effect=effect, status="completed", candidate=metrics)
    return section("training", facts)


def gate(precision: float = 0.9) -> Told:
    candidate = Metrics(version="v2", f1=0.9, precision=precision, recall=0.9, auc_roc=0.95, latency_p99_seconds=0.1)
    production = Metrics(version="v1", f1=0.9, precision=0.9, recall=0.9, auc_roc=0.95)
    return section("evaluation_gate", evaluation_gate.Facts(candidate=candidate, production=production, holdout="h"))


def smoked() -> Told:
    facts = staging_smoke_tests.Facts(
        gate="passed",
        slots=Slots(active="v1", standby="v2", attested=True),
        candidate_version="v2",
        answered_by="standby",
        scores=tuple(number / 100 for number in range(100)),
        latencies_seconds=(0.01,) * 100,
    )
    return section("staging_smoke_tests", facts)


def swapped(policy: blue_green_deployment.Policy | None = None, *, sent: bool = True) -> Told:
    before, after = Slots(active="v1", standby="v2", attested=True), Slots(active="v2", standby="v1", attested=True)
    effect = (
        Effect(effect="swap", sent=True, outcome="applied", observed_by="attested") if sent else Effect(effect="swap")
    )
    opened = {"prerequisites": "ready", "training": "trained", "gate": "passed", "smoke_tests": "staged"}
    slots = {"before": before, "after": after if sent else before}
    facts = blue_green_deployment.Facts(**opened, **slots, effect=effect)
    return section("blue_green_deployment", facts, policy)


def watched(
    minutes: int = 30, bad: int = 4, policy: post_deploy_monitoring.Policy | None = None, *, worse_from: int = 31
) -> Told:
    """Windows of 40 events, ``bad`` of them bad and 20 from minute ``worse_from`` on; 100 requests, none slow."""
    windows = []
    for minute in range(minutes):
        wrong = 20 if minute >= worse_from else bad
        windows.append(
            Window(
                window_start=NOW + timedelta(minutes=minute),
                window_end=NOW + timedelta(minutes=minute + 1),
                version="v2",
                tp=40 - wrong,
                fp=wrong,
                fn=0,
                tn=60,
                requests=100,
                slow_requests=0,
            )
        )
    facts = post_deploy_monitoring.Facts(
        swapped_at=NOW, watched_minutes=minutes, candidate_version="v2", baseline_f1=0.9, windows=tuple(windows)
    )
    return section("post_deploy_monitoring", facts, policy)


def whole_run() -> list[Told]:
    """A run from the trigger to the end of a healthy watch."""
    return [trigger(), ready(), trained(), gate(), smoked(), swapped(), watched()]
