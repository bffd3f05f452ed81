"""The tests that may be looked at after every window: formulas, extremes, level and power."""

import math
from fractions import Fraction

import numpy
import pytest
from scipy import special

from retrain.statistics import sequential
from retrain.statistics.beta import log_binomial
from retrain.statistics.intervals import jaccard_of


def published(successes, events, floor):
    """The formula of the documentation, in scipy's words."""
    a, b = successes + 1, events - successes + 1
    null = successes * math.log(floor) + (events - successes) * math.log1p(-floor)
    return special.betaln(a, b) + math.log(special.betainc(a, b, floor)) - math.log(floor) - null


@pytest.mark.parametrize(("successes", "events"), [(0, 0), (0, 50), (3, 5), (50, 80), (400, 600), (60, 60), (700, 880)])
@pytest.mark.parametrize("floor", [0.3, 0.7857142857142857, 0.95])
def test_the_e_value_is_the_published_formula(successes, events, floor):
    """log E agrees with scipy's betaln and betainc to 1e-9."""
    found = sequential.log_e_bernoulli_below(successes, events, floor)
    assert found == pytest.approx(published(successes, events, floor), rel=1e-9, abs=1e-9)


def published_mixture(bad, events, ceiling, concentration):
    """The same for bad events above a ceiling and a Beta(1, c) mixture, in scipy's words, by the other tail."""
    a, b = bad + 1, events - bad + concentration
    prior = math.log(concentration) - concentration * math.log1p(-ceiling)
    null = bad * math.log(ceiling) + (events - bad) * math.log1p(-ceiling)
    return special.betaln(a, b) + math.log(special.betainc(b, a, 1 - ceiling)) + prior - null


@pytest.mark.parametrize("concentration", [1, 2, 20])
@pytest.mark.parametrize("ceiling", [0.01, 1 - jaccard_of(0.88), 0.5])
def test_every_mixture_is_the_published_formula(ceiling, concentration):
    """Over a grid of counts log E agrees with scipy to 1e-9, wherever scipy's betainc does not underflow."""
    compared = 0
    for events in (0, 1, 22, 84, 299, 660, 3000):
        for bad in {0, 1, events // 100, events // 10, events // 4, events // 2, events}:
            if bad > events or special.betainc(events - bad + concentration, bad + 1, 1 - ceiling) < 1e-290:
                continue
            found = sequential.log_e_above(bad, events, ceiling, concentration=concentration)
            expected = published_mixture(bad, events, ceiling, concentration)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
            compared += 1
    assert compared > 20


def integrated(bad, events, ceiling, concentration):
    """The integral of likelihood ratio times prior above the ceiling, exactly: a polynomial, expanded in fractions."""
    p0, good = Fraction(ceiling), events - bad
    powers = good + concentration - 1  # of 1 − p, those of the likelihood and those of the Beta(1, c) prior
    area = Fraction(0)
    for power in range(bad + 1):  # ∫ p^bad (1−p)^powers from p0 to 1, by parts
        falling = Fraction(math.perm(bad, power), math.perm(powers + 1 + power, power + 1))
        area += falling * p0 ** (bad - power) * (1 - p0) ** (powers + 1 + power)
    ratio = concentration * area / ((1 - p0) ** concentration * p0**bad * (1 - p0) ** good)
    return math.log(ratio.numerator) - math.log(ratio.denominator)


@pytest.mark.parametrize(
    ("bad", "events", "ceiling", "concentration"),
    [
        (0, 0, 0.01, 20),
        (0, 300, 0.01, 20),
        (3, 3000, 0.01, 20),
        (60, 3000, 0.01, 20),
        (50, 50, 0.2, 1),
        (300, 1000, 0.25, 2),
    ],
)
def test_the_mirror_is_the_integral(bad, events, ceiling, concentration):
    """Every mixture agrees with the integral that defines it."""
    found = sequential.log_e_above(bad, events, ceiling, concentration=concentration)
    assert found == pytest.approx(integrated(bad, events, ceiling, concentration), rel=1e-9, abs=1e-9)


def test_no_events_are_no_evidence():
    """Nothing observed leaves E at 1."""
    assert sequential.log_e_bernoulli_below(0, 0, 0.7) == pytest.approx(0, abs=1e-12)
    assert sequential.log_e_slow_requests(0, 0) == pytest.approx(0, abs=1e-12)


def test_ten_million_events_stay_numbers():
    """Neither all, none nor a few of ten million overflow or underflow."""
    many = 10_000_000
    assert sequential.log_e_bernoulli_below(many, many, 0.8) == pytest.approx(-math.log(many + 1), abs=1e-6)
    assert sequential.log_e_bernoulli_below(0, many, 0.8) == pytest.approx(
        -many * math.log(0.2) - math.log(0.8 * (many + 1))
    )
    assert sequential.log_e_slow_requests(many // 50, many) > 1e4
    assert sequential.log_e_slow_requests(many // 200, many) < 0


def test_every_bad_event_is_more_evidence():
    """E rises with the bad events, which is what bisection rests on."""
    values = [sequential.log_e_above(bad, 40, 0.2, concentration=2) for bad in range(41)]
    assert values == sorted(values)


def test_a_perfect_baseline_is_refuted_by_one_bad_event():
    """A floor of 1 leaves no room for chance."""
    assert sequential.log_e_bernoulli_below(9, 10, 1.0) == math.inf
    assert sequential.log_e_bernoulli_below(10, 10, 1.0) < 0


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: sequential.log_e_bernoulli_below(3, 2, 0.5),
        lambda: sequential.log_e_bernoulli_below(1, 2, 0.0),
        lambda: sequential.log_e_above(1, 2, 1.0),
        lambda: sequential.log_e_above(1, 2, 0.5, concentration=0),
        lambda: sequential.log_threshold(0),
    ],
)
def test_impossible_arguments_are_refused(mistake):
    """A mistake in the arguments is a ValueError."""
    with pytest.raises(ValueError, match=r"count|lies|at least"):
        mistake()


def crossed(looks, step, truth, acts_at):
    """Return the chance of having acted after each look, exactly: a walk over the number of bad events."""
    chances = numpy.array([1.0])
    one = numpy.exp([log_binomial(bad, step, truth) for bad in range(step + 1)])
    acted, total = 0.0, []
    for look in range(1, looks + 1):
        chances = numpy.convolve(chances, one)
        at = acts_at(look * step)
        if at is not None:
            acted += chances[at:].sum()
            chances = chances[:at]
        total.append(acted)
    return total


@pytest.mark.parametrize(
    ("ceiling", "concentration"),
    [(1 - jaccard_of(0.88), 1), (1 - jaccard_of(0.88), 2), (0.01, sequential.SLOW_CONCENTRATION)],
)
def test_the_level_holds_at_the_boundary_over_two_thousand_looks(ceiling, concentration):
    """With the truth exactly at the limit, 2,000 looks act with a chance of α at most, computed exactly."""

    def acts_at(events):
        return sequential.fewest_bad(events, ceiling, alpha=0.05, concentration=concentration)

    chance = crossed(2000, 1, ceiling, acts_at)[-1]
    assert 0.001 < chance <= 0.05


def test_both_tests_together_hold_the_level_over_two_thousand_looks():
    """F1 exactly at the baseline and 1 % slow, half of α each: whatever they have in common, α is not exceeded."""

    def f1_acts_at(events):
        return sequential.fewest_bad(events, 1 - jaccard_of(0.88), alpha=0.025, concentration=2)

    def slow_acts_at(requests):
        return sequential.fewest_bad(requests, 0.01, alpha=0.025, concentration=sequential.SLOW_CONCENTRATION)

    by_f1 = crossed(2000, 1, 1 - jaccard_of(0.88), f1_acts_at)[-1]
    by_latency = crossed(2000, 1, 0.01, slow_acts_at)[-1]
    assert max(by_f1, by_latency) <= 0.025
    assert 0.005 < by_f1 + by_latency <= 0.05


@pytest.mark.parametrize("truth", [0.2, 0.3, 0.45])
def test_the_chance_of_acting_is_the_full_walk(truth):
    """The walk that leaves out what is hardly possible agrees with the one that leaves out nothing."""
    looks, ceiling = [*range(7, 210, 7)], 1 - jaccard_of(0.88)
    fewest = [sequential.fewest_bad(events, ceiling, alpha=0.025, concentration=2) for events in looks]
    whole = crossed(len(looks), 7, truth, lambda events: fewest[events // 7 - 1])[-1]
    assert sequential.chance_of_acting(looks, fewest, truth) == pytest.approx(whole, abs=1e-12)


def test_looks_of_any_length_and_none_at_all():
    """A window without events changes nothing, one look is the binomial tail, no look never acts."""
    fewest = [sequential.fewest_bad(events, 0.2, alpha=0.05) for events in (40, 90)]
    plain = sequential.chance_of_acting([40, 90], fewest, 0.4)
    assert sequential.chance_of_acting([0, 40, 40, 90], [None, fewest[0], fewest[0], fewest[1]], 0.4) == plain
    alone = sequential.chance_of_acting([90], fewest[1:], 0.4)
    assert alone == pytest.approx(sequential.power_above(90, 0.2, 0.4, alpha=0.05), rel=1e-9)
    assert alone < plain
    assert sequential.chance_of_acting([], [], 0.4) == 0


def watch_of_f1(drop, alpha, concentration, tolerance=0.05, baseline=0.88):
    """Thirty windows of 22 events: the chance of having acted after each."""
    ceiling = 1 - jaccard_of(baseline)
    line = jaccard_of(baseline - tolerance)

    def acts_at(events):
        fewest = sequential.fewest_bad(events, ceiling, alpha=alpha, concentration=concentration)
        return None if fewest is None else max(fewest, math.floor(events * (1 - line)) + 1)

    return crossed(30, 22, 1 - jaccard_of(baseline - drop), acts_at)


def minute(chances):
    """The first minute with at least even chances."""
    return next((at for at, chance in enumerate(chances, 1) if chance >= 0.5), None)


def test_the_watch_of_f1_as_the_sections_use_it():
    """Half of α, mixture 2: healthy rolled back ≤ 1 %; a drop of 0.10 is seen in ≤ 4 minutes, 0.20 in ≤ 2 (median)."""
    assert watch_of_f1(0.0, 0.025, 2)[-1] <= 0.01
    assert minute(watch_of_f1(0.10, 0.025, 2)) <= 4
    assert minute(watch_of_f1(0.20, 0.025, 2)) <= 2


def test_the_watch_of_latency():
    """100 requests a minute: half the budget is rolled back in ≤ 0.1 %, twice the budget is found with ≥ 90 %."""

    def acts_at(requests):
        return sequential.fewest_bad(requests, 0.01, alpha=0.025, concentration=sequential.SLOW_CONCENTRATION)

    assert crossed(30, 100, 0.005, acts_at)[-1] <= 0.001
    assert crossed(30, 100, 0.02, acts_at)[-1] >= 0.90


def test_power_is_the_binomial_tail():
    """Power is the chance of as many bad events as the test wants, or as the caller does."""
    fewest = sequential.fewest_bad(200, 0.2, alpha=0.05)
    tail = special.betainc(fewest, 200 - fewest + 1, 0.35)
    assert sequential.power_above(200, 0.2, 0.35, alpha=0.05) == pytest.approx(tail, rel=1e-9)
    assert sequential.power_above(200, 0.2, 0.35, alpha=0.05, at_least=201) == 0
    assert sequential.power_above(0, 0.2, 0.35, alpha=0.05) == 0
