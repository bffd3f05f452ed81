"""A run whose disk fills up ends as ``error`` with the reason in its record, and nobody sees a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from record.conftest import MODEL, ROOT, say, settings_in
from retrain import runner
from retrain.engine import Account
from retrain.ledger import StoreError, run_files
from retrain.record import decision, records, supervision, verifying
from retrain.record.opening import records_root
from retrain.record.records import RunFolder
from retrain.record.reserve import BYTES, Reserve
from retrain.settings import Settings


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder: Path, *, leaving: int = 0) -> None:
    """Leave so many bytes of the disk; what is written stands beside the records."""
    if leaving:
        (folder / "kept").write_bytes(b"\0" * leaving)
    with (folder / "filling").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    (folder / "kept").unlink(missing_ok=True)


def kept_there(small: Path, tmp_path: Path) -> Settings:
    return settings_in(tmp_path, url=str(small / "records"))


def left(small: Path) -> list[Path]:
    return [path for path in (small / "records" / ".staging").iterdir() if path.is_file()]


def sealed(settings: Settings) -> RunFolder:
    """The newest run, which is closed, verifies, and in whose files no space is held back."""
    newest = records.find(records_root(settings), "latest")
    assert newest.closed is not None
    found = verifying.reports(records_root(settings), model=MODEL, keys=Path(settings.records.pinned_keys), head=None)
    assert verifying.worst(found)[0] == "unanchored"
    assert not [name for name in newest.closed["files"] if "reserve" in name]
    return newest


def test_a_disk_that_fills_up_in_the_middle_ends_the_run_as_error(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole flow on a real full disk: neither the section nor the word that it ends could be written, CLOSE is."""
    settings = kept_there(small, tmp_path)

    def execute(source: Path, output: Path, parameters: dict[str, Any], **more: Any) -> Account:
        fill(small)
        output.write_text("{}")
        raise AssertionError("there was room")

    def told(*given: Any, **more: Any) -> Account:
        try:
            return execute(*given, **more)
        except OSError as error:  # as the engine tells it
            raise StoreError(f"the notebook cannot be written: {error.strerror}") from error

    monkeypatch.setattr(runner, "execute", told)
    said = runner.run(settings)
    newest = sealed(settings)
    assert (said.outcome, said.exit_code) == ("error", 1)
    assert said.reason == "the notebook cannot be written: No space left on device"
    assert decision.Decision.model_validate_json((newest.path / "decision.json").read_text()) == said
    assert newest.bodies("ending") == []
    assert left(small) == []


def test_a_disk_that_is_full_when_a_run_opens_opens_none(small: Path, tmp_path: Path) -> None:
    """One clear error, and nothing is sent."""
    settings = kept_there(small, tmp_path)
    fill(small)
    with pytest.raises(StoreError, match="No space left"):
        supervision.open_run(settings, {})
    assert not list(records.runs(records_root(settings)))


def test_a_disk_too_small_for_the_last_words_ends_the_run_before_it_does_anything(small: Path, tmp_path: Path) -> None:
    """There was room for OPEN and not for what is held back: closed with what there is, and the error is raised."""
    settings = kept_there(small, tmp_path)
    fill(small, leaving=BYTES // 2)
    with pytest.raises(StoreError, match=r"reserve: No space left"):
        supervision.open_run(settings, {})
    newest = sealed(settings)
    assert newest.closed is not None
    assert newest.closed["outcome"] == "error"
    assert "No space left" in str(newest.closed["reason"])
    assert left(small) == []


@pytest.mark.parametrize("ends", ["close", "park", "leave_open"])
def test_what_is_held_back_is_no_part_of_the_run_and_is_not_left_behind(settings: Settings, ends: str) -> None:
    """It is held from OPEN on, outside the run's folder, and is gone when the process lets go of the run."""
    supervised = supervision.open_run(settings, {})
    say(supervised, "when_to_retrain", "no_action")
    (held,) = left(records_root(settings).parent)  # type: ignore[union-attr]
    assert held.stat().st_blocks * 512 >= BYTES
    assert not held.is_relative_to(supervised.folder.path)
    {"close": lambda: supervised.close("no_action"), "park": supervised.park, "leave_open": supervised.leave_open}[
        ends
    ]()
    assert not held.exists()
    assert "parameters.json" in run_files(supervised.folder.chain.store, supervised.folder.run_id)


def test_what_a_killed_run_held_back_the_next_one_takes_over(settings: Settings, dead: Callable[[], None]) -> None:
    """One file for each model, however many were killed; who was taken over does not take it from the next."""
    first = supervision.open_run(settings, {})
    dead()
    second = supervision.open_run(settings, {})
    first.leave_open()
    (held,) = left(records_root(settings).parent)  # type: ignore[union-attr]
    second.close("no_action")
    assert not held.exists()


def test_a_resumed_run_holds_space_back_as_well(settings: Settings, dead: Callable[[], None]) -> None:
    first = supervision.open_run(settings, {})
    first.reserve.release()
    dead()
    supervision.resume(first.folder)
    assert len(left(records_root(settings).parent)) == 1  # type: ignore[union-attr]


LIMITED = """
import resource, sys
from pathlib import Path
from retrain.ledger import StoreError
from retrain.record.records import chain_of, at, write_atomically
from retrain.record.reserve import Reserve
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
root = Path(sys.argv[1])
for write in (
    lambda: write_atomically(root / "file.json", "x" * 2000),
    Reserve(at(root, "flights", "run-1")).hold,
):
    try:
        write()
    except StoreError as error:
        print(error)
write_atomically(root / "small.json", "x" * 10)
"""


def test_what_the_file_system_refuses_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files, in a process of its own: the former file stays, and no half of the new one."""
    (tmp_path / "file.json").write_text("before")
    environment = {**os.environ, "RETRAIN_HOME": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"cannot write {tmp_path / 'file.json'}: File too large",
        f"cannot write {tmp_path / '.staging' / 'flights.reserve'}: File too large",
    ]
    found = {
        path.relative_to(tmp_path).as_posix(): path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()
    }
    assert found == {"file.json": 6, "small.json": 10}


def test_space_given_back_twice_does_no_harm(tmp_path: Path) -> None:
    reserve = Reserve(records.at(tmp_path / "records", MODEL, "run-1"))
    reserve.hold()
    assert len(left(tmp_path)) == 1
    reserve.release()
    reserve.release()
    assert left(tmp_path) == []
