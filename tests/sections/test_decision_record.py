"""The decision record: a run in which something broke, or in which nothing was decided, never reads as passed."""

from retrain.checks import Status, Verdict
from retrain.facts import Effect
from retrain.sections.decision_record import Facts, Policy, decide, undo

QUIET = Verdict(
    section="when_to_retrain", outcome="no_action", checks=(), sentence="Nothing calls for it.", flip="A drop."
)


def test_a_whole_run_passes_and_tells_the_sentence_that_decided() -> None:
    told = decide(Facts(verdicts=(QUIET,)), Policy())
    assert (told.outcome, told.status) == ("no_action", Status.PASS)
    assert "Nothing calls for it." in told.sentence


def test_a_run_in_which_a_section_broke_fails() -> None:
    told = decide(Facts(verdicts=(QUIET,), ended="error", reason="the kernel died"), Policy())
    assert (told.outcome, told.status) == ("error", Status.FAIL)
    assert "the kernel died" in told.sentence


def test_a_run_without_a_verdict_is_inconclusive() -> None:
    assert decide(Facts(), Policy()).status is Status.INCONCLUSIVE


def test_an_act_that_is_not_settled_does_not_pass_and_cannot_be_undone_blindly() -> None:
    unresolved = Facts(verdicts=(QUIET,), effects=(Effect(effect="swap", sent=True, outcome="unresolved"),))
    assert decide(unresolved, Policy()).status is Status.FAIL
    unsettled = Facts(verdicts=(QUIET,), unsettled=("swap",))
    assert decide(unsettled, Policy()).status is Status.INCONCLUSIVE
    assert "look at the slots" in undo(unresolved, "r") + undo(unsettled, "r")
