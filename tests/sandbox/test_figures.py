"""DeLong's standard error, against its definition pair by pair."""

import math

import numpy
import pytest

from retrain_sandbox.figures import auc_difference_error, auc_roc


def by_pairs(labels, one, other):
    """DeLong, DeLong & Clarke-Pearson (1988), from the kernel of every pair, with numpy's covariance of columns."""

    def kernel(scores):
        ups, downs = scores[labels > 0], scores[labels == 0]
        return (ups[:, None] > downs) + 0.5 * (ups[:, None] == downs)

    kernels = [kernel(one), kernel(other)]
    above = numpy.cov([each.mean(axis=1) for each in kernels])
    below = numpy.cov([each.mean(axis=0) for each in kernels])
    covariance = above / int((labels > 0).sum()) + below / int((labels == 0).sum())
    return math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ties", [False, True])
def test_delong_agrees_with_every_pair(seed, ties):
    """To 1e-9, with equal scores and without."""
    generator = numpy.random.default_rng(seed)
    labels = (generator.random(300) < 0.3).astype(numpy.float32)
    one = labels + generator.normal(size=300)
    other = 0.7 * one + generator.normal(size=300)
    if ties:
        one, other = one.round(), other.round(1)
    assert auc_difference_error(labels, one, other) == pytest.approx(by_pairs(labels, one, other), abs=1e-9)


def test_the_interval_covers_the_truth():
    """Of 400 differences between two scores that are equally good, about 95 % lie within 1.96 errors of none."""
    generator, within = numpy.random.default_rng(4), 0
    labels = numpy.repeat([1.0, 0.0], [60, 140])
    for _ in range(400):
        one, other = labels + generator.normal(size=(2, 200))
        error = auc_difference_error(labels, one, other)
        within += abs(auc_roc(labels, one) - auc_roc(labels, other)) <= 1.96 * error
    assert 0.91 <= within / 400 <= 0.98


def test_the_same_scores_do_not_differ_and_one_row_of_a_class_tells_nothing():
    """No difference has no error; a variance takes two rows of either class."""
    labels, scores = numpy.array([1, 1, 0, 0, 0.0]), numpy.array([0.9, 0.4, 0.5, 0.2, 0.1])
    assert auc_difference_error(labels, scores, scores) == 0
    assert auc_difference_error(labels, scores, -scores) > 0
    assert auc_difference_error(numpy.array([1, 0, 0, 0, 0.0]), scores, -scores) is None
    assert auc_difference_error(numpy.array([1, 1, 1, 1, 0.0]), scores, -scores) is None
