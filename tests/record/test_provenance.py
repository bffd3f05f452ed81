"""Which code a run was made with, and who started it: what cannot be told is said to be unknown, never good."""

import subprocess
from pathlib import Path

import pytest

from retrain.record import provenance


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one commit and no local change."""
    folder = tmp_path / "project"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    who = ["-c", "user.name=ann", "-c", "user.email=ann@localhost"]
    for words in (["init", "--quiet"], ["add", "a.txt"], [*who, "commit", "--quiet", "-m", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=30)
    return folder


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(checkout: Path) -> None:
    told = provenance.provenance(checkout)
    assert (len(told["commit"]), told["dirty"]) == (40, False)
    (checkout / "a.txt").write_text("two")
    assert provenance.provenance(checkout)["dirty"] is True


def test_a_tree_that_git_tells_nothing_of_is_not_called_unchanged(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkout, no git, or one that does not answer in time: unknown."""

    def late(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("git", 10)

    monkeypatch.setattr(subprocess, "run", late)
    told = provenance.provenance(checkout)
    assert (told["commit"], told["dirty"]) == (None, None)


def test_another_repository_that_the_environment_names_is_not_taken_for_this_one(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a Git hook, where GIT_DIR is that of the repository that was committed to."""
    own = provenance.provenance(checkout)
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "other")], check=True, timeout=30)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert provenance.provenance(checkout) == own


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that no password file knows."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000650000")

    monkeypatch.delenv("RETRAIN_ACTOR", raising=False)
    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 1000650000)
    assert provenance.actor().startswith("user 1000650000@")
