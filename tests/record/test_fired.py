"""When a trigger last called, as the records of earlier runs tell it: for the hysteresis."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recorded_runs import NOW, record, trigger
from retrain.facts import FeatureDrift, Fired
from retrain.record.records import RunFolder
from retrain.sections.when_to_retrain import Policy
from retrain.steps.when_to_retrain import fired


def moved(psi: float) -> tuple[FeatureDrift, ...]:
    return (FeatureDrift(feature="x", psi=psi, reference_rows=5000, current_rows=5000),)


def run(folder: RunFolder, *, share: float = 0.2, promoted_at: Any = None) -> Any:
    """Return as much of a run as the step looks at."""
    production = SimpleNamespace(promoted_at=promoted_at) if promoted_at else None
    return SimpleNamespace(
        policy=Policy(hysteresis_share=share), production=SimpleNamespace(value=production), folder=folder
    )


@pytest.fixture
def runs(tmp_path: Path) -> list[RunFolder]:
    """Drops of 0.08 (calls), 0.03 and 0.04, an hour apart; the second also drifts. The last is the run of now."""
    told = [{"drop": 0.08}, {"drop": 0.03, "drift": moved(0.4)}, {"drop": 0.04}, {"drop": 0.07}]
    at = [NOW + timedelta(hours=hour) for hour in range(4)]
    return [record(tmp_path, [trigger(**each, now=when)], at=when) for each, when in zip(told, at, strict=True)]


def test_the_newest_call_counts_and_the_lowest_figure_since(runs: list[RunFolder]) -> None:
    """F1 called first, and was at 0.03 since; drift called after it, and was at 0.1."""
    found = fired(run(runs[3]))
    assert found["f1_fired"] == Fired(run_id=runs[0].run_id, at=NOW, figure=0.08, lowest_since=0.03)
    second = NOW + timedelta(hours=1)
    assert found["drift_fired"] == Fired(run_id=runs[1].run_id, at=second, figure=0.4, lowest_since=0.1)


def test_calls_before_the_promotion_are_of_another_model(runs: list[RunFolder]) -> None:
    """What called before production was promoted does not hold back."""
    assert set(fired(run(runs[3], promoted_at=NOW + timedelta(minutes=1)))) == {"drift_fired"}
    assert fired(run(runs[3], promoted_at=NOW + timedelta(hours=2))) == {}


def test_without_a_hysteresis_the_records_are_not_read(runs: list[RunFolder]) -> None:
    """The default costs nothing, and nothing called before the first run."""
    assert fired(run(runs[3], share=0)) == {}
    assert fired(run(runs[0])) == {}
