"""Triggers: strictly more than the tolerance, a slot at or before now, a person with a reason; missing is not unmet."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from retrain.checks import Status
from retrain.facts import Coverage, FeatureDrift, Fired, Request
from retrain.sections.when_to_retrain import (
    EDITION,
    Facts,
    Policy,
    aggregate_psi,
    decide,
    figures,
    newest_slot,
    priority,
)

SLOT = datetime(2013, 6, 9, 2, tzinfo=UTC)
NOW = SLOT + timedelta(days=2)
NAMES = ["Accuracy drop", "Drift score", "Scheduled", "Manual request"]


def feature(psi, name="temperature", reference=1000, current=1000):
    return FeatureDrift(feature=name, psi=psi, reference_rows=reference, current_rows=current)


def quiet(**changed):
    """Facts under which no trigger is met and all could be judged."""
    plain = {
        "now": NOW,
        "baseline_f1": 0.88,
        "f1": 0.87,
        "f1_labels": 1000,
        "drift": (feature(0.1),),
        "last_trained_at": SLOT + timedelta(hours=1),
        "label_coverage": Coverage(rows=1000, labelled=1000),
        "edition": EDITION,
    }
    return Facts(**(plain | changed))


def status(name, facts, policy=None):
    return next(check for check in decide(facts, policy or Policy()).checks if check.name == name).status


def test_the_checks_stand_in_the_runbooks_order():
    """Every trigger has its check, whatever happened."""
    assert [check.name for check in decide(quiet(), Policy()).checks] == NAMES
    assert [check.name for check in decide(Facts(now=NOW), Policy()).checks] == NAMES


def test_quiet_facts_call_for_nothing():
    """All judged and none met is no action, with what would have changed it."""
    verdict = decide(quiet(), Policy())
    assert verdict.outcome == "no_action"
    assert "F1 < 0.83" in verdict.flip
    assert "2013-06-16 02:00 UTC" in verdict.flip
    assert priority(quiet(), Policy()) is None


@pytest.mark.parametrize(
    ("f1", "expected"), [(0.84, "FAIL"), (0.83, "FAIL"), (0.829999, "PASS"), (0.9, "FAIL"), (0.0, "PASS")]
)
def test_a_drop_must_be_more_than_the_tolerance(f1, expected):
    """Inside and exactly at 0.05 do not trigger, the next figure beyond does."""
    assert status("Accuracy drop", quiet(f1=f1)) == expected


@pytest.mark.parametrize("hundredths", range(6, 96))
def test_an_exact_drop_on_a_two_decimal_grid_never_trips(hundredths):
    """0.90 − 0.85 is 0.05 on paper, and more than that in binary floats."""
    facts = quiet(baseline_f1=hundredths / 100, f1=(hundredths - 5) / 100)
    assert status("Accuracy drop", facts) is Status.FAIL


@pytest.mark.parametrize(
    "changed",
    [
        {"f1": None},
        {"f1": float("nan")},
        {"baseline_f1": None},
        {"baseline_f1": float("inf")},
        {"f1_labels": None},
        {"f1_labels": 0},
        {"f1_labels": 299},
        {"f1": 1.2},
        {"f1": -0.1},
        {"baseline_f1": 88.0},
        {"baseline_f1": 1.0000000000000002e22},
    ],
)
def test_an_f1_that_cannot_be_judged_is_inconclusive(changed):
    """Missing, NaN, too few labels, or no share at all: no verdict, and the run is not quiet."""
    facts = quiet(**changed)
    assert status("Accuracy drop", facts) is Status.INCONCLUSIVE
    verdict = decide(facts, Policy())
    assert verdict.outcome == "inconclusive"
    assert "Accuracy drop" in verdict.sentence


def test_exactly_enough_labels_are_enough():
    """The minimum is included."""
    assert status("Accuracy drop", quiet(f1_labels=300, f1=0.5)) is Status.PASS


@pytest.mark.parametrize(("psi", "expected"), [(0.29, "FAIL"), (0.3, "FAIL"), (0.300001, "PASS")])
def test_drift_must_be_above_the_ceiling(psi, expected):
    """Strictly above, exactly compared: the mean of three times 0.3 is 0.3."""
    features = tuple(feature(psi, name) for name in "abc")
    assert status("Drift score", quiet(drift=features)) == expected


@pytest.mark.parametrize(("aggregate", "expected"), [("mean", "FAIL"), ("max", "PASS")])
def test_the_policy_names_the_aggregate(aggregate, expected):
    """One drifted feature of four lifts the maximum and not the mean."""
    features = (feature(0.9, "a"), *(feature(0.05, name) for name in "bcd"))
    assert status("Drift score", quiet(drift=features), Policy(psi_aggregate=aggregate)) == expected


@pytest.mark.parametrize(
    "drift", [None, (), (feature(None),), (feature(9.0, current=299),), (feature(9.0, reference=0),)]
)
def test_drift_without_facts_is_inconclusive(drift):
    """No features, none measured, or none with rows enough on both sides."""
    assert status("Drift score", quiet(drift=drift)) is Status.INCONCLUSIVE
    assert aggregate_psi(drift or (), Policy()) is None


def test_a_thin_feature_is_left_out_and_named():
    """The others decide, and the reader is told."""
    facts = quiet(drift=(feature(0.31, "a", 300, 300), feature(0.0, "thin", current=299), feature(-1.0, "odd")))
    check = decide(facts, Policy()).checks[1]
    assert check.status is Status.PASS
    assert "thin (299 current rows of 300)" in check.reason
    assert "odd" in check.reason


@pytest.mark.parametrize("aggregate", ["mean", "max"])
@pytest.mark.parametrize(
    ("psi", "others", "expected"),
    [
        (0.1, [feature(None)] * 12, "INCONCLUSIVE"),
        (0.1, [feature(float("nan"))], "INCONCLUSIVE"),
        (0.1, [feature(-0.1)], "INCONCLUSIVE"),
        (0.1, [feature(0.0, current=299)], "INCONCLUSIVE"),
        (0.1, [feature(0.0, reference=299)], "INCONCLUSIVE"),
        (0.1, [feature(0.0, current=0)], "INCONCLUSIVE"),
        (0.1, [feature(0.1, reference=300, current=300)], "FAIL"),
        (0.1, [], "FAIL"),
        (0.3, [feature(None)], "INCONCLUSIVE"),
        (0.300001, [feature(None)], "PASS"),
    ],
)
def test_features_left_out_keep_drift_from_being_denied(psi, others, expected, aggregate):
    """No figure, one that cannot be, rows below the minimum on either side: not met is open then, and names them.

    What is above the ceiling calls all the same, and exactly enough rows leave nothing out.
    """
    drift = (feature(psi, "seen"), *(each.model_copy(update={"feature": f"lost_{n}"}) for n, each in enumerate(others)))
    verdict = decide(quiet(drift=drift), Policy(psi_aggregate=aggregate))
    check = verdict.checks[1]
    assert (check.status, verdict.outcome) == (
        expected,
        {"INCONCLUSIVE": "inconclusive", "FAIL": "no_action", "PASS": "retrain"}[expected],
    )
    if expected == "INCONCLUSIVE":
        assert all(f"lost_{n} (" in check.reason for n in range(len(others)))
        assert "what was left out could have lifted it" in verdict.sentence


def test_drift_that_is_held_back_is_not_denied_either_where_features_were_left_out():
    """Above its limit, called before and not moved since: what was left out could have moved it."""
    told = {"drift": (feature(0.36), feature(None, "lost")), "drift_fired": fired(0.35)}
    assert status("Drift score", quiet(**told), Policy(hysteresis_share=0.1)) is Status.INCONCLUSIVE


def test_facts_of_the_first_edition_are_judged_by_its_rules():
    """Up to release 0.1.0 a feature left out was named and no more, and nothing was said of early labels."""
    told = decide(quiet(drift=(feature(0.1), feature(None, "lost")), label_coverage=None, edition=1), Policy())
    assert (told.outcome, told.deviations) == ("no_action", ())
    assert told.checks[1].reason.endswith("left out: lost (no PSI)")


@pytest.mark.parametrize(
    ("now", "last", "expected"),
    [
        (SLOT, SLOT - timedelta(days=7), "PASS"),
        (SLOT - timedelta(microseconds=1), SLOT - timedelta(days=7), "FAIL"),
        (SLOT + timedelta(days=6), SLOT - timedelta(seconds=1), "PASS"),
        (SLOT + timedelta(days=6), SLOT, "FAIL"),
        (SLOT + timedelta(days=6), SLOT + timedelta(seconds=1), "FAIL"),
        (SLOT, None, "INCONCLUSIVE"),
        (SLOT, SLOT + timedelta(seconds=1), "INCONCLUSIVE"),
    ],
)
def test_a_slot_is_due_from_its_very_moment_until_a_training(now, last, expected):
    """At the slot it is due, a missed one stays due, and an unknown last training is no answer."""
    assert status("Scheduled", quiet(now=now, last_trained_at=last)) == expected


def test_a_missed_slot_says_how_late():
    """Two days after the slot."""
    check = decide(quiet(last_trained_at=SLOT - timedelta(days=3)), Policy()).checks[2]
    assert "2 days late" in check.reason
    assert newest_slot("0 2 * * 0", NOW) == SLOT


def test_the_newest_slot_does_not_depend_on_what_was_asked_before():
    """Hours of two weeks asked forwards, backwards and of another schedule in between."""
    hours = [SLOT + timedelta(hours=hour) for hour in range(-170, 170, 7)]
    weekly = {hour: SLOT + timedelta(weeks=(hour - SLOT) // timedelta(weeks=1)) for hour in hours}
    for hour in (*hours, *reversed(hours)):
        assert newest_slot("0 2 * * 0", hour) == weekly[hour]
        assert newest_slot("0 * * * *", hour) == hour


def test_a_request_needs_its_reason():
    """A request is met with a reason, unmet without a request, and open with a blank one."""
    assert status("Manual request", quiet(request=Request(reason="new feature"))) is Status.PASS
    assert status("Manual request", quiet()) is Status.FAIL
    assert status("Manual request", quiet(request=Request(reason="  "))) is Status.INCONCLUSIVE


def test_several_triggers_are_all_recorded_and_the_highest_names_it():
    """One run, all triggers, the highest priority in front."""
    facts = quiet(
        f1=0.809,
        baseline_f1=0.88,
        last_trained_at=SLOT - timedelta(days=7),
        request=Request(reason="x", priority="low"),
    )
    verdict = decide(facts, Policy())
    assert verdict.outcome == "retrain"
    assert verdict.sentence.startswith("Retrain (High): F1 fell 0.071 below its baseline 0.88, more than 0.05.")
    assert "the slot of 2013-06-09" in verdict.sentence
    assert "requested: x" in verdict.sentence
    assert verdict.flip.startswith("With F1 ≥ 0.83,")


@pytest.mark.parametrize(("manual", "named"), [("high", "high"), ("normal", "normal"), ("low", "normal")])
def test_a_request_brings_its_own_priority(manual, named):
    """Beside a scheduled slot, the higher of both names the run."""
    facts = quiet(last_trained_at=SLOT - timedelta(days=7), request=Request(reason="x", priority=manual))
    assert priority(facts, Policy()) == named


def test_one_trigger_that_is_met_outweighs_what_is_missing():
    """A met trigger retrains though the others could not be judged."""
    assert decide(Facts(now=NOW, request=Request(reason="x")), Policy()).outcome == "retrain"


def test_automatic_triggers_rest_after_a_training():
    """Within the rest nothing automatic is met, exactly at its end all is; a person is never made to wait."""
    policy = Policy(cooldown_hours=24)
    trained = NOW - timedelta(hours=24)
    facts = quiet(f1=0.5, drift=(feature(9.0),), last_trained_at=trained + timedelta(seconds=1))
    assert decide(facts, policy).outcome == "no_action"
    assert "rests until" in decide(facts, policy).sentence
    assert decide(facts.model_copy(update={"last_trained_at": trained}), policy).outcome == "retrain"
    asked = facts.model_copy(update={"request": Request(reason="x")})
    assert decide(asked, policy).outcome == "retrain"


def test_a_rest_after_an_unknown_training_may_not_be_over():
    """With a cooldown, a trigger is open while nobody knows when the last training was."""
    facts = quiet(f1=0.5, last_trained_at=None)
    assert status("Accuracy drop", facts, Policy(cooldown_hours=1)) is Status.INCONCLUSIVE
    assert status("Accuracy drop", facts) is Status.PASS


@pytest.mark.parametrize("schedule", ["", "weekly", "0 2 * *", "0 2 * * 9", "0 0 30 2 *", "0 0 2 * * 0"])
def test_a_schedule_that_is_none_is_refused(schedule):
    """Five fields, and a date that comes."""
    with pytest.raises(ValidationError, match="cron expression"):
        Policy(schedule=schedule)


@pytest.mark.parametrize(
    ("coverage", "expected"),
    [
        (Coverage(rows=1000, labelled=900), "PASS"),
        (Coverage(rows=1000, labelled=899), "INCONCLUSIVE"),
        (Coverage(rows=0, labelled=0), "INCONCLUSIVE"),
        (Coverage(rows=10, labelled=11), "INCONCLUSIVE"),
        (None, "INCONCLUSIVE"),
    ],
)
def test_an_f1_on_too_few_of_the_rows_is_no_verdict(coverage, expected):
    """Exactly the share asked for is enough; less, or not known, is open. Where none is asked for it is only shown."""
    facts = quiet(f1=0.5, label_coverage=coverage)
    assert status("Accuracy drop", facts, Policy(f1_minimum_coverage=0.9)) == expected
    check = decide(facts, Policy()).checks[0]
    assert check.status is Status.PASS
    assert ("have come" in check.reason) is (coverage is not None)


@pytest.mark.parametrize(
    ("coverage", "delay", "said"),
    [
        (Coverage(rows=1000, labelled=1000), 0, None),
        (
            Coverage(rows=1000, labelled=999),
            0,
            "labels of 999 of 1,000 rows (99.9 %) have come, and label_delay_days is 0",
        ),
        (Coverage(rows=1000, labelled=0), 0, "labels of 0 of 1,000 rows (0.0 %) have come, and label_delay_days is 0"),
        (Coverage(rows=1000, labelled=999), 0.5, None),
        (Coverage(rows=0, labelled=0), 7, "how many of the rows have their label is not known"),
        (Coverage(rows=10, labelled=11), 7, "how many of the rows have their label is not known"),
        (Coverage(rows=10, labelled=-1), 0, "how many of the rows have their label is not known"),
        (None, 7, "how many of the rows have their label is not known"),
    ],
)
def test_an_f1_that_may_rest_on_early_labels_is_a_deviation(coverage, delay, said):
    """Rows without a label that nobody waits for, or not known: said, whether F1 dropped or not; the limit decides."""
    for f1, outcome in ((0.87, "no_action"), (0.5, "retrain")):
        verdict = decide(quiet(f1=f1, label_coverage=coverage), Policy(label_delay_days=delay))
        assert verdict.outcome == outcome
        assert [told.partition(": ")[2] for told in verdict.deviations] == ([said] if said else [])


def test_where_no_f1_was_judged_none_rests_on_early_labels():
    """Not measured, too few labels, a rest after a training, and records of an earlier edition say nothing of it."""
    early, rest = Coverage(rows=1000, labelled=10), Policy(cooldown_hours=10_000)
    assert decide(quiet(label_coverage=early), Policy()).deviations != ()
    for changed in ({"f1": None}, {"f1_labels": 299}, {"baseline_f1": None}, {"edition": 1}):
        assert decide(quiet(label_coverage=early, **changed), Policy()).deviations == ()
    assert decide(quiet(label_coverage=early), rest).deviations == ()


@pytest.mark.parametrize(
    ("delay", "said"),
    [(0, "no F1 in the last 7 days"), (1, "up to 1 day ago"), (2.5, "the 7 days up to 2.5 days ago")],
)
def test_a_missing_f1_says_in_which_days_it_is_missing(delay, said):
    """With a delay these are not the last ones."""
    assert said in decide(quiet(f1=None), Policy(label_delay_days=delay)).checks[0].reason


@pytest.mark.parametrize(("times", "said"), [(0.0004, "less than 0.001"), (0.39, "about 0.39"), (52.4, "about 52")])
def test_a_trigger_says_how_often_chance_alone_would_meet_it(times, said):
    """Both triggers with a limit; nothing is said where it is not known. The sentence is that of without it."""
    verdict = decide(quiet(f1_by_chance=times, drift_by_chance=times), Policy())
    assert all(f"by chance alone {said} a year" in check.reason for check in verdict.checks[:2])
    assert verdict.sentence == decide(quiet(), Policy()).sentence
    assert not any("by chance" in check.reason for check in decide(quiet(), Policy()).checks)


def fired(figure, lowest=None):
    return Fired(run_id="r1", at=NOW - timedelta(hours=1), figure=figure, lowest_since=lowest)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, "PASS"),
        (fired(0.06), "PASS"),  # 0.07 is as much as 0.01 above it
        (fired(0.0601), "FAIL"),
        (fired(0.07), "FAIL"),
        (fired(0.07, 0.0401), "FAIL"),
        (fired(0.07, 0.04), "PASS"),
        (fired(None), "PASS"),
    ],
)
def test_a_trigger_that_called_must_move_before_it_calls_again(before, expected):
    """By a fifth of its limit, down or up; with no hysteresis the runbook's limit is all there is."""
    facts = quiet(f1=0.81, f1_fired=before)
    assert status("Accuracy drop", facts, Policy(hysteresis_share=0.2)) == expected
    assert status("Accuracy drop", facts) is Status.PASS
    if expected == "FAIL":
        verdict = decide(facts, Policy(hysteresis_share=0.2))
        assert verdict.outcome == "no_action"
        assert "it called at 2013-06-11 01:00 UTC" in verdict.sentence
        assert "once it has moved" in verdict.flip


def test_drift_has_the_same_hysteresis():
    """0.36 after 0.35 with a band of 0.03 does not call; 0.38 does."""
    policy = Policy(hysteresis_share=0.1)
    for psi, expected in ((0.36, "FAIL"), (0.379, "FAIL"), (0.38, "PASS"), (0.3, "FAIL")):
        assert status("Drift score", quiet(drift=(feature(psi),), drift_fired=fired(0.35)), policy) == expected


def test_the_figures_that_are_held_against_limits():
    """The drop of F1 and the aggregate PSI, exactly; None where one is not known."""
    assert figures(quiet(f1=0.83), Policy()) == (
        ("f1_fired", "Accuracy drop", 0.05),
        ("drift_fired", "Drift score", 0.1),
    )
    assert [figure for _, _, figure in figures(Facts(now=NOW), Policy())] == [None, None]
