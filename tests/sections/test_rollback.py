"""The roll back: the former version serves again only where that was seen."""

import pytest

from retrain.facts import Effect, Slots
from retrain.sections.rollback import Facts, Policy, decide

BEFORE = Slots(active="v2", standby="v1", attested=True)
AFTER = Slots(active="v1", standby="v2", attested=True)


def back(outcome="applied", observed_by="attested", **changed):
    effect = Effect(effect="rollback", sent=outcome != "not_sent", outcome=outcome, observed_by=observed_by)
    plain = {"swapped": True, "former_version": "v1", "before": BEFORE, "after": AFTER, "effect": effect}
    return Facts(**(plain | changed))


def blind(**changed):
    return back(**({"observed_by": "response", "before": Slots(), "after": Slots()} | changed))


def outcome(facts, policy=None):
    return decide(facts, policy or Policy()).outcome


def test_the_former_version_serves_again():
    """Attested, with the reason of the swap's undoing."""
    verdict = decide(back(reason="F1 fell."), Policy(minimum_observation="attested"))
    assert verdict.outcome == "rolled_back"
    assert verdict.sentence == "Rolled back: v1 serves again. The swap was undone because F1 fell."


def test_nothing_swapped_nothing_to_undo():
    """Not ready, whatever else is said."""
    assert outcome(back(swapped=False)) == "not_ready"


@pytest.mark.parametrize("after", [BEFORE, Slots(attested=True), Slots(active="v0", attested=True)])
def test_another_version_in_the_active_slot_is_unresolved(after):
    """Attested slots that do not hold it outweigh the effect."""
    assert outcome(back(after=after)) == "unresolved"


def test_who_was_in_standby_is_the_former_version():
    """Where nobody told its name, the slots before the roll back do."""
    assert outcome(back(former_version=None), Policy(minimum_observation="attested")) == "rolled_back"
    assert outcome(back(former_version=None, after=BEFORE)) == "unresolved"


@pytest.mark.parametrize(
    ("matches", "minimum", "expected"),
    [
        (True, "response", "rolled_back"),
        (True, "fingerprint", "rolled_back"),
        (True, "attested", "unresolved"),
        (False, "response", "unresolved"),
        (None, "response", "rolled_back"),
        (None, "fingerprint", "unresolved"),
    ],
)
def test_without_slots_the_fingerprint_or_the_response_must_do(matches, minimum, expected):
    """As far as the policy allows; scores that do not match outweigh a response."""
    assert outcome(blind(fingerprint_matches=matches), Policy(minimum_observation=minimum)) == expected


def test_a_bare_response_is_a_deviation():
    """It counts where allowed, and is said."""
    assert "no other way" in decide(blind(), Policy()).deviations[0]
    assert decide(blind(fingerprint_matches=True), Policy()).deviations == ()


def test_nothing_seen_is_unresolved():
    """Neither slots, fingerprint nor response."""
    assert outcome(blind(observed_by="none")) == "unresolved"


def test_what_was_sent_and_not_seen_may_still_come():
    """Unresolved even though the former version serves at this moment."""
    assert outcome(back("unresolved", "none")) == "unresolved"


def test_what_was_not_sent_is_rolled_back_only_if_it_serves_already():
    """Somebody else may have put it back, which is said."""
    verdict = decide(back("not_sent", "none"), Policy())
    assert verdict.outcome == "rolled_back"
    assert "served already" in verdict.deviations[0]
    assert outcome(back("not_sent", "none", after=BEFORE)) == "unresolved"
    assert outcome(back("not_sent", "none", after=Slots(), before=Slots())) == "unresolved"
