"""The sections that ask several things of the warehouse ask them side by side, and show what they would have shown."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retrain.sections import prerequisites as prerequisites_rules
from retrain.sections import when_to_retrain as triggers_rules
from retrain.sections.related import data_quality as quality_rules
from retrain.sections.related import model_drift as drift_rules
from retrain.steps import prerequisites, when_to_retrain
from retrain.steps.related import data_quality, model_drift
from retrain.warehouse import Warehouse

from .conftest import NOW, opened
from .test_together import meeting


@dataclass
class Cells:
    """What the cells of one section know of their run."""

    warehouse: Warehouse
    policy: Any
    folder: Any
    model: str = "m"
    now: Any = NOW
    waited: list[str] = field(default_factory=list)

    @cached_property
    def production(self) -> Any:
        return self.warehouse.production(self.model)

    @contextlib.contextmanager
    def waiting(self, what: str) -> Any:
        self.waited.append(what)
        yield


@pytest.fixture
def cells(arguments, tmp_path: Path):
    """Return cells of a section with this policy, over the test's warehouse."""
    folder = SimpleNamespace(path=tmp_path / "m" / "runs" / "r1")
    with contextlib.ExitStack() as held:

        def made(policy: Any) -> Any:
            return Cells(held.enter_context(opened(arguments)), policy, folder)

        yield made


def test_prerequisites_asks_two_beside_the_watermark(cells, arguments) -> None:
    """Three are in the warehouse at once; only the count of samples waits for the watermark."""
    run = cells(prerequisites_rules.Policy())
    with meeting(arguments, 3):
        watermark = prerequisites.watermark(run)
        told = [prerequisites.quality(run), prerequisites.open_incidents(run)]
    samples = prerequisites.new_samples(run, watermark)
    assert samples.value == run.warehouse.new_samples(since=watermark, until=NOW).value
    assert told[0].value == run.warehouse.quality(now=NOW).value
    assert told[1].value == run.warehouse.open_incidents(["P1"]).value
    assert run.waited == ["warehouse"] * 4


def test_a_cell_that_is_executed_again_asks_again(cells) -> None:
    """Somebody closed the incident meanwhile: the second look shows it."""
    run = cells(prerequisites_rules.Policy())
    prerequisites.watermark(run)
    ids = [prerequisites.open_incidents(run).evidence[0].query_id for _ in range(2)]
    assert ids[0] != ids[1]


def test_the_triggers_ask_for_days_and_columns_beside_production(cells, arguments) -> None:
    """Three at once, and the figures are those of questions asked alone."""
    run = cells(triggers_rules.Policy(drift_window_days=365))
    with meeting(arguments, 3):
        accuracy = when_to_retrain.accuracy(run)
    assert (accuracy.version, accuracy.baseline_f1) == ("v1", 0.884)
    assert accuracy.f1 == run.warehouse.f1_since("m", version="v1", since=NOW - timedelta(days=7), until=NOW).value.f1


def test_drift_is_scanned_while_f1_is_asked_and_drawn(cells, monkeypatch) -> None:
    """Neither goes on before the other has come; the next cell takes the answer and asks nothing."""
    policy = triggers_rules.Policy(drift_window_days=365)
    alone = when_to_retrain.drift(cells(policy))  # freezes the profile: from here on drift is one statement
    run, both = cells(policy), threading.Barrier(2)
    fetch = run.warehouse._connections.fetch

    def fetched(sql, binds, *, tag):
        if "newest_f1" in sql or "histograms of all features over frozen" in sql:
            both.wait(10)
        return fetch(sql, binds, tag=tag)

    monkeypatch.setattr(run.warehouse._connections, "fetch", fetched)
    when_to_retrain.accuracy(run)
    told = when_to_retrain.drift(run)
    assert both.broken is False
    assert told.features == alone.features
    assert told.features[0].psi > 0.3


def test_the_related_runbooks_ask_together(cells, arguments) -> None:
    """Data quality: three at once. Model drift: the columns beside production."""
    run = cells(quality_rules.Policy())
    with meeting(arguments, 3):
        facts = data_quality.by_check(run)
        rows = data_quality.failures(run)
    assert sum(each.runs for each in facts.runs) == 6
    assert [row["run_id"] for row in rows] == ["q3", "q4", "q25"]
    with meeting(arguments, 2):
        told = model_drift.by_week(cells(drift_rules.Policy()))
    assert told.periods
    assert told.edition == drift_rules.EDITION, "else the rules of an earlier release would judge them"
