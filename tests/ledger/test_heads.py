"""The head is kept outside, goes only forward, and is compared before anything is built on it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from retrain.errors import UsageError
from retrain.ledger import GitHead, Head, HeadSink, LedgerError, StoreError, StoreHead, TakenOver, agree, push_head
from retrain.ledger import heads as heads_module
from retrain.ledger.entries import GENESIS

from .small import Record

OLD, NEW = Head(3, "3" * 64), Head(5, "5" * 64)


def git(*words: str, folder: Path) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> str:
    git("init", "--quiet", "--bare", "heads.git", folder=tmp_path)
    return str(tmp_path / "heads.git")


@pytest.fixture(params=["file", "bucket", "git"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> HeadSink:
    if request.param == "file":
        return StoreHead(tmp_path / "outside", "delays")
    if request.param == "bucket":
        return StoreHead(f"{request.getfixturevalue('s3')}/{tmp_path.name}-heads", "delays")
    return GitHead(request.getfixturevalue("remote"), "heads", "delays")


def test_what_was_pushed_is_read(sink: HeadSink) -> None:
    """Nothing at first; then the last one pushed, and pushing it again does no harm."""
    assert sink.read() is None
    sink.push(OLD)
    assert sink.read() == OLD
    sink.push(NEW)
    sink.push(NEW)
    assert sink.read() == NEW


@pytest.mark.parametrize("back", [OLD, Head(5, "6" * 64)])
def test_a_head_goes_only_forward(sink: HeadSink, back: Head) -> None:
    """Neither an earlier entry nor another one of the same number takes its place."""
    sink.push(NEW)
    with pytest.raises(LedgerError, match="keeps entry 5"):
        sink.push(back)
    assert sink.read() == NEW


@pytest.mark.parametrize("where", ["file", "bucket"])
@pytest.mark.parametrize("first", [None, OLD])
def test_whoever_stood_still_in_the_middle_of_a_push_moves_no_head_back(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, first: Head | None
) -> None:
    """It had looked before a later head was there, and writes after: the later one stays, and it is told so (18)."""
    url = f"{request.getfixturevalue('s3')}/{tmp_path.name}-still" if where == "bucket" else tmp_path / "outside"
    stalled, other = StoreHead(url, "delays"), StoreHead(url, "delays")
    if first:
        other.push(first)
    create = stalled._store.create

    def stand_still(name: str, data: bytes) -> bool:
        other.push(NEW)
        return create(name, data)

    monkeypatch.setattr(stalled._store, "create", stand_still)
    with pytest.raises(TakenOver, match="keeps entry 5") as told:
        stalled.push(Head(4, "4" * 64))
    assert told.value.exit_code == 18
    assert other.read() == NEW
    other.push(Head(6, "6" * 64))
    assert other._numbers() == [6], "those before it are removed"


def test_two_heads_of_one_number_that_race_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one of them is kept."""
    slow, other = StoreHead(tmp_path, "delays"), StoreHead(tmp_path, "delays")
    create = slow._store.create

    def overtaken(name: str, data: bytes) -> bool:
        other.push(NEW)
        return create(name, data)

    monkeypatch.setattr(slow._store, "create", overtaken)
    with pytest.raises(LedgerError, match="5 is no later one"):
        slow.push(Head(5, "6" * 64))
    assert slow.read() == NEW


def test_a_head_that_is_removed_while_it_is_read_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later one came in between; and names that are no heads are passed over."""
    reader, other = StoreHead(tmp_path, "delays"), StoreHead(tmp_path, "delays")
    other.push(OLD)
    (tmp_path / "delays" / "note.txt").write_text("by hand")
    read = reader._store.read

    def overtaken(name: str) -> bytes:
        monkeypatch.setattr(reader._store, "read", read)
        other.push(NEW)
        return read(name)

    monkeypatch.setattr(reader._store, "read", overtaken)
    assert reader.read() == NEW
    other._store.remove("00000005.head.json")
    other._store.remove("00000005.head.json")
    assert reader.read() is None


def test_each_push_is_a_commit_beside_other_models(remote: str, tmp_path: Path) -> None:
    """The branch's history tells every head there was, and one model's push leaves another's file alone."""
    for head in (OLD, NEW):
        for model in ("delays", "other"):
            GitHead(remote, "heads", model).push(head)
    assert git("log", "--format=%s", "heads", folder=Path(remote)).splitlines() == [
        "other.head.json: entry 5",
        "delays.head.json: entry 5",
        "other.head.json: entry 3",
        "delays.head.json: entry 3",
    ]
    assert git("ls-tree", "--name-only", "heads", folder=Path(remote)).split() == [
        "delays.head.json",
        "other.head.json",
    ]
    assert GitHead(remote, "heads", "third").read() is None


def test_a_push_that_another_one_overtook_is_tried_again(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never forces: it starts again from what the branch is then, and gives up after a few times."""
    true_git = heads_module._git
    overtaken: list[str] = []

    def overtaking(times: int) -> Callable[..., str]:
        def git(folder: str, *words: str, given: bytes = b"") -> str:
            if words[0] == "push" and len(overtaken) < times:
                overtaken.append("once more")
                monkeypatch.setattr(heads_module, "_git", true_git)
                GitHead(remote, "heads", f"other-{len(overtaken)}").push(OLD)
                monkeypatch.setattr(heads_module, "_git", git)
            return true_git(folder, *words, given=given)

        return git

    monkeypatch.setattr(heads_module, "_git", overtaking(1))
    sink = GitHead(remote, "heads", "delays")
    sink.push(OLD)
    assert (sink.read(), len(overtaken)) == (OLD, 1)
    monkeypatch.setattr(heads_module, "_git", overtaking(99))
    with pytest.raises(StoreError, match="git push failed"):
        sink.push(NEW)


def test_a_remote_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """It is never taken for a branch without a head."""
    with pytest.raises(StoreError, match="git ls-remote failed"):
        GitHead(str(tmp_path / "nowhere.git"), "heads", "delays").read()


@pytest.mark.parametrize("answer", [FileNotFoundError("no git"), subprocess.TimeoutExpired("git", 60)])
def test_git_that_cannot_be_run_or_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch, answer: Exception) -> None:
    """The message says what was tried."""

    def run(*_: object, **__: object) -> None:
        raise answer

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(StoreError, match="git init failed"):
        GitHead("x", "heads", "delays").read()


def test_git_that_fails_without_a_word_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then the exit code has to do."""
    (tmp_path / "git").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(StoreError, match="git init failed: exit 7"):
        GitHead("x", "heads", "delays").read()


@pytest.mark.parametrize(("remote", "branch"), [("--upload-pack=x", "heads"), ("x", "")])
def test_what_git_would_take_for_an_option_is_refused(remote: str, branch: str) -> None:
    """An address is an address."""
    with pytest.raises(UsageError, match="no Git branch"):
        GitHead(remote, branch, "delays")


def test_a_sink_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    """What went wrong is told by place."""
    broken, well = StoreHead(tmp_path / "a", "delays"), StoreHead(tmp_path / "b", "delays")
    (tmp_path / "a").write_text("no folder")
    failed = push_head(NEW, [broken, well])
    assert list(failed) == [broken.place]
    assert well.read() == NEW


def test_a_chain_agrees_with_its_head(record: Record, tmp_path: Path) -> None:
    """With none, an earlier one or the newest; an empty chain agrees with the head of none."""
    sink = StoreHead(tmp_path / "outside", "delays")
    assert agree(record.chain(), sink) is None
    sink.push(Head(0, GENESIS))
    assert agree(record.chain(), sink) == Head(0, GENESIS)
    first = record.whole_run("run-1")
    sink.push(first)
    assert agree(record.chain(), sink) == first
    record.whole_run("run-2")
    assert agree(record.chain(), sink) == first


def test_a_chain_that_lost_its_newest_entries_does_not_agree(record: Record, tmp_path: Path) -> None:
    """So no run opens on it: the message names the file that is gone, or that is another."""
    sink = StoreHead(tmp_path / "outside", "delays")
    sink.push(record.whole_run("run-1"))
    record.entry(5).unlink()
    with pytest.raises(LedgerError, match=r"entries/00000005\.json and what follows were deleted"):
        agree(record.chain(), sink)
    chain = record.chain()
    chain.append("closed", run="run-1", body={"files": {}}, guard=lambda _: None)
    with pytest.raises(LedgerError, match=r"entries/00000005\.json is not the one"):
        agree(chain, sink)


def test_an_index_or_repository_that_the_environment_names_is_left_alone(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a Git hook these are those of the person who commits."""
    for name in ("GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    sink = GitHead(remote, "heads", "delays")
    sink.push(OLD)
    sink.push(NEW)
    assert sink.read() == NEW
    assert not list(tmp_path.glob("GIT_*"))


@pytest.mark.timeout(20)
def test_a_head_that_is_listed_and_never_there_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    """A link into nowhere: it is neither a head nor none."""
    (tmp_path / "delays").mkdir()
    (tmp_path / "delays" / "00000005.head.json").symlink_to("nowhere")
    with pytest.raises(StoreError, match=r"00000005\.head\.json"):
        StoreHead(tmp_path, "delays").read()
