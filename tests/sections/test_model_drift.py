"""Model drift: the newest week with rows enough on both sides decides, and what is missing is not stable."""

from datetime import UTC, datetime, timedelta

import pytest

from retrain.checks import Status
from retrain.facts import FeatureDrift
from retrain.sections.related.model_drift import EDITION, Facts, Period, Policy, decide

NOW = datetime(2013, 6, 9, 2, tzinfo=UTC)


def feature(psi, name="temperature", reference=300, current=300):
    return FeatureDrift(feature=name, psi=psi, reference_rows=reference, current_rows=current)


def drifted(*weeks, edition=EDITION):
    """Facts with one period a week, oldest first."""
    ends = [NOW - timedelta(weeks=ago) for ago in reversed(range(len(weeks)))]
    periods = tuple(
        Period(start=end - timedelta(weeks=1), end=end, features=tuple(features))
        for end, features in zip(ends, weeks, strict=True)
    )
    return Facts(now=NOW, periods=periods, edition=edition)


@pytest.mark.parametrize(("psi", "outcome"), [(0.29, "stable"), (0.3, "stable"), (0.300001, "drifted")])
def test_drift_is_above_the_ceiling(psi, outcome):
    """Exactly at it is stable; the newest week decides, and the sentence says since when."""
    verdict = decide(drifted([feature(0.9)], [feature(psi)]), Policy())
    assert verdict.outcome == outcome
    assert "first in the week of" in verdict.sentence


@pytest.mark.parametrize(("reference", "current"), [(300, 299), (299, 300), (0, 300), (300, 0)])
@pytest.mark.parametrize("psi", [0.1, 9.0])
def test_a_week_needs_rows_on_both_sides(reference, current, psi):
    """One row too few in the reference is one too few: an older week that has enough decides, else nothing does."""
    thin = feature(psi, reference=reference, current=current)
    verdict = decide(drifted([thin]), Policy())
    assert (verdict.outcome, verdict.checks[0].status) == ("inconclusive", Status.INCONCLUSIVE)
    assert "300 rows or more on both sides" in verdict.checks[0].reason
    assert "300 rows or more on both sides" in verdict.sentence
    assert decide(drifted([feature(0.1)], [thin]), Policy()).outcome == "stable"


@pytest.mark.parametrize("periods", [None, (), (Period(start=NOW, end=NOW, features=()),)])
def test_no_week_at_all_is_inconclusive(periods):
    """Not known, none, and one without features."""
    assert decide(Facts(now=NOW, periods=periods, edition=EDITION), Policy()).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("psi", "lost", "outcome"),
    [
        (0.1, None, "inconclusive"),
        (0.1, float("nan"), "inconclusive"),
        (0.1, -0.1, "inconclusive"),
        (0.9, None, "drifted"),
        (0.1, 0.0, "stable"),
        (None, None, "inconclusive"),
    ],
)
def test_a_feature_without_a_psi_keeps_a_model_from_being_stable(psi, lost, outcome):
    """It could have lifted the aggregate, and is named; what is above the ceiling has drifted all the same."""
    verdict = decide(drifted([feature(psi), feature(lost, "lost")]), Policy())
    assert verdict.outcome == outcome
    if outcome == "inconclusive" and psi is not None:
        assert verdict.checks[0].reason.endswith("but without a PSI: lost")
        assert verdict.sentence.endswith("; without a PSI: lost.")


def test_the_first_edition_is_judged_by_its_own_rules():
    """Release 0.1.0 looked at the current rows alone, and at the features that had a PSI."""
    then = decide(drifted([feature(0.1, reference=0), feature(None, "lost", reference=0)], edition=1), Policy())
    assert (then.outcome, "lost" in then.sentence) == ("stable", False)
    assert (
        decide(drifted([feature(0.1, current=299)], edition=1), Policy()).checks[0].reason.endswith("300 rows or more")
    )
