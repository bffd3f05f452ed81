"""The watch as it runs: rows of MODEL_METRICS late, twice, of others and from before; time is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from fake_world import FakeClock
from retrain.errors import RetrainError, UsageError
from retrain.facts import Metrics, Window
from retrain.pictures import Picture
from retrain.sections.post_deploy_monitoring import EDITION, Facts, Policy, decide
from retrain.steps import post_deploy_monitoring as steps
from retrain.warehouse import Answer, Unreachable, WarehouseError

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
    """MODEL_METRICS as the query answers it: what was written by now and ended by ``until``, the last row of each.

    ``fails`` tells the error with which a question is answered at a minute, of a clock that never goes back.
    """

    def __init__(self, clock: FakeClock, rows: Sequence[Window]) -> None:
        self.clock, self.rows = clock, rows
        self.asked: list[float] = []
        self.fails: Callable[[str, float], RetrainError | None] = lambda asked, minute: None

    def versions_seen_before(self, model: str, *, before: Any) -> Answer[tuple[str, ...]]:
        self._fail("versions")
        return Answer(("v1",), ())

    def _fail(self, asked: str) -> None:
        if error := self.fails(asked, self.clock.seconds / 60):
            raise error

    def watch_windows(self, model: str, *, since: Any, until: Any) -> Answer[tuple[Window, ...]]:
        self._fail("windows")
        self.asked.append((until - since) / timedelta(minutes=1))
        now = SWAP + timedelta(seconds=self.clock.seconds)
        told = [each for each in self.rows if each.recorded_at is None or each.recorded_at <= now]
        told = [each for each in told if since < each.window_end <= until]
        newest = {
            (each.window_start, each.version): each for each in sorted(told, key=lambda each: each.recorded_at or SWAP)
        }
        return Answer(tuple(newest.values()), ())


def minute_of(window: Window) -> float:
    return (window.window_start - SWAP) / timedelta(minutes=1)


def run_of(
    rows: Sequence[Window],
    *,
    begins: float = 0,
    clock: FakeClock | None = None,
    candidate: Metrics | None = CANDIDATE,
    **policy: Any,
) -> Any:
    """A run whose swap was at SWAP and whose watch begins so many minutes later; it polls once a minute."""
    clock = clock or FakeClock(seconds=60 * begins)
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


@pytest.mark.parametrize(("minutes", "extension"), [(0.7, 0.1), (30, 1 / 3)])
def test_minutes_that_no_float_holds_end_too(minutes: float, extension: float) -> None:
    """Their sum is the policy's, digit by digit: a watch that came a hair short of it would never end."""
    facts, outcome = watched(run_of([], watch_minutes=minutes, extension_minutes=extension))
    assert (outcome, facts.watched_minutes) == ("inconclusive", pytest.approx(minutes + extension))


def test_an_extension_ends_with_the_look_that_settles_it() -> None:
    """Labels that begin to come at minute 33 settle it at the first look with enough of them, for all of the watch."""
    late = [row(minute, comes=33 + minute / 10) for minute in range(30)]
    facts, outcome = watched(run_of(late))
    assert outcome == "healthy"
    assert facts.watched_minutes is not None
    assert 35 <= facts.watched_minutes <= 37
    assert facts.extended_because is not None
    assert facts.extended_because.startswith("F1 score, Latency p99 and Watched long enough")


@pytest.mark.parametrize("rule", ["exact", "consecutive", "literal"])
def test_metrics_that_stop_are_waited_for_and_never_healthy(rule: str) -> None:
    """Six windows and then nothing: to the end of the extension, and the facts say what was missing."""
    facts, outcome = watched(run_of(HEALTHY[:6], rule=rule))
    assert (outcome, facts.watched_minutes) == ("inconclusive", 60)
    assert facts.extended_because == "Watched long enough: nothing came from minute 6 to 30"


def test_a_gap_that_is_never_filled_stays_open() -> None:
    """Good windows before and after it do not tell of the minutes between."""
    facts, outcome = watched(run_of([each for each in HEALTHY if not 10 <= minute_of(each) < 20]))
    assert (outcome, facts.watched_minutes) == ("inconclusive", 60)
    assert facts.extended_because == "Watched long enough: nothing came from minute 10 to 20"


def test_rows_that_come_late_are_waited_for() -> None:
    """The watch goes on until the last of them has come, and no longer."""
    late = [row(minute, comes=max(minute + 2, 41) if minute >= 6 else None) for minute in range(30)]
    facts, outcome = watched(run_of(late))
    assert outcome == "healthy"
    assert facts.watched_minutes is not None
    assert 41 <= facts.watched_minutes <= 42
    said = decide(facts, Policy()).sentence
    assert "before, nothing could be concluded: Watched long enough: nothing came from minute 6 to 30." in said


def test_a_drop_in_rows_that_come_late_is_rolled_back() -> None:
    """Silence may hide a regression: once its rows come it is acted on."""
    hidden = [row(minute, comes=41, tp=11, fp=6, fn=5) for minute in range(6, 20)]
    facts, outcome = watched(run_of([*HEALTHY[:6], *hidden]))
    assert outcome == "regressed"
    assert (facts.watched_minutes or 0) <= 42


GONE = WarehouseError("Query watch_windows failed: 250003: gone.")
AWAY = Unreachable("The warehouse at 127.0.0.1:1 does not answer: is it up?")


@pytest.mark.parametrize("error", [GONE, AWAY])
@pytest.mark.parametrize("question", ["windows", "versions"])
def test_a_look_that_fails_is_followed_by_the_next(error: RetrainError, question: str) -> None:
    """Production has changed: the watch goes on, at its pace, and the record says how often it could not look."""
    run = run_of(HEALTHY)
    run.warehouse.fails = lambda asked, minute: error if asked == question and 0 <= minute < 12 else None
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes, facts.unanswered_since) == ("healthy", 30, None)
    assert 12 <= facts.failed_looks < 40
    assert facts.last_failure == str(error)
    (said,) = decide(facts, Policy()).deviations
    assert said.startswith(f"the watch: {facts.failed_looks} looks at MODEL_METRICS failed, the last with: ")
    assert max(run.clock.slept) <= 60


@pytest.mark.parametrize("since", [0, 20, 29.5, 31])
def test_a_warehouse_that_never_comes_back_leaves_it_open(since: float) -> None:
    """Looked for until the extension is over, never healthy, and the verdict says why."""
    run = run_of(HEALTHY[:26] if since == 31 else HEALTHY)
    run.warehouse.fails = lambda asked, minute: GONE if minute >= since else None
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes) == ("inconclusive", 60)
    assert since <= (facts.unanswered_since or 0) <= since + 1
    assert 65 * 60 <= run.clock.monotonic() <= 67 * 60
    sentence = decide(facts, run.policy).sentence
    assert "the warehouse has not answered since minute" in sentence
    assert "Query watch_windows failed: 250003: gone" in sentence


def test_a_warehouse_that_comes_back_late_is_asked_for_what_it_holds() -> None:
    """Away from minute 20 to 50: the rows of the half hour are there, and no minute more is needed."""
    run = run_of(HEALTHY)
    run.warehouse.fails = lambda asked, minute: GONE if 20 <= minute < 50 else None
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes, facts.extended_because) == ("healthy", 30, None)
    assert 50 * 60 <= run.clock.monotonic() <= 52 * 60


def test_a_query_that_fails_at_the_very_end_is_asked_again() -> None:
    """Without an extension too: one failure settles nothing."""
    run = run_of(HEALTHY, extension_minutes=0)
    run.warehouse.fails = lambda asked, minute: GONE if 30 <= minute < 32 else None
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes) == ("healthy", 30)


def test_queries_that_take_long_to_fail_are_not_blamed_on_the_clock() -> None:
    """Each takes twenty minutes until its time-out: the bound is passed, and the clock was right."""
    run = run_of(HEALTHY)

    def slowly(asked: str, minute: float) -> RetrainError | None:
        if minute < 10:
            return None
        run.clock.sleep(20 * 60)
        return GONE

    run.warehouse.fails = slowly
    facts, outcome = watched(run)
    assert (outcome, facts.overran_minutes) == ("inconclusive", None)
    assert 3 <= facts.failed_looks <= 4


def test_a_drop_behind_a_failure_is_acted_on_when_it_is_seen() -> None:
    """The first look that is answered sees it."""
    run = run_of([row(minute, tp=11, fp=6, fn=5) for minute in range(30)])
    run.warehouse.fails = lambda asked, minute: GONE if minute < 9 else None
    _, outcome = watched(run)
    assert outcome == "regressed"
    assert run.clock.monotonic() <= 11 * 60


def test_a_watch_begun_again_hours_later_waits_for_the_warehouse_too() -> None:
    """The minutes after the swap are long over: it looks as long as a watch may last."""
    run = run_of(HEALTHY, begins=240)
    run.warehouse.fails = lambda asked, minute: GONE if minute < 250 else None
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes) == ("healthy", 30)


def test_a_wrong_column_ends_the_watch_at_once() -> None:
    """No waiting mends it."""
    run = run_of(HEALTHY)
    run.warehouse.fails = lambda asked, minute: UsageError("no column") if minute > 3 else None
    with pytest.raises(UsageError, match="no column"):
        watched(run)
    assert run.clock.monotonic() <= 5 * 60


class SetBack(FakeClock):
    """A clock whose instant goes back by ``by`` seconds at second ``at`` (or stands from then on); its seconds do not.

    MODEL_METRICS is written by other machines: their time goes on.
    """

    at, by = 20 * 60.0, 0.0

    def now(self) -> datetime:
        stands = min(self.seconds, self.at) if not self.by else self.seconds - self.by * (self.seconds >= self.at)
        return SWAP + timedelta(seconds=stands)


@pytest.mark.parametrize("by", [0, 7200])
def test_a_clock_that_is_set_back_prolongs_the_watch_to_its_bound_and_no_further(by: float) -> None:
    """Ended after its minutes and its extension by a clock that never goes back, with all that has come, and said."""
    run = run_of([each for each in HEALTHY if minute_of(each) < 45], clock=(clock := SetBack()))
    clock.by = by
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes) == ("healthy", 60)
    assert 65 * 60 <= run.clock.monotonic() <= 67 * 60
    assert "minutes by a clock that never goes back" in " ".join(decide(facts, run.policy).deviations)


@pytest.mark.parametrize(("rows", "fails"), [(25, False), (60, True)])
def test_a_watch_that_overran_without_windows_or_answers_is_open(rows: int, fails: bool) -> None:
    """What does not cover the watch is no health, however long it lasted."""
    run = run_of(HEALTHY[:rows], clock=SetBack())
    run.warehouse.fails = lambda asked, minute: GONE if fails and minute > 25 else None
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes) == ("inconclusive", 60)
    assert 65 <= (facts.overran_minutes or 0) <= 67


def test_a_clock_that_is_set_back_a_little_only_costs_its_minutes() -> None:
    """No bound is reached, and no window that was seen is forgotten meanwhile."""
    run = run_of(HEALTHY, clock=(clock := SetBack()))
    clock.by = 600
    facts, outcome = watched(run)
    assert (outcome, facts.watched_minutes, facts.overran_minutes) == ("healthy", 30, None)
    assert run.warehouse.asked == sorted(run.warehouse.asked)
    assert 40 * 60 <= run.clock.monotonic() <= 42 * 60


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


def test_each_look_is_judged_by_what_it_knew() -> None:
    """Two windows for which few labels come, all bad, known only with ten good ones: no drop; alone they are one."""
    thin = [row(minute, comes=13, tp=0, fp=2, fn=2) for minute in range(2)]
    good = [row(minute, comes=max(13, minute + 2), tp=21, fp=1, fn=0) for minute in range(2, 30)]
    facts, outcome = watched(run_of([*thin, *good]))
    assert outcome == "healthy"
    assert facts.looks[0].window_end == SWAP + timedelta(minutes=12)
    assert facts.looks[0].tp == 10 * 21
    at_once = [each.model_copy(update={"recorded_at": SWAP + timedelta(minutes=3)}) for each in thin]
    _, outcome = watched(run_of([*at_once, *good]))
    assert outcome == "regressed"


def test_the_looks_are_those_that_came_and_give_the_verdict_again() -> None:
    """Half the labels first, the rest six minutes later: sums grow, and the record alone brings the verdict again."""
    halves = [row(minute, tp=6, fp=3, fn=2, tn=39) for minute in range(30)]
    wholes = [row(minute, comes=minute + 6, tp=12, fp=6, fn=4) for minute in range(30)]
    run = run_of([*halves, *wholes])
    facts, outcome = watched(run)
    verdict = decide(facts, run.policy)
    assert outcome == "regressed"
    assert "a drop was seen at minute" in verdict.checks[0].reason
    assert [look.tp for look in facts.looks] == sorted({look.tp for look in facts.looks})
    assert facts.looks[-1].tp == sum(window.tp or 0 for window in facts.windows or ())
    assert decide(Facts.model_validate_json(facts.model_dump_json()), run.policy) == verdict


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


@pytest.mark.parametrize("candidate", [CANDIDATE, CANDIDATE.model_copy(update={"version": None})])
def test_rows_that_name_no_version_count_by_their_time(candidate: Metrics) -> None:
    """Good ones are health and bad ones a regression, whether or not the candidate's version is known; it is said."""
    good = [row(minute, version=None) for minute in range(60)]
    facts, outcome = watched(run_of(good, candidate=candidate))
    assert (outcome, len(facts.windows or ()), facts.other_windows) == ("healthy", 29, 0)
    assert "29 windows name no version: counted by its time" in " ".join(decide(facts, Policy()).deviations)
    bad = [row(minute, version=None, tp=11, fp=6, fn=5) for minute in range(30)]
    facts, outcome = watched(run_of(bad, candidate=candidate))
    assert (outcome, len(facts.windows or ())) == ("regressed", 2)


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


def test_the_course_has_sums_where_they_were_known() -> None:
    """Windows that became known with a later one have none of their own, nor do they borrow an F1."""
    rows = [row(minute, comes=max(minute + 2, 4)) for minute in range(30)]
    facts, _ = watched(run := run_of(rows))
    *_, third, second, first = steps.course(run, facts)
    assert (third["events so far"], third["F1 so far"]) == (66, pytest.approx(0.9))
    assert (second["events so far"], second["F1 so far"], first["F1 so far"]) == (None, None, None)


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
