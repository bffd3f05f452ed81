"""Rules of bad windows in a row: exact rates, as a simulation and full enumeration find them."""

import itertools
import math
from fractions import Fraction

import numpy
import pytest
from scipy import stats

from retrain.hindsight.traffic import judge_watch
from retrain.sections.post_deploy_monitoring import Policy
from retrain.statistics.in_a_row import chance_f1_below, chance_f1_below_of, chance_in_a_row, chance_p99_slow
from retrain.statistics.intervals import jaccard_of
from retrain.statistics.operating import rows_of_traffic

LIMIT = Fraction(83, 100)


@pytest.mark.parametrize("needed", [1, 2, 3, 6])
def test_rows_are_counted_as_enumeration_counts_them(needed):
    """All 2⁵ courses of five windows, each with a chance of its own; more in a row than windows never come."""
    chances = (0.2, 0.5, 0.9, 0.4, 0.7)
    total = 0.0
    for course in itertools.product((False, True), repeat=5):
        runs = [len(list(group)) for bad, group in itertools.groupby(course) if bad]
        if max(runs, default=0) >= needed:
            total += math.prod(chance if bad else 1 - chance for chance, bad in zip(chances, course, strict=True))
    assert chance_in_a_row(chances, needed) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("events", [0, 1, 7, 22, 100])
@pytest.mark.parametrize("f1", [0.83, 0.88, 0.7])
def test_a_window_is_bad_as_often_as_the_binomial_says(events, f1):
    """Every number of true positives, judged by its own F1; no events are not bad."""
    share = jaccard_of(f1)
    bad = [tp for tp in range(events + 1) if events and Fraction(2 * tp, tp + events) < LIMIT]
    expected = sum(stats.binom.pmf(tp, events, share) for tp in bad)
    assert chance_f1_below(LIMIT, events=events, jaccard=share) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("requests", "allowed"), [(1, 0), (99, 0), (100, 1), (250, 2)])
def test_a_p99_is_slow_beyond_the_nearest_rank(requests, allowed):
    """One of a hundred may be slow, none of 99; no requests are not slow."""
    expected = stats.binom.sf(allowed, requests, 0.005)
    assert chance_p99_slow(requests=requests, share=0.005) == pytest.approx(expected, rel=1e-9)
    assert chance_p99_slow(requests=0, share=0.5) == 0


@pytest.mark.parametrize(("rule", "needed"), [("literal", 1), ("consecutive", 3)])
def test_the_rates_are_those_of_the_simulated_watch(rule, needed):
    """A hundred labelled rows a minute, 22 events: what the record states is what the benchmark's machinery finds."""
    share, runs = jaccard_of(0.88), 20_000
    shares = (0.22 * share, 0.22 * (1 - share), 0.0, 0.78)
    rng = numpy.random.default_rng(16)
    rows = rows_of_traffic(rng, runs=runs, windows=30, rows=100, shares=shares)
    slow = rng.binomial(100, 0.005, size=(runs, 30))
    found = judge_watch(Policy(rule=rule), baseline=0.88, rows=rows, slow=slow, requests=100)
    by_f1 = chance_f1_below_of(100, LIMIT, event_share=0.22, jaccard=share)
    stated = (
        chance_in_a_row([by_f1] * 30, needed),
        chance_in_a_row([chance_p99_slow(requests=100, share=0.005)] * 30, needed),
    )
    for rate, seen in zip(stated, (found.f1_seen, found.latency_seen), strict=True):
        assert (seen > 0).mean() == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / runs))
