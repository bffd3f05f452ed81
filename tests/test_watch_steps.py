"""The watch as it runs: rows of MODEL_METRICS late, twice, of others and from before; time is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from fake_world import FakeClock
from retrain.facts import Metrics, Window
from retrain.pictures import Picture
from retrain.sections.post_deploy_monitoring import EDITION, Facts, Policy, decide
from retrain.steps import post_deploy_monitoring as steps
from retrain.warehouse import Answer

SWAP = FakeClock().now()
CANDIDATE = Metrics(version="v2", f1=0.88, tp=880, fp=120, fn=120, tn=8880)


def row(minute: float, *, comes: float | None = None, **changed: Any) -> Window:
    """A window of a minute, written a minute after it ended, or at the minute when it ``comes``."""
    start = SWAP + timedelta(minutes=minute)
    counts = {"tp": 18, "fp": 2, "fn": 2, "tn": 78, "requests": 100, "slow_requests": 0}
    times = {"window_start": start, "window_end": start + timedelta(minutes=1)}
    written = SWAP + timedelta(minutes=minute + 2 if comes is None else comes)
    return Window(**(times | {"recorded_at": written, "version": "v2"} | counts | changed))


class Metered:
    """MODEL_METRICS as the query answers it: what was written by now and ended by ``until``, the last row of each."""

    def __init__(self, clock: FakeClock, rows: Sequence[Window]) -> None:
        self.clock, self.rows = clock, rows
        self.asked: list[float] = []

    def versions_seen_before(self, model: str, *, before: Any) -> Answer[tuple[str, ...]]:
        return Answer(("v1",), ())

    def watch_windows(self, model: str, *, since: Any, until: Any) -> Answer[tuple[Window, ...]]:
        self.asked.append((until - since) / timedelta(minutes=1))
        told = [each for each in self.rows if each.recorded_at is None or each.recorded_at <= self.clock.now()]
        told = [each for each in told if since < each.window_end <= until]
        newest = {
            (each.window_start, each.version): each for each in sorted(told, key=lambda each: each.recorded_at or SWAP)
        }
        return Answer(tuple(newest.values()), ())


def run_of(rows: Sequence[Window], *, begins: float = 0, candidate: Metrics | None = CANDIDATE, **policy: Any) -> Any:
    """A run whose swap was at SWAP and whose watch begins so many minutes later; it polls once a minute."""
    clock = FakeClock(seconds=60 * begins)
    told = {"evaluation_gate": SimpleNamespace(candidate=candidate), "blue_green_deployment": None}
    return SimpleNamespace(
        clock=clock,
        model="m",
        policy=Policy(poll_seconds=60, **policy),
        warehouse=Metered(clock, rows),
        facts=told.get,
        waiting=lambda what: nullcontext(),
    )


@pytest.fixture(autouse=True)
def plain_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all the rest; ``test_the_watch_is_drawn_as_it_goes`` draws."""
    monkeypatch.setattr(steps.pictures, "watch", lambda course, **limits: Picture(b"", f"{len(course)} windows"))


def watched(run: Any) -> tuple[Facts, str]:
    shown: list[Picture] = []
    facts = steps.watch(run, SWAP, shown.append)
    assert shown[-1].text == f"{len(steps.course(run, facts))} windows"
    assert facts.edition == EDITION
    return facts, decide(facts, run.policy).outcome


HEALTHY = [row(minute) for minute in range(60)]


def test_a_healthy_watch_ends_with_its_thirty_minutes() -> None:
    """Nothing that ends later is asked for, and the baseline is what the gate saw."""
    run = run_of(HEALTHY)
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes, max(run.warehouse.asked)) == ("healthy", 30, 30)
    assert (facts.baseline_f1, facts.baseline, facts.extended_because) == (0.88, CANDIDATE, None)
    assert len(facts.windows or ()) == 29  # the last is written too late to be seen


def test_silence_is_watched_to_the_end_of_the_extension_and_never_healthy() -> None:
    """Sixty minutes, then the policy's choice; the facts say what was open."""
    run = run_of([])
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes, max(run.warehouse.asked)) == ("inconclusive", 60, 60)
    assert "no window of the new version" in (facts.extended_because or "")
    assert sum(run.clock.slept) <= 61 * 60


def test_an_extension_ends_with_the_look_that_settles_it() -> None:
    """Labels that begin to come at minute 33 settle it at the first look with enough of them."""
    late = [row(minute, comes=33 + minute) for minute in range(30)]
    facts, outcome = watched(run_of(late))
    assert outcome == "healthy"
    assert facts.watched_minutes is not None
    assert 36 <= facts.watched_minutes <= 38
    assert facts.extended_because is not None
    assert facts.extended_because.startswith("F1 score and Latency p99")


def test_a_watch_begun_again_hours_later_sees_what_it_would_have_seen() -> None:
    """After a crash the rows since the swap count: thirty minutes of them, and more where those leave it open."""
    facts, outcome = watched(run_of(HEALTHY, begins=240))
    assert (outcome, facts.watched_minutes, len(facts.windows or ())) == ("healthy", 30, 30)
    thin = [row(minute, tp=2, fp=0, fn=0) for minute in range(60)]
    facts, outcome = watched(run_of(thin, begins=240))
    assert (outcome, facts.watched_minutes, len(facts.windows or ())) == ("healthy", 60, 60)


def test_labels_that_come_late_are_counted_once_and_said() -> None:
    """Each window is written with half its labels, and again with all: sums are of the last rows."""
    halves = [row(minute, tp=9, fp=1, fn=1, tn=39) for minute in range(30)]
    wholes = [row(minute, comes=minute + 6) for minute in range(30)]
    facts, outcome = watched(run_of([*halves, *wholes]))
    assert outcome == "healthy"
    assert facts.revisions == 25
    tp = sum(window.tp or 0 for window in facts.windows or ())
    assert tp == 25 * 18 + 4 * 9
    assert "25 windows were written again" in " ".join(decide(facts, Policy()).deviations)


def test_a_drop_is_acted_on_at_the_look_that_sees_it() -> None:
    """The watch ends there, whatever would have come."""
    bad = [row(minute, tp=11, fp=6, fn=5) for minute in range(30)]
    run = run_of(bad)
    facts, outcome = watched(run)
    assert (outcome, len(facts.windows or ())) == ("regressed", 2)
    assert sum(run.clock.slept) <= 5 * 60


@pytest.mark.parametrize("candidate", [CANDIDATE, CANDIDATE.model_copy(update={"version": None})])
def test_rows_of_the_former_version_and_from_before_are_left_out(candidate: Metrics) -> None:
    """By name, or, where nobody told the candidate's, by one that was known before the swap."""
    others = [row(minute, version="v1", tp=0, fp=22) for minute in range(30)]
    crossing = row(-0.5, tp=0, fp=22, fn=0)
    facts, outcome = watched(run_of([crossing, *others, *HEALTHY], candidate=candidate))
    assert (outcome, facts.other_windows) == ("healthy", 30)
    assert "30 windows since the swap were left out" in " ".join(decide(facts, Policy()).deviations)


def test_windows_that_overlap_are_counted_once_and_said() -> None:
    """A second series of windows, half a minute off, tells the same requests again."""
    shifted = [row(minute + 0.5) for minute in range(29)]
    facts, outcome = watched(run_of([*HEALTHY, *shifted]))
    plain, _ = watched(run_of(HEALTHY))
    assert outcome == "healthy"
    assert decide(facts, Policy()).checks[0].observed == decide(plain, Policy()).checks[0].observed
    assert "overlap others: left out" in " ".join(decide(facts, Policy()).deviations)


def test_rows_out_of_order_are_put_in_order() -> None:
    """Whatever order the answer has, each look sees the windows by their time."""
    backwards, _ = watched(run_of(HEALTHY[::-1]))
    forwards, _ = watched(run_of(HEALTHY))
    assert decide(backwards, Policy()).checks == decide(forwards, Policy()).checks


def test_the_watch_is_drawn_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last picture shows the windows on which the verdict rests."""
    monkeypatch.undo()
    run = run_of([row(minute, tp=11, fp=6, fn=5) for minute in range(30)])
    shown: list[Picture] = []
    steps.watch(run, SWAP, shown.append)
    assert shown[-1].png.startswith(b"\x89PNG")
    assert repr(shown[-1]).startswith("2 windows watched; baseline F1 0.880, so far 0.667; e-value")


def test_without_a_swap_nothing_is_asked() -> None:
    """There is nothing to watch."""
    run = run_of(HEALTHY)
    facts = steps.watch(run, None, lambda picture: None)
    assert (run.warehouse.asked, decide(facts, run.policy).outcome) == ([], "not_ready")


def test_the_course_of_the_watch_is_told_newest_first() -> None:
    """Sums after each window, with both e-values, and F1 at the baseline's prevalence."""
    run = run_of(HEALTHY)
    facts, _ = watched(run)
    newest, *_, oldest = steps.course(run, facts)
    assert (oldest["minute"], oldest["events so far"], newest["events so far"]) == (1.0, 22, 29 * 22)
    assert newest["F1 so far"] == pytest.approx(0.9)
    assert newest["at the baseline's prevalence"] < 0.9
    assert 0 < newest["e-value of a drop"] < oldest["e-value of a drop"] < 40
    assert (newest["requests so far"], newest["slow"]) == (2900, 0)


def test_the_baseline_stands_with_its_prevalence() -> None:
    """F1 alone, where the gate had no counts."""
    told = steps.baseline_figures(run_of([]))
    assert told == {
        "baseline F1": 0.88,
        "prevalence": 0.1,
        "recall": pytest.approx(0.88),
        "false-positive rate": pytest.approx(120 / 9000),
    }
    assert steps.baseline_figures(run_of([], candidate=Metrics(f1=0.9))) == {"baseline F1": 0.9}
