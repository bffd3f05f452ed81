"""Kill whole runs, `retrain run` with real notebooks over a sandbox, by SIGKILL, and let them go on or be followed.

Run by ``make crash-test``: prints a line for each case, and exits 1 on any violation::

    PYTHONPATH=tests python -m crash.whole_runs --cases 12

The judge reads the log of the sandbox's service and the record. Every case is a world, a record and a head of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrain.ledger import Entry, StoreHead, decode, load_pinned, verify
from retrain_sandbox import clock

__all__ = ["main"]

ROOT = Path(__file__).parents[2]
MODEL = "flights-f1-drop"
DEATHS: tuple[tuple[str, str], ...] = (
    ("intent", "swap"),
    ("sent", "training"),
    ("section_started", "prerequisites"),
    ("outcome", "swap"),
    ("intent", "training"),
    ("verdict", "evaluation_gate"),
    ("opened", ""),
    ("sent", "swap"),
    ("outcome", "training"),
    ("section_started", "blue_green_deployment"),
    ("verdict", "post_deploy_monitoring"),
    ("ending", ""),
)
"""The entries right after which a run is killed, those that matter most first."""

_ACTS = {"training": "trigger", "swap": "reload", "rollback": "reload"}
_SECONDS = 180
_BUSY, _UNRESOLVED = 18, 17
_QUICK = ("post_deploy_monitoring.watch_minutes=4", "post_deploy_monitoring.extension_minutes=0")
_ENDED = {"closed", "abandoned"}


@dataclass
class _Case:
    """One case: where the first life is killed, and whether the run is resumed or another one started."""

    home: Path
    project: Path
    folder: Path
    death: tuple[str, str]
    resumes: bool
    log_from: int = 0
    codes: list[int] = field(default_factory=list)

    @property
    def record(self) -> Path:
        return self.folder / "records" / MODEL

    def entries(self) -> list[Entry]:
        files = sorted((self.record / "entries").glob("*.json"))
        return [decode(file.read_bytes(), name=file.name) for file in files]

    def requests(self) -> list[dict[str, Any]]:
        log = self.home / "service" / "requests.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line) for line in lines[self.log_from :]]

    def live(self, *more: str, dies: bool = False) -> int:
        """Live one life of the command; return its exit code."""
        values = (f"records.url={self.folder / 'records'}", f"records.heads=[{self.folder / 'heads'}]", *_QUICK)
        words = [word for value in values for word in ("--set", value)]
        with _retrain(self, "run", "--json", *words, *more) as process:
            if dies:
                self._kill(process)
            self.codes.append(process.wait(timeout=_SECONDS))
        return self.codes[-1]

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        descriptor = os.pidfd_open(process.pid)
        deadline = time.monotonic() + _SECONDS
        seen = 0
        while not select.select([descriptor], [], [], 0.005)[0] and time.monotonic() < deadline:
            new = self._new(seen)
            seen += len(new)
            if self.death in new:
                break
        os.close(descriptor)
        process.send_signal(signal.SIGKILL)

    def _new(self, seen: int) -> list[tuple[str, str]]:
        told = []
        while (file := self.record / "entries" / f"{seen + len(told) + 1:08d}.json").exists():
            entry = decode(file.read_bytes(), name=file.name)
            told.append((entry.kind, str(entry.body.get("effect") or _section(entry.body))))
        return told


def _section(body: dict[str, Any]) -> str:
    return str(body.get("section", "")) if "holder" not in body else ""


def _retrain(case: _Case, *words: str) -> subprocess.Popen[bytes]:
    environment = {"RETRAIN_SANDBOX": str(case.home), "RETRAIN_HOME": str(case.project), "RETRAIN_ACTOR": "tester"}
    with (case.folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("retrain")), *words],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdout=said,
            stderr=said,
        )


def _lived(case: _Case) -> None:
    """Live it: killed once, then resumed or followed by the next run until one comes to its end."""
    with _retrain(case, "sandbox", "scenario", "f1_drop") as process:
        assert process.wait(timeout=_SECONDS) == 0, (case.folder / "said.txt").read_text()
    case.log_from = len(case.requests())
    case.live(dies=True)
    run = case.entries()[0].run
    goes_on = ("--resume", run) if case.resumes else ()
    deadline = time.monotonic() + _SECONDS
    while case.live(*goes_on) in (_BUSY, _UNRESOLVED) and time.monotonic() < deadline:
        if case.codes[-1] == _UNRESOLVED:
            if _newest_ended(case):
                return
            goes_on = ("--resume", run)  # what the next run is told to do first


def _newest_ended(case: _Case) -> bool:
    return case.entries()[-1].kind in _ENDED


def _judged(case: _Case) -> Iterator[str]:
    """Yield what breaks the law: sent at most once for a run, intended before, told as it was, and it verifies."""
    entries, log = case.entries(), case.requests()
    acts = [entry for entry in entries if entry.kind in ("intent", "sent", "outcome")]
    started = clock.read(case.home)
    for name, request in _ACTS.items():
        intents = [entry for entry in acts if entry.kind == "intent" and entry.body["effect"] == name]
        targets = [(entry.run, entry.body["target"]) for entry in intents]
        if len(set(targets)) != len(targets):
            yield f"{name}: intended twice"
        for outcome in (entry for entry in acts if entry.kind == "outcome" and entry.body["effect"] == name):
            yield from _true(outcome, [one for one in log if one["request"] == request], intents)
    for request in set(_ACTS.values()):
        arrived = [one for one in log if one["request"] == request]
        intents = [e for e in acts if e.kind == "intent" and _ACTS.get(e.body["effect"]) == request]
        if len(arrived) > len(intents):
            yield f"{request}: arrived {len(arrived)} times for {len(intents)} intents"
        for one, intent in zip(arrived, intents, strict=False):
            if one["at"] < started.at(intent.at.timestamp()).isoformat():
                yield f"{request}: arrived before it was intended"
    yield from _verifies(case, entries)


def _true(outcome: Entry, arrived: Sequence[dict[str, Any]], intents: Sequence[Entry]) -> Iterator[str]:
    body = outcome.body
    told = f"{body['effect']} {body['outcome']}"
    mine = sum(intent.number < outcome.number for intent in intents)
    if body["outcome"] == "applied" and body["sent"] and len(arrived) < mine:
        yield f"false record: {told}, and {len(arrived)} of {mine} arrived"
    if body["outcome"] == "not_sent" and not body["sent"] and len(arrived) > mine:
        yield f"false record: {told}, and it arrived"


def _verifies(case: _Case, entries: Sequence[Entry]) -> Iterator[str]:
    if entries[-1].kind not in _ENDED:
        yield f"it ended with {entries[-1].kind!r}, exit codes {case.codes}"
    pinned = load_pinned(case.project / ".retrain" / "keys" / "pinned.json")
    report = verify(case.record, pinned=pinned, head=StoreHead(case.folder / "heads", MODEL).read())
    settled = [e for e in entries if e.kind in ("intent", "outcome")]
    ends = {(e.run, e.body["effect"], e.body["target"]): e.body.get("outcome", "unresolved") for e in settled}
    whole = "incomplete" if "unresolved" in ends.values() else "verified"
    if report.status != whole:
        yield f"verify says {report.status}, and it should be {whole}: {report.findings}"


@contextmanager
def _sandbox(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the homes of a sandbox and of a project with the same notebooks and keys of its own."""
    project = root / "project"
    project.mkdir()
    for name in ("notebooks", "parameters"):
        (project / name).symlink_to(ROOT / name)
    (root / "warm").mkdir()
    any_case = _Case(root / "sandbox", project, root / "warm", ("", ""), resumes=False)
    try:
        yield any_case.home, project
    finally:
        with _retrain(any_case, "sandbox", "down") as process:
            process.wait(timeout=_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print a line for each, and return 1 on any violation."""
    parser = argparse.ArgumentParser(prog="crash.whole_runs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=len(DEATHS), help="how many; resumed and followed in turn")
    cases = parser.parse_args(arguments).cases
    began, broken = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="whole-") as folder, _sandbox(Path(folder)) as (home, project):
        for number in range(cases):
            place = Path(folder) / f"case-{number}"
            place.mkdir()
            resumes = (number + number // len(DEATHS)) % 2 == 0
            case = _Case(home, project, place, DEATHS[number % len(DEATHS)], resumes=resumes)
            _lived(case)
            wrong = list(_judged(case))
            broken += bool(wrong)
            how = "resumed" if case.resumes else "followed"
            sys.stdout.write(f"{' '.join(case.death)}, {how}: exits {case.codes} {'; '.join(wrong)}\n")
    seconds = time.monotonic() - began
    sys.stdout.write(f"**{cases} whole runs killed in {seconds:.0f} s, {broken} with a violation.**\n")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
