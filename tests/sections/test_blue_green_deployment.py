"""The swap: nobody sends it unasked, and it happened only where it was seen."""

import pytest

from retrain.facts import Effect, Slots
from retrain.sections.blue_green_deployment import NOT_RUN, Facts, Policy, decide, may_swap, observed_enough

BEFORE = Slots(active="v1", standby="v2", attested=True)
AFTER = Slots(active="v2", standby="v1", attested=True)


def swap(outcome="applied", observed_by="attested", **changed):
    effect = Effect(effect="swap", sent=outcome != "not_sent", outcome=outcome, observed_by=observed_by)
    opened = {"prerequisites": "ready", "training": "trained", "gate": "passed", "smoke_tests": "staged"}
    return Facts(**(opened | {"before": BEFORE, "after": AFTER, "effect": effect} | changed))


def outcome(facts, policy=None):
    return decide(facts, policy or Policy()).outcome


def test_a_swap_that_was_seen_is_swapped():
    """Prerequisites, training, gate, smoke tests, and observation."""
    verdict = decide(swap(), Policy())
    assert verdict.outcome == "swapped"
    assert [check.name for check in verdict.checks[:4]] == [
        "Prerequisites", "Training", "Evaluation gate", "Smoke tests",
    ]  # fmt: skip
    assert verdict.deviations == ()
    assert may_swap(swap(), Policy()) is None


@pytest.mark.parametrize(
    "changed",
    [{"gate": None}, {"gate": "rejected"}, {"smoke_tests": None}, {"smoke_tests": "smoke_failed"}, {"smoke_tests": ""}],
)
def test_it_is_not_sent_before_gate_and_smoke_tests(changed):
    """Even an applied effect is not read as a swap then."""
    assert may_swap(swap(**changed), Policy()).outcome == "not_ready"
    assert outcome(swap(**changed)) == "not_ready"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"prerequisites": "blocked"}, "prerequisites: blocked"),
        ({"prerequisites": NOT_RUN}, "prerequisites: no verdict"),
        ({"training": "failed"}, "training: failed"),
        ({"training": "unresolved"}, "training: unresolved"),
        ({"training": NOT_RUN}, "training: no verdict"),
        ({"prerequisites": "blocked", "gate": "rejected"}, "prerequisites: blocked"),
    ],
)
def test_it_is_not_sent_without_this_runs_prerequisites_and_training(changed, reason):
    """A gate that was passed does not stand in for them, and nobody is asked to approve it; the first says why."""
    for verdict in (may_swap(swap(**changed), Policy()), decide(swap(**changed), Policy(approval="required"))):
        assert verdict.outcome == "not_ready"
        assert verdict.sentence == f"Not ready: {reason}. Production is unchanged."
        assert verdict.flip == (
            "With the prerequisites ready, the training done, the gate passed and the smoke tests staged: the swap."
        )


@pytest.mark.parametrize("missing", ["prerequisites", "training"])
def test_nothing_is_sent_on_what_was_not_asked(missing):
    """Facts without them are those of an old record: that is decided again as it was, and sends nothing now."""
    assert may_swap(swap(**{missing: None}), Policy()).outcome == "not_ready"
    assert outcome(swap(**{missing: None})) == "swapped"
    old = swap(prerequisites=None, training=None)
    assert [check.name for check in decide(old, Policy()).checks[:2]] == ["Evaluation gate", "Smoke tests"]
    closed = decide(old.model_copy(update={"gate": "rejected"}), Policy())
    assert closed.flip == "With the gate passed and the smoke tests staged: the swap."


@pytest.mark.parametrize("person", [None, "", "  "])
def test_an_approval_is_waited_for(person):
    """By policy, and for a first promotion whatever the policy; a blank name is nobody's."""
    assert outcome(swap(approved_by=person), Policy(approval="required")) == "awaiting_approval"
    assert outcome(swap(approved_by=person, first_promotion=True)) == "awaiting_approval"
    assert outcome(swap(approved_by="ann", first_promotion=True), Policy(approval="required")) == "swapped"


def test_a_closed_gate_comes_before_the_approval():
    """Nobody is asked to approve what may not be sent."""
    assert outcome(swap(gate="rejected"), Policy(approval="required")) == "not_ready"


@pytest.mark.parametrize("effect", ["unresolved", "not_sent"])
def test_what_was_not_seen_is_unresolved(effect):
    """A swap that was sent and not seen, or never sent, is none."""
    assert outcome(swap(effect, "none")) == "unresolved"


@pytest.mark.parametrize(
    ("observed_by", "minimum", "enough"),
    [
        ("attested", "attested", True),
        ("fingerprint", "attested", False),
        ("fingerprint", "fingerprint", True),
        ("response", "fingerprint", False),
        ("response", "response", True),
        ("none", "response", False),
        ("hearsay", "response", False),
    ],
)
def test_it_must_be_seen_well_enough(observed_by, minimum, enough):
    """The three levels in order; none is never enough."""
    assert observed_enough(observed_by, minimum) is enough
    if observed_by != "hearsay":
        facts = swap(observed_by=observed_by, before=Slots(), after=Slots())
        assert outcome(facts, Policy(minimum_observation=minimum)) == ("swapped" if enough else "unresolved")


def test_a_bare_response_is_a_deviation():
    """It counts where the policy allows it, and is said."""
    verdict = decide(swap(observed_by="response", before=Slots(), after=Slots()), Policy())
    assert "no other way" in verdict.deviations[0]


@pytest.mark.parametrize("after", [BEFORE, Slots(attested=True), Slots(active="v3", attested=True)])
def test_attested_slots_outweigh_what_the_effect_says(after):
    """Said to be applied while another version is active: unresolved."""
    assert outcome(swap(after=after)) == "unresolved"


@pytest.mark.parametrize(
    ("again", "expected"), [("staged", "swapped"), ("smoke_failed", "smoke_failed"), ("odd", "smoke_failed")]
)
def test_the_smoke_test_may_be_repeated_after_the_swap(again, expected):
    """Only ``staged`` lets the swap stand."""
    assert outcome(swap(smoke_again=again)) == expected
