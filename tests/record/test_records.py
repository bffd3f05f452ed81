"""A run as its record tells it: what happened is read from the chain, and nothing under a final name is ever torn."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chained import NOW, append, close, opened
from retrain.acts import incident_id
from retrain.checks import Verdict
from retrain.errors import UsageError
from retrain.facts import Effect
from retrain.record import decision, history, records
from retrain.record.records import RunFolder
from retrain.settings import Settings, load


@pytest.fixture
def settings() -> Settings:
    told = load("sandbox")
    return told.model_copy(update={"model": "flights"})


def told(folder: RunFolder, section: str, outcome: str, **facts: Any) -> None:
    verdict = Verdict(section=section, outcome=outcome, checks=(), sentence=f"{section} {outcome}")
    body = {"section": section, "attempt": 1, "verdict": verdict.model_dump(mode="json"), "facts": facts, "policy": {}}
    append(folder, "verdict", body)


def failed(root: Path, settings: Settings) -> RunFolder:
    folder = opened(root, settings)
    told(folder, "training", "failed")
    told(folder, "if_retraining_fails", "give_up")
    return folder


def test_a_run_keeps_the_parameters_that_were_in_force(tmp_path: Path, settings: Settings) -> None:
    assert records.find(tmp_path, opened(tmp_path, settings).run_id).settings == settings


def test_a_new_attempt_is_a_new_file(tmp_path: Path, settings: Settings) -> None:
    folder = opened(tmp_path, settings)
    first = folder.notebook("03_training.ipynb")
    first.write_text("{}")
    assert folder.notebook("03_training.ipynb").name == "03_training.attempt-2.ipynb"


def test_the_newest_verdict_of_a_section_counts(tmp_path: Path, settings: Settings) -> None:
    folder = opened(tmp_path, settings)
    told(folder, "training", "failed")
    told(folder, "training", "trained")
    newest = folder.latest("training")
    assert newest is not None
    assert newest["verdict"]["outcome"] == "trained"
    assert [verdict.outcome for verdict in folder.verdicts()] == ["failed", "trained"]


def test_an_intent_without_outcome_is_unsettled(tmp_path: Path, settings: Settings) -> None:
    folder = opened(tmp_path, settings)
    append(folder, "intent", {"effect": "swap", "target": "v2"})
    assert [entry.body["effect"] for entry in folder.unsettled()] == ["swap"]
    applied = Effect(effect="swap", sent=True, outcome="applied").model_dump(mode="json")
    append(folder, "outcome", {"target": "v2", **applied})
    assert folder.unsettled() == []
    assert folder.effects()[0].outcome == "applied"


@pytest.mark.parametrize("model", ["../elsewhere", "", "a/b", ".hidden"])
def test_a_model_name_that_is_no_folder_name_is_refused(tmp_path: Path, settings: Settings, model: str) -> None:
    with pytest.raises(UsageError, match="model"):
        opened(tmp_path, settings.model_copy(update={"model": model}))
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_found_by_its_beginning_and_a_wrong_one_named(tmp_path: Path, settings: Settings) -> None:
    folder = opened(tmp_path, settings)
    assert records.find(tmp_path, folder.run_id[:-2]) == folder
    assert records.find(tmp_path, "latest") == folder
    with pytest.raises(UsageError, match="Did you mean"):
        records.find(tmp_path, folder.run_id[:-1] + "zz")


def test_a_notebook_joins_only_an_open_run_of_its_own_world(tmp_path: Path, settings: Settings) -> None:
    assert records.newest_open(tmp_path, settings) is None
    opened(tmp_path, settings)
    assert records.newest_open(tmp_path, settings) is None, "a scheduled run is not joined"
    mine = opened(tmp_path, settings, by_notebook=True)
    assert records.newest_open(tmp_path, settings) == mine
    close(mine, "no_action")
    assert records.newest_open(tmp_path, settings) is None
    opened(tmp_path, settings, by_notebook=True, world="another")
    assert records.newest_open(tmp_path, settings) is None


def test_an_open_run_reads_incomplete_never_good(tmp_path: Path, settings: Settings) -> None:
    folder = opened(tmp_path, settings)
    told(folder, "when_to_retrain", "no_action")
    assert (decision.read(folder).outcome, decision.read(folder).exit_code) == ("incomplete", 1)


def test_a_decision_is_what_the_record_says(tmp_path: Path, settings: Settings) -> None:
    folder = opened(tmp_path, settings)
    told(folder, "when_to_retrain", "no_action")
    append(folder, "waited", {"what": "warehouse", "seconds": 0.25})
    append(folder, "deviation", {"deviation": "watched for 5 minutes"})
    close(folder, "no_action", exit_code=0, total_seconds=1.0)
    read = decision.read(folder)
    assert (read.outcome, read.exit_code, read.reason) == ("no_action", 0, "when_to_retrain no_action")
    assert read.deviations == ("watched for 5 minutes",)
    assert read.timing.overhead_seconds == 0.75
    assert decision.Decision.model_validate_json(read.model_dump_json()) == read


def test_a_file_is_whole_or_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    records.write_atomically(path, "{}")
    with pytest.raises(UnicodeEncodeError):
        records.write_atomically(path, "\ud800")
    assert json.loads(path.read_text()) == {}
    assert list(tmp_path.iterdir()) == [path], "what was begun is not left to be sealed with the run"


def test_the_last_training_is_the_newest_completed_one_promoted_or_not(tmp_path: Path, settings: Settings) -> None:
    earlier, now = opened(tmp_path, settings), None
    later = NOW + timedelta(hours=1)
    told(earlier, "training", "trained", now=later.isoformat())
    failed(tmp_path, settings)
    now = opened(tmp_path, settings)
    assert history.last_trained_at(tmp_path, now, promoted=NOW) == later
    assert history.last_trained_at(tmp_path, now, promoted=None) == later
    assert history.last_trained_at(tmp_path, earlier, promoted=None) is None


def test_failed_runs_count_until_a_completed_training_and_others_do_not_break_the_row(
    tmp_path: Path, settings: Settings
) -> None:
    failed(tmp_path, settings)
    good = opened(tmp_path, settings)
    told(good, "training", "trained", now=NOW.isoformat())
    first = failed(tmp_path, settings)
    append(first, "outcome", Effect(effect="incident", sent=True, outcome="applied").model_dump(mode="json"))
    told(opened(tmp_path, settings), "when_to_retrain", "no_action")
    failed(tmp_path, settings)
    now = opened(tmp_path, settings)
    assert history.failed_runs_in_a_row(tmp_path, now) == 2
    assert list(history.incidents(tmp_path, now)) == [incident_id(first.run_id)]


def test_runs_of_another_world_are_no_facts_of_this_one(tmp_path: Path, settings: Settings) -> None:
    folder = opened(tmp_path, settings, world="another")
    told(folder, "training", "failed")
    told(folder, "if_retraining_fails", "give_up")
    assert history.failed_runs_in_a_row(tmp_path, opened(tmp_path, settings)) == 0
