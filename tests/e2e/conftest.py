"""One sandbox for the whole session, driven as a person would: by the command line, in processes of its own."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import held
import hung

ROOT = Path(__file__).parents[2]
RETRAIN = Path(sys.executable).with_name("retrain")
SECONDS = 300  # for one command; a whole run takes about twenty on a quiet machine


@dataclass(frozen=True)
class Told:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Sandbox:
    """A sandbox of the tests' own, and the records made in it."""

    home: Path
    records: Path
    project: Path
    replayed: set[str] = field(default_factory=set)

    def retrain(self, *arguments: str) -> Told:
        return self.command(str(RETRAIN), *arguments)

    def command(self, *command: str, **environment: str) -> Told:
        """Run a command with this sandbox; ``environment`` goes over it."""
        mine = {"RETRAIN_SANDBOX": str(self.home), "RETRAIN_ACTOR": "tester"}
        told = hung.run(command, seconds=SECONDS, environment={**mine, **environment}, folder=ROOT)
        return Told(told.returncode, told.stdout, told.stderr)

    def scenario(self, name: str) -> None:
        told = self.retrain("sandbox", "scenario", name)
        assert told.code == 0, told.err + told.out

    def run(self, *arguments: str) -> Told:
        return self.retrain("run", "--json", "--set", f"records.url={self.records}", *arguments)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    made = Sandbox(folder / "home", folder / "records", _project(folder / "project"))
    yield made
    made.retrain("sandbox", "down")


@pytest.fixture(autouse=True)
def every_run_holds(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that has the sandbox: every run made so far replays identically, and its record verifies."""
    yield
    if "sandbox" in request.fixturenames:
        made: Sandbox = request.getfixturevalue("sandbox")
        assert list(complaints(made, made.replayed)) == []


def complaints(sandbox: Sandbox, seen: set[str]) -> Iterator[str]:
    """Yield what does not hold of the records in the sandbox's folder, wherever a test put them."""
    for root in held.roots(sandbox.records.parent):
        project = sandbox.project if root.is_relative_to(sandbox.project) else ROOT
        keys = project / ".retrain" / "keys" / "pinned.json"
        yield from held.complaints(root, keys=keys, seen=seen)


def _project(folder: Path) -> Path:
    """Make a project folder with the same notebooks and parameters, and records of its own."""
    folder.mkdir()
    for name in ("notebooks", "parameters"):
        (folder / name).symlink_to(ROOT / name)
    return folder
