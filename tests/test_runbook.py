"""The flow: every outcome leads somewhere, every run ends in one word with its exit code."""

from pathlib import Path

import pytest

from retrain import runbook
from retrain.checks import Verdict
from retrain.errors import UsageError

NAMES = {section.name for section in runbook.SECTIONS}


def verdict(section: str, outcome: str) -> Verdict:
    return Verdict(section=section, outcome=outcome, checks=(), sentence="why")


def test_every_outcome_leads_to_a_section_that_exists() -> None:
    assert all(set(section.leads_to.values()) <= NAMES for section in runbook.SECTIONS)


def test_an_inconclusive_watch_is_held_or_rolled_back_by_policy() -> None:
    watched = verdict("post_deploy_monitoring", "inconclusive")
    assert runbook.following(watched) == runbook.END
    assert runbook.following(watched, on_inconclusive="roll_back") == "rollback"


def test_every_section_but_the_first_is_reached() -> None:
    reached = {name for section in runbook.SECTIONS for name in section.leads_to.values()}
    assert reached == NAMES - {runbook.FIRST}


def test_an_outcome_the_runbook_does_not_know_ends_the_run() -> None:
    assert runbook.following(verdict("evaluation_gate", "splendid")) == runbook.END


TRIGGERED = (("when_to_retrain", "retrain"), ("prerequisites", "ready"))
TRAINED = (*TRIGGERED, ("training", "trained"))
PASSED = (*TRAINED, ("evaluation_gate", "passed"))
STAGED = (*PASSED, ("staging_smoke_tests", "staged"))
SWAPPED = (*STAGED, ("blue_green_deployment", "swapped"))
FAILED = (*TRIGGERED, ("training", "failed"))


@pytest.mark.parametrize(
    ("path", "outcome", "code"),
    [
        ((("when_to_retrain", "no_action"),), "no_action", 0),
        ((("when_to_retrain", "inconclusive"),), "inconclusive", 15),
        ((("when_to_retrain", "retrain"), ("prerequisites", "blocked")), "blocked", 10),
        ((*TRIGGERED, ("training", "unresolved")), "unresolved", 17),
        ((*TRIGGERED, ("training", "not_ready")), "blocked", 10),
        ((*FAILED, ("if_retraining_fails", "give_up")), "training_failed", 12),
        ((*TRAINED, ("evaluation_gate", "rejected"), ("if_retraining_fails", "give_up")), "rejected", 11),
        ((*PASSED, ("staging_smoke_tests", "smoke_failed")), "smoke_failed", 13),
        ((*STAGED, ("blue_green_deployment", "awaiting_approval")), "awaiting_approval", 16),
        ((*STAGED, ("blue_green_deployment", "unresolved")), "unresolved", 17),
        ((*STAGED, ("blue_green_deployment", "smoke_failed"), ("rollback", "rolled_back")), "smoke_failed", 13),
        ((*SWAPPED, ("post_deploy_monitoring", "healthy")), "deployed", 0),
        ((*SWAPPED, ("post_deploy_monitoring", "inconclusive")), "inconclusive", 15),
        ((*SWAPPED, ("post_deploy_monitoring", "regressed"), ("rollback", "rolled_back")), "rolled_back", 14),
        ((*SWAPPED, ("post_deploy_monitoring", "regressed"), ("rollback", "unresolved")), "unresolved", 17),
        (
            (*SWAPPED, ("post_deploy_monitoring", "inconclusive"), ("rollback", "rolled_back")),
            "inconclusive",
            15,
        ),
        (SWAPPED, "incomplete", 1),
        ((), "error", 1),
    ],
)
def test_a_run_ends_as_its_verdicts_say(path: tuple[tuple[str, str], ...], outcome: str, code: int) -> None:
    told = runbook.run_outcome([verdict(*step) for step in path])
    assert (told, runbook.exit_code(told)) == (outcome, code)


def test_the_decision_record_does_not_decide() -> None:
    told = [verdict("when_to_retrain", "no_action"), verdict("decision_record", "deployed")]
    assert runbook.run_outcome(told) == "no_action"


def test_an_unknown_section_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'prerequisites'"):
        runbook.section("prerequisite")


def test_a_section_is_found_by_its_number() -> None:
    assert runbook.section("08").name == "rollback"


def test_each_section_has_its_room_and_its_notebook() -> None:
    root = Path(__file__).parent.parent
    rooms = {path.stem for path in (root / "lib/retrain/sections").glob("*.py")} - {"__init__"}
    notebooks = {path.name for path in (root / "notebooks").glob("*.ipynb")}
    assert rooms == NAMES
    assert notebooks == {section.notebook for section in runbook.SECTIONS}
