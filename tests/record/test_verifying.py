"""`retrain verify`: what it reads, what it exits with, and that it names the file at fault."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from record.conftest import MODEL, say
from retrain.errors import UsageError
from retrain.record import supervision, verifying
from retrain.settings import Settings


@pytest.fixture
def copied(settings: Settings, tmp_path: Path) -> Path:
    """A copy of a record of one closed run, as an auditor gets it."""
    supervised = supervision.open_run(settings, {})
    say(supervised, "when_to_retrain", "no_action")
    supervised.close("no_action")
    return Path(shutil.copytree(tmp_path / "records" / MODEL, tmp_path / "copy"))


def head(tmp_path: Path) -> str:
    (kept,) = (tmp_path / "heads" / MODEL).iterdir()
    return str(kept)


def verify(tmp_path: Path, *more: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "retrain.cli", "verify", "--keys", str(tmp_path / "pinned.json"), "--json", *more]
    environment = {**os.environ, "RETRAIN_SANDBOX": str(tmp_path / "no sandbox")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    return done.returncode, json.loads(done.stdout)


def test_a_copied_folder_is_verified_offline(copied: Path, tmp_path: Path) -> None:
    """No sandbox, no warehouse, no parameters: a folder, public keys and a head."""
    code, told = verify(tmp_path, "--records", str(copied), "--head", head(tmp_path))
    assert (code, told["status"], told["findings"]) == (0, "verified", [])
    code, told = verify(tmp_path, "--records", str(copied), "--head", Path(head(tmp_path)).read_text())
    assert code == 0
    assert verify(tmp_path, "--records", str(copied))[0] == 4


def test_a_file_at_fault_is_named(copied: Path, tmp_path: Path) -> None:
    next(copied.glob("runs/*/decision.json")).write_text("{}")
    code, told = verify(tmp_path, "--records", str(copied), "--head", head(tmp_path))
    assert (code, told["status"]) == (1, "tampered")
    assert told["findings"][0]["file"].endswith("/decision.json")


def test_an_empty_folder_is_empty_and_none_is_usage(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert verify(tmp_path, "--records", str(tmp_path / "nothing"))[0] == 5
    assert verify(tmp_path, "--records", str(tmp_path / "absent"))[0] == 2


def test_an_open_run_is_incomplete(settings: Settings, tmp_path: Path) -> None:
    supervision.open_run(settings, {}).leave_open()
    assert verify(tmp_path, "--records", str(tmp_path / "records"), "--head", head(tmp_path))[0] == 3


@pytest.mark.parametrize("bad", ["{", '{"number": 1}', '{"number": NaN}', "no such file"])
def test_a_head_that_is_none_is_usage(copied: Path, tmp_path: Path, bad: str) -> None:
    with pytest.raises(UsageError, match="--head"):
        verifying.reports(copied, model=None, keys=tmp_path / "pinned.json", head=bad)


def test_a_head_is_that_of_one_model(copied: Path, tmp_path: Path) -> None:
    shutil.copytree(copied, tmp_path / "records" / "other")
    with pytest.raises(UsageError, match="--model"):
        verifying.reports(tmp_path / "records", model=None, keys=tmp_path / "pinned.json", head=head(tmp_path))
    found = verifying.reports(tmp_path / "records", model=None, keys=tmp_path / "pinned.json", head=None)
    assert verifying.worst(found) == ("tampered", 1)


def test_a_record_whose_every_model_is_gone_is_tampered_where_a_head_says_that_there_was_one(
    copied: Path, tmp_path: Path
) -> None:
    """Deleting all of it is found like deleting the newest; without a head there is nothing to hold it against."""
    shutil.rmtree(tmp_path / "records" / MODEL)
    keys = tmp_path / "pinned.json"
    found = verifying.reports(tmp_path / "records", model=None, keys=keys, head=head(tmp_path))
    assert verifying.worst(found) == ("tampered", 1)
    assert "deleted" in next(iter(found.values())).findings[0].problem
    bare = verifying.reports(tmp_path / "records", model=None, keys=keys, head=None)
    assert verifying.worst(bare) == ("empty", 5)


@pytest.mark.parametrize("model", [None, MODEL])
def test_a_record_whose_whole_folder_is_gone_is_tampered_where_a_head_says_that_there_was_one(
    copied: Path, tmp_path: Path, model: str | None
) -> None:
    """Who takes the folder with it hides no more; without a head nothing tells it from a slip of the pen."""
    named = () if model is None else ("--model", model)
    shutil.rmtree(tmp_path / "records")
    code, told = verify(tmp_path, "--records", str(tmp_path / "records"), "--head", head(tmp_path), *named)
    assert (code, told["status"]) == (1, "tampered")
    (finding,) = told["findings"]
    assert finding["problem"].startswith(f"nothing is left in {tmp_path / 'records'}")
    assert "deleted: entries/00000001.json to " in finding["problem"]
    code, told = verify(tmp_path, "--records", str(tmp_path / "records"), *named)
    assert code == 2
    assert not (tmp_path / "records").exists(), "a look makes no folder"


def test_a_file_in_place_of_the_records_is_usage_with_a_head_too(copied: Path, tmp_path: Path) -> None:
    """It is there, and it is no record: that is a mistake in the path."""
    with pytest.raises(UsageError, match="there is no folder"):
        verifying.reports(tmp_path / "pinned.json", model=None, keys=tmp_path / "pinned.json", head=head(tmp_path))
