"""Every branch of the runbook, end to end: a scenario, `retrain run`, its outcome and its exit code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from retrain.judgement import looks
from retrain.record import records
from retrain.record.decision import Decision
from retrain.sections import post_deploy_monitoring

from .conftest import Sandbox, Told

pytestmark = pytest.mark.e2e


def ends(told: Told, outcome: str, code: int) -> Any:
    decision = told.json
    assert (decision.get("outcome"), told.code) == (outcome, code), decision.get("reason") or told.err
    assert decision["exit_code"] == code
    record = Path(decision["record"])
    assert json.loads((record / "decision.json").read_text()) == decision
    assert all((record / section["notebook"]).exists() for section in decision["sections"])
    names = [effect["effect"] for effect in decision["effects"]]
    assert all(names.count(name) <= 1 for name in ("swap", "rollback", "incident"))
    assert names.count("training") <= 2
    Decision.model_validate(decision)
    return decision


def sections(decision: Any) -> list[str]:
    return [f"{section['section']}:{section['outcome']}" for section in decision["sections"]]


def check(decision: Any, section: str, name: str) -> Any:
    told = [item for item in decision["sections"] if item["section"] == section][-1]
    return next(item for item in told["checks"] if item["name"] == name)


def requests(sandbox: Sandbox) -> list[Any]:
    """What the service itself noted of the requests of this world that changed something."""
    return [json.loads(line) for line in (sandbox.home / "service" / "requests.jsonl").read_text().splitlines()]


def test_a_healthy_model_is_left_alone(sandbox: Sandbox) -> None:
    sandbox.scenario("healthy")
    decision = ends(sandbox.run(), "no_action", 0)
    assert decision["effects"] == []
    assert sections(decision) == ["when_to_retrain:no_action", "decision_record:no_action"]


def test_what_stands_in_the_file_alone_is_in_force_and_shown(sandbox: Sandbox) -> None:
    """A parameter that the notebook's cell leaves out reaches its policy all the same, and the notebook's header."""
    sandbox.scenario("healthy")
    decision = ends(sandbox.run("--set", "when_to_retrain.hysteresis_share=0.17"), "no_action", 0)
    kept = records.find(sandbox.records, decision["run_id"]).latest("when_to_retrain")
    assert kept is not None
    assert kept["policy"]["hysteresis_share"] == 0.17
    executed = json.loads((Path(decision["record"]) / "01_when_to_retrain.ipynb").read_text())
    injected = next(cell for cell in executed["cells"] if "injected-parameters" in cell["metadata"].get("tags", []))
    assert "hysteresis_share" not in "".join(injected["source"])
    assert "| **hysteresis share** | 0.17 |" in json.dumps(executed)


def test_a_cell_that_hangs_ends_its_run_as_an_error_and_frees_the_model(sandbox: Sandbox) -> None:
    """With so short a limit the first cell has hung: nothing was decided, and the next run begins at once."""
    sandbox.scenario("healthy")
    decision = ends(sandbox.run("--set", "notebooks.cell_minutes=0.0001"), "error", 1)
    assert decision["sections"] == []
    assert "did not end within its time limit" in decision["reason"]
    executed = json.loads((Path(decision["record"]) / "01_when_to_retrain.ipynb").read_text())
    assert "timed_out" in json.dumps(executed["metadata"])
    ends(sandbox.run(), "no_action", 0)


@pytest.mark.parametrize(
    ("scenario", "trigger"), [("f1_drop", "Accuracy drop"), ("drift", "Drift score"), ("scheduled", "Scheduled")]
)
def test_a_trigger_leads_to_a_new_version_that_serves(sandbox: Sandbox, scenario: str, trigger: str) -> None:
    sandbox.scenario(scenario)
    decision = ends(sandbox.run(), "deployed", 0)
    assert check(decision, "when_to_retrain", trigger)["status"] == "PASS"
    told = [(effect["effect"], effect["sent"], effect["outcome"]) for effect in decision["effects"]]
    assert told == [("training", True, "applied"), ("swap", True, "applied")]
    assert [asked["request"] for asked in requests(sandbox)] == ["trigger", "reload"]
    assert decision["sections"][-2]["section"] == "post_deploy_monitoring"


def test_a_person_may_ask(sandbox: Sandbox) -> None:
    sandbox.scenario("healthy")
    decision = ends(sandbox.run("--reason", "new feature", "--priority", "high"), "deployed", 0)
    asked = check(decision, "when_to_retrain", "Manual request")
    assert asked["status"] == "PASS"
    assert "new feature" in asked["observed"] + asked["reason"]


@pytest.mark.parametrize(
    ("scenario", "name", "status"),
    [
        ("too_few_samples", "Sufficient data", "FAIL"),
        ("critical_quality", "Data quality", "FAIL"),
        ("no_quality_runs", "Data quality", "INCONCLUSIVE"),
        ("open_p1", "No active incidents", "FAIL"),
    ],
)
def test_a_prerequisite_that_does_not_hold_blocks(sandbox: Sandbox, scenario: str, name: str, status: str) -> None:
    sandbox.scenario(scenario)
    decision = ends(sandbox.run(), "blocked", 10)
    assert check(decision, "prerequisites", name)["status"] == status
    assert decision["effects"] == []


@pytest.mark.parametrize(("scenario", "row"), [("worse_candidate", ""), ("slow_candidate", "Latency p99")])
def test_a_candidate_that_does_not_pass_is_rejected(sandbox: Sandbox, scenario: str, row: str) -> None:
    sandbox.scenario(scenario)
    decision = ends(sandbox.run(), "rejected", 11)
    gate = next(item for item in decision["sections"] if item["section"] == "evaluation_gate")
    failed = [item["name"] for item in gate["checks"] if item["status"] == "FAIL"]
    assert failed
    assert not row or row in failed
    assert [effect["effect"] for effect in decision["effects"]] == ["training"]


@pytest.mark.parametrize("scenario", ["imbalanced", "no_convergence", "out_of_resources"])
def test_a_failed_training_is_tried_again_with_one_change(sandbox: Sandbox, scenario: str) -> None:
    sandbox.scenario(scenario)
    decision = ends(sandbox.run(), "deployed", 0)
    trainings = [item for item in decision["sections"] if item["section"] == "training"]
    assert [item["attempt"] for item in trainings] == [1, 2]
    assert [item["notebook"] for item in trainings] == ["03_training.ipynb", "03_training.attempt-2.ipynb"]
    assert "if_retraining_fails:retry" in sections(decision)
    first, second = [asked["hyperparameters"] for asked in requests(sandbox) if asked["request"] == "trigger"]
    assert (first, len(second)) == ({}, 1)


def test_the_third_failed_run_in_a_row_opens_an_incident_that_does_not_block(sandbox: Sandbox) -> None:
    sandbox.scenario("cannot_train")
    told = [ends(sandbox.run(), "training_failed", 12) for _ in range(4)]
    incidents = [[effect for effect in run["effects"] if effect["effect"] == "incident"] for run in told]
    assert [len(opened) for opened in incidents] == [0, 0, 1, 0]
    assert incidents[2][0]["outcome"] == "applied"
    assert "data quality" in (told[2]["reason"] + json.dumps(told[2]["sections"])).lower().replace("_", " ")


@pytest.mark.parametrize("scenario", ["invalid_scores", "invalid_scores_nan", "invalid_scores_short"])
def test_invalid_scores_stop_before_the_swap(sandbox: Sandbox, scenario: str) -> None:
    sandbox.scenario(scenario)
    decision = ends(sandbox.run(), "smoke_failed", 13)
    assert [effect["effect"] for effect in decision["effects"]] == ["training"]


def rolled_back(sandbox: Sandbox, scenario: str) -> Any:
    sandbox.scenario(scenario)
    decision = ends(sandbox.run(), "rolled_back", 14)
    assert [effect["effect"] for effect in decision["effects"]] == ["training", "swap", "rollback"]
    assert [asked["request"] for asked in requests(sandbox)] == ["trigger", "reload", "reload"]
    swapped = next(item for item in decision["sections"] if item["section"] == "rollback")
    assert all(item["status"] == "PASS" for item in swapped["checks"])
    return decision


def test_slow_requests_after_the_swap_are_rolled_back(sandbox: Sandbox) -> None:
    decision = rolled_back(sandbox, "latency_regression")
    assert check(decision, "post_deploy_monitoring", "Latency p99")["status"] == "FAIL"


def test_a_drop_of_f1_is_seen_at_a_logged_minute_with_a_logged_e_value(sandbox: Sandbox) -> None:
    """Within minutes of the half hour: the record's verdict names both, and its facts give them again."""
    decision = rolled_back(sandbox, "f1_regression")
    reason = check(decision, "post_deploy_monitoring", "F1 score")["reason"]
    told = re.match(r"a drop was seen at minute ([\d.]+): F1 .*; e-value ([\d,.]+|10\^[\d.]+|∞), acts at 40; ", reason)
    assert told is not None, reason
    assert 0 < float(told[1]) < 15
    kept = records.find(sandbox.records, decision["run_id"]).latest("post_deploy_monitoring")
    assert kept is not None
    facts = post_deploy_monitoring.Facts.model_validate(kept["facts"])
    told_looks = looks.f1_looks(post_deploy_monitoring.watch_of(facts, post_deploy_monitoring.Policy()))
    acted = next(look for look in told_looks if look.acts)  # on a busy machine later windows come with it
    assert looks.e_value(acted.log_e, 0.025) == f"e-value {told[2]}, acts at 40"
    assert facts.windows is not None
    assert all(window.recorded_at is not None for window in facts.windows)


@pytest.mark.parametrize(
    ("policy", "extension", "effects"),
    [("hold", 4, ["training", "swap"]), ("roll_back", 0, ["training", "swap", "rollback"])],
)
def test_no_metrics_after_the_swap_is_not_healthy(
    sandbox: Sandbox, policy: str, extension: int, effects: list[str]
) -> None:
    """Not after the half hour, nor after its extension; then the policy holds or rolls back."""
    sandbox.scenario("silent_metrics")
    chosen = {"on_inconclusive": policy, "extension_minutes": extension}
    settings = [part for name, value in chosen.items() for part in ("--set", f"post_deploy_monitoring.{name}={value}")]
    decision = ends(sandbox.run(*settings), "inconclusive", 15)
    assert [effect["effect"] for effect in decision["effects"]] == effects
    watched = [item for item in decision["sections"] if item["section"] == "post_deploy_monitoring"][-1]
    assert watched["outcome"] == "inconclusive"
    assert ("The watch was extended from 30 to 34 minutes" in watched["reason"]) == bool(extension)
    assert "would have been seen with probability 0.00" in watched["reason"]


def test_metrics_that_stop_after_the_swap_are_not_healthy(sandbox: Sandbox) -> None:
    """Ten good minutes hold events and requests enough for a verdict; the twenty silent ones keep it open."""
    sandbox.scenario("metrics_stop")
    decision = ends(sandbox.run("--set", "post_deploy_monitoring.extension_minutes=4"), "inconclusive", 15)
    told = {name: check(decision, "post_deploy_monitoring", name) for name in ("F1 score", "Watched long enough")}
    assert {name: each["status"] for name, each in told.items()} == {
        "F1 score": "PASS",
        "Watched long enough": "INCONCLUSIVE",
    }
    silence = re.match(r"nothing came from minute ([\d.]+) to 30; ", told["Watched long enough"]["reason"])
    assert silence is not None, told["Watched long enough"]["reason"]
    assert 5 < float(silence[1]) <= 10
    assert "The watch was extended from 30 to 34 minutes" in decision["reason"]
