"""A person's word: an approval holds for what was approved and no more, and settles what nobody saw."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from record.conftest import say
from retrain.clock import EnvironmentClock
from retrain.effects import Act, perform
from retrain.errors import UsageError
from retrain.ledger import make_key
from retrain.record import approvals, records, supervision
from retrain.record.evidence import approved_by
from retrain.record.opening import records_root
from retrain.record.records import RunFolder
from retrain.record.supervision import Supervised
from retrain.settings import Settings


def newest(settings: Settings) -> RunFolder:
    return records.find(records_root(settings), "latest")


def waiting(settings: Settings) -> Supervised:
    supervised = supervision.open_run(settings, {})
    say(supervised, "evaluation_gate", "passed", candidate={"version": "v2"})
    say(supervised, "staging_smoke_tests", "staged")
    say(supervised, "blue_green_deployment", "awaiting_approval")
    supervised.park("awaiting approval")
    return supervised


def test_a_run_that_waits_goes_on_once_another_person_approved(settings: Settings, tmp_path: Path) -> None:
    waiting(settings)
    with pytest.raises(UsageError, match="waits for an approval"):
        approvals.check(newest(settings))
    assert approvals.approve(newest(settings), by="ann", key=tmp_path / "ann.pem") == []
    told = approvals.check(newest(settings))
    assert told is not None
    assert (told["by"], told["candidate_version"]) == ("ann", "v2")


def test_who_started_a_run_cannot_approve_it(settings: Settings, tmp_path: Path) -> None:
    waiting(settings)
    with pytest.raises(UsageError, match="somebody else"):
        approvals.approve(newest(settings), by="Tester ", key=tmp_path / "ann.pem")


@pytest.mark.parametrize("key", ["runner.pem", "stranger.pem"])
def test_an_approval_with_another_key_does_not_count(settings: Settings, tmp_path: Path, key: str) -> None:
    """Neither the runner's own nor one that nobody pinned as an approver's."""
    make_key(tmp_path / "stranger.pem")
    waiting(settings)
    approvals.approve(newest(settings), by="ann", key=tmp_path / key)
    with pytest.raises(UsageError, match="does not count"):
        approvals.check(newest(settings))


def test_an_approval_does_not_hold_for_later_verdicts(settings: Settings, tmp_path: Path) -> None:
    """A gate that judged again after the approval is other evidence."""
    waiting(settings)
    approvals.approve(newest(settings), by="ann", key=tmp_path / "ann.pem")
    approvals_before = approvals.check(newest(settings))
    assert approvals_before is not None
    resumed = supervision.resume(newest(settings))
    resumed.append("approval_checked", approvals_before)
    assert approved_by(resumed.folder) == "ann"
    say(resumed, "evaluation_gate", "passed", candidate={"version": "v3"})
    assert approved_by(resumed.folder) is None
    resumed.park("waits again")
    with pytest.raises(UsageError, match="candidate_version, evidence_sha256 is not what ann approved"):
        approvals.check(newest(settings))


def test_a_run_without_verdicts_has_nothing_to_approve(settings: Settings, tmp_path: Path) -> None:
    supervision.open_run(settings, {}).park("waits")
    with pytest.raises(UsageError, match="nothing to approve"):
        approvals.approve(newest(settings), by="ann", key=tmp_path / "ann.pem")


def test_outside_the_sandbox_an_approver_brings_a_key(settings: Settings) -> None:
    waiting(settings)
    with pytest.raises(UsageError, match="--key"):
        approvals.approve(newest(settings), by="ann", key=None)


def effects(settings: Settings, *outcomes: str) -> RunFolder:
    supervised = supervision.open_run(settings, {})
    about: dict[str, Any] = {"effect": "swap", "target": "v2"}
    supervised.append("intent", {**about, "before": None})
    for outcome in outcomes:
        supervised.append("outcome", {**about, "sent": True, "outcome": outcome})
    supervised.close("unresolved")
    return newest(settings)


@pytest.mark.parametrize(("said", "outcome"), [("applied", "applied"), ("not_applied", "not_sent")])
@pytest.mark.parametrize("before", [(), ("unresolved",)])
def test_a_person_settles_an_effect_that_nobody_saw(
    settings: Settings, said: str, outcome: str, before: tuple[str, ...]
) -> None:
    """With who and why, as a new entry after the run's end; what the run itself recorded stays."""
    folder = effects(settings, *before)
    assert [effect.outcome for effect in folder.effects()] == list(before)
    approvals.resolve(folder, effect="swap", outcome=said, by="ann", why="looked", key=None)
    told = newest(settings)
    assert [(effect.outcome, effect.detail) for effect in told.effects()] == [
        (outcome, f"v2: ann found it {said.replace('_', ' ')}: looked")
    ]
    assert told.unsettled() == told.unresolved() == []


def test_what_was_seen_is_not_overruled(settings: Settings) -> None:
    folder = effects(settings, "applied")
    with pytest.raises(UsageError, match="open: none"):
        approvals.resolve(folder, effect="swap", outcome="applied", by="ann", why="looked", key=None)
    with pytest.raises(UsageError, match="Did you mean"):
        approvals.resolve(folder, effect="swap", outcome="aplied", by="ann", why="looked", key=None)


def test_an_effect_settled_by_a_person_is_not_sent_again(settings: Settings, dead: Callable[[], None]) -> None:
    """The run that is resumed afterwards takes their word."""
    supervised = supervision.open_run(settings, {})
    supervised.append("intent", {"effect": "swap", "target": "v2", "before": None})
    approvals.resolve(supervised.folder, effect="swap", outcome="applied", by="ann", why="looked", key=None)
    dead()
    resumed = supervision.resume(supervised.folder)
    act = Act(effect="swap", target="v2", read=lambda: None, send=lambda: pytest.fail("sent"), applied=lambda *_: None)
    effect = perform(act, record=resumed.run, clock=EnvironmentClock(), lock=nullcontext())
    assert effect.outcome == "applied"
