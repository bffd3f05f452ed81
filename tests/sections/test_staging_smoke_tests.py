"""The smoke tests: all answered, all valid, not all the same, fast enough, and from the right slot."""

import math

import pytest

from retrain.checks import Status
from retrain.facts import Slots
from retrain.sections.staging_smoke_tests import (
    EDITION,
    Facts,
    Policy,
    after_swap,
    decide,
    in_words,
    p99,
    p99_of,
    predictions_to_send,
)

SLOTS = Slots(active="v1", standby="v2", attested=True)
SCORES = tuple(place / 99 for place in range(100))


def smoke(**changed):
    plain = {
        "gate": "passed",
        "candidate_version": "v2",
        "slots": SLOTS,
        "answered_by": "standby",
        "scores": SCORES,
        "latencies_seconds": (0.02,) * 100,
        "again": changed.get("scores", SCORES)[:100],
        "edition": EDITION,
    }
    return Facts(**(plain | changed))


def check(name, facts, policy=None):
    return next(each for each in decide(facts, policy or Policy()).checks if each.name == name)


def outcome(facts, policy=None):
    return decide(facts, policy or Policy()).outcome


def replaced(values, **places):
    """A copy with some places (``at_3=…``) replaced."""
    changed = list(values)
    for place, value in places.items():
        changed[int(place.removeprefix("at_"))] = value
    return tuple(changed)


def test_a_hundred_good_answers_are_staged():
    """0 and 1 themselves are valid scores; no deviation where the service tells the slots."""
    verdict = decide(smoke(), Policy())
    assert verdict.outcome == "staged"
    assert verdict.deviations == ()
    assert [each.name for each in verdict.checks] == [
        "Predictions answered",
        "Scores valid",
        "Scores vary",
        "Latency p99",
        "Answers follow the rows",
        "Candidate is in standby",
    ]


@pytest.mark.parametrize("gate", [None, "rejected", "Passed"])
def test_without_the_gate_nothing_is_judged(gate):
    """Only the exact word opens."""
    assert outcome(smoke(gate=gate)) == "not_ready"


@pytest.mark.parametrize(
    "scores", [SCORES[:99], (*SCORES, 0.5), replaced(SCORES, at_7=None), replaced(SCORES, at_7=float("nan"))]
)
def test_ninety_nine_of_a_hundred_is_not_a_hundred(scores):
    """One too few, one too many, one without an answer and one NaN all fail."""
    assert check("Predictions answered", smoke(scores=scores)).status is Status.FAIL
    assert outcome(smoke(scores=scores)) == "smoke_failed"


def test_no_answers_are_no_pass():
    """An empty list is open in every check that looks at scores."""
    verdict = decide(smoke(scores=(), latencies_seconds=()), Policy())
    assert verdict.outcome == "smoke_failed"
    assert {each.status for each in verdict.checks[:4]} == {Status.INCONCLUSIVE}


@pytest.mark.parametrize("score", [1.0000001, -0.0000001, 17.0])
def test_a_score_outside_is_named(score):
    """The request and its answer."""
    found = check("Scores valid", smoke(scores=replaced(SCORES, at_41=score)))
    assert found.status is Status.FAIL
    assert "request 42" in found.reason


def test_an_invalid_answer_fails_though_the_rest_is_fine():
    """What was no number is named as it came, a few and then a count."""
    found = check("Scores valid", smoke(invalid=("request 3: 'NaN'",)))
    assert found.status is Status.FAIL
    assert "'NaN'" in found.reason
    many = check("Scores valid", smoke(invalid=tuple(f"request {n}: null" for n in range(8))))
    assert "and 3 others" in many.reason


def test_a_constant_answer_is_no_pass():
    """It is open, and closes; one sample cannot vary and is not asked to."""
    assert check("Scores vary", smoke(scores=(0.5,) * 100)).status is Status.INCONCLUSIVE
    assert outcome(smoke(scores=(0.5,) * 100)) == "smoke_failed"
    assert outcome(smoke(scores=(0.5,), latencies_seconds=(0.1,)), Policy(sample_predictions=1)) == "staged"


def lasting(one, of=100):
    """So many rows with one score, and the rest with scores of their own."""
    return (0.5,) * one + tuple(place / 1000 for place in range(of - one))


@pytest.mark.parametrize(
    ("one", "share", "said"), [(1, "1 %", False), (90, "90 %", False), (91, "91 %", True), (99, "99 %", True)]
)
def test_a_nearly_constant_answer_is_said(one, share, said):
    """The most frequent score is named with its share; more than nine rows of ten are a deviation, and no more.

    A tree gives every row of a leaf the same score, and with rare positives one leaf may hold nearly all of them.
    """
    verdict = decide(smoke(scores=lasting(one)), Policy())
    assert verdict.outcome == "staged"
    assert f"is that of {share}" in next(each for each in verdict.checks if each.name == "Scores vary").reason
    expected = f"the smoke tests: {one} of 100 rows got one score, 0.5: that different rows get different scores"
    assert [told.startswith(expected) for told in verdict.deviations] == [True] * said


@pytest.mark.parametrize(
    ("sent", "said"),
    [(100, ""), (99, "99 sample predictions"), (3, "3 sample predictions"), (1, "1 sample prediction")],
)
def test_fewer_sample_predictions_than_the_runbooks_are_a_deviation(sent, said):
    """Whatever the parameters ask for, the verdict says that the runbook asks for 100."""
    facts = smoke(scores=SCORES[:sent], latencies_seconds=(0.02,) * sent)
    verdict = decide(facts, Policy(sample_predictions=sent))
    assert verdict.outcome == "staged"
    told = [each for each in verdict.deviations if "the runbook asks for" in each]
    assert told == ([f"the smoke tests: {said}, and the runbook asks for 100"] if said else [])
    proven = smoke(scores=lasting(1, 299), latencies_seconds=(0.02,) * 299)
    assert decide(proven, Policy(sample_predictions=sent, prove_p99=True)).deviations == ()


@pytest.mark.parametrize(
    ("again", "rows", "said"), [(None, 0, "no row was"), (SCORES[:1], 1, "one row alone was"), (SCORES[:2], 2, None)]
)
def test_an_order_that_was_not_looked_at_is_a_deviation(again, rows, said):
    """Without two rows in one batch nothing shows that answers follow the rows."""
    verdict = decide(smoke(again=again), Policy(batch_rows=rows))
    assert verdict.outcome == "staged"
    expected = f"the smoke tests: {said} asked again in one batch, so nothing shows that answers follow the rows"
    assert verdict.deviations == ((expected,) if said else ())


@pytest.mark.parametrize(
    ("slow", "seconds", "expected"),
    [(1, 5.0, "PASS"), (2, 5.0, "FAIL"), (2, 1.0, "FAIL"), (2, 0.999, "PASS"), (1, None, "PASS"), (2, None, "FAIL")],
)
def test_p99_of_a_hundred_is_the_second_largest(slow, seconds, expected):
    """One slow request of a hundred is allowed, two are not; exactly one second is slow; no time is forever."""
    latencies = (0.02,) * (100 - slow) + (seconds,) * slow
    assert check("Latency p99", smoke(latencies_seconds=latencies)).status == expected


@pytest.mark.parametrize(
    ("latencies", "timeouts", "expected"),
    [
        ((0.02,) * 98, 0, "FAIL"),
        ((0.02,) * 99, 0, "PASS"),
        ((0.02,) * 100, 2, "FAIL"),
        ((0.02,) * 100, 1, "PASS"),
        ((), 100, "FAIL"),
        ((-1.0,) * 100, 0, "FAIL"),
        ((None,) * 100, 0, "INCONCLUSIVE"),
    ],
)
def test_timeouts_and_lost_latencies_count_as_slow(latencies, timeouts, expected):
    """What never came took forever; where nothing was measured nothing is known."""
    assert check("Latency p99", smoke(latencies_seconds=latencies, timeouts=timeouts)).status == expected


@pytest.mark.parametrize(
    ("latencies", "timeouts", "told"),
    [
        ((0.2,) * 97 + (None,) * 3, 3, "no answer in time"),
        ((0.2,) * 98, 0, "no answer in time"),
        ((0.2,) * 99 + (None,), 1, "0.2 s"),
        ((0.2,) * 98 + (1.5,) * 2, 0, "1.5 s"),
        ((None,) * 100, 0, "no latency was measured"),
        ((), 0, "no latency was measured"),
    ],
)
def test_p99_is_told_in_the_words_of_the_verdict(latencies, timeouts, told):
    """Three requests of a hundred without an answer are no p99 of 0.2 s, wherever it is shown."""
    assert in_words(p99_of(latencies, Policy(), timeouts=timeouts)) == told
    judged = check("Latency p99", smoke(latencies_seconds=latencies, timeouts=timeouts))
    assert told in (judged.observed, judged.reason)


def test_the_reason_says_what_it_proves():
    """0 of 100 proves little, 299 prove p99."""
    assert "≤ 2.95 % slow at 95 %; 299 with none slow" in check("Latency p99", smoke()).reason
    policy = Policy(sample_predictions=299)
    enough = smoke(scores=tuple(n / 299 for n in range(299)), latencies_seconds=(0.1,) * 299)
    assert "would prove" not in check("Latency p99", enough, policy).reason
    assert outcome(enough, policy) == "staged"


@pytest.mark.parametrize(
    ("asked", "slow", "status", "said"),
    [
        (100, 0, "PASS", "0 slow of 299 proves"),
        (100, 1, "INCONCLUSIVE", "not proven: p99 0.02 s is < 1 s; 1 slow of 299 proves ≤ 1.58 %"),
        (100, 3, "FAIL", "3 slow of 299"),
        (473, 1, "PASS", "1 slow of 473 proves ≤ 1.00 %"),
        (473, 2, "INCONCLUSIVE", "628 with 2 slow would prove"),
    ],
)
def test_a_policy_may_ask_for_the_proof_of_p99(asked, slow, status, said):
    """As many are sent as prove it with none slow, 299, or more by choice; by point alone is then no pass."""
    policy = Policy(sample_predictions=asked, prove_p99=True)
    sent = predictions_to_send(policy)
    assert sent == max(asked, 299)
    latencies = (0.02,) * (sent - slow) + (5.0,) * slow
    facts = smoke(scores=tuple(n / sent for n in range(sent)), latencies_seconds=latencies)
    found = check("Latency p99", facts, policy)
    assert (found.status, outcome(facts, policy)) == (status, "staged" if status == "PASS" else "smoke_failed")
    assert said in found.reason


def test_fewer_answers_than_the_proof_takes_fail():
    """A hundred answers are not 299."""
    assert check("Predictions answered", smoke(), Policy(prove_p99=True)).status is Status.FAIL


def test_without_proof_as_many_are_sent_as_the_runbook_says():
    """One hundred."""
    assert predictions_to_send(Policy()) == 100


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (SCORES, "PASS"),
        (SCORES[:50], "PASS"),
        (tuple(score + 5e-5 for score in SCORES), "PASS"),
        (replaced(SCORES, at_3=SCORES[3] + 0.001), "FAIL"),
        (SCORES[::-1], "FAIL"),
        (replaced(SCORES, at_3=None), "INCONCLUSIVE"),
        ((*SCORES, 0.5), "INCONCLUSIVE"),
        ((), "INCONCLUSIVE"),
    ],
)
def test_a_row_asked_again_gets_its_score(again, expected):
    """The same but for the last digits, for as many rows as were asked again; an answer that never came is open."""
    found = check("Answers follow the rows", smoke(again=again))
    assert found.status == expected
    assert outcome(smoke(again=again)) == ("staged" if expected == "PASS" else "smoke_failed")


def test_facts_that_were_not_asked_again_have_no_such_check():
    """Records of release 0.1.0 replay with the checks that they had, in their words."""
    old = decide(smoke(again=None, edition=1, scores=(0.5,) * 99 + (0.6,)), Policy())
    assert [each.name for each in old.checks] == [
        each.name for each in decide(smoke(), Policy()).checks if each.name != "Answers follow the rows"
    ]
    assert old.checks[2].reason == "2 different scores among 100"
    assert (old.outcome, old.deviations) == ("staged", ())


def test_p99_is_the_nearest_rank():
    """⌈0.99 n⌉-th smallest."""
    assert p99((3.0,)) == 3
    assert p99(tuple(float(n) for n in range(1, 101))) == 99
    assert p99(tuple(float(n) for n in range(1, 102))) == 100
    assert p99((1.0, math.inf)) == math.inf
    with pytest.raises(ValueError, match="no percentile"):
        p99(())


@pytest.mark.parametrize(
    "slots",
    [
        Slots(active="v2", standby="v1", attested=True),
        Slots(active="v2", standby="v2", attested=True),
        Slots(active="v1", standby=None, attested=True),
        Slots(active="v1", standby="v3", attested=True),
    ],
)
def test_a_candidate_elsewhere_fails(slots):
    """Attested slots must hold it in standby, and there only."""
    assert check("Candidate is in standby", smoke(slots=slots)).status is Status.FAIL


def test_an_answer_from_the_active_slot_tests_production():
    """It fails, attested or not."""
    assert outcome(smoke(answered_by="active")) == "smoke_failed"
    assert outcome(smoke(answered_by="active", slots=Slots())) == "smoke_failed"


@pytest.mark.parametrize("changed", [{"slots": Slots()}, {"answered_by": None}, {"candidate_version": None}])
def test_what_the_service_does_not_tell_is_a_deviation(changed):
    """Allowed and said, unless the policy asks for more."""
    verdict = decide(smoke(**changed), Policy())
    assert verdict.outcome == "staged"
    assert len(verdict.deviations) == 1
    assert outcome(smoke(**changed), Policy(minimum_observation="attested")) == "smoke_failed"


def test_after_the_swap_the_candidate_is_the_active_one():
    """The repeated smoke test asks the same of the answers and the opposite of the slots."""
    swapped = smoke(slots=Slots(active="v2", standby="v1", attested=True), answered_by="active")
    assert after_swap(swapped, Policy()).outcome == "staged"
    assert after_swap(smoke(), Policy()).outcome == "smoke_failed"
    assert after_swap(swapped.model_copy(update={"scores": ()}), Policy()).outcome == "smoke_failed"
