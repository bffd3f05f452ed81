"""PSI: the formula, its smoothing, its bins and its mean without drift."""

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.statistics.psi import (
    category_counts,
    decile_edges,
    edges_from_quantiles,
    expected_without_drift,
    numeric_counts,
    psi,
)

HISTOGRAMS = st.integers(2, 12).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 10_000), min_size=bins, max_size=bins).filter(any)] * 2)
)


@given(HISTOGRAMS)
def test_it_is_the_symmetric_divergence_of_smoothed_shares(pair):
    """PSI = KL(p‖q) + KL(q‖p) with half a row in every bin, by scipy's relative entropy."""
    from scipy.special import rel_entr

    before, after = (numpy.array(side) + 0.5 for side in pair)
    p, q = before / before.sum(), after / after.sum()
    assert psi(*pair) == pytest.approx(rel_entr(p, q).sum() + rel_entr(q, p).sum(), abs=1e-9)


def test_a_figure_by_hand():
    """Shares of 10.5/21 and 10.5/21 against 15.5/21 and 5.5/21."""
    p, q, r = 0.5, 15.5 / 21, 5.5 / 21
    assert psi([10, 10], [15, 5]) == pytest.approx((p - q) * math.log(p / q) + (p - r) * math.log(p / r), abs=1e-15)


def test_the_same_histogram_has_not_moved():
    """Equal shares give zero."""
    assert psi([5, 0, 9], [5, 0, 9]) == 0


@pytest.mark.parametrize("pair", [([1], [1, 2]), ([0, 0], [1, 1]), ([1, 1], [0, 0]), ([-1, 3], [1, 1]), ([], [])])
def test_what_cannot_be_compared_is_refused(pair):
    """Other bins, negative counts or an empty side are mistakes, not zero drift."""
    with pytest.raises(ValueError, match=r"bins|count|rows"):
        psi(*pair)


def test_its_mean_without_drift():
    """(B − 1)(1/n + 1/M) is what PSI averages where nothing moved."""
    generator = numpy.random.default_rng(5)
    edges = tuple(numpy.arange(0.1, 0.95, 0.1))
    drawn = [
        psi(numeric_counts(generator.random(2000), edges)[:-1], numeric_counts(generator.random(1000), edges)[:-1])
        for _ in range(400)
    ]
    assert numpy.mean(drawn) == pytest.approx(expected_without_drift(10, 2000, 1000), rel=0.1)
    with pytest.raises(ValueError, match="at least 1"):
        expected_without_drift(10, 0, 5)


def test_deciles_are_equally_full():
    """The reference falls into ten bins of the same size, and NULL has its own."""
    values = numpy.random.default_rng(0).normal(size=5000)
    counts = numeric_counts([*values, math.nan, math.nan], decile_edges(values))
    assert counts == (*[500] * 10, 2)


def test_bins_are_open_ended():
    """What lies outside the reference falls into the first and the last bin, infinities too; an edge opens a bin."""
    assert numeric_counts([-math.inf, -9, 1, 1.5, 2, 99, math.inf, math.nan], (1, 2)) == (2, 2, 3, 1)


def test_one_outlier_changes_little():
    """One value of 1,000 among 2,000 rows, which blinds bins of equal width, moves PSI by less than 0.01."""
    generator = numpy.random.default_rng(3)
    reference, current = generator.normal(size=2000), generator.normal(0.5, size=2000)
    edges = decile_edges(reference)
    plain = psi(numeric_counts(reference, edges), numeric_counts(current, edges))
    current[0] = 1000
    assert plain > 0.2
    assert abs(psi(numeric_counts(reference, edges), numeric_counts(current, edges)) - plain) < 0.01
    reference[0] = 1000
    edges = decile_edges(reference)
    assert abs(psi(numeric_counts(reference, edges), numeric_counts(current, edges)) - plain) < 0.01


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ([7.0] * 1000, [8.0] * 1000),
        ([0.0] * 950 + [1.0] * 50, [0.0] * 500 + [1.0] * 500),
        ([0.0] * 1000, [-1.0] * 1000),
    ],
)
def test_a_value_that_fills_several_deciles_is_seen_to_move(reference, current):
    """A constant or a flag has a bin of its own."""
    edges = decile_edges(reference)
    assert psi(numeric_counts(reference, edges), numeric_counts(current, edges)) > 0.3


def test_edges_from_quantiles():
    """Inner quantiles are edges; the outer ones are open; a repeated one is fenced in."""
    assert edges_from_quantiles([0, 1, 2, 3]) == (1, 2)
    fenced = edges_from_quantiles([0.0, 5.0, 5.0, 9.0])
    assert fenced == (5.0, math.nextafter(5.0, math.inf))
    for nothing in ([], [math.nan]):
        with pytest.raises(ValueError, match="finite"):
            edges_from_quantiles(nothing)
    with pytest.raises(ValueError, match="no deciles"):
        decile_edges([math.nan])


def test_categories_have_a_bin_each_one_for_null_and_one_for_the_unseen():
    """What the reference never saw is counted, not dropped."""
    before, after = category_counts({"a": 5, "b": 3, None: 1}, {"b": 2, "c": 4, "d": 1})
    assert before == (5, 3, 1, 0)
    assert after == (0, 2, 0, 5)
