"""A notebook alone: plain papermill in sequence joins one run; each alone sends nothing that it may not send."""

import sys
from pathlib import Path

import pytest

from retrain import runbook
from retrain.record import decision, records

from .conftest import ROOT, Sandbox

pytestmark = pytest.mark.e2e
PAPERMILL = Path(sys.executable).with_name("papermill")


def papermill(sandbox: Sandbox, notebook: str, output: Path) -> None:
    command = [str(PAPERMILL), str(ROOT / "notebooks" / notebook), str(output), "--no-progress-bar"]
    told = sandbox.command(*command, RETRAIN_HOME=str(sandbox.project))
    assert told.code == 0, told.err[-3000:]


def test_the_sections_one_after_the_other_make_one_run(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.scenario("f1_drop")
    path = [section for section in runbook.SECTIONS if section.name not in ("rollback", "if_retraining_fails")]
    for section in path:
        papermill(sandbox, section.notebook, tmp_path / section.notebook)
    told = list(records.runs(sandbox.project / "records"))
    assert len(told) == 1
    read = decision.read(told[0])
    assert [item.section for item in read.sections] == [section.name for section in path]
    assert read.sections[-1].outcome == "deployed"
    assert [effect.outcome for effect in read.effects] == ["applied", "applied"]


@pytest.mark.parametrize(
    "notebook",
    [
        "03_training",
        "06_blue_green_deployment",
        "07_post_deploy_monitoring",
        "08_rollback",
        "09_if_retraining_fails",
        "related/model_drift",
        "related/data_quality",
    ],
)
def test_a_notebook_alone_sends_nothing_that_its_run_did_not_earn(
    sandbox: Sandbox, tmp_path: Path, notebook: str
) -> None:
    sandbox.scenario("healthy")
    before = len(list(records.runs(sandbox.project / "records")))
    papermill(sandbox, f"{notebook}.ipynb", tmp_path / "out.ipynb")
    told = list(records.runs(sandbox.project / "records"))
    assert len(told) == before + 1
    assert not [effect for effect in told[0].effects() if effect.sent]
    assert told[0].verdicts()[-1].outcome not in ("swapped", "rolled_back", "deployed")


def test_a_gate_and_smoke_tests_that_passed_do_not_earn_a_swap(sandbox: Sandbox, tmp_path: Path) -> None:
    """A candidate that another run left in standby: 04, 05 and 06 alone judge it, and the swap is not sent."""
    sandbox.scenario("f1_drop")
    left = sandbox.run("--set", "staging_smoke_tests.latency_p99_ceiling_seconds=0.000001")
    assert (left.json["outcome"], left.code) == ("smoke_failed", 13), left.out
    before = len(list(records.runs(sandbox.project / "records")))
    for notebook in ("04_evaluation_gate", "05_staging_smoke_tests", "06_blue_green_deployment"):
        papermill(sandbox, f"{notebook}.ipynb", tmp_path / f"{notebook}.ipynb")
    told = list(records.runs(sandbox.project / "records"))
    assert len(told) == before + 1
    assert [verdict.outcome for verdict in told[0].verdicts()] == ["passed", "staged", "not_ready"]
    assert told[0].verdicts()[-1].sentence == "Not ready: prerequisites: no verdict. Production is unchanged."
    assert told[0].bodies("intent") == []
