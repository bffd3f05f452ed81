"""How often PSI calls by chance: against scipy's chi-squared, and against the simulation of a year."""

import math

import numpy
import pytest
from scipy import stats

from retrain.statistics.false_drift import Histogram, chi_squared_above, false_drift_a_year
from retrain.statistics.operating import false_drift_triggers


@pytest.mark.parametrize("freedom", [0.5, 1, 2, 9, 10.7, 99.5, 1000])
@pytest.mark.parametrize("part", [0.01, 0.5, 0.99, 1.0, 1.01, 1.5, 3.0])
def test_the_chi_squared_tail_agrees_with_scipy(freedom, part):
    """Below, at and above the mean, for whole degrees of freedom and others: to 1e-9."""
    found, expected = chi_squared_above(part * freedom, freedom), stats.chi2.sf(part * freedom, freedom)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_ends_of_the_tail():
    """Everything is above nothing; nothing without freedom is above anything."""
    assert chi_squared_above(0, 3) == 1
    assert chi_squared_above(1, 0) == 0


@pytest.mark.parametrize(("days", "by_maximum", "ceiling"), [(3, False, 0.0185), (3, True, 0.03), (14, False, 0.0038)])
def test_it_agrees_with_a_simulated_year(days, by_maximum, ceiling):
    """At a ceiling low enough to be passed by chance, the expected calls are those of the simulation, within a quarter.

    No verdict is given before the window is full, so that what comes while it fills says nothing.
    """
    rows, reference, features, bins = 300, 20_000, 4, 10
    found = false_drift_triggers(
        numpy.random.default_rng(3),
        runs=150,
        days=365,
        rows_a_day=rows,
        reference_rows=reference,
        features=features,
        bins=bins,
        window_days=days,
        rest_days=days,
        minimum_rows=rows * days,
        ceiling=ceiling,
        by_maximum=by_maximum,
    )
    told = [Histogram(bins + 1, reference, rows * days)] * features  # and one for NULL
    expected = false_drift_a_year(told, ceiling=ceiling, by_maximum=by_maximum, window_days=days)
    assert found.mean() > 1
    assert expected == pytest.approx(found.mean(), rel=0.25)


def test_more_rows_and_a_higher_ceiling_call_less():
    """It falls with the rows on either side and with the ceiling; the runbook's ceiling is never passed by chance."""

    def times(ceiling=0.06, reference=5000, current=500, **more):
        told = [Histogram(11, reference, current)] * 3
        return false_drift_a_year(told, **{"ceiling": ceiling, "by_maximum": False, "window_days": 28, **more})

    assert times() > times(current=600) > times(current=600, reference=50_000) > 0
    assert times() > times(ceiling=0.07)
    assert times(by_maximum=True) > times()
    assert times(looks_a_day=24) > times()
    assert times(ceiling=0.3, current=300) < 1e-6
    assert times(ceiling=0.0) <= 365


def test_what_cannot_move_never_calls_and_what_has_no_rows_is_refused():
    """One bin, or no feature at all, is no drift; a side without rows is a mistake."""
    assert false_drift_a_year([], ceiling=0.3, by_maximum=False, window_days=28) == 0
    for by_maximum in (False, True):
        told = [Histogram(1, 100, 100)]
        assert false_drift_a_year(told, ceiling=0.3, by_maximum=by_maximum, window_days=28) == 0
    with pytest.raises(ValueError, match="at least 1"):
        false_drift_a_year([Histogram(2, 0, 10)], ceiling=0.3, by_maximum=False, window_days=28)
    assert math.isfinite(false_drift_a_year([Histogram(2, 1, 1)], ceiling=0.3, by_maximum=False, window_days=1))
