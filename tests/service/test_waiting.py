"""Waiting for a training: looks that back off, an end that is noticed within one poll, a deadline that is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest

from fake_world import FakeClock
from retrain.clock import Pace
from retrain.facts import Effect
from retrain.sections.training import Policy
from retrain.service.client import Service
from retrain.steps.training import Waited, wait

BEGUN = Effect(effect="training", sent=True, outcome="applied", observed_by="attested")


@dataclass
class Cells:
    """What the cells of the training section know of their run."""

    service: Service
    clock: FakeClock
    policy: Policy = field(default_factory=Policy)
    said: list[dict[str, Any]] = field(default_factory=list)

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
    **policy: Any,
) -> tuple[Waited, list[float], list[float]]:
    """Wait for a service that answers by the clock; return how it ended, when it was looked at, and the pauses."""
    clock, looks = FakeClock(), []

    def told(request: httpx.Request) -> httpx.Response:
        looks.append(clock.seconds)
        return answer(clock.seconds)

    service = Service(base_url="http://fake", transport=httpx.MockTransport(told), clock=clock)
    run: Any = Cells(service, clock, Policy(**policy))
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
    assert {line.split("` ")[1] for line in shown[:-1]} == {"40% running"}


def test_nothing_is_waited_for_where_no_training_began() -> None:
    """No look, no pause."""
    clock = FakeClock()
    run: Any = Cells(
        Service(base_url="http://fake", transport=httpx.MockTransport(lambda _: 1 / 0), clock=clock), clock
    )
    assert wait(run, Effect(effect="training"), lambda _: None) == Waited(None, 0.0, deadline_passed=False)
