"""Bounds, against statsmodels and published figures."""

import math

import numpy
import pytest
from scipy import special, stats
from statsmodels.stats.proportion import proportion_confint

from retrain.statistics import intervals

COUNTS = [(0, 1), (1, 1), (0, 100), (100, 100), (1, 100), (50, 100), (860, 1000), (3, 299), (9_990, 10_000)]


@pytest.mark.parametrize(("successes", "trials"), COUNTS)
def test_clopper_pearson_is_that_of_statsmodels(successes, trials):
    """The exact two-sided interval agrees to 1e-9."""
    expected = proportion_confint(successes, trials, alpha=0.05, method="beta")
    assert intervals.clopper_pearson(successes, trials) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), COUNTS)
def test_wilson_is_that_of_statsmodels(successes, trials):
    """Wilson's interval agrees to 1e-9."""
    expected = proportion_confint(successes, trials, alpha=0.05, method="wilson")
    assert intervals.wilson(successes, trials) == pytest.approx(expected, abs=1e-9)


def test_one_side_is_the_two_sided_bound_at_twice_the_risk():
    """The one-sided 95 % bound is the two-sided 90 % one."""
    low, high = intervals.clopper_pearson(86, 100, 0.90)
    assert intervals.lower_bound(86, 100, 0.95) == pytest.approx(low)
    assert intervals.upper_bound(86, 100, 0.95) == pytest.approx(high)


def test_nothing_tried_proves_nothing():
    """No trials leave every share possible."""
    assert intervals.clopper_pearson(0, 0) == (0, 1)
    assert intervals.wilson(0, 0) == (0, 1)


def test_ten_million_trials():
    """Large counts neither overflow nor take long."""
    low, high = intervals.clopper_pearson(8_600_000, 10_000_000)
    expected = proportion_confint(8_600_000, 10_000_000, method="beta")
    assert (low, high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("slow", "needed"), [(0, 299), (1, 473)])
def test_what_proves_a_p99(slow, needed):
    """299 requests with none slow prove p99 < 1 s at 95 %, 473 with one; one request fewer does not."""
    assert intervals.requests_to_prove(slow) == needed
    assert intervals.slow_share_upper(slow, needed) <= 0.01 < intervals.slow_share_upper(slow, needed - 1)


def test_what_a_hundred_requests_prove():
    """0 slow of 100 proves ≤ 2.95 % slow."""
    assert round(100 * intervals.slow_share_upper(0, 100), 2) == 2.95


def test_f1_goes_through_j_and_back():
    """F1 = 2J / (1 + J) and J = F1 / (2 − F1) undo each other, and the interval holds the figure."""
    for f1 in (0.0, 0.2, 0.83, 0.88, 1.0):
        assert intervals.f1_of(intervals.jaccard_of(f1)) == pytest.approx(f1, abs=1e-15)
    low, high = intervals.f1_interval(880, 120, 130)
    assert low < 2 * 880 / (2 * 880 + 250) < high


def test_bounds_of_a_difference_are_the_far_ends():
    """The difference lies between the ends that are furthest apart, whatever the two have in common."""
    assert intervals.difference_bounds((0.5, 0.75), (0.25, 0.625)) == (-0.125, 0.5)


def test_the_sample_that_would_prove_a_floor():
    """At the number returned the bound has reached the floor; a share at the floor never proves it."""
    needed = intervals.trials_to_prove(0.86, 0.85)
    assert needed is not None
    assert intervals.lower_bound(math.floor(0.86 * needed + 1e-9), needed) >= 0.85
    assert intervals.lower_bound(math.floor(0.86 * needed / 2), needed // 2) < 0.85
    assert intervals.trials_to_prove(0.85, 0.85) is None
    assert intervals.fewest(lambda trials: False) is None


@pytest.mark.parametrize("error", [0.0, 0.001, 0.25])
def test_normal_bounds_are_those_of_scipy(error):
    """Each end is a one-sided bound: to 1e-9."""
    low, high = intervals.normal_bounds(0.1, error, 0.95)
    expected = (0.1, 0.1) if error == 0 else stats.norm.interval(0.9, 0.1, error)
    assert (low, high) == pytest.approx(expected, abs=1e-9)


def test_auc_bounds_are_the_chernoff_bounds_of_the_smaller_class():
    """At each end k·KL(auc ‖ end) is log(2 / (1 − confidence)), by scipy's relative entropy: to 1e-9."""
    for end in intervals.auc_bounds(0.9, 70, 400, 0.95):
        divergence = special.rel_entr(0.9, end) + special.rel_entr(0.1, 1 - end)
        assert 70 * divergence == pytest.approx(math.log(40), abs=1e-9)


@pytest.mark.parametrize("counts", [(80, 10, 11), (1, 0, 0), (0, 3, 2), (880, 120, 130)])
def test_the_interval_of_f1_is_that_of_j_carried_over(counts):
    """Clopper and Pearson's interval of TP among TP + FP + FN by statsmodels, through F1 = 2J / (1 + J): to 1e-9."""
    ends = proportion_confint(counts[0], sum(counts), alpha=0.05, method="beta")
    expected = tuple(2 * end / (1 + end) for end in ends)
    assert intervals.f1_interval(*counts) == pytest.approx(expected, abs=1e-9)


def test_auc_bounds_hold_and_narrow():
    """The bound on an AUC-ROC covers the truth in simulation, and shrinks with the smaller class."""
    generator, truth, outside = numpy.random.default_rng(1), 0.760249938906523, 0  # Φ(1/√2)
    for _ in range(200):
        positives, negatives = generator.normal(1, 1, 40), generator.normal(0, 1, 40)
        auc = float((positives[:, None] > negatives).mean())
        low, high = intervals.auc_bounds(auc, 40, 40)
        outside += not low <= truth <= high
    assert outside <= 10
    wide, narrow = intervals.auc_bounds(0.95, 100, 10_000), intervals.auc_bounds(0.95, 1_000, 10_000)
    assert wide[0] < narrow[0] < 0.95 < narrow[1] < wide[1]
    assert intervals.auc_bounds(0.95, 0, 10) == (0, 1)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: intervals.lower_bound(2, 1),
        lambda: intervals.upper_bound(-1, 1),
        lambda: intervals.clopper_pearson(1, 2, 1.5),
        lambda: intervals.auc_bounds(1.2, 1, 1),
        lambda: intervals.requests_to_prove(0, share=0),
        lambda: intervals.normal_bounds(0.1, -1e-9),
        lambda: intervals.normal_bounds(0.1, 1, 1.0),
    ],
)
def test_impossible_arguments_are_refused(mistake):
    """A mistake in the arguments is a ValueError, not a number."""
    with pytest.raises(ValueError, match=r"count|confidence|cannot be|share"):
        mistake()
