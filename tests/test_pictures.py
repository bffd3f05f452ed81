"""Each picture is a PNG with a text that says the same, also when nothing was measured."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retrain import pictures
from retrain.facts import FeatureDrift, Metrics, Window
from retrain.judgement.looks import standings
from retrain.judgement.watching import Watch

START = datetime(2013, 6, 1, tzinfo=UTC)
WINDOWS = [
    Window(
        window_start=START + timedelta(minutes=minute),
        window_end=START + timedelta(minutes=minute + 1),
        f1=None if minute == 3 else 0.9 - minute / 100,
        latency_p99_seconds=0.05,
    )
    for minute in range(6)
]
DRIFT = [
    FeatureDrift(feature="temperature", psi=1.2, reference_rows=1000, current_rows=900),
    FeatureDrift(feature="carrier", psi=None, reference_rows=1000, current_rows=9),
]
MODEL = Metrics(f1=0.88, auc_roc=0.97, precision=0.9, recall=None)


COUNTED = [
    window.model_copy(update={"tp": 5, "fp": 2, "fn": 2, "tn": 90, "requests": 99, "slow_requests": 0})
    for window in WINDOWS[:3]
]


def watched(windows: list[Window]) -> pictures.Picture:
    limits = {"f1_drop_tolerance": 0.05, "latency_ceiling": 1.0, "minimum_events": 84, "minimum_requests": 299}
    watch = Watch(tuple(windows), START, 0.9, rule="exact", in_a_row=3, alpha=0.025, **limits)  # type: ignore[arg-type]
    return pictures.watch(standings(watch), baseline=0.9, tolerance=0.05, ceiling=1, acts_at=40)


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: pictures.f1_over_time(WINDOWS, baseline=0.9, tolerance=0.05), "the last is 0.850"),
        (lambda: pictures.f1_over_time([], baseline=None, tolerance=0.05), "0 windows; baseline missing"),
        (lambda: pictures.psi_by_feature(DRIFT, aggregate=1.2, ceiling=0.3), "temperature 1.200"),
        (lambda: pictures.psi_by_feature([], aggregate=None, ceiling=0.3), "the largest: none"),
        (lambda: pictures.psi_over_time({"carrier": [(START, 0.1), (START, None)]}, ceiling=0.3), "carrier"),
        (lambda: pictures.latencies([0.01, None, 0.02], p99=0.02, ceiling=1), "2 latencies, p99 0.020"),
        (lambda: pictures.latencies([], p99=None, ceiling=1), "p99 missing"),
        (lambda: pictures.latencies([0.2, None], p99=float("inf"), ceiling=1), "1 latencies, p99 no answer in time"),
        (lambda: pictures.candidate_against_production(MODEL, None, {"precision": 0.85}), "recall missing"),
        (lambda: watched(WINDOWS), "6 windows watched; baseline F1 0.900, so far missing."),
        (lambda: watched(COUNTED), "so far 0.714; e-value 52.6 for F1, 0.0631 for slow requests, acts at 40."),
        (lambda: watched([]), "0 windows watched"),
    ],
)
def test_a_picture_is_a_png_and_says_in_words_what_it_shows(draw: Callable[[], pictures.Picture], says: str) -> None:
    told = draw()
    assert told._repr_png_().startswith(b"\x89PNG")
    assert says in repr(told)


@pytest.mark.parametrize(
    ("recall", "floor", "bottom"),
    [(0.9, 0.8, 0.5), (None, None, 0.5), (0.3, 0.8, 0.0), (0.9, 0.4, 0.0), (0.5, 0.8, 0.0)],
)
def test_no_figure_and_no_floor_lies_below_the_edge_of_the_gates_picture(
    recall: float | None, floor: float | None, bottom: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worse a candidate is, the more its bar is wanted."""
    drawn: list[float] = []
    kept = pictures._picture

    def picture(figure: Any, axes: Any, text: str) -> pictures.Picture:
        drawn.append(axes.get_ylim()[0])
        return kept(figure, axes, text)

    monkeypatch.setattr(pictures, "_picture", picture)
    candidate = MODEL.model_copy(update={"recall": recall})
    pictures.candidate_against_production(candidate, MODEL, {"recall": floor})
    assert drawn == [bottom]
