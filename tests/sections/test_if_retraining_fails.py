"""After a failure: one cause from the evidence, one change a retry, and an incident when it goes on."""

import pytest

from retrain.facts import Epoch, Remedy
from retrain.sections.if_retraining_fails import RUNBOOK_REMEDIES, Facts, Policy, decide, diagnose, incident_due, remedy

POLICY = Policy(remedies=RUNBOOK_REMEDIES)
BALANCED = {"0": 900, "1": 100}


def log(*losses, validated=True):
    """A training log with these losses."""
    name = "validation_loss" if validated else "training_loss"
    return tuple(Epoch(epoch=number, **{name: loss}) for number, loss in enumerate(losses, 1))


CONVERGED = log(0.9, 0.5, 0.4, 0.39, 0.395, 0.4)


def failed(**changed):
    plain = {"failed_section": "training", "class_counts": BALANCED, "epochs": CONVERGED}
    return Facts(**(plain | changed))


def cause(**changed):
    return diagnose(failed(**changed), POLICY)[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("RuntimeError: CUDA out of memory", "resource_exhaustion"),
        ("worker was Killed", "resource_exhaustion"),
        ("OOM", "resource_exhaustion"),
        ("No space left on device", "resource_exhaustion"),
        ("classes are imbalanced", "data_imbalance"),
        ("stratified split: the minority has one row", "data_imbalance"),
        ("did not converge", "convergence_failure"),
        ("loss is NaN", "convergence_failure"),
        ("the financing room", "unknown"),
        ("connection reset", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_errors_own_words(error, expected):
    """Whole words that name a cause, in any case of letters."""
    assert cause(error=error) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"0": 98, "1": 2}, "unknown"),
        ({"0": 9_801, "1": 199}, "data_imbalance"),
        ({"0": 100}, "data_imbalance"),
        ({"0": 100, "1": 0}, "data_imbalance"),
        ({"0": 0, "1": 0}, "unknown"),
        ({"0": 100, "1": -1}, "unknown"),
        ({}, "unknown"),
        (None, "unknown"),
    ],
)
def test_a_class_below_its_floor(counts, expected):
    """Exactly at 2 % is enough; one class alone is imbalance; no rows are no evidence."""
    assert cause(class_counts=counts) == expected


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (CONVERGED, "unknown"),
        (log(0.5, 0.6, 0.5), "convergence_failure"),
        (log(0.9, 0.8, 0.7), "convergence_failure"),
        (log(0.9, 0.8, 0.799), "unknown"),
        (log(0.9, 0.8, float("nan"), 0.7), "convergence_failure"),
        (log(0.9, 0.8, 0.7, validated=False), "convergence_failure"),
        (log(None, None), "unknown"),
        (log(0.9), "unknown"),
        ((), "unknown"),
        (None, "unknown"),
    ],
)
def test_the_epoch_log(epochs, expected):
    """Never fallen, still falling, or no number any more; a log without losses says nothing."""
    assert cause(epochs=epochs) == expected


def test_the_log_is_read_in_order_of_epochs():
    """However it came."""
    assert cause(epochs=CONVERGED[::-1]) == "unknown"


def test_words_come_before_counts_and_counts_before_the_log():
    """The cause is the first; all evidence is told."""
    facts = failed(error="out of memory", class_counts={"0": 1}, epochs=log(0.9, 0.8, 0.7))
    found, told = diagnose(facts, POLICY)
    assert found == "resource_exhaustion"
    assert len(told) == 3
    assert cause(class_counts={"0": 1}, epochs=log(0.9, 0.8, 0.7)) == "data_imbalance"


def test_one_change_a_retry_in_order():
    """The first remedy that was not tried; then the next; then none."""
    facts = failed(class_counts={"0": 100})
    verdict = decide(facts, POLICY)
    assert verdict.outcome == "retry"
    assert "attempt 2 changes one thing: class weights" in verdict.sentence
    assert remedy(facts, POLICY).body == {"hyperparameters": {"class_weight": "balanced"}}
    second = facts.model_copy(update={"remedies_tried": ("class weights",)})
    assert remedy(second, POLICY).name == "SMOTE"
    third = facts.model_copy(update={"remedies_tried": ("class weights", "SMOTE")})
    assert remedy(third, POLICY) is None
    assert decide(third, POLICY).outcome == "give_up"


def test_the_attempts_are_counted():
    """Two in a run by default: the second failure gives up."""
    facts = failed(class_counts={"0": 100}, attempt=2)
    assert decide(facts, POLICY).outcome == "give_up"
    assert decide(facts, POLICY.model_copy(update={"maximum_attempts": 3})).outcome == "retry"


def test_an_unknown_cause_is_not_tried_away():
    """No cause, no remedy, though the policy were to hold one."""
    policy = Policy(remedies={"unknown": (Remedy(name="hope", body={}),)})
    assert decide(failed(), policy).outcome == "give_up"
    assert remedy(failed(), policy) is None


def test_a_service_without_such_fields_has_no_remedies():
    """The default policy holds none."""
    assert decide(failed(class_counts={"0": 100}), Policy()).outcome == "give_up"


def test_a_rejected_candidate_is_tried_again_only_on_evidence():
    """Counts and the log speak; the words of an error do not; without evidence production stays as it is."""
    rejected = failed(failed_section="evaluation_gate", error="out of memory")
    verdict = decide(rejected, POLICY)
    assert verdict.outcome == "give_up"
    assert "Production is unchanged" in verdict.sentence
    assert decide(failed(failed_section="evaluation_gate", class_counts={"0": 1}), POLICY).outcome == "retry"


def test_giving_up_a_training_points_to_the_data():
    """The related notebook, and how many runs have failed in a row."""
    sentence = decide(failed(failed_runs_before=2), POLICY).sentence
    assert "related/data_quality" in sentence
    assert "3 failed runs in a row" in sentence
    assert decide(Facts(), Policy()).outcome == "not_ready"


@pytest.mark.parametrize(
    ("changed", "due"),
    [
        ({"failed_runs_before": 2}, True),
        ({"failed_runs_before": 1}, False),
        ({"failed_runs_before": 7}, True),
        ({"failed_runs_before": 2, "open_incident": "I1"}, False),
        ({"failed_runs_before": 2, "failed_section": "evaluation_gate"}, False),
        ({"failed_runs_before": 2, "failed_section": None}, False),
        ({"failed_runs_before": 2, "class_counts": {"0": 1}}, False),
        ({"failed_runs_before": 2, "class_counts": {"0": 1}, "attempt": 2}, True),
    ],
)
def test_an_incident_after_three_failed_runs(changed, due):
    """The third in a row, given up, on a training, with none open."""
    assert incident_due(failed(**changed), POLICY) is due
