"""A service with the four documented endpoints serves the whole runbook; what it cannot attest is said."""

import pytest

from minimal_service import minimal_service

from .conftest import Sandbox

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("rows_field", ["instances", "records"])
def test_the_runbook_runs_against_four_endpoints(sandbox: Sandbox, rows_field: str) -> None:
    sandbox.scenario("f1_drop")
    with minimal_service(rows_field=rows_field) as url:
        told = sandbox.run(
            "--set", f"service.base_url={url}", "--set", "post_deploy_monitoring.watch_minutes=2",
            "--set", "post_deploy_monitoring.extension_minutes=0",
        )  # fmt: skip
        service = url.service
    decision = told.json
    assert (decision["outcome"], told.code) == ("inconclusive", 15), told.out
    assert (service.sent("/training/trigger"), service.sent("/model/reload")) == (1, 1)
    assert [body for method, path, body in service.log if path == "/training/trigger"] == [
        {"model_type": "classifier", "data_version": "latest"}
    ]
    swap = next(effect for effect in decision["effects"] if effect["effect"] == "swap")
    assert (swap["outcome"], swap["observed_by"]) == ("applied", "fingerprint")
    said = " ".join(decision["deviations"])
    assert "slot" in said
    assert "watch_minutes" in said


def test_a_rejected_candidate_is_not_swapped(sandbox: Sandbox) -> None:
    sandbox.scenario("f1_drop")
    with minimal_service(candidate={"f1": 0.86, "precision": 0.9, "recall": 0.82, "auc_roc": 0.97}) as url:
        told = sandbox.run("--set", f"service.base_url={url}")
        service = url.service
    assert (told.json["outcome"], told.code) == ("rejected", 11), told.out
    assert service.sent("/model/reload") == 0


def test_a_roll_back_is_seen_by_the_scores(sandbox: Sandbox) -> None:
    sandbox.scenario("f1_drop")
    with minimal_service() as url:
        told = sandbox.run(
            "--set", f"service.base_url={url}", "--set", "post_deploy_monitoring.watch_minutes=1",
            "--set", "post_deploy_monitoring.extension_minutes=1",
            "--set", "post_deploy_monitoring.on_inconclusive=roll_back",
        )  # fmt: skip
        service = url.service
    assert (told.json["outcome"], told.code) == ("inconclusive", 15), told.out
    assert service.sent("/model/reload") == 2
    assert service.active == "one"
    assert told.json["effects"][-1]["observed_by"] == "fingerprint"
