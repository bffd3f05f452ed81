"""Waiting for a training: looks that back off, an end that is noticed within one poll, a deadline that is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from fake_world import Entry, FakeClock
from retrain.clock import Pace
from retrain.facts import Effect
from retrain.sections.training import Policy
from retrain.service.client import Service
from retrain.steps.training import Waited, seen, wait

BEGUN = Effect(effect="training", sent=True, outcome="applied", observed_by="attested")


@dataclass
class Cells:
    """What the cells of the training section know of their run."""

    service: Service
    clock: FakeClock
    policy: Policy = field(default_factory=Policy)
    said: list[dict[str, Any]] = field(default_factory=list)
    told: list[Entry] = field(default_factory=list)

    @property
    def folder(self) -> Any:
        return SimpleNamespace(entries=lambda: self.told)

    def say(self, kind: str, **body: Any) -> None:
        self.said.append({"kind": kind, **body})

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        yield


def waited(
    answer: Callable[[float], httpx.Response],
    *,
    seed: int = 1,
    live: Callable[[str], None] = lambda _: None,
    record: list[Entry] | None = None,
    **policy: Any,
) -> tuple[Waited, list[float], list[float]]:
    """Wait for a service that answers by the clock; return how it ended, when it was looked at, and the pauses."""
    clock, looks = FakeClock(), []

    def told(request: httpx.Request) -> httpx.Response:
        looks.append(clock.seconds)
        return answer(clock.seconds)

    service = Service(base_url="http://fake", transport=httpx.MockTransport(told), clock=clock)
    run: Any = Cells(service, clock, Policy(**policy), told=record or [])
    ended = wait(run, BEGUN, live, pace=Pace(run.policy.poll_seconds, chance=Random(seed)))  # noqa: S311
    return ended, looks, clock.slept


def until(end: float, **headers: str) -> Callable[[float], httpx.Response]:
    """A training that completes at ``end``."""
    return lambda now: httpx.Response(200, json={"status": "completed" if now >= end else "running"}, headers=headers)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("end", [0.0, 0.1, 4.0, 40.0, 1_000.0])
def test_the_end_is_noticed_within_one_poll(end: float, seed: int) -> None:
    """However long it took and whatever the jitter: not a poll later."""
    ended, looks, _ = waited(until(end), seed=seed, poll_seconds=15)
    assert ended.status is not None
    assert ended.status.phase == "completed"
    assert end <= looks[-1] <= end + 15
    assert not ended.deadline_passed


def test_looks_back_off_with_jitter_and_a_seed_makes_them_exact() -> None:
    """Each pause is what the pace says, drawn from the seed that was handed in; none is twice the same."""
    _, _, pauses = waited(until(100.0), seed=7, poll_seconds=15)
    pace = Pace(15, chance=Random(7))  # noqa: S311
    assert pauses == [pace.pause() for _ in pauses]
    assert len(set(pauses)) == len(pauses) > 5
    assert pauses[0] < 2 < 11 < pauses[-1] <= 15


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"retry-after": "40"}, 40.0),
        ({"retry-after": "3600"}, 60.0),
        ({"retry-after": "Sun, 09 Jun 2013 00:00:30 GMT", "date": "Sun, 09 Jun 2013 00:00:00 GMT"}, 30.0),
        ({"retry-after": "Mon, 10 Jun 2013 00:00:00 GMT", "date": "Sun, 09 Jun 2013 00:00:00 GMT"}, 60.0),
    ],
)
def test_a_running_training_that_asks_to_be_left_alone_is_left_alone(headers: dict[str, str], asked: float) -> None:
    """Retry-After beside a status, in seconds or as a date, up to a minute."""
    _, _, pauses = waited(until(200.0, **headers), poll_seconds=15)
    assert set(pauses) == {asked}


def test_an_overloaded_service_that_asks_to_be_left_alone_is_left_alone() -> None:
    """503 with Retry-After: after the reads of one look, the wait goes on no sooner than was asked."""
    busy = httpx.Response(503, headers={"retry-after": "20"})
    ended, looks, pauses = waited(lambda now: busy if now < 100 else until(100)(now), poll_seconds=15)
    assert ended.status is not None
    assert ended.status.phase == "completed"
    assert 20.0 in pauses
    assert [pause for pause in pauses if pause not in (10.0, 20.0)] == []  # 10 s: within one look (see the wire)
    assert looks[-1] <= 100 + 20


@pytest.mark.parametrize("answer", [until(1e9), until(1e9, **{"retry-after": "50"}), lambda now: httpx.Response(404)])
def test_the_deadline_is_kept_to_the_second(answer: Callable[[float], httpx.Response]) -> None:
    """The last look is at the deadline, not a pause later, whatever the service asks for or fails to tell."""
    ended, looks, _ = waited(answer, poll_seconds=15, deadline_minutes=2)
    assert ended.deadline_passed
    assert looks[-1] == pytest.approx(120)
    assert ended.seconds == pytest.approx(120)


def test_a_look_that_fails_is_not_the_end_and_keeps_what_was_known() -> None:
    """Progress is shown from the last status that could be read."""
    shown: list[str] = []

    def answer(now: float) -> httpx.Response:
        if 1 < now < 30:
            return httpx.Response(418)
        return httpx.Response(200, json={"status": "completed" if now >= 30 else "running", "progress": 0.4})

    ended, _, _ = waited(answer, live=shown.append, poll_seconds=15)
    assert ended.status is not None
    assert ended.status.phase == "completed"
    assert {line.partition(" ")[2] for line in shown[:-1]} == {"40% running"}


def test_nothing_is_waited_for_where_no_training_began() -> None:
    """No look, no pause."""
    clock = FakeClock()
    run: Any = Cells(
        Service(base_url="http://fake", transport=httpx.MockTransport(lambda _: 1 / 0), clock=clock), clock
    )
    assert wait(run, Effect(effect="training"), lambda _: None) == Waited(None, None, 0.0, deadline_passed=False)


def begun(*kinds: str, job: str | None = "job-7", answered: str = "job-7") -> list[Entry]:
    """What the record holds of a training that was seen to begin as ``job``, and whose answer named a job."""
    bodies: dict[str, dict[str, Any]] = {
        "sent": {"answer": {"json": {"job_id": answered}}},
        "outcome": {"outcome": "applied", "seen": {"phase": "running", "job_id": job}},
        "unsettled": {"outcome": "unresolved"},
        "resolved": {"outcome": "applied"},
    }
    named = {"unsettled": "outcome"}
    return [
        Entry(number, named.get(kind, kind), FakeClock().now(), {"effect": "training", **bodies[kind]})
        for number, kind in enumerate(kinds, 1)
    ]


def one_after_the_other(now: float) -> httpx.Response:
    """The run's own training for twenty seconds, then another's for a thousand, which completes."""
    own = {"job_id": "job-7", "status": "running"}
    others = {"job_id": "job-8", "status": "running" if now < 1_000 else "completed"}
    return httpx.Response(200, json=own if now < 20 else others)


def test_another_job_ends_the_wait_and_is_told() -> None:
    """What this run's training came to is not to be had any more: nobody waits for the end of another's."""
    ended, looks, _ = waited(one_after_the_other, record=begun("sent", "outcome"))
    told = seen(ended)
    assert (told["triggered_job"], told["job_id"], told["status"]) == ("job-7", "job-8", "running")
    assert not ended.deadline_passed
    assert looks[-1] < 20 + 15


@pytest.mark.parametrize(
    ("record", "job"),
    [
        (begun("sent", "outcome"), "job-7"),
        (begun("sent", "outcome", answered="job-9"), "job-7"),
        (begun("sent", "unsettled", "resolved"), "job-7"),
        (begun("sent", "unsettled", "resolved", "sent", "outcome", answered="job-9"), "job-7"),
        (begun("sent", "outcome", job=None), None),
        (begun("resolved"), None),
        ([], None),
    ],
    ids=["seen", "seen, not named", "a person's word", "the newest", "none told", "no answer", "nothing"],
)
def test_the_job_of_a_training_is_the_one_that_it_was_seen_as(record: list[Entry], job: str | None) -> None:
    """Where a person settled it, it is the one that the answer named; a service that tells none is waited for so."""
    ended, _, _ = waited(until(0.0), record=record)
    assert (ended.job, seen(ended)["triggered_job"]) == (job, job)


def test_a_service_that_tells_no_jobs_is_waited_for_to_the_end() -> None:
    """Four endpoints: the status is all there is."""
    ended, looks, _ = waited(until(40.0), record=begun("sent", "outcome", job=None))
    assert seen(ended)["status"] == "completed"
    assert seen(ended)["job_id"] is None
    assert looks[-1] >= 40
