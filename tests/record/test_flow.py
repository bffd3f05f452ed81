"""The flow around the notebooks: what follows a crash, a signal and an approval. Kernels are played by the test."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from record.conftest import say
from retrain import runner
from retrain.engine import Account
from retrain.engine.account import Status
from retrain.errors import RetrainError
from retrain.ledger import Busy, TakenOver, join_run
from retrain.record import decision, records, supervision
from retrain.record.opening import records_root
from retrain.record.records import RunFolder
from retrain.settings import Settings

OUTCOMES = {"when_to_retrain": "no_action", "prerequisites": "blocked", "blue_green_deployment": "swapped"}


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notebooks that are executed by writing down their verdict; the names of the outputs, in order."""
    outputs: list[str] = []

    def execute(source: Path, output: Path, parameters: dict[str, Any], **more: Any) -> Account:
        section = source.stem.split("_", 1)[1]
        env = more["kernel_env"]
        folder = records.at(env["RETRAIN_RUN_RECORDS"], "flights", parameters["run_id"])
        outputs.append(output.name)
        output.write_text("{}")
        play(folder, section, int(env["RETRAIN_RUN_HELD_BY"]))
        return Account(Status.COMPLETED, "", None, (), output)

    monkeypatch.setattr(runner, "execute", execute)
    return outputs


def play(folder: RunFolder, section: str, held_by: int) -> None:
    from retrain.checks import Verdict

    outcome = OUTCOMES.get(section, "no_action")
    verdict = Verdict(section=section, outcome=outcome, checks=(), sentence=f"{section} {outcome}")
    body = {"section": section, "attempt": 1, "verdict": verdict.model_dump(mode="json"), "facts": {}, "policy": {}}
    join_run(folder.chain, folder.run_id, held_by=held_by).append("verdict", body)


def newest(settings: Settings) -> RunFolder:
    return records.find(records_root(settings), "latest")


def test_a_run_follows_its_verdicts_and_ends_in_the_record(settings: Settings, executed: list[str]) -> None:
    told = runner.run(settings)
    assert (told.outcome, executed) == ("no_action", ["01_when_to_retrain.ipynb", "10_decision_record.ipynb"])
    assert decision.read(newest(settings)) == told


def test_a_resumed_run_goes_on_after_its_last_verdict(
    settings: Settings, executed: list[str], dead: Callable[[], None]
) -> None:
    """The section that was cut short is executed again, as a new file."""
    first = supervision.open_run(settings, {})
    say(first, "when_to_retrain", "retrain")
    (first.folder.path / "02_prerequisites.ipynb").write_text("cut short")
    dead()
    told = runner.resume(first.folder)
    assert (told.outcome, told.exit_code) == ("blocked", 10)
    assert executed == ["02_prerequisites.attempt-2.ipynb", "10_decision_record.ipynb"]


def test_a_run_that_died_before_its_end_was_sealed_is_only_ended(
    settings: Settings, executed: list[str], dead: Callable[[], None]
) -> None:
    first = supervision.open_run(settings, {})
    say(first, "when_to_retrain", "no_action")
    say(first, "decision_record", "no_action")
    dead()
    assert runner.resume(first.folder).outcome == "no_action"
    assert executed == ["10_decision_record.ipynb"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_two_sections_ends_the_run_in_the_record(
    settings: Settings, executed: list[str], number: signal.Signals
) -> None:
    def stop(event: str, told: dict[str, Any]) -> None:
        if event == "ended":
            os.kill(os.getpid(), number)

    told = runner.run(settings, listener=stop)
    assert (told.outcome, told.exit_code, executed) == ("interrupted", 19, ["01_when_to_retrain.ipynb"])
    assert number.name in told.reason
    assert newest(settings).state == "closed"


def test_a_run_that_another_took_over_between_two_sections_ends_with_18(
    settings: Settings, executed: list[str], dead: Callable[[], None]
) -> None:
    """It executes no further notebook, into a folder that the other one has sealed by now."""
    dead()

    def overtake(event: str, told: dict[str, Any]) -> None:
        if event == "ended":
            supervision.open_run(settings, {}).close("no_action")

    with pytest.raises(TakenOver) as stopped:
        runner.run(settings, listener=overtake)
    assert (stopped.value.exit_code, executed) == (18, ["01_when_to_retrain.ipynb"])
    assert [folder.state for folder in records.runs(records_root(settings))] == ["closed", "abandoned"]


@pytest.mark.parametrize("how", ["run", "roll back"])
def test_a_run_whose_act_another_process_holds_ends_with_18_and_can_be_resumed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The kernel was told that the lock is held: nothing was sent, and the run is not ended over it."""

    def execute(source: Path, output: Path, parameters: dict[str, Any], **more: Any) -> Account:
        env = more["kernel_env"]
        folder = records.at(env["RETRAIN_RUN_RECORDS"], "flights", parameters["run_id"])
        body = {"section": source.stem.split("_", 1)[1], "error": "Busy", "message": "held", "exit_code": 18}
        join_run(folder.chain, folder.run_id, held_by=int(env["RETRAIN_RUN_HELD_BY"])).append("error", body)
        return Account(Status.FAILED, "", None, (), output)

    monkeypatch.setattr(runner, "execute", execute)
    with pytest.raises(Busy, match="held") as stopped:
        if how == "run":
            runner.run(settings)
        else:
            runner.roll_back(settings, RunFolder(Path("run-0"), records.chain_of("x", "flights")), reason="slow")
    assert stopped.value.exit_code == 18
    assert newest(settings).state == "open"


def test_a_signal_before_the_run_opens_opens_none(
    settings: Settings, executed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.environment, "resolve", lambda told: os.kill(os.getpid(), signal.SIGTERM) or told)
    with pytest.raises(RetrainError, match="SIGTERM") as stopped:
        runner.run(settings)
    assert stopped.value.exit_code == 19
    assert not Path(settings.records.url).exists() or not list(records.runs(records_root(settings)))


def test_a_step_leaves_the_run_open_and_the_last_one_ends_it(settings: Settings, executed: list[str]) -> None:
    """A step's process is gone when it ends, so the next resumes; here both are this one."""
    runner.step(settings, "when_to_retrain")
    folder = newest(settings)
    assert folder.state == "open"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrain.ledger.holders.lives", lambda _: False)
        runner.step(settings, "decision_record", folder=folder)
    assert newest(settings).state == "closed"
