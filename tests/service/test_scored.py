"""What the service attests of how two models were scored: hold-outs, timed requests, a standard error."""

from datetime import UTC, datetime

import pytest

from retrain.checks import Evidence
from retrain.facts import Scored
from retrain.service.replies import read_status

EVIDENCE = Evidence(source="service", at=datetime(2013, 6, 9, tzinfo=UTC))
FIGURES = {"f1": 0.9, "auc_roc": 0.95}


def told(metrics=None, comparison=None, **more):
    body = {"status": "completed", "metrics": FIGURES | (metrics or {}), "comparison": comparison or {}, **more}
    return read_status(body, EVIDENCE)


def test_the_holdout_of_the_comparison_is_that_of_both():
    """One id for both; a service that tells none attests none."""
    status = told(comparison={"holdout": {"id": "h1", "rows": 10}, "production": FIGURES})
    assert status.candidate_scored == status.production_scored == Scored(holdout_id="h1")
    assert told().candidate_scored == told().production_scored == Scored()
    words = told(comparison={"holdout": {"description": "a fifth of the rows"}})
    assert words.holdout == "a fifth of the rows"
    assert words.production_scored == Scored()


@pytest.mark.parametrize(
    ("holdout", "kept"),
    [
        ({"id": "h1"}, "h1"),
        ({"hash": "9f2c"}, "9f2c"),
        ({"id": 42}, "42"),
        ({"id": "fold 3 of 2013"}, "fold 3 of 2013"),
        ({"id": "test", "hash": "9f2c"}, "9f2c"),
        ({"name": "holdout", "id": "h1"}, "h1"),
        ("9f2c", "9f2c"),
        ("test-2013-04", "test-2013-04"),
        ("20130609", "20130609"),
        ({"name": "holdout"}, None),
        ({"name": "h1"}, None),
        ({"id": "holdout"}, None),
        ({"id": None, "hash": ""}, None),
        ({}, None),
        ("test", None),
        ("Hold-Out", None),
        ("validation_set", None),
        ({"id": "n/a"}, None),
        ("the test set", None),
        ("a fifth of the rows", None),
        ("0.2", None),
        ("20%", None),
        ("5000", None),
        ("—", None),
        ("", None),
        (5000, None),
        (0.2, None),
        (True, None),
        (["h1"], None),
        (None, None),
    ],
)
def test_a_holdout_is_known_by_its_id_or_hash(holdout, kept):
    """A name, a share, a count or a word that fits any other attests nothing: two models may both be told of "test"."""
    status = told(comparison={"holdout": holdout, "production": FIGURES})
    assert status.candidate_scored.holdout_id == status.production_scored.holdout_id == kept
    own = told({"holdout": holdout}).candidate_scored
    assert own.holdout_id == kept


def test_a_generic_word_does_not_hide_a_hash_beside_it():
    """Nor does one model's own generic word hide what the comparison names; a model's own hash is no hold-out's."""
    assert told({"holdout": "test", "holdout_hash": "9f2c"}).candidate_scored.holdout_id == "9f2c"
    assert told({"holdout": "test"}, {"holdout": {"id": "h1"}}).candidate_scored.holdout_id == "h1"
    assert told({"hash": "9f2c"}).candidate_scored.holdout_id is None


@pytest.mark.parametrize("key", ["holdout_id", "holdout", "holdout_hash"])
def test_a_holdout_of_its_own_goes_before_the_common_one(key):
    """Where the two models name different ones, both are kept."""
    production = FIGURES | {key: "b2"}
    status = told({key: "a1"}, {"holdout": "h1", "production": production})
    assert (status.candidate_scored.holdout_id, status.production_scored.holdout_id) == ("a1", "b2")


def test_a_holdout_beside_the_comparison_is_the_candidates_alone():
    """Nothing says that production was scored on it."""
    status = told(holdout={"id": "h1"})
    assert (status.candidate_scored.holdout_id, status.production_scored.holdout_id) == ("h1", None)


@pytest.mark.parametrize(
    ("timed", "slow", "kept"),
    [(300, 2, (300, 2)), (300, None, (None, None)), (2, 3, (None, None)), (5.5, 1, (None, None))],
)
def test_slow_requests_are_kept_with_their_number(timed, slow, kept):
    """Both or neither, and never more slow ones than there were."""
    scored = told({"timed_requests": timed, "slow_requests": slow}).candidate_scored
    assert (scored.timed_requests, scored.slow_requests) == kept


@pytest.mark.parametrize(("error", "kept"), [(0.002, 0.002), (-0.1, None), ("x", None), (None, None)])
def test_the_standard_error_is_a_number_that_can_be(error, kept):
    """A negative one is none, and is no delta of a figure either."""
    status = told(comparison={"auc_roc_difference_standard_error": error})
    assert status.auc_difference_standard_error == kept
    assert status.deltas == {}
