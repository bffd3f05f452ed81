"""A person's word: an approval holds for what was approved and no more, and settles what nobody saw."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from record.conftest import MODEL, say
from retrain.clock import EnvironmentClock, wall
from retrain.effects import Act, perform
from retrain.errors import UsageError
from retrain.ledger import (
    Busy,
    Chain,
    load_pinned,
    load_signer,
    make_key,
    open_store,
    pin,
    public_pem,
    save_pinned,
)
from retrain.record import approvals, keyring, records, supervision, verifying
from retrain.record.anchors import sinks
from retrain.record.evidence import approved_by, evidence
from retrain.record.opening import records_root
from retrain.record.records import RunFolder
from retrain.record.supervision import Supervised
from retrain.settings import Settings
from retrain.settings.outside import Sandbox


def newest(settings: Settings) -> RunFolder:
    return records.find(records_root(settings), "latest")


def approve(settings: Settings, key: Path | None, *, by: str = "ann", actor: str = "ann@laptop") -> list[str]:
    """Approve the newest run, on the machine of whoever does: not that of the starter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRAIN_ACTOR", actor)
        return approvals.approve(newest(settings), by=by, key=key)


def verified(settings: Settings) -> str:
    keys = Path(settings.records.pinned_keys)
    found = verifying.reports(records_root(settings), model=MODEL, keys=keys, head=sinks(settings)[0])
    return verifying.worst(found)[0]


def kinds(settings: Settings) -> list[str]:
    return [entry.kind for entry in newest(settings).chain.entries()]


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
    assert approve(settings, tmp_path / "ann.pem") == []
    told = approvals.check(newest(settings))
    assert told is not None
    assert (told["by"], told["candidate_version"]) == ("ann", "v2")


@pytest.mark.parametrize(
    ("starter", "by"),
    [
        ("tester", "Tester "),
        ("root@vm", "root"),
        ("root", "ROOT@vm"),
        ("root@vm", "root@laptop"),
        ("Ann  Lee@vm", "ann lee"),
        ("tester", "\uff54ester"),
    ],
)
def test_who_started_a_run_cannot_approve_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter: str, by: str
) -> None:
    """However the name is written, with its host or without; the key is theirs and pinned so."""
    monkeypatch.setenv("RETRAIN_ACTOR", starter)
    waiting(settings)
    pin_again(settings, tmp_path / "ann.pem", name=by)
    before = kinds(settings)
    with pytest.raises(UsageError, match="somebody else"):
        approve(settings, tmp_path / "ann.pem", by=by)
    assert kinds(settings) == before


@pytest.mark.parametrize("actor", ["tester", "tester@laptop", "Tester"])
def test_the_starter_s_own_process_does_not_approve_under_another_s_name(
    settings: Settings, tmp_path: Path, actor: str
) -> None:
    """Whoever can read ann's key is not ann."""
    waiting(settings)
    with pytest.raises(UsageError, match=r"this process acts for .* somebody else has to approve it"):
        approve(settings, tmp_path / "ann.pem", actor=actor)


def test_an_approver_s_name_is_that_of_the_key(settings: Settings, tmp_path: Path) -> None:
    """The name in the record is the one under which the key is pinned, and nearest is named."""
    waiting(settings)
    with pytest.raises(UsageError, match=r"'the CEO': .* Did you mean 'ann'"):
        approve(settings, tmp_path / "ann.pem", by="the CEO")
    assert approve(settings, tmp_path / "ann.pem", by=" Ann") == []


def test_a_name_that_is_not_the_key_s_does_not_count_later_either(settings: Settings, tmp_path: Path) -> None:
    """Of an approval that an earlier version signed, and of a key that is pinned as another's by now."""
    waiting(settings)
    approve(settings, tmp_path / "ann.pem")
    pin_again(settings, tmp_path / "ann.pem", name="bob")
    with pytest.raises(UsageError, match="does not count: it names ann, and the key is that of bob"):
        approvals.check(newest(settings))


def test_the_starter_s_approval_does_not_count_later_either(settings: Settings, tmp_path: Path) -> None:
    """One that got into the record under another spelling is refused at the resume, and found by verify."""
    waiting(settings)
    pin_again(settings, tmp_path / "ann.pem", name="tester@vm")
    chain = Chain(open_store(records_root(settings)), MODEL, signer=load_signer(tmp_path / "ann.pem"))
    folder = newest(settings)
    body = {**evidence(folder), "by": "tester@vm", "opened": folder.opened_at}
    chain.append("approved", run=folder.run_id, body=body, guard=lambda _: None)
    with pytest.raises(UsageError, match="does not count: the approver is the one who started the run"):
        approvals.check(newest(settings))
    assert verified(settings) == "tampered"


def pin_again(settings: Settings, key: Path, *, name: str) -> None:
    where = Path(settings.records.pinned_keys)
    mine = pin(public_pem(load_signer(key)), role="approver", name=name)
    save_pinned(where, [*({**load_pinned(where), mine.keyid: mine}).values()])


@pytest.mark.parametrize(
    ("key", "why"),
    [("runner.pem", "whose role is runner"), ("stranger.pem", "is not pinned"), ("none.pem", "no private")],
)
def test_a_key_that_may_not_approve_writes_nothing(settings: Settings, tmp_path: Path, key: str, why: str) -> None:
    """Neither the runner's own nor one that nobody pinned: its entry would make the record tampered for good."""
    make_key(tmp_path / "stranger.pem")
    waiting(settings)
    before = kinds(settings)
    with pytest.raises(UsageError, match=why):
        approve(settings, tmp_path / key)
    assert kinds(settings) == before
    approve(settings, tmp_path / "ann.pem")
    told = approvals.check(newest(settings))
    assert told is not None
    resumed = supervision.resume(newest(settings))
    resumed.append("approval_checked", told)
    resumed.close("deployed")
    assert verified(settings) == "verified"


@pytest.mark.parametrize(("key", "name"), [("stranger.pem", "not pinned"), ("ann.pem", "role is approver")])
def test_a_runner_s_key_that_is_not_pinned_opens_nothing(
    settings: Settings, tmp_path: Path, key: str, name: str
) -> None:
    """Nor one that is pinned as an approver's: what it signed would read as tampered."""
    make_key(tmp_path / "stranger.pem")
    block = settings.records.model_copy(update={"signing_key": str(tmp_path / key)})
    with pytest.raises(UsageError, match=f"records.signing_key .*{key} does not sign an entry 'opened': .*{name}"):
        supervision.open_run(settings.model_copy(update={"records": block}), {})
    assert not list((tmp_path / "records").rglob("*.json"))


def test_a_key_that_may_not_settle_an_effect_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger.pem")
    folder = effects(settings)
    before = kinds(settings)
    for key, by, why in (("stranger.pem", "ann", "not pinned"), ("ann.pem", "bob", "Did you mean 'ann'")):
        with pytest.raises(UsageError, match=why):
            approvals.resolve(folder, effect="swap", outcome="applied", by=by, why="looked", key=tmp_path / key)
    assert kinds(settings) == before
    approvals.resolve(folder, effect="swap", outcome="applied", by="ann", why="looked", key=tmp_path / "ann.pem")
    assert verified(settings) == "verified"


def test_a_person_s_words_are_signed_without_the_secrets_in_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come after the run's end, when nothing is searched for secrets any more."""
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-canary-4711")
    folder = effects(settings)
    why = "curl -H 'Authorization: Bearer s3cr3t-canary-4711' said v2"
    approvals.resolve(folder, effect="swap", outcome="applied", by="ann", why=why, key=None)
    entry = newest(settings).chain.entries()[-1]
    assert (entry.kind, entry.body["why"]) == ("resolved", why.replace("s3cr3t-canary-4711", "[redacted:MY_TOKEN]"))


def test_an_approval_is_signed_without_secrets(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name can hold one too: who acts may be told by a variable."""
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-canary-4711")
    waiting(settings)
    approve(settings, tmp_path / "ann.pem", actor="ann s3cr3t-canary-4711")
    assert newest(settings).bodies("approved")[-1]["actor"] == "ann [redacted:MY_TOKEN]"


def test_an_approval_does_not_hold_for_later_verdicts(settings: Settings, tmp_path: Path) -> None:
    """A gate that judged again after the approval is other evidence."""
    waiting(settings)
    approve(settings, tmp_path / "ann.pem")
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
        approve(settings, tmp_path / "ann.pem")


def test_outside_the_sandbox_an_approver_brings_a_key(settings: Settings) -> None:
    waiting(settings)
    with pytest.raises(UsageError, match="--key"):
        approve(settings, None)


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


@pytest.fixture
def sandboxed(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same in a sandbox, where a key is made on first use."""
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "project"))
    monkeypatch.setattr("retrain.sandbox.connect_arguments", lambda _: {})
    monkeypatch.setattr("retrain.sandbox.now_of", lambda _: wall)
    (tmp_path / "project" / "parameters").mkdir(parents=True)
    (tmp_path / "project" / "notebooks").mkdir()
    block = settings.records.model_copy(update={"signing_key": None})
    return settings.model_copy(update={"sandbox": Sandbox(), "records": block})


@pytest.mark.parametrize("by", ["ann", "Ann Lee", "ann-lee", "李明", "x" * 300])
def test_in_the_sandbox_one_person_plays_both_and_a_key_is_made_for_every_name(
    sandboxed: Settings, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """`retrain approve RUN --by NAME` goes on from there, in the same shell; the starter's own name does not."""
    waiting(sandboxed)
    with pytest.raises(UsageError, match="somebody else"):
        approvals.approve(newest(sandboxed), by="tester@vm", key=None)
    approvals.approve(newest(sandboxed), by="李四", key=None)
    approvals.approve(newest(sandboxed), by=by, key=None)
    told = approvals.check(newest(sandboxed))
    assert told is not None
    assert told["by"] == by
    assert newest(sandboxed).bodies("approved")[-1]["actor"] == "tester"
    resumed = supervision.resume(newest(sandboxed))
    resumed.append("approval_checked", told)
    resumed.close("deployed")
    assert verified(sandboxed) == "verified"


def test_keys_made_at_the_same_moment_are_all_pinned(sandboxed: Settings) -> None:
    """Whoever reads the pinned keys and writes them again takes nobody else's out."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: keyring.approver(sandboxed, by=f"person-{number}", key=None), range(24)))
    names = {key.name for key in load_pinned(Path(sandboxed.records.pinned_keys)).values()}
    assert names >= {f"person-{number}" for number in range(24)}


def test_an_effect_is_not_settled_while_its_own_process_looks_for_it(
    settings: Settings, dead: Callable[[], None]
) -> None:
    """Of a person's word and the process's own there would be two that contradict each other."""
    supervised = supervision.open_run(settings, {})
    supervised.append("intent", {"effect": "swap", "target": "v2", "before": None})
    before = kinds(settings)
    with pytest.raises(Busy, match="still goes on") as busy:
        approvals.resolve(supervised.folder, effect="swap", outcome="not_applied", by="ann", why="looked", key=None)
    assert (busy.value.exit_code, kinds(settings)) == (18, before)
    dead()
    approvals.resolve(supervised.folder, effect="swap", outcome="not_applied", by="ann", why="looked", key=None)
    assert [effect.outcome for effect in newest(settings).effects()] == ["not_sent"]


def test_an_effect_settled_by_a_person_is_not_sent_again(settings: Settings, dead: Callable[[], None]) -> None:
    """The run that is resumed afterwards takes their word."""
    supervised = supervision.open_run(settings, {})
    supervised.append("intent", {"effect": "swap", "target": "v2", "before": None})
    dead()
    approvals.resolve(supervised.folder, effect="swap", outcome="applied", by="ann", why="looked", key=None)
    resumed = supervision.resume(supervised.folder)
    act = Act(effect="swap", target="v2", read=lambda: None, send=lambda: pytest.fail("sent"), applied=lambda *_: None)
    effect = perform(act, record=resumed.run, clock=EnvironmentClock(), lock=nullcontext())
    assert effect.outcome == "applied"
