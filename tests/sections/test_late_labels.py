"""Labels that come late: what is judged is all that was known at a look, so that the stated chance holds.

A healthy model is simulated, its labels exponentially late and looked at once a minute for an hour. To test the windows
again at every look, one after the other, as they are told by then (the rule up to edition 2) rolls back more than is
stated: it tests sums that never stood.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

import numpy
import pytest

from retrain.facts import Window
from retrain.judgement.watching import F1_CONCENTRATION
from retrain.sections.post_deploy_monitoring import EDITION, Facts, Policy, decide, looked
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.operating import acts_from, fewest_below, first

SWAP = datetime(2013, 6, 9, 3, tzinfo=UTC)
BASELINE, MINUTES, EVENTS, DELAY_MINUTES, RUNS = 0.88, 60, 22, 20, 1000
POLICY = Policy(extension_minutes=MINUTES)
SHARE = POLICY.false_rollback_rate / 2
"""F1's share of the stated chance."""


class Labelled(NamedTuple):
    """Events of healthy models, runs × windows × events: the minute at which each was known, and whether it is bad."""

    known_at: numpy.ndarray
    bad: numpy.ndarray

    def counts(self, minute: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Events and bad ones of each window (runs × windows), as they are told by a minute."""
        known = self.known_at <= minute
        return known.sum(axis=2), (known & self.bad).sum(axis=2)


class Acted(NamedTuple):
    """The minute in which each run is rolled back, 0 for never: by all that is known, and by each window again."""

    by_all_known: numpy.ndarray
    by_each_window_again: numpy.ndarray


@pytest.fixture(scope="module")
def labelled() -> Labelled:
    rng = numpy.random.default_rng(2013)
    ends = numpy.arange(1, MINUTES + 1)[None, :, None]
    happened = ends - rng.random((RUNS, MINUTES, EVENTS))
    known_at = numpy.maximum(happened + rng.exponential(DELAY_MINUTES, happened.shape), ends)
    return Labelled(numpy.ceil(known_at), rng.random(happened.shape) > jaccard_of(BASELINE))


@pytest.fixture(scope="module")
def acted(labelled: Labelled) -> Acted:
    numbers, limit = numpy.arange(MINUTES * EVENTS + 1), Fraction("0.83")
    beyond_chance = acts_from(numbers, 1 - jaccard_of(BASELINE), alpha=SHARE, concentration=F1_CONCENTRATION)
    needed = numpy.maximum(beyond_chance, fewest_below(numbers, limit / (2 - limit)))
    by_all, by_window = [], []
    for minute in range(1, MINUTES + 1):
        events, bad = (each.cumsum(axis=1) for each in labelled.counts(minute))
        acts = (bad >= needed[events]) & (events > 0)
        by_all.append(acts[:, -1])
        by_window.append(acts.any(axis=1))
    return Acted(first(numpy.stack(by_all, axis=1)), first(numpy.stack(by_window, axis=1)))


def test_late_labels_leave_the_stated_chance_as_it_is(acted: Acted) -> None:
    """And the old rule exceeded it: a control that the simulation tells the two apart."""
    assert 0 < (acted.by_all_known > 0).mean() <= SHARE
    assert (acted.by_each_window_again > 0).mean() > SHARE


def windows_at(labelled: Labelled, minute: int) -> tuple[Window, ...]:
    """What MODEL_METRICS tells of the one run at a minute."""
    told = zip(*(each[0, :minute].tolist() for each in labelled.counts(minute)), strict=True)
    return tuple(
        Window(
            window_start=SWAP + timedelta(minutes=start),
            window_end=SWAP + timedelta(minutes=start + 1),
            version="v2",
            tp=events - bad,
            fp=bad,
            fn=0,
        )
        for start, (events, bad) in enumerate(told)
    )


def regresses(labelled: Labelled, run: int, *, edition: int) -> int:
    """The first minute in which ``decide`` finds a regression, looked at every minute; 0 for never."""
    alone = Labelled(*(each[run : run + 1] for each in labelled))
    facts = Facts(swapped_at=SWAP, candidate_version="v2", baseline_f1=BASELINE, edition=edition)
    for minute in range(1, MINUTES + 1):
        facts = facts.model_copy(update={"watched_minutes": minute, "windows": windows_at(alone, minute)})
        facts = facts.model_copy(update={"looks": looked(facts)})
        if decide(facts, POLICY).outcome == "regressed":
            return minute
    return 0


def test_decide_is_the_rule_that_was_simulated(labelled: Labelled, acted: Acted) -> None:
    """Minute by minute: in runs that it rolls back, in runs that only the old rule does, in one that neither does."""
    both, none = numpy.flatnonzero(acted.by_all_known), numpy.flatnonzero(acted.by_each_window_again == 0)
    old_alone = numpy.flatnonzero((acted.by_all_known == 0) & (acted.by_each_window_again > 0))
    for run in (*both[:2], *old_alone[:2], none[0]):
        assert regresses(labelled, run, edition=EDITION) == acted.by_all_known[run]
    for run in (both[0], *old_alone[:2]):
        assert regresses(labelled, run, edition=2) == acted.by_each_window_again[run]
