"""How far a run looks back for an unresolved swap before it opens: to the newest run that did so, and no further."""

from collections.abc import Callable
from pathlib import Path

import pytest

from record.conftest import MODEL, say, settings_in
from retrain import ledger
from retrain.facts import Effect
from retrain.ledger import FolderStore, resolve
from retrain.record import history, records, supervision
from retrain.record.opening import records_root
from retrain.record.supervision import Supervised, UnresolvedBefore
from retrain.settings import Settings

ABOUT = {"effect": "swap", "target": "version v2 active"}


def idle_runs(settings: Settings, count: int) -> None:
    for _ in range(count):
        supervised = supervision.open_run(settings, {})
        say(supervised, "when_to_retrain", "no_action")
        supervised.close("no_action")


def swap(supervised: Supervised, outcome: str) -> int:
    """Swap in the run, and see it or not; return the intent's number."""
    intent = supervised.append("intent", {**ABOUT, "before": None})
    told = Effect(effect="swap", sent=True, outcome=outcome).model_dump(mode="json")  # type: ignore[arg-type]
    supervised.append("outcome", {**ABOUT, **told})
    return intent


def test_opening_a_run_reads_as_many_entries_after_forty_runs_as_after_four(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody swapped in any of them, so no swap stops the look back: what the newest OPEN says does."""
    asked: list[str] = []
    read = FolderStore.read

    def noted(store: FolderStore, name: str) -> bytes:
        asked.append(name)
        return read(store, name)

    monkeypatch.setattr(FolderStore, "read", noted)
    counts = []
    for more in (4, 36):
        idle_runs(settings, more)
        asked.clear()
        opened = supervision.open_run(settings, {})
        counts.append(len({name for name in asked if name.startswith("entries/")}))
        opened.close("no_action")
    assert counts[1] == counts[0] < 10


def test_an_open_says_up_to_where_it_was_looked(settings: Settings) -> None:
    """The newest entry at that moment, whether or not a dead run is then closed as abandoned."""
    idle_runs(settings, 1)
    told = supervision.open_run(settings, {}).folder
    assert told.opened[history.LOOKED_BACK] == told.opened_at - 1


def test_a_run_that_looked_back_and_left_its_own_swap_unresolved_is_found(settings: Settings) -> None:
    """Its mark speaks of what was before it; nobody opens after it until a person has settled it."""
    idle_runs(settings, 2)
    first = supervision.open_run(settings, {})
    intent = swap(first, "unresolved")
    first.close("unresolved")
    for _ in range(2):
        with pytest.raises(UnresolvedBefore, match=first.folder.run_id):
            supervision.open_run(settings, {})
    chain = supervision._signing(settings, records_root(settings), MODEL)
    resolve(chain, first.folder.run_id, intent=intent, outcome="applied", by="ann", why="v2 serves")
    idle_runs(settings, 2)


def test_a_dead_runs_swap_is_found_before_that_run_is_closed_as_abandoned(
    settings: Settings, dead: Callable[[], None]
) -> None:
    idle_runs(settings, 1)
    first = supervision.open_run(settings, {})
    first.append("intent", {**ABOUT, "before": None})
    dead()
    with pytest.raises(UnresolvedBefore, match=first.folder.run_id):
        supervision.open_run(settings, {})


def test_runs_of_before_the_mark_are_looked_at_as_ever(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older record: an unresolved swap behind runs that say nothing of looking back is found."""
    with monkeypatch.context() as older:
        older.setattr(supervision, "_refuse_unresolved", lambda *_: {})
        first = supervision.open_run(settings, {})
        swap(first, "unresolved")
        first.close("unresolved")
        idle_runs(settings, 3)
    with pytest.raises(UnresolvedBefore, match=first.folder.run_id):
        supervision.open_run(settings, {})


def test_a_mark_of_another_world_is_none_of_this_one(settings: Settings) -> None:
    """Runs of one sandbox world were opened on what that world left, and say nothing of another."""
    first = supervision.open_run(settings, {})
    swap(first, "unresolved")
    first.close("unresolved")
    chain = records.chain_of(records_root(settings), MODEL)
    assert history.unresolved_swap(chain, world="elsewhere") is None
    elsewhere = supervision._signing(settings, records_root(settings), MODEL)
    marked = {"world": "elsewhere", history.LOOKED_BACK: chain.head().number, "now": "", "parameters": {}}
    run, _ = ledger.open_run(elsewhere, "run-elsewhere", by="ann", body=marked)
    run.close("no_action", {"effects": [], "unsettled": []}, files={})
    found = history.unresolved_swap(records.chain_of(records_root(settings), MODEL), world=settings.world)
    assert found is not None
    assert (found[0].run_id, found[1]) == (first.folder.run_id, "swap")


def test_a_bucket_is_asked_no_more_in_a_long_record(s3: str, tmp_path: Path) -> None:
    """The same on S3, where each entry is a request."""
    settings = settings_in(tmp_path, url=f"{s3}/{tmp_path.name}", heads="[]")
    idle_runs(settings, 3)
    chain = records.chain_of(records_root(settings), MODEL)
    assert history.unresolved_swap(chain, world=settings.world) is None
    newest = records.find(records_root(settings), "latest")
    assert min(chain._read) == newest.opened_at
