"""The logarithms of binomial and beta probabilities, against scipy and exact fractions."""

import math
from fractions import Fraction

import numpy
import pytest
from scipy import special, stats

from retrain.statistics.beta import log_at_least, log_at_most, log_betainc, log_binomial


def _cases():
    generator = numpy.random.default_rng(7)
    for _ in range(300):
        trials = int(generator.integers(0, 2000))
        yield int(generator.integers(0, trials + 1)), trials, float(generator.uniform(0.001, 0.999))


CASES = list(_cases())


def test_one_count_agrees_with_scipy():
    """The chance of one count is scipy's to 1e-9."""
    for successes, trials, probability in CASES:
        expected = stats.binom.logpmf(successes, trials, probability)
        assert log_binomial(successes, trials, probability) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_incomplete_beta_function_agrees_with_scipy():
    """Where scipy is far from underflow (it loses digits near it), log I_x(a, b) is its logarithm to 1e-9."""
    for successes, trials, x in CASES:
        expected = special.betainc(successes + 1, trials - successes + 1, x)
        if expected > 1e-150:
            found = log_betainc(successes + 1, trials - successes + 1, x)
            assert found == pytest.approx(math.log(expected), rel=1e-9, abs=1e-9)


def test_it_goes_on_where_scipy_underflows():
    """I_0.2(901, 101) is below 1e-308 for scipy, and a number here."""
    x, trials = Fraction(0.2), 1001
    exact = sum(math.comb(trials, count) * x**count * (1 - x) ** (trials - count) for count in range(901, trials + 1))
    expected = math.log(exact.numerator) - math.log(exact.denominator)
    assert special.betainc(901, 101, 0.2) == 0
    assert log_betainc(901, 101, 0.2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "probability"), [(0, 50, 0.1), (7, 50, 0.1), (50, 50, 0.97), (3, 9, 0.5)]
)
def test_tails_agree_with_scipy(successes, trials, probability):
    """At least and at most are binomial tails, both with the count itself."""
    at_most = stats.binom.logcdf(successes, trials, probability)
    at_least = stats.binom.logsf(successes - 1, trials, probability)
    assert log_at_most(successes, trials, probability) == pytest.approx(at_most, rel=1e-9, abs=1e-9)
    assert log_at_least(successes, trials, probability) == pytest.approx(at_least, rel=1e-9, abs=1e-9)


def test_the_ends():
    """What must happen has the logarithm 0, what cannot has −∞."""
    assert log_at_least(0, 5, 0.3) == 0
    assert log_at_least(6, 5, 0.3) == -math.inf
    assert log_at_most(5, 5, 0.3) == 0
    assert log_at_most(-1, 5, 0.3) == -math.inf
    assert log_binomial(0, 0, 0.3) == 0
    assert log_binomial(0, 4, 0.0) == 0
    assert log_binomial(4, 4, 1.0) == 0
    assert log_binomial(1, 4, 0.0) == log_binomial(4, 4, 0.0) == log_binomial(0, 4, 1.0) == -math.inf
    assert log_betainc(2, 3, 0.0) == -math.inf
    assert log_betainc(2, 3, 1.0) == 0
    with pytest.raises(ValueError, match="at least 1"):
        log_betainc(0, 3, 0.5)
