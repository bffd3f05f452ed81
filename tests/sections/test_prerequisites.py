"""Prerequisites: enough, healthy and quiet; unknown is not quiet."""

from datetime import UTC, datetime, timedelta

import pytest

from retrain.facts import Incident
from retrain.sections.prerequisites import Facts, Policy, decide

NOW = datetime(2013, 6, 9, 2, tzinfo=UTC)


def ready(**changed):
    plain = {
        "now": NOW,
        "last_training_watermark": NOW - timedelta(days=7),
        "new_samples": 10_000,
        "quality": {"healthy": 20, "warning": 4},
        "open_incidents": (),
    }
    return Facts(**(plain | changed))


def judged(place, facts, policy=None):
    return decide(facts, policy or Policy()).checks[place]


def test_all_three_make_it_ready():
    """Exactly 10,000 samples are enough; warnings are allowed; no incident is open."""
    verdict = decide(ready(), Policy())
    assert verdict.outcome == "ready"
    assert [check.name for check in verdict.checks] == ["Sufficient data", "Data quality", "No active incidents"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"new_samples": 10_001}, "PASS"),
        ({"new_samples": 9_999}, "FAIL"),
        ({"new_samples": 0}, "FAIL"),
        ({"new_samples": None}, "INCONCLUSIVE"),
        ({"new_samples": -1}, "INCONCLUSIVE"),
        ({"last_training_watermark": None}, "INCONCLUSIVE"),
        ({"last_training_watermark": NOW + timedelta(seconds=1)}, "INCONCLUSIVE"),
    ],
)
def test_samples(changed, expected):
    """A count below the minimum fails; no count, or no point to count from, is open and blocks."""
    assert judged(0, ready(**changed)).status == expected
    assert decide(ready(**changed), Policy()).outcome == ("ready" if expected == "PASS" else "blocked")


@pytest.mark.parametrize(
    ("quality", "expected", "says"),
    [
        ({"healthy": 1}, "PASS", "1 data-quality run"),
        ({"healthy": 20, "critical": 1}, "FAIL", "1 critical run"),
        ({"healthy": 20, "critical": 0}, "PASS", "20"),
        ({"healthy": 20, "Healthy": 1}, "INCONCLUSIVE", "'Healthy'"),
        ({"healthy": 20, "": 1}, "INCONCLUSIVE", "NULL"),
        ({"healthy": 20, "odd": 1, "critical": 1}, "FAIL", "critical"),
        ({}, "INCONCLUSIVE", "not the same as no critical"),
        ({"healthy": 0}, "INCONCLUSIVE", "not the same as no critical"),
        ({"healthy": -1}, "INCONCLUSIVE", "negative"),
        (None, "INCONCLUSIVE", "not read"),
    ],
)
def test_quality(quality, expected, says):
    """Only allowed words pass; no runs, unknown and empty words are open, and named."""
    check = judged(1, ready(quality=quality))
    assert check.status == expected
    assert says in check.reason


def test_a_policy_may_ask_for_more():
    """Warnings can be refused and more runs asked for."""
    assert judged(1, ready(), Policy(quality_statuses=("healthy",))).status == "FAIL"
    assert judged(1, ready(), Policy(minimum_quality_runs=24)).status == "PASS"
    assert judged(1, ready(), Policy(minimum_quality_runs=25)).status == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("severities", "expected"),
    [((), "PASS"), (("P2", "P3"), "PASS"), (("P2", "P1"), "FAIL"), ((" p1",), "FAIL"), (("",), "INCONCLUSIVE")],
)
def test_incidents(severities, expected):
    """A blocking severity fails however it is written; a blank one is open."""
    incidents = tuple(Incident(incident_id=f"I{n}", severity=severity) for n, severity in enumerate(severities))
    assert judged(2, ready(open_incidents=incidents)).status == expected


def test_incidents_that_were_not_read_block():
    """None is not known; an empty tuple is known to be none."""
    verdict = decide(ready(open_incidents=None), Policy())
    assert verdict.outcome == "blocked"
    assert "not read" in verdict.sentence
    assert verdict.flip == "With no open P1 incident: ready."
