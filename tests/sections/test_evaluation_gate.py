"""The gate: five rows, exactly at the limit is enough, and what is missing closes it."""

import pytest

from retrain.checks import Status
from retrain.facts import BestEver, Metrics, Scored
from retrain.sections.evaluation_gate import EDITION, Facts, Policy, decide, production_figure, proofs

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
        **({"holdout": "h1", "edition": EDITION} | changed),
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


SAME = {"candidate_scored": Scored(holdout_id="a1"), "production_scored": Scored(holdout_id="a1")}
OTHER = {"candidate_scored": Scored(holdout_id="a1"), "production_scored": Scored(holdout_id="b2")}
UNNAMED = {"candidate_scored": Scored(), "production_scored": Scored(holdout_id="a1")}


def timed(slow, requests=1000, p99=0.5, **changed):
    scored = {**SAME, "candidate_scored": Scored(holdout_id="a1", timed_requests=requests, slow_requests=slow)}
    return gate({"latency_p99_seconds": p99}, **{**scored, **changed})


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


@pytest.mark.parametrize(
    ("name", "of", "facts"),
    [
        ("Precision", 100, lambda scale: gate(counts(scale, tp=80, fp=20))),
        ("Recall", 100, lambda scale: gate(counts(scale, tp=75, fn=25))),
        ("F1 score", 120, lambda scale: gate(counts(scale, tp=80, fp=20, fn=20), counts(scale))),
        ("Latency p99", 100, lambda scale: timed(2 * scale, 100 * scale, p99=1.5)),
    ],
)
def test_a_row_that_fails_by_point_says_how_many_would_prove_it(name, of, facts):
    """The same figure on so many is proven to fail, and on two thirds of them it is not yet."""
    few = proofs(facts(1), Policy())[name]
    assert (few.evidence, few.why) == ("by point", "")
    assert f"; about {few.needed:,} {few.of} at this figure would prove that it fails)" in row(name, facts(1)).reason
    assert row(name, facts(1)).status is Status.FAIL
    assert proofs(facts(-(-few.needed // of)), Policy())[name].evidence == "proven"
    assert proofs(facts(few.needed * 2 // 3 // of), Policy())[name].evidence == "by point"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("Precision", gate(counts(1, tp=85, fp=15) | {"precision": 0.8496})),
        ("Precision", gate(counts(1, tp=85, fp=15))),
        ("Latency p99", timed(5, p99=1.5)),
        ("Latency p99", timed(10)),
    ],
)
def test_where_no_sample_can_be_named_the_row_says_why(name, facts):
    """A figure whose counts put it at its limit, or on the other side, is not proven by more of the same."""
    assert proofs(facts, Policy())[name].needed is None
    assert (
        "; no sample would prove it: the figure is at its limit, or its counts say otherwise)"
        in row(name, facts).reason
    )


def test_every_row_has_its_class_and_both_bounds_where_there_are_counts():
    """A latency that was not told, or a model of which nothing was, is of unknown evidence: no row is without."""
    for facts in (gate({"latency_p99_seconds": None}), Facts(edition=EDITION)):
        assert all("; evidence: unknown (" in check.reason for check in decide(facts, Policy()).checks)
    found = decide(gate(counts(1), counts(1)), Policy())
    told = proofs(gate(counts(1), counts(1)), Policy())
    for check in found.checks[:4]:
        low, high = (f"{bound:.4f}".rstrip("0").replace("-", "−") for bound in told[check.name].interval)
        assert f" {low} to {high}" in check.reason


def test_the_first_edition_is_worded_as_it_was():
    """Records of release 0.1.0 hold one bound, no sample for what fails, and no class where a row was not judged."""
    low = counts(1, tp=80, fp=20, fn=10) | {"latency_p99_seconds": None}
    then = decide(gate(low, edition=1), Policy())
    assert then.checks[2].reason.endswith("evidence: by point (95 % upper bound 0.8633)")
    assert then.checks[3].reason.endswith("evidence: proven (95 % lower bound 0.8188)")
    assert "evidence" not in then.checks[4].reason


def test_counts_that_do_not_fit_prove_nothing():
    """They are said, and the literal rule still decides."""
    verdict = decide(gate(counts(1) | {"precision": 0.86}), Policy())
    assert verdict.outcome == "passed"
    assert "evidence: unknown" in verdict.checks[2].reason
    assert any("do not fit" in told for told in verdict.deviations)
    assert any("negative" in told for told in decide(gate({"tp": -1}), Policy()).deviations)


BEST = BestEver(promotions=5, f1=0.924, f1_version="v0", auc_roc=0.97, auc_roc_version="v0")


@pytest.mark.parametrize(
    ("changed", "below"),
    [
        ({}, []),
        ({"f1": 0.8739}, ["F1"]),
        ({"auc_roc": 0.9449}, ["AUC-ROC"]),
        ({"f1": 0.8, "auc_roc": 0.9}, ["F1", "AUC-ROC"]),
    ],
)
def test_five_losses_of_a_hundredth_are_seen(changed, below):
    """Exactly 0.05 (0.025 in AUC-ROC) below the best ever is the floor; what is below is shown, and the rows decide."""
    facts = gate(changed, {"f1": 0.8, "auc_roc": 0.9}, best=BEST)
    verdict = decide(facts, Policy())
    assert verdict.outcome == "passed"
    assert [told.split()[0] for told in verdict.deviations] == below
    assert ("Shown beside the rows" in verdict.sentence) is bool(below)
    assert all(told in verdict.sentence for told in verdict.deviations)


def test_the_ratchet_rejects_where_the_policy_says_so():
    """The same breach is a check of its own then, which fails and says the floor; at the floor it passes."""
    policy, lower = Policy(ratchet="reject"), {"f1": 0.8, "auc_roc": 0.9}
    assert decide(gate({}, lower, best=BEST), policy).outcome == "passed"
    verdict = decide(gate({"f1": 0.87}, lower, best=BEST), policy)
    assert verdict.outcome == "rejected"
    assert verdict.checks[-1].requirement == "F1 ≥ the best ever 0.924 − 0.05 = 0.874"
    assert "0.054 below the best that a promoted version had, 0.924 (v0)" in verdict.checks[-1].reason
    assert "the best ever" in verdict.flip
    assert verdict.deviations == ()


@pytest.mark.parametrize("best", [None, BestEver(promotions=0), BestEver(promotions=2, f1=0.5)])
def test_a_best_figure_that_is_not_known_is_no_floor_that_holds(best):
    """Where the ratchet rejects, an unknown floor closes; where nothing was ever promoted there is none to keep."""
    verdict = decide(gate(best=best), Policy(ratchet="reject"))
    assert verdict.outcome == "rejected"
    assert verdict.checks[-1].status is Status.INCONCLUSIVE
    shown = decide(gate(best=best), Policy())
    assert shown.outcome == "passed"
    said = {None: [], 0: ["no promotion is recorded"], 2: ["no promotion in MODEL_METRICS tells its AUC-ROC"]}
    expected = said[best.promotions if best is not None else None]
    assert len(shown.deviations) == len(expected)
    assert all(told.startswith(start) for told, start in zip(shown.deviations, expected, strict=True))
    first = Facts(candidate=Metrics(**AT_LIMIT), first_promotion=True, holdout="h", best=best)
    nothing = best is None or best.promotions == 0
    assert decide(first, Policy(ratchet="reject")).outcome == ("passed" if nothing else "rejected")
    assert len(decide(first, Policy()).deviations) == (1 if nothing else 2)


def test_the_ratchet_holds_though_nothing_serves_now():
    """Promotions are recorded: the best of them is held against a "first" one as against any, shown or rejecting."""
    for figure, below in ((0.874, []), (0.8739, ["F1"])):
        candidate = Metrics(**(AT_LIMIT | {"f1": figure}))
        facts = Facts(candidate=candidate, first_promotion=True, holdout="h", best=BEST, edition=EDITION)
        rejecting = decide(facts, Policy(ratchet="reject"))
        assert rejecting.outcome == ("rejected" if below else "passed")
        assert [check.name for check in rejecting.checks[5:]] == ["Best ever"] * len(below)
        shown = decide(facts, Policy())
        assert shown.outcome == "passed"
        assert [told.split()[0] for told in shown.deviations[1:]] == below
        assert ("Shown beside the rows" in shown.sentence) is bool(below)


@pytest.mark.parametrize(
    ("scored", "said", "status"),
    [(SAME, "", None), (OTHER, "a1 and b2", Status.FAIL), (UNNAMED, "no id", Status.INCONCLUSIVE)],
)
def test_another_holdout_is_said_and_may_close(scored, said, status):
    """Ids that differ, or are missing, are a deviation that names them; by policy they close."""
    verdict = decide(gate(**scored), Policy())
    assert verdict.outcome == "passed"
    assert len(verdict.deviations) == bool(said)
    assert said in " ".join(verdict.deviations)
    required = decide(gate(**scored), Policy(same_holdout="require"))
    assert required.outcome == ("rejected" if said else "passed")
    assert [check.status for check in required.checks[5:]] == ([status] if status else [])


def test_counts_of_other_rows_belie_one_holdout():
    """The same id, but 100 positives here and 200 there."""
    facts = gate(counts(1), counts(2), **SAME)
    assert "said to be scored on one hold-out" in decide(facts, Policy()).deviations[0]
    assert decide(facts, Policy(same_holdout="require")).outcome == "rejected"
    assert decide(gate(counts(1), counts(1), **SAME), Policy(same_holdout="require")).outcome == "passed"


def test_a_first_promotion_has_no_holdout_to_share():
    """Nothing is compared."""
    facts = Facts(candidate=Metrics(**AT_LIMIT), first_promotion=True, holdout="h", candidate_scored=Scored())
    assert decide(facts, Policy(same_holdout="require")).outcome == "passed"


@pytest.mark.parametrize("versions", [{"version": None}, {"version": "v1"}])
def test_scores_tell_where_versions_do_not(versions):
    """The same scores from both slots are the same model; other scores are another one."""
    same = decide(gate(production=versions, slot_scores="same"), Policy())
    assert same.outcome == "rejected"
    assert same.checks[-1].name == "Candidate is not production"
    assert same.checks[-1].status is Status.FAIL
    assert decide(gate(production=versions, slot_scores="different"), Policy()).outcome == "passed"


def test_nothing_that_tells_two_models_apart_is_not_a_pass():
    """No version, no scores, and every figure production's own: open, and closed; one figure that differs passes."""
    twin = {**PRODUCTION, "version": None}
    verdict = decide(gate(twin, twin, slot_scores="unknown"), Policy())
    assert verdict.outcome == "rejected"
    assert verdict.checks[-1].status is Status.INCONCLUSIVE
    for changed in ({"f1": 0.885}, {"recall": 0.871}, {"tp": 3}):
        apart = decide(gate(twin | changed, twin | {"tp": 4}, slot_scores="unknown"), Policy())
        assert apart.outcome == "passed"
        assert "looked at after it" in apart.deviations[0]
    deltas = {"f1": 0.0, "auc_roc": 0.0}
    told = Facts(candidate=Metrics(**AT_LIMIT), deltas=deltas, holdout="h", slot_scores="unknown")
    assert decide(told, Policy()).outcome == "rejected"
    moved = told.model_copy(update={"deltas": deltas | {"auc_roc": 0.001}})
    assert decide(moved, Policy()).outcome == "passed"
    assert decide(told.model_copy(update={"deltas": {"f1": 0.0}}), Policy()).checks[-1].name == "Latency p99"


@pytest.mark.parametrize(
    ("facts", "evidence", "needed"),
    [
        (timed(0, 299), "proven", None),
        (timed(0, 298), "by point", 300),
        (timed(1, 472), "by point", 630),
        (timed(1, 473), "proven", None),
        (timed(20), "by point", None),
        (timed(100, p99=1.5), "proven", None),
        (timed(11, p99=1.5), "by point", 29_000),
        (timed(10, p99=1.5), "by point", None),
        (timed(None), "unknown", None),
        (timed(0, None), "unknown", None),
        (timed(0, 0), "unknown", None),
    ],
)
def test_a_latency_is_proven_by_its_requests(facts, evidence, needed):
    """299 requests with none slow prove p99 < 1 s, 298 do not; slower than 1 % is proven by many slow ones."""
    proof = proofs(facts, Policy())["Latency p99"]
    assert (proof.evidence, proof.needed) == (evidence, needed)
    assert proof.text in row("Latency p99", facts).reason


def test_slow_requests_prove_nothing_of_another_ceiling():
    """They are counted from one second."""
    assert proofs(timed(0), Policy(latency_p99_ceiling_seconds=0.6))["Latency p99"].evidence == "unknown"


def test_the_standard_error_of_the_service_proves_an_auc_on_the_same_rows():
    """0.01 better with an error of 0.005 is more than −0.005 by 1.645 errors; on other rows the error says nothing."""
    scored = {**SAME, "auc_difference_standard_error": 0.005}
    candidate, production = counts(1) | {"auc_roc": 0.96}, counts(1)
    proof = proofs(gate(candidate, production, **scored), Policy())["AUC-ROC"]
    assert proof.evidence == "proven"
    assert proof.interval == pytest.approx((0.01 - 0.0082243, 0.01 + 0.0082243), abs=1e-6)
    worse = proofs(gate(counts(1) | {"auc_roc": 0.95}, production, **scored), Policy())["AUC-ROC"]
    assert (worse.evidence, worse.of) == ("by point", "rows")
    assert worse.needed == 2800  # (1.645 · 0.005 / 0.005)² = 2.7 times the thousand rows
    for other in (OTHER, UNNAMED):
        assert proofs(gate(candidate, production, **{**scored, **other}), Policy())["AUC-ROC"].evidence == "by point"


def test_every_row_has_its_proof_with_an_interval_around_the_figure():
    """Five rows, each with both bounds where there are counts."""
    found = proofs(gate(counts(1), counts(1), **SAME), Policy())
    assert list(found) == ROWS
    low, high = found["Precision"].interval
    assert low < 0.9 < high
    assert found["Precision"].needed > 100
    assert found["Latency p99"].interval is None
    nothing = proofs(Facts(), Policy())
    assert {proof.evidence for proof in nothing.values()} == {"unknown"}


OWN = {"status": "completed", "job": "job-7", "training_job": "job-7"}


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"job": "job-8"}, Status.FAIL, "the service's figures are those of job-8, and this run's training is job-7"),
        ({"job": None}, Status.INCONCLUSIVE, "the service tells no job any more, and this run's training is job-7"),
        ({"status": "running"}, Status.FAIL, "the service's status is running, not completed"),
        ({"status": "running", "job": None, "training_job": None}, Status.FAIL, "is running, not completed"),
        ({"status": "missing"}, Status.FAIL, "the service's status is missing, not completed"),
    ],
)
def test_figures_that_are_not_of_this_runs_training_close_the_gate(changed, status, said):
    """Another training may end, or begin, between this run's and its gate: all five rows pass, and it is rejected."""
    verdict = decide(gate(**(OWN | changed)), Policy())
    assert verdict.outcome == "rejected"
    (check,) = [each for each in verdict.checks if each.status is not Status.PASS]
    assert (check.name, check.status) == ("This run's training", status)
    assert said in check.reason
    assert said in verdict.sentence


@pytest.mark.parametrize(
    "told", [OWN, {"status": "completed"}, {"status": "completed", "job": "job-7"}, {"job": "job-7"}, {}]
)
def test_its_own_training_and_one_of_which_no_job_is_known_say_nothing_new(told):
    """A service of four endpoints tells no job, and old records asked for neither: five rows, as ever."""
    verdict = decide(gate(**told), Policy())
    assert (verdict.outcome, [check.name for check in verdict.checks]) == ("passed", ROWS)
    assert verdict == decide(gate(), Policy())
