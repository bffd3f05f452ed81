"""The process that holds a run: opened signed, written to by kernels, closed with every file sealed, head outside."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from record.conftest import MODEL, say, settings_in
from retrain.errors import RetrainError, UsageError
from retrain.facts import Effect
from retrain.ledger import Busy, LedgerError, StoreError, TakenOver, resolve
from retrain.record import briefs, decision, joining, records, signing, supervision, verifying
from retrain.record.anchors import Anchors, sinks
from retrain.record.opening import records_root
from retrain.record.supervision import UnresolvedBefore
from retrain.settings import Settings


def verified(settings: Settings) -> str:
    keys = Path(settings.records.pinned_keys)
    found = verifying.reports(records_root(settings), model=MODEL, keys=keys, head=sinks(settings)[0])
    return verifying.worst(found)[0]


def asked(settings: Settings, head: str) -> str:
    found = verifying.reports(records_root(settings), model=MODEL, keys=Path(settings.records.pinned_keys), head=head)
    return verifying.worst(found)[0]


def test_a_run_is_opened_written_to_and_closed_and_verifies(settings: Settings) -> None:
    """What `show` says after the end is what decision.json says, byte by byte, and nothing changed after it."""
    supervised = supervision.open_run(settings, {"reason": "scheduled check"})
    say(supervised, "when_to_retrain", "no_action")
    supervised.close("no_action", seconds=1.5)
    folder = records.find(records_root(settings), "latest")
    kept = (folder.path / "decision.json").read_text()
    assert decision.read(folder).model_dump_json(indent=2) + "\n" == kept
    assert (decision.read(folder).outcome, decision.read(folder).timing.total_seconds) == ("no_action", 1.5)
    assert briefs.brief(folder).reason == "when_to_retrain no_action"
    assert folder.settings == settings
    assert verified(settings) == "verified"
    (folder.path / "note.txt").write_text("added later")
    assert verified(settings) == "tampered"


def test_a_run_with_a_secret_in_an_entry_is_not_closed_as_clean(settings: Settings) -> None:
    """An entry that got past redaction cannot be taken back: the run says that it is there, and names no value."""
    supervised = supervision.open_run(settings, {"reason": "scheduled check"})
    supervised.secrets.register("open-sesame-42", "SERVICE_TOKEN")
    say(supervised, "when_to_retrain", "no_action")
    number = supervised.append("note", {"note": "the token is open-sesame-42"})
    supervised.close("no_action")
    told = decision.read(records.find(records_root(settings), "latest"))
    assert told.outcome == "error"
    assert told.reason == f"a secret was found in entries/{number:08}.json: SERVICE_TOKEN"


def test_an_unresolved_swap_stops_the_next_run_until_a_person_settles_it(
    settings: Settings, dead: Callable[[], None]
) -> None:
    """A late apply of the first would undo the second: two swaps, one of them nobody's."""
    first = supervision.open_run(settings, {})
    about = {"effect": "swap", "target": "version v2 active"}
    intent = first.append("intent", {**about, "before": None})
    with pytest.raises(Busy):
        supervision.open_run(settings, {})
    dead()
    with pytest.raises(UnresolvedBefore, match=f"retrain resolve {first.folder.run_id}") as stopped:
        supervision.open_run(settings, {})
    assert stopped.value.exit_code == 17
    chain = supervision._signing(settings, records_root(settings), MODEL)
    resolve(chain, first.folder.run_id, intent=intent, outcome="applied", by="ann", why="v2 serves")
    supervision.open_run(settings, {}).close("no_action")


def test_a_swap_that_was_closed_unresolved_stops_the_next_run(settings: Settings) -> None:
    first = supervision.open_run(settings, {})
    about = {"effect": "swap", "target": "version v2 active"}
    first.append("intent", {**about, "before": None})
    unresolved = Effect(effect="swap", sent=True, outcome="unresolved").model_dump(mode="json")
    first.append("outcome", {**about, **unresolved})
    first.close("unresolved")
    with pytest.raises(UnresolvedBefore):
        supervision.open_run(settings, {})


def test_a_swap_whose_kernel_died_before_it_told_stops_the_next_run(settings: Settings) -> None:
    """The run was closed in order, and no outcome stands in its record: the intent alone is enough."""
    first = supervision.open_run(settings, {})
    first.append("intent", {"effect": "swap", "target": "version v2 active", "before": None})
    first.close("error", "the kernel died")
    with pytest.raises(UnresolvedBefore):
        supervision.open_run(settings, {})


def test_two_runs_of_one_model_cannot_both_be_open(settings: Settings) -> None:
    supervision.open_run(settings, {})
    with pytest.raises(Busy) as busy:
        supervision.open_run(settings, {})
    assert busy.value.exit_code == 18


def test_a_run_whose_process_died_is_closed_by_the_next_and_not_forgotten(
    settings: Settings, dead: Callable[[], None]
) -> None:
    first = supervision.open_run(settings, {})
    say(first, "when_to_retrain", "retrain")
    dead()
    heard: list[str] = []
    second = supervision.open_run(settings, {}, warn=heard.append)
    assert first.folder.run_id in heard[0]
    with pytest.raises(TakenOver):
        say(first, "prerequisites", "ready")
    second.close("no_action")
    left = records.find(records_root(settings), first.folder.run_id)
    assert (decision.read(left).outcome, briefs.brief(left).outcome, left.state) == ("abandoned",) * 3
    assert verified(settings) == "verified"


def test_a_record_that_lost_its_newest_entries_is_refused(settings: Settings) -> None:
    """The head outside says that there were more."""
    supervision.open_run(settings, {}).close("no_action")
    for entry in (Path(settings.records.url) / MODEL / "entries").iterdir():
        entry.unlink()
    with pytest.raises(LedgerError, match="were deleted"):
        supervision.open_run(settings, {})


def test_a_head_in_a_git_branch(tmp_path: Path) -> None:
    """Whole runs, with a bare repository as the remote: verified by it, and what is gone or later is found out."""
    remote = tmp_path / "heads.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True, timeout=30)
    settings = settings_in(tmp_path, heads=f"[git+file://{remote}#heads]")
    supervision.open_run(settings, {}).close("no_action")
    older = sinks(settings)[0].read()
    supervision.open_run(settings, {}).close("no_action")
    assert verified(settings) == "verified"
    chain = records.chain_of(records_root(settings), MODEL)
    assert sinks(settings)[0].read() == chain.head()
    assert older is not None
    assert asked(settings, json.dumps({"number": older.number, "sha256": older.sha256})) == "unanchored"
    newest = records.find(records_root(settings), "latest")
    for number in range(newest.opened_at, chain.head().number + 1):
        (Path(settings.records.url) / MODEL / "entries" / f"{number:08d}.json").unlink()
    shutil.rmtree(newest.path)
    assert verified(settings) == "tampered"
    with pytest.raises(LedgerError, match="were deleted"):
        supervision.open_run(settings, {})


@pytest.mark.parametrize("ends", ["closes", "parks", "goes on"])
def test_who_was_taken_over_writes_nothing_into_what_others_have_sealed(
    settings: Settings, dead: Callable[[], None], ends: str
) -> None:
    """It stood still for longer than its lease: exit 18, and the record still verifies."""
    first = supervision.open_run(settings, {})
    say(first, "when_to_retrain", "no_action")
    dead()
    supervision.open_run(settings, {}).close("no_action")
    with pytest.raises(TakenOver) as stopped:
        {"closes": lambda: first.close("no_action"), "parks": first.park, "goes on": first.run.hold}[ends]()
    assert stopped.value.exit_code == 18
    assert not (first.folder.path / "decision.json").exists()
    assert verified(settings) == "verified"


def test_a_head_that_cannot_be_kept_is_said_and_breaks_nothing(tmp_path: Path) -> None:
    """At OPEN it becomes a deviation of the run, at CLOSE a warning: the run is as it is."""
    (tmp_path / "a file").write_text("")
    settings = settings_in(tmp_path, heads=f"[{tmp_path / 'a file' / 'heads'}]")
    heard: list[str] = []
    anchors = Anchors(sinks(settings))
    supervised = supervision.open_run(settings, {}, anchors=anchors, warn=heard.append)
    anchors.wait()
    supervised.close("no_action")
    assert "not kept" in decision.read(supervised.folder).deviations[-1]
    assert "not kept" in heard[-1]


def test_a_person_hears_of_a_head_that_was_not_kept_too(tmp_path: Path) -> None:
    """What the process that signs the end of a notebook's run has to say is its answer, and none of it is lost."""
    (tmp_path / "a file").write_text("")
    settings = settings_in(tmp_path, heads=f"[{tmp_path / 'a file' / 'heads'}]")
    wanted = {"settings": settings.model_dump(mode="json"), "told": {"by_notebook": True}, "pid": os.getpid()}
    run = signing.answer("open", wanted)
    told = signing.answer("end", {**run, "outcome": "no_action", "reason": ""})
    assert ["not kept" in warning for warning in told["warnings"]] == [True]


def test_a_dead_run_goes_on_where_it_was(settings: Settings, dead: Callable[[], None]) -> None:
    first = supervision.open_run(settings, {})
    say(first, "when_to_retrain", "retrain")
    with pytest.raises(Busy):
        supervision.resume(first.folder)
    dead()
    second = supervision.resume(first.folder)
    say(second, "prerequisites", "blocked")
    second.close("blocked")
    told = decision.read(records.find(records_root(settings), "latest"))
    assert [section.section for section in told.sections] == ["when_to_retrain", "prerequisites"]
    assert verified(settings) == "verified"
    with pytest.raises(UsageError, match="has ended"):
        supervision.resume(first.folder)


def test_a_record_in_a_bucket(s3: str, tmp_path: Path, dead: Callable[[], None]) -> None:
    """The chain and the run's files live there; another machine, without the working folder, goes on and seals all."""
    settings = settings_in(tmp_path, url=f"{s3}/{tmp_path.name}", heads=f"[{s3}/{tmp_path.name}-heads]")
    first = supervision.open_run(settings, {})
    say(first, "when_to_retrain", "retrain")
    (first.folder.path / "01_when_to_retrain.ipynb").write_text("{}")
    first.leave_open()
    for file in first.folder.path.iterdir():
        file.unlink()
    dead()
    second = supervision.resume(records.find(records_root(settings), "latest"))
    assert (second.folder.path / "01_when_to_retrain.ipynb").read_text() == "{}"
    say(second, "prerequisites", "blocked")
    second.close("blocked")
    assert verified(settings) == "verified"
    folder = records.find(records_root(settings), "latest")
    assert decision.read(folder).record == f"{s3}/{tmp_path.name}/{MODEL}/runs/{folder.run_id}"
    kept = json.loads(folder.chain.store.read(f"runs/{folder.run_id}/decision.json"))
    assert kept == decision.read(folder).model_dump(mode="json")


def test_a_notebooks_run_is_held_by_its_kernel_and_signed_by_another_process(settings: Settings) -> None:
    """Opened, refused while the kernel lives, resumed once it died, ended."""
    wanted = {"settings": settings.model_dump(mode="json"), "told": {"by_notebook": True}}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as kernel:
        run = signing.answer("open", {**wanted, "pid": kernel.pid})
        with pytest.raises(Busy):
            signing.answer("open", {**wanted, "pid": os.getpid()})
        kernel.kill()
    run = signing.answer("resume", {**run, "pid": os.getpid()})
    signing.answer("end", {**run, "outcome": "no_action", "reason": ""})
    assert verified(settings) == "verified"


def test_who_starts_again_from_the_top_leaves_the_former_run(settings: Settings) -> None:
    """The same kernel opens another run: the first is closed as incomplete, not left to be found dead."""
    wanted = {"settings": settings.model_dump(mode="json"), "told": {"by_notebook": True}, "pid": os.getpid()}
    first, second = signing.answer("open", wanted), signing.answer("open", wanted)
    told = {folder.run_id: briefs.brief(folder).outcome for folder in records.runs(records_root(settings))}
    assert told == {second["run"]: "incomplete", first["run"]: "incomplete"}
    assert records.at(first["root"], MODEL, first["run"]).state == "closed"
    signing.answer("end", {**second, "outcome": "awaiting_approval", "reason": "wait"})
    assert records.at(first["root"], MODEL, second["run"]).state == "parked"


def test_the_signing_process_answers_in_json_even_when_it_refuses() -> None:
    command = [sys.executable, "-m", "retrain.record.signing", "dance"]
    done = subprocess.run(command, input="{}", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "UsageError"


def test_a_kernel_never_loads_a_key() -> None:
    """What a notebook imports does not import what reads private keys."""
    code = "import sys, retrain.notebook; sys.exit('retrain.record.keyring' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_outside_the_sandbox_a_key_must_be_named(settings: Settings) -> None:
    without = settings.model_copy(update={"records": settings.records.model_copy(update={"signing_key": None})})
    with pytest.raises(RetrainError, match="signing_key"):
        supervision.open_run(without, {})


def test_a_swap_left_unresolved_while_the_next_run_was_about_to_open_stops_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that held the model ended in the very moment: what it left open counts, and nothing is opened."""
    first = supervision.open_run(settings, {})
    first.append("intent", {"effect": "swap", "target": "version v2 active", "before": None})
    opening = supervision.opening

    def meanwhile(*told: Any) -> dict[str, Any]:
        first.close("unresolved")
        return opening(*told)

    monkeypatch.setattr(supervision, "opening", meanwhile)
    with pytest.raises(UnresolvedBefore):
        supervision.open_run(settings, {})
    assert [folder.state for folder in records.runs(records_root(settings))] == ["closed"]


def test_a_file_that_was_fetched_by_half_is_fetched_again(
    s3: str, tmp_path: Path, dead: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the half of it would go back to the bucket in place of the whole."""
    settings = settings_in(tmp_path, url=f"{s3}/{tmp_path.name}", heads="[]")
    first = supervision.open_run(settings, {})
    notebook = first.folder.path / "01_when_to_retrain.ipynb"
    notebook.write_text("a whole notebook")
    first.leave_open()
    for file in first.folder.path.iterdir():
        file.unlink()
    dead()

    def half(path: Path, data: bytes) -> None:
        path.open("wb").write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space"):
            supervision.resume(first.folder)
    second = supervision.resume(first.folder)
    assert notebook.read_text() == "a whole notebook"
    second.close("blocked")
    assert second.folder.chain.store.read(f"runs/{second.folder.run_id}/{notebook.name}") == b"a whole notebook"


def test_closing_a_run_changes_nothing_outside_its_folder(settings: Settings, tmp_path: Path) -> None:
    """A link that a cell made is left alone, and so is what it leads to; the run's own files can only be read."""
    (tmp_path / "elsewhere.csv").write_text("somebody's")
    (tmp_path / "elsewhere.csv").chmod(0o640)
    supervised = supervision.open_run(settings, {})
    (supervised.folder.path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    supervised.close("no_action")
    assert (tmp_path / "elsewhere.csv").stat().st_mode & 0o777 == 0o640
    assert (supervised.folder.path / "decision.json").stat().st_mode & 0o777 == 0o444


def test_a_file_that_cannot_be_made_read_only_does_not_undo_a_run_that_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is sealed by then: it is said, and the run ends as it is."""
    heard: list[str] = []
    supervised = supervision.open_run(settings, {}, warn=heard.append)

    def refused(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    supervised.close("no_action")
    assert supervised.folder.state == "closed"
    assert "could not be made read-only" in heard[0]


def test_a_process_that_signs_and_does_not_answer_is_not_waited_for_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did is then not known, and the message says where to look."""

    def hangs(*_: Any, timeout: float | None = None, **__: Any) -> Any:
        assert timeout is not None
        raise subprocess.TimeoutExpired("sign", timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(RetrainError, match=r"no answer within .*retrain runs"):
        joining._signed("end", {})


def test_a_refusal_of_the_process_that_signs_keeps_its_exit_code(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook that may not open a run beside an unresolved swap says 17, as the command line does."""
    told = {"error": "UnresolvedBefore", "message": "the swap is unresolved", "exit_code": 17}
    answer = subprocess.CompletedProcess([], 17, stdout=json.dumps(told), stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(RetrainError, match="the swap is unresolved") as refused:
        joining._signed("open", {})
    assert refused.value.exit_code == 17
