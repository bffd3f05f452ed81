"""What every released version wrote: today's code verifies, replays, shows and backtests it, and goes on with it."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from recorded_runs import Told, body_of, gate, ready, section, smoked, swapped, trained, watched
from retrain import runner
from retrain.engine import Account
from retrain.engine.account import Status
from retrain.hindsight import replay
from retrain.hindsight.backtest import backtest
from retrain.hindsight.telling import lines
from retrain.ledger import holders, join_run
from retrain.record import approvals, decision, records, supervision, verifying
from retrain.record.records import RunFolder
from retrain.record.supervision import UnresolvedBefore
from retrain.runbook import EXIT_CODES
from retrain.sections import decision_record
from retrain.settings import load

from .make import CASES, KEY

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ARCHIVES = sorted(HERE.glob("*.tar.xz"))
GOES_ON = ("awaiting_approval", "abandoned_at_prerequisites", "abandoned_in_swap", "abandoned_after_swap")
LATER = timedelta(days=60)
"""After each run's end: every lease is over, and so is every wait for an approval."""


class Released(NamedTuple):
    """A record of a released version, in a project of its own, and what that version said of it."""

    project: Path
    told: dict[str, Any]

    @property
    def records(self) -> Path:
        return self.project / "records"

    @property
    def newest(self) -> RunFolder:
        return records.find(self.records, "latest")

    def verified(self, *, anchored: bool = True) -> str:
        """The status that today's `verify` gives; ``anchored`` to the head of the day of the release, or of today."""
        head = json.dumps(self.told["head"]) if anchored else bytes(self.newest.chain.head()).decode()
        keys = self.project / ".retrain" / "keys" / "pinned.json"
        found = verifying.reports(self.records, model=None, keys=keys, head=head)
        return verifying.worst(found)[0]


@cache
def cases() -> list[tuple[Path, str]]:
    found = []
    for archive in ARCHIVES:
        with tarfile.open(archive) as packed:
            names = {member.name.split("/")[0] for member in packed if member.name.endswith("/told.json")}
        found += [(archive, name) for name in sorted(names)]
    return found


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    folder = tmp_path_factory.mktemp("released")
    for archive in ARCHIVES:
        with tarfile.open(archive) as packed:
            packed.extractall(folder / archive.stem, filter="data")
    return {archive: folder / archive.stem for archive in ARCHIVES}


@pytest.fixture(params=cases(), ids=lambda case: f"{case[0].name.removesuffix('.tar.xz')}-{case[1]}")
def released(request: pytest.FixtureRequest, unpacked: dict[Path, Path], tmp_path: Path) -> Released:
    """A copy of one record, which a test may write to."""
    archive, name = request.param
    source, project = unpacked[archive], tmp_path / "project"
    shutil.copytree(source / name, project)
    for folder in ("notebooks", "parameters"):
        (project / folder).symlink_to(ROOT / folder)
    keys = project / ".retrain" / "keys"
    keys.mkdir(parents=True)
    shutil.copy(source / "keys" / "pinned.json", keys)
    shutil.copy(source / KEY, keys / "runner.pem")
    (keys / "runner.pem").chmod(0o600)
    return Released(project, json.loads((project / "told.json").read_text(encoding="utf-8")))


@pytest.fixture
def today(released: Released, monkeypatch: pytest.MonkeyPatch) -> Released:
    """The record in a world without a sandbox, long after: its heads are not asked for, its processes are gone."""

    class Clock:
        def now(self) -> datetime:
            return datetime(2013, 9, 1, tzinfo=UTC)

    monkeypatch.setenv("RETRAIN_HOME", str(released.project))
    monkeypatch.setenv("RETRAIN_ACTOR", "tester")
    monkeypatch.setattr("retrain.environment.resolve", lambda settings, **_: settings)
    monkeypatch.setattr("retrain.environment.clock", lambda _: Clock())
    monkeypatch.setattr("retrain.sandbox.connect_arguments", lambda _: {})
    for module in (supervision, approvals):
        monkeypatch.setattr(module, "sinks", lambda _: [])
    held = holders.still_holds
    for name in ("retrain.ledger.runs", "retrain.record.supervision"):
        later = lambda entry, last, now: held(entry, last, now=entry.at + LATER)  # noqa: E731
        monkeypatch.setattr(f"{name}.still_holds", later)
    return released


def test_there_is_a_record_of_every_case_and_every_outcome(unpacked: dict[Path, Path]) -> None:
    """Made by the version itself; a case that make.py knows and no archive holds would go untested."""
    assert {name for _, name in cases()} >= set(CASES)
    for folder in unpacked.values():
        told = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*/told.json")]
        outcomes = {run["outcome"] for each in told for run in each["runs"]}
        assert outcomes >= set(EXIT_CODES) - {"error", "usage", "busy"} | {"abandoned", "incomplete"}


def test_it_verifies_as_it_did(released: Released) -> None:
    assert released.verified() == released.told["verify"]["status"]
    assert released.verified() in ("verified", "incomplete")


def test_a_changed_byte_is_still_found(released: Released) -> None:
    """Control: the fixtures do not verify whatever is in them."""
    entry = released.records / released.told["model"] / "entries" / "00000002.json"
    changed = entry.read_bytes().replace(b'"payload":"e', b'"payload":"f')
    assert changed != entry.read_bytes()
    entry.write_bytes(changed)
    assert released.verified() == "tampered"


def test_it_replays_identically(released: Released) -> None:
    """Every verdict, to the last word: a rule says nothing new of facts that were not asked for then."""
    found = replay.replay_all(released.records)
    assert found.status == "identical", "\n".join(lines(found))
    then = [(run["run_id"], outcomes(run["verdicts"])) for run in released.told["replay"]["runs"]]
    assert [(run.run_id, outcomes(run.model_dump()["verdicts"])) for run in found.runs] == then
    assert released.told["replay"]["status"] == "identical"


def test_a_smoke_test_after_the_swap_replays_under_the_parameters_of_its_run(unpacked: dict[Path, Path]) -> None:
    """0.1.0 kept no policy with it, and did not replay it: a service of four endpoints has one in each swap."""
    for folder in unpacked.values():
        (run,) = replay.replay_all(folder / "inconclusive_with_four_endpoints" / "records").runs
        again = [verdict for verdict in run.verdicts if verdict.kind == replay.AGAIN]
        assert [(verdict.section, verdict.outcome, verdict.differences) for verdict in again] == [
            ("staging_smoke_tests", "staged", ())
        ]


def outcomes(verdicts: Any) -> list[tuple[str, int, str]]:
    told = [verdict for verdict in verdicts if verdict.get("kind") != replay.AGAIN]
    return [(verdict["section"], verdict["attempt"], verdict["outcome"]) for verdict in told]


def test_show_tells_what_it_told(released: Released) -> None:
    """A name may have come since; none has gone, and none tells otherwise."""
    found = {folder.run_id: decision.read(folder).model_dump(mode="json") for folder in records.runs(released.records)}
    assert len(found) == len(released.told["runs"]) > 0
    for run in released.told["runs"]:
        assert [*lost({**run, "record": None}, {**found[run["run_id"]], "record": None})] == []


def lost(then: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for name, value in then.items():
            yield from lost(value, now.get(name, "(missing)"), f"{path}.{name}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, (old, new) in enumerate(zip(then, now, strict=True)):
            yield from lost(old, new, f"{path}.{place}")
    elif then != now:
        yield f"{path}: {then!r} → {now!r}"


def test_under_its_own_policy_nothing_flips(released: Released) -> None:
    """And the backtest reads all of it: as many verdicts as were replayed on the day of the release."""
    verdicts = 0
    for folder in records.runs(released.records):
        found = backtest([replay.facts_of(folder)], folder.settings)
        assert (found.flips, found.changed_runs) == ((), ())
        verdicts += found.verdicts
    assert verdicts == released.told["replay"]["verdicts"]
    assert backtest(released.records, load("sandbox", root=ROOT)).verdicts == verdicts


def test_the_next_run_goes_on_in_its_chain(today: Released) -> None:
    """What was left open is closed as abandoned; an act that nobody saw stops it until a person has looked."""
    left = today.newest
    settings = left.settings
    for effect in [str(entry.body["effect"]) for entry in left.unresolved()]:
        if effect == "swap":
            with pytest.raises(UnresolvedBefore):
                supervision.open_run(settings, {"reason": "the next"})
        approvals.resolve(left, effect=effect, outcome="applied", by="ann", why="looked, and saw it", key=None)
    was_open = left.ended is None
    supervision.open_run(settings, {"reason": "the next"}).close("no_action")
    assert (records.find(today.records, left.run_id).state == "abandoned") is was_open
    assert today.newest.run_id != left.run_id
    assert today.verified(anchored=False) == "verified"
    assert today.verified() == "unanchored", "the head of then is in the chain, and newer entries follow it"


@pytest.mark.parametrize(
    "released", [case for case in cases() if case[1] in GOES_ON], indirect=True, ids=lambda case: case[1]
)
def test_a_run_that_waits_or_died_goes_on(today: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed with the key of its day, approved where it waits, and ended; kernels are played."""
    left = today.newest
    assert left.ended is None
    if left.state == "parked":
        approvals.approve(left, by="ann", key=None)
    monkeypatch.setattr(runner, "execute", played)
    told = runner.resume(records.find(today.records, "latest"))
    assert (told.outcome, told.exit_code) == ("deployed", 0)
    assert [effect.outcome for effect in told.effects] == ["applied", "applied"]
    assert replay.replay(today.newest).status == "identical"
    assert today.verified(anchored=False) == "verified"


SAID: dict[str, Told] = {
    name: (name, facts, policy) for name, facts, policy in (ready(), trained(), gate(), smoked(), swapped(), watched())
}


def played(source: Path, output: Path, parameters: dict[str, Any], **more: Any) -> Account:
    """Execute a notebook by writing down facts under which all is well, and settling the act that it would send."""
    env, name = more["kernel_env"], source.stem.split("_", 1)[1]
    folder = records.find(env["RETRAIN_RUN_RECORDS"], parameters["run_id"])
    run = join_run(folder.chain, folder.run_id, held_by=int(env["RETRAIN_RUN_HELD_BY"]))
    output.write_text("{}")
    told = SAID.get(name) or section(name, decision_record.Facts(verdicts=folder.verdicts(), effects=folder.effects()))
    act = {"training": "training", "blue_green_deployment": "swap"}.get(name)
    if act:
        settle(folder, run, act)
    run.append("verdict", body_of(*told))
    return Account(Status.COMPLETED, "", None, (), output)


def settle(folder: RunFolder, run: Any, act: str) -> None:
    """Write the outcome of the intent that is open; where the act was never begun, of one of today."""
    if act in [effect.effect for effect in folder.effects()]:
        return
    about = next((dict(entry.body) for entry in folder.unsettled() if entry.body["effect"] == act), None)
    if about is None:
        about = {"effect": act, "target": "version v2"}
        run.append("intent", {**about, "before": None})
    effect = {"effect": act, "sent": True, "outcome": "applied", "observed_by": "attested"}
    run.append("outcome", {"target": about["target"], **effect})
