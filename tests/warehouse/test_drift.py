"""PSI in the warehouse equals PSI of the same rows in numpy, with bins that stay where they were frozen."""

import math
from datetime import timedelta

import numpy as np
import pytest

from retrain.statistics.psi import decile_edges
from retrain.warehouse import Profile

from .conftest import NOW, REFERENCE_END, START, opened


@pytest.fixture(scope="module")
def profile(warehouse):
    return warehouse.reference_profile(reference_start=START, reference_end=REFERENCE_END).value


def column(tables, name, *, since, until):
    table = tables["TRANSACTIONS"]
    stamps = table["INGESTION_TIMESTAMP"].to_numpy()
    inside = (stamps > np.datetime64(since.replace(tzinfo=None))) & (
        stamps <= np.datetime64(until.replace(tzinfo=None))
    )
    return [value for value, yes in zip(table[name].to_pylist(), inside, strict=True) if yes]


def smoothed(counts):
    return (np.array(counts) + 0.5) / (sum(counts) + 0.5 * len(counts))


def independent_psi(reference, current):
    """PSI over the rows themselves: numpy's deciles of the reference, a bin for NULL, one for unseen categories."""
    missing = [sum(v is None or v != v for v in side) for side in (reference, current)]
    known = [[v for v in side if v is not None and v == v] for side in (reference, current)]
    if known[0] and isinstance(known[0][0], str):
        names = sorted(set(known[0]))
        counts = [[side.count(name) for name in names] for side in known]
        counts = [[*each, len(side) - sum(each)] for each, side in zip(counts, known, strict=True)]
    else:
        edges = decile_edges(known[0]) if known[0] else []
        counts = [
            np.bincount(np.searchsorted(edges, side, "right"), minlength=len(edges) + 1).tolist() for side in known
        ]
    p, q = (smoothed([*each, none]) for each, none in zip(counts, missing, strict=True))
    return float(np.sum((p - q) * np.log(p / q)))


def test_psi_agrees_with_numpy(warehouse, tables, profile):
    """Numbers, discrete numbers, NaN, NULL, text with unseen categories, and a column with nothing in it."""
    found = warehouse.drift(profile, since=REFERENCE_END, until=NOW).value
    assert [drift.feature for drift in found] == ["delay", "hour", "dist", "temp", "carrier", "empty", "flag"]
    for drift in found:
        reference = column(tables, drift.feature.upper(), since=START, until=REFERENCE_END)
        current = column(tables, drift.feature.upper(), since=REFERENCE_END, until=NOW)
        assert math.isclose(drift.psi, independent_psi(reference, current), abs_tol=1e-9), drift.feature
        assert (drift.reference_rows, drift.current_rows) == (len(reference), len(current))
    assert found[3].psi > found[0].psi > 0.3 > found[1].psi


def test_one_statement_a_check_and_one_row_back(warehouse, profile):
    """With frozen edges a check is one scan, whatever the number of features."""
    answer = warehouse.drift(profile, since=REFERENCE_END, until=NOW)
    assert [evidence.rows for evidence in answer.evidence] == [1]


def test_a_profile_survives_json_exactly(warehouse, profile):
    """The same edges give the same PSI on a later day."""
    again = Profile.model_validate_json(profile.model_dump_json())
    assert again == profile
    window = {"since": REFERENCE_END, "until": NOW}
    assert warehouse.drift(again, **window).value == warehouse.drift(profile, **window).value


def test_every_row_of_the_reference_is_in_one_bin(tables, profile):
    """Counts add up, and a value that fills seven deciles has one bin, its own."""
    assert all(sum(feature.counts) == profile.rows for feature in profile.features)
    hour = profile.features[1]
    assert len(set(hour.edges)) == len(hour.edges) < 9
    values = column(tables, "HOUR", since=START, until=REFERENCE_END)
    assert (hour.counts[0], hour.counts[1]) == (0, values.count(5.0))


def test_a_flag_that_was_nearly_always_set_is_seen_to_fall(warehouse, profile):
    """All of its deciles are 1, and 0 must not share their bin."""
    flag = warehouse.drift(profile, since=REFERENCE_END, until=NOW).value[-1]
    assert flag.feature == "flag"
    assert flag.psi > 1


def test_categories_come_commonest_first_with_a_bin_for_others_and_for_null(profile):
    """The reference itself has no others."""
    carrier = profile.features[4]
    assert carrier.categories == ("AA", "BB", "CC")
    assert len(carrier.counts) == 5
    assert carrier.counts[3] == 0 < carrier.counts[4]


def test_the_reference_against_itself_has_no_drift(warehouse, profile):
    """PSI of a window against itself is nought."""
    found = warehouse.drift(profile, since=START, until=REFERENCE_END).value
    assert all(math.isclose(drift.psi, 0, abs_tol=1e-12) for drift in found)


def test_an_empty_window_has_no_psi(warehouse, profile):
    """No rows is missing, on either side, never nought."""
    found = warehouse.drift(profile, since=NOW, until=NOW + timedelta(days=1)).value
    assert {drift.psi for drift in found} == {None}
    assert {drift.current_rows for drift in found} == {0}
    empty = warehouse.reference_profile(reference_start=NOW, reference_end=NOW + timedelta(days=1)).value
    assert {drift.psi for drift in warehouse.drift(empty, since=START, until=NOW).value} == {None}


def test_history_is_the_same_psi_week_by_week(warehouse, profile):
    """Weeks are counted back from the last instant; each equals a check of that week."""
    weeks = warehouse.drift_history(profile, since=NOW - timedelta(days=28), until=NOW).value
    assert [week.week_end for week in weeks] == [NOW - timedelta(days=7 * back) for back in (3, 2, 1, 0)]
    for week in weeks:
        alone = warehouse.drift(profile, since=week.week_end - timedelta(days=7), until=week.week_end).value
        assert (week.rows, week.drift) == (alone[0].current_rows, alone)


def test_only_the_features_asked_for_are_profiled(arguments):
    """The settings' features are the whole of it, under the settings' names."""
    with opened(arguments, features=["Delay"]) as held:
        found = held.reference_profile(reference_start=START, reference_end=REFERENCE_END).value
        assert [feature.feature.name for feature in found.features] == ["Delay"]
