"""The scenarios: each is a world of its own, and one is walked through over the real wire."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import snowflake.connector

from retrain.errors import UsageError
from retrain_sandbox import lifecycle, scenarios
from retrain_sandbox.world import World

ISSUE = (
    *("healthy", "f1_drop", "drift", "scheduled"),
    *("too_few_samples", "critical_quality", "no_quality_runs", "open_p1"),
    *("worse_candidate", "slow_candidate", "imbalanced", "no_convergence", "out_of_resources", "cannot_train"),
    *("invalid_scores", "f1_regression", "latency_regression", "silent_metrics", "metrics_stop"),
)


def test_every_state_that_the_runbook_speaks_of_has_a_scenario() -> None:
    """And the variants of invalid scores."""
    assert set(ISSUE) <= set(scenarios.NAMES)
    assert {"invalid_scores_nan", "invalid_scores_short"} <= set(scenarios.NAMES)


def test_an_unknown_scenario_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    """Nothing is touched."""
    with pytest.raises(UsageError, match="'f1_drop'"):
        scenarios.apply(tmp_path, "f1drop")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", scenarios.NAMES)
def test_a_scenario_is_in_2013_and_its_model_older_than_its_now(name: str) -> None:
    """Watermark ≤ training < now, and enough rows before it for a training window of two months."""
    scenario = scenarios.SCENARIOS[name]
    assert scenario.watermark <= scenario.trained_at < scenario.now
    assert (scenario.watermark.year, scenario.now.year) == (2013, 2013)
    assert scenario.watermark.month >= 3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sandbox_cache: Path) -> Iterator[World]:
    home = tmp_path_factory.mktemp("scenarios")
    try:
        yield lifecycle.apply_scenario(home, "scheduled")
    finally:
        lifecycle.down(home)


def rows_of(world: World, statement: str) -> list[Any]:
    with snowflake.connector.connect(**world.warehouse) as connection, connection.cursor() as cursor:
        return list(cursor.execute(statement).fetchall())


def trained(client: httpx.Client) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (status := client.get("/training/status").json())["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return dict(status)


def windows_of(world: World, version: str) -> list[Any]:
    """Look until two windows of ``version`` have come; time makes them: a sandbox minute passes in half a second."""
    told = "SELECT model_version, tp + fp + fn, requests, slow_requests FROM MODEL_METRICS WHERE kind = 'window'"
    deadline = time.monotonic() + 30
    while len(found := [row for row in rows_of(world, told) if row[0] == version]) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


@pytest.mark.sandbox
def test_a_training_a_swap_and_a_roll_back_over_the_wire(world: World) -> None:
    """The candidate stands by, passes the floors, serves, is watched minute by minute, and gives way again."""
    with httpx.Client(base_url=world.service_url, timeout=30) as client:
        former = client.get("/health").json()["slots"]["active"]
        body = {"model_type": "classifier", "data_version": "latest"}
        assert client.post("/training/trigger", json=body).status_code == 202
        assert client.post("/training/trigger", json=body).status_code == 409
        status = trained(client)
        assert status["status"] == "completed", status["error"]
        version, metrics = status["model_version"], status["metrics"]
        assert metrics["precision"] >= 0.85 and metrics["recall"] >= 0.80
        assert status["comparison"]["production_version"] == former
        assert client.get("/health").json()["slots"] == {"active": former, "standby": version}
        assert client.post("/model/reload").json() == {"active": version, "standby": former}
        newest = rows_of(
            world, "SELECT model_version, f1 FROM MODEL_METRICS WHERE kind = 'promotion' ORDER BY recorded_at"
        )
        assert newest[-1] == (version, pytest.approx(metrics["f1"]))
        windows = windows_of(world, version)
        assert len(windows) >= 2
        assert all(events >= 5 and requests >= 100 and not slow for _, events, requests, slow in windows)
        assert client.post("/model/reload").json() == {"active": former, "standby": version}


@pytest.mark.sandbox
def test_another_scenario_is_another_world(world: World) -> None:
    """Its own model name and id, its own tables; the former world's jobs are gone."""
    other = lifecycle.apply_scenario(world.home, "open_p1")
    assert other.model == "flights-open-p1"
    assert other.world_id != world.world_id
    assert rows_of(other, "SELECT status, severity FROM INCIDENTS") == [("open", "P1")]
    assert rows_of(other, "SELECT DISTINCT model FROM MODEL_METRICS") == [("flights-open-p1",)]
    assert httpx.get(f"{other.service_url}/training/status").json()["status"] == "idle"
