"""False retrainings a year: the formula is checked against the library's own simulation of years."""

import numpy
import pytest
from scipy import stats

from retrain.statistics.false_triggers import chance_below, false_retrainings_a_year
from retrain.statistics.operating import false_f1_triggers

SHARES = (0.176, 0.024, 0.024, 0.776)
RARE = (0.044, 0.006, 0.006, 0.944)


def stated(labels, shares=SHARES, drop=0.05, **changed):
    plain = {"window_days": 7, "minimum_labels": 300, "rest_hours": 0}
    return false_retrainings_a_year(labels_a_day=labels, shares=shares, limit=0.88 - drop, **(plain | changed))


@pytest.mark.parametrize("expected", [(60.0, 16.0), (400.0, 109.0), (4.0, 1.0), (900.0, 300.0), (30.0, 20.0)])
@pytest.mark.parametrize("limit", [0.8, 0.83, 0.87])
def test_the_chance_of_one_look_is_that_of_the_counts(expected, limit):
    """Summed over every pair of Poisson counts, as decide judges them; the formula smooths over their steps."""
    good, bad = expected
    errors = numpy.arange(1, 3000)
    most = numpy.ceil(limit / (2 - limit) / (1 - limit / (2 - limit)) * errors - 1e-9) - 1
    exact = float((stats.poisson.pmf(errors, bad) * stats.poisson.cdf(most, good)).sum())
    found = chance_below(limit, true_positives=good, errors=bad)
    assert found == pytest.approx(exact, rel=0.15, abs=0.06 if good < 10 else 1e-9)


@pytest.mark.parametrize(
    ("labels", "shares", "rest_hours"),
    [(50, SHARES, 0), (100, SHARES, 0), (200, SHARES, 0), (200, SHARES, 72), (500, RARE, 0), (1000, RARE, 0)],
)
def test_it_is_about_what_simulated_years_show(labels, shares, rest_hours):
    """Within a quarter, and what two hundred years leave open."""
    found = false_f1_triggers(
        numpy.random.default_rng(8),
        runs=200,
        steps=8760,
        labels_a_step=labels / 24,
        shares=shares,
        window_steps=168,
        rest_steps=rest_hours,
        minimum_labels=300,
        limit=0.83,
    )
    assert found.sum() > 50
    open_ = 3 * found.std() / len(found) ** 0.5
    assert stated(labels, shares, rest_hours=rest_hours) == pytest.approx(found.mean(), rel=0.25, abs=open_)


def test_more_labels_a_wider_tolerance_and_a_longer_rest_mean_fewer():
    """Each alone, strictly."""
    by_labels = [stated(labels) for labels in (100, 200, 500, 1000, 3000)]
    assert by_labels == sorted(by_labels, reverse=True)
    assert stated(200, drop=0.08) < stated(200) < stated(200, drop=0.03)
    assert stated(500, rest_hours=96) < stated(500)


def test_where_no_verdict_is_given_none_is_false():
    """Too few labels in a whole window, and a limit that nothing lies below."""
    assert stated(42) == 0
    assert stated(1000, drop=0.88) == 0
    assert 0 <= stated(10_000_000) < 1e-3


@pytest.mark.parametrize(("shares", "least"), [((0.2, 0.0, 0.0, 0.8), 0), ((0.0, 0.2, 0.0, 0.8), 1)])
def test_a_model_without_errors_and_one_without_hits(shares, least):
    """Never, and always: at every first look again."""
    found = stated(1000, shares)
    assert found == 0 if least == 0 else found > 300
