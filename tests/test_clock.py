"""Pauses between looks: short at first, never longer than one poll, spread by chance that can be seeded."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from retrain.clock import EnvironmentClock, Pace


class Fixed(Random):
    """Chance that always says the same share of its range."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.share


def test_pauses_grow_from_an_eighth_to_the_longest_and_stay_there() -> None:
    """Without jitter: half as long again each time, and never more than one poll."""
    pace = Pace(16, chance=Fixed(1.0))
    assert [pace.pause() for _ in range(8)] == [2, 3, 4.5, 6.75, 10.125, 15.1875, 16, 16]


def test_a_pause_is_shortened_by_a_quarter_at_most() -> None:
    """The other end of the jitter."""
    pace = Pace(16, chance=Fixed(0.0))
    assert [pace.pause() for _ in range(3)] == [1.5, 2.25, 3.375]


def test_a_seed_gives_the_same_pauses_again_and_another_seed_gives_others() -> None:
    """So that a test is exact, and two runs do not go on in step."""
    first, again, other = ([Pace(15, chance=Random(seed)).pause() for _ in range(5)] for seed in (1, 1, 2))  # noqa: S311
    assert first == again != other
    assert Pace(15).pause() != Pace(15).pause()


@pytest.mark.parametrize(("asked", "waited"), [(None, 2.0), (1.0, 2.0), (7.5, 7.5), (60.0, 60.0), (86_400.0, 60.0)])
def test_what_the_other_side_asks_for_is_honoured_up_to_a_minute(asked: float | None, waited: float) -> None:
    """And a shorter wish does not shorten the pause."""
    assert Pace(16, chance=Fixed(1.0)).pause(asked=asked) == waited


@pytest.mark.parametrize(("left", "waited"), [(100.0, 60.0), (3.0, 3.0), (0.5, 0.5), (0.0, 0.0), (-1.0, 0.0)])
def test_no_pause_goes_beyond_the_deadline(left: float, waited: float) -> None:
    """Whoever asks for more."""
    assert Pace(16, chance=Fixed(1.0)).pause(asked=90, left=left) == waited


def test_the_environments_now_is_told_in_utc() -> None:
    """Whatever the source's offset."""
    source = datetime.fromisoformat("2013-06-09T04:00:00+02:00")
    assert EnvironmentClock(lambda: source).now() == datetime(2013, 6, 9, 2, tzinfo=UTC)
    assert EnvironmentClock(lambda: source).now().tzinfo is UTC
