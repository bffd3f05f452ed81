"""Makes the fixtures of one released version: records of every outcome, as that version wrote them.

    python tests/released/make.py /srv/retrain tests/released/0.1.0.tar.xz

The first argument is a checkout of the released version with its own ``.venv`` (``make install`` there); put it where
its path may be read by anybody, since a record tells it. It gets a sandbox of its own, and each scenario a fresh
record, which is moved into the archive with what that version itself said of it: ``told.json``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from minimal_service import minimal_service

KEY = "keys/FIXTURES-ONLY-runner.pem"
"""Where the archive keeps the throw-away private key that its records are signed with: it signs nothing else."""

APPROVAL = ("--set", "blue_green_deployment.approval=required")


@dataclass(frozen=True)
class Case:
    """A scenario of the sandbox, how ``retrain run`` is called there, and the exit code that each call ends with."""

    scenario: str
    codes: tuple[int, ...]
    arguments: tuple[str, ...] = ()
    service: str = ""  # "four endpoints", "swaps get lost", or "swaps hang"
    hit: tuple[signal.Signals, str, str] | None = None
    then: tuple[tuple[str, ...], ...] = ()


SHORT = ("--set", "post_deploy_monitoring.watch_minutes=2")
CASES = {
    "no_action": Case("healthy", (0,)),
    "deployed_on_drift": Case("drift", (0,)),
    "deployed_on_request": Case("healthy", (0,), ("--reason", "new feature", "--priority", "high")),
    "deployed_on_schedule": Case("scheduled", (0,)),
    "deployed_by_second_attempt": Case("imbalanced", (0,)),
    "deployed_after_approval": Case(
        "f1_drop", (16,), APPROVAL, then=(("approve", "latest", "--by", "ann"), ("run", "--resume", "latest"))
    ),
    "blocked_by_samples": Case("too_few_samples", (10,)),
    "blocked_without_quality_runs": Case("no_quality_runs", (10,)),
    "blocked_by_incident": Case("open_p1", (10,)),
    "rejected": Case("worse_candidate", (11,)),
    "rejected_as_slow": Case("slow_candidate", (11,)),
    "training_failed": Case("cannot_train", (12, 12, 12)),
    "smoke_failed": Case("invalid_scores_nan", (13,)),
    "rolled_back_for_f1": Case("f1_regression", (14,)),
    "rolled_back_for_latency": Case("latency_regression", (14,)),
    "inconclusive": Case("silent_metrics", (15,)),
    "inconclusive_with_four_endpoints": Case("f1_drop", (15,), SHORT, service="four endpoints"),
    "awaiting_approval": Case("f1_drop", (16,), APPROVAL),
    "unresolved": Case("f1_drop", (17,), SHORT, service="swaps get lost"),
    "interrupted": Case("f1_drop", (19,), hit=(signal.SIGTERM, "intent", "training")),
    "abandoned_at_prerequisites": Case("f1_drop", (-9,), hit=(signal.SIGKILL, "section_started", "prerequisites")),
    "abandoned_in_swap": Case("f1_drop", (-9,), service="swaps hang", hit=(signal.SIGKILL, "intent", "swap")),
    "abandoned_after_swap": Case("f1_drop", (-9,), hit=(signal.SIGKILL, "sent", "swap")),
    "abandoned_then_deployed": Case(
        "scheduled", (-9,), hit=(signal.SIGKILL, "section_started", "prerequisites"), then=(("run",),)
    ),
    "by_hand": Case(
        "drift", (), then=(
            ("papermill", "01_when_to_retrain"), ("papermill", "related/model_drift"),
            ("papermill", "related/data_quality"), ("papermill", "02_prerequisites"),
        ),
    ),
}  # fmt: skip


class Project:
    """A checkout of the released version, driven by its own command line."""

    def __init__(self, root: Path) -> None:
        """Take the checkout at ``root``."""
        self.root = root.resolve()
        self.records = self.root / "records"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "RETRAIN_HOME": str(self.root),
            "RETRAIN_SANDBOX": str(self.root / ".sandbox"),
            "RETRAIN_ACTOR": "tester",
        }

    def command(self, *arguments: str) -> list[str]:
        if arguments[0] == "papermill":
            notebook = f"notebooks/{arguments[1]}.ipynb"
            return [str(self.root / ".venv/bin/papermill"), notebook, os.devnull, "--no-progress-bar"]
        return [str(self.root / ".venv/bin/retrain"), *arguments]

    def call(self, *arguments: str, code: int | None = 0) -> str:
        told = subprocess.run(
            self.command(*arguments), env=self.environment, cwd=self.root, capture_output=True, text=True, timeout=600
        )
        if code is not None and told.returncode != code:
            raise SystemExit(f"{arguments}: exit code {told.returncode}, not {code}\n{told.stdout}{told.stderr}")
        return told.stdout

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        return json.loads(self.call(*arguments, "--json", code=code))

    def hit(self, arguments: Sequence[str], number: signal.Signals, kind: str, about: str, *, code: int) -> None:
        """Run, and send a signal as soon as an entry of ``kind`` about that effect or section is there."""
        command = self.command("run", "--json", *arguments)
        with subprocess.Popen(command, env=self.environment, cwd=self.root, stdout=subprocess.DEVNULL) as run:
            deadline = time.monotonic() + 300
            while run.poll() is None and time.monotonic() < deadline and (kind, about) not in self.told():
                time.sleep(0.01)
            run.send_signal(number)
            if run.wait(timeout=120) != code:
                raise SystemExit(f"exit code {run.returncode}, not {code}")
        time.sleep(2)  # its kernel is gone by then

    def told(self) -> Iterator[tuple[str, str]]:
        """Yield kind and effect or section of each entry, read without the library of today."""
        for file in self.records.glob("*/entries/*.json"):
            payload = json.loads(base64.b64decode(json.loads(file.read_bytes())["payload"]))["predicate"]
            body = payload["body"]
            yield payload["kind"], str(body.get("effect") or body.get("section"))


@contextmanager
def service(kind: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments that name the service to be used: the sandbox's own, or one with four endpoints."""
    if not kind:
        yield ()
        return
    with minimal_service() as url:
        if kind == "swaps get lost":
            url.service.swap = lambda: None  # type: ignore[method-assign]
        elif kind == "swaps hang":
            url.service.swap = lambda: time.sleep(5)  # type: ignore[method-assign]  # its caller is dead by then
        yield "--set", f"service.base_url={url}"


def make(project: Project, case: Case, into: Path) -> None:
    """Make the record of ``case`` and move it to ``into``, with what its version said of it."""
    shutil.rmtree(project.records, ignore_errors=True)
    project.call("sandbox", "scenario", case.scenario)
    for code in case.codes:
        with service(case.service) as named:
            if case.hit:
                project.hit(named, *case.hit, code=code)
            else:
                project.call("run", "--json", *case.arguments, *named, code=code)
    for arguments in case.then:
        project.call(*arguments)
    told = said(project)
    shutil.move(project.records / told["model"], into / "records" / told["model"])
    (into / "told.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def said(project: Project) -> dict[str, Any]:
    """Return what the released version itself says of its record: verify, replay, and every run."""
    (model,) = (folder.name for folder in project.records.iterdir() if not folder.name.startswith("."))
    verified = project.json("verify", "--model", model, "--head", "warehouse", code=None)
    newest = max((project.records / model / "entries").iterdir())
    return {
        "model": model,
        "head": {"number": int(newest.stem), "sha256": hashlib.sha256(newest.read_bytes()).hexdigest()},
        "verify": {"status": verified["status"], "findings": verified["findings"]},
        "replay": project.json("replay", "--all"),
        "runs": [project.json("show", run["run_id"]) for run in project.json("runs")],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Make every case and pack them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a checkout of the released version, with its .venv")
    parser.add_argument("archive", type=Path, help="such as tests/released/0.1.0.tar.xz")
    parser.add_argument("--only", action="append", choices=CASES)
    given = parser.parse_args(arguments)
    project = Project(given.project)
    staged = project.root / ".released"
    try:
        for name in given.only or CASES:
            sys.stderr.write(f"{name} …\n")
            shutil.rmtree(staged / name, ignore_errors=True)
            (staged / name / "records").mkdir(parents=True)
            make(project, CASES[name], staged / name)
    finally:
        project.call("sandbox", "down")
    pack(project, staged, given.archive)


def pack(project: Project, staged: Path, archive: Path) -> None:
    """Write the archive: every case, the public keys, and the private one, named for what it is."""
    keys = project.root / ".retrain" / "keys"
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for case in sorted(staged.iterdir()):
            packed.add(case, arcname=case.name, filter=plain)
        packed.add(keys / "pinned.json", arcname="keys/pinned.json", filter=plain)
        packed.add(keys / "runner.pem", arcname=KEY, filter=plain)


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose the files were and when they were written."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
