"""The gate: five rows, exactly at the limit is enough, and what is missing closes it."""

import pytest

from retrain.checks import Status
from retrain.facts import Metrics
from retrain.sections.evaluation_gate import Facts, Policy, decide, production_figure

PRODUCTION = {"version": "v1", "f1": 0.884, "precision": 0.9, "recall": 0.87, "auc_roc": 0.95}
AT_LIMIT = {
    "version": "v2",
    "f1": 0.874,
    "precision": 0.85,
    "recall": 0.80,
    "auc_roc": 0.945,
    "latency_p99_seconds": 0.999,
}
ROWS = ["F1 score", "AUC-ROC", "Precision", "Recall", "Latency p99"]


def gate(candidate=None, production=None, **changed):
    return Facts(
        candidate=Metrics(**(AT_LIMIT | (candidate or {}))),
        production=Metrics(**(PRODUCTION | (production or {}))),
        **({"holdout": "h1"} | changed),
    )


def row(name, facts):
    return next(check for check in decide(facts, Policy()).checks if check.name == name)


def test_exactly_at_every_limit_passes():
    """≥ is ≥: five rows, no deviation."""
    verdict = decide(gate(), Policy())
    assert verdict.outcome == "passed"
    assert [check.name for check in verdict.checks] == ROWS
    assert verdict.checks[0].requirement == "F1 ≥ production 0.884 − 0.01 = 0.874"
    assert verdict.deviations == ()


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("f1", 0.873999),
        ("auc_roc", 0.944999),
        ("precision", 0.849999),
        ("recall", 0.799999),
        ("latency_p99_seconds", 1.0),
    ],
)
def test_one_row_beyond_its_limit_rejects(name, below):
    """Each row alone closes the gate; a p99 of exactly one second is not below it."""
    verdict = decide(gate({name: below}), Policy())
    assert verdict.outcome == "rejected"
    assert verdict.status is Status.FAIL
    assert verdict.flip.endswith("passed.")


@pytest.mark.parametrize("name", ["f1", "auc_roc", "precision", "recall"])
@pytest.mark.parametrize("value", [None, float("nan"), 1.01, -0.01, 88.0])
def test_a_figure_that_is_none_closes(name, value):
    """Missing, NaN and anything outside [0, 1] is open, and closes."""
    verdict = decide(gate({name: value}), Policy())
    assert verdict.outcome == "rejected"
    assert verdict.status is Status.INCONCLUSIVE


@pytest.mark.parametrize("name", ["f1", "auc_roc"])
@pytest.mark.parametrize("value", [None, 1.5])
def test_without_productions_figure_there_is_no_pass(name, value):
    """Not known, or no share: closed, and not taken for a first promotion."""
    assert decide(gate(production={name: value}), Policy()).outcome == "rejected"


def test_no_metrics_at_all_reject():
    """Nothing told, nothing passed; latency is not excused then."""
    verdict = decide(Facts(), Policy())
    assert verdict.outcome == "rejected"
    assert {check.status for check in verdict.checks} == {Status.INCONCLUSIVE}


def test_productions_figure_may_come_from_the_delta():
    """A service that tells deltas only: candidate − delta, exactly."""
    facts = Facts(candidate=Metrics(**AT_LIMIT), deltas={"f1": -0.01, "auc_roc": -0.005}, holdout="h")
    assert str(production_figure(facts, "f1")) == "0.884"
    assert decide(facts, Policy()).outcome == "passed"
    worse = Facts(candidate=Metrics(**AT_LIMIT), deltas={"f1": -0.010001, "auc_roc": -0.005}, holdout="h")
    assert decide(worse, Policy()).outcome == "rejected"
    assert decide(Facts(candidate=Metrics(**AT_LIMIT), deltas={"f1": float("nan")}), Policy()).outcome == "rejected"


def test_a_missing_latency_is_left_to_the_smoke_test():
    """The row is open and said so, the gate passes on the other four, and that is a deviation."""
    verdict = decide(gate({"latency_p99_seconds": None}), Policy())
    assert verdict.outcome == "passed"
    assert verdict.checks[4].status is Status.INCONCLUSIVE
    assert "decided by the smoke test" in verdict.checks[4].reason
    assert "decided by the smoke test" in verdict.deviations[0]


def test_a_negative_latency_closes():
    """A clock that runs backwards measured nothing, and something was told."""
    assert decide(gate({"latency_p99_seconds": -0.1}), Policy()).outcome == "rejected"


def test_a_first_promotion_needs_its_floors_and_says_that_it_needs_an_approval():
    """Nothing to compare with: relative rows open, floors decide."""
    facts = Facts(candidate=Metrics(**AT_LIMIT), first_promotion=True, holdout="h")
    verdict = decide(facts, Policy())
    assert verdict.outcome == "passed"
    assert "nothing to compare with" in verdict.checks[0].reason
    assert "approval" in verdict.deviations[0]
    low = Facts(candidate=Metrics(**(AT_LIMIT | {"recall": 0.79})), first_promotion=True)
    assert decide(low, Policy()).outcome == "rejected"
    silent = Facts(candidate=Metrics(**(AT_LIMIT | {"f1": None})), first_promotion=True)
    assert decide(silent, Policy()).outcome == "rejected"
    compared = gate({"f1": 0.5}, first_promotion=True)
    assert decide(compared, Policy()).outcome == "rejected"


def test_production_itself_is_no_candidate():
    """The same version fails a check of its own; an unknown one is a deviation."""
    verdict = decide(gate({"version": "v1"}), Policy())
    assert verdict.outcome == "rejected"
    assert verdict.checks[-1].name == "Candidate is not production"
    unknown = decide(gate(production={"version": None}), Policy())
    assert unknown.outcome == "passed"
    assert "cannot be shown" in unknown.deviations[0]


@pytest.mark.parametrize(("delta", "said"), [(-0.01, False), (-0.0105, False), (-0.0106, True), (0.01, True)])
def test_a_delta_that_disagrees_is_said(delta, said):
    """Beyond rounding to three decimals."""
    deviations = decide(gate(deltas={"f1": delta}), Policy()).deviations
    assert any("delta of F1" in told for told in deviations) is said


@pytest.mark.parametrize(("observed", "said"), [(0.834, False), (0.833, True), (None, False)])
def test_production_in_the_warehouse_that_disagrees_is_said(observed, said):
    """More than the tolerance apart."""
    deviations = decide(gate(production_observed_f1=observed), Policy()).deviations
    assert any("MODEL_METRICS" in told for told in deviations) is said


def test_an_unnamed_holdout_is_said():
    """The reader is told that nobody attests the hold-out."""
    assert "hold-out" in decide(gate(holdout=None), Policy()).deviations[0]


def counts(scale, tp=90, fp=10, fn=10, tn=890):
    return {
        "tp": tp * scale,
        "fp": fp * scale,
        "fn": fn * scale,
        "tn": tn * scale,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }


def test_every_row_says_what_it_proves():
    """The same figures: by point with few rows and how many would do, proven with many, unknown without counts."""
    few = decide(gate(counts(1), counts(1)), Policy())
    assert all("evidence: by point" in few.checks[place].reason for place in (0, 1, 2))
    assert "at this figure would prove it" in few.checks[0].reason
    many = decide(gate(counts(1000) | {"auc_roc": 0.96}, counts(1000)), Policy())
    assert all("evidence: proven" in check.reason for check in many.checks[:4])
    none = decide(gate(), Policy())
    assert all("evidence: unknown" in check.reason for check in none.checks)
    assert all(verdict.outcome == "passed" for verdict in (few, many, none))


def test_what_fails_may_be_proven_too():
    """A precision of 0.80 on many rows is shown to be below its floor; on few it is so by point."""
    low = counts(1000, tp=80, fp=20, fn=10)
    assert "evidence: proven" in row("Precision", gate(low)).reason
    assert "evidence: by point" in row("Precision", gate(counts(1, tp=80, fp=20, fn=10))).reason
    worse = row("F1 score", gate(low, counts(1000)))
    assert worse.status is Status.FAIL
    assert "evidence: proven" in worse.reason


def test_counts_that_do_not_fit_prove_nothing():
    """They are said, and the literal rule still decides."""
    verdict = decide(gate(counts(1) | {"precision": 0.86}), Policy())
    assert verdict.outcome == "passed"
    assert "evidence: unknown" in verdict.checks[2].reason
    assert any("do not fit" in told for told in verdict.deviations)
    assert any("negative" in told for told in decide(gate({"tp": -1}), Policy()).deviations)
