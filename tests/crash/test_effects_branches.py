"""What remains of the effects layer: a person's word, what else a record may hold, looks that fail, a nameless lock."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fake_world import Entry, FakeClock, FakeWorld, Memory
from retrain.acts import swap_act
from retrain.effects import Act, ModelLock, perform, recover, resolved_effect
from retrain.errors import RetrainError
from retrain.facts import Effect
from retrain.ledger import Busy

SECONDS: dict[str, float] = {"observe_seconds": 4, "poll_seconds": 2}
NOW = datetime(2013, 6, 9, tzinfo=UTC)


def swap(world: FakeWorld) -> Act:
    return swap_act(world.service(), candidate="two", former="one", **SECONDS)


def done(act: Act, world: FakeWorld, entries: list[Entry]) -> Effect:
    return perform(act, record=Memory(entries), clock=world.clock, lock=nullcontext())


def said(outcome: str) -> dict[str, Any]:
    about = {"effect": "swap", "target": "version two active", "intent": 1}
    return {**about, "outcome": outcome, "by": "eve", "why": "the slots were looked at"}


@pytest.mark.parametrize(("outcome", "becomes"), [("applied", "applied"), ("not_sent", "not_sent")])
def test_a_persons_word_settles_an_unresolved_effect_and_nothing_is_sent_again(outcome: str, becomes: Any) -> None:
    """Found not applied is not permission to send: the intent stays spent."""
    world, entries = FakeWorld(answer="timeout", applies="never"), list[Entry]()
    assert done(swap(world), world, entries).outcome == "unresolved"
    entries.append(Entry(len(entries) + 1, "resolved", NOW, said(outcome)))
    looked = world.reads
    effect = done(swap(world), world, entries)
    assert (effect.outcome, effect.sent, effect.observed_by) == (becomes, True, "none")
    assert "eve found it" in effect.detail
    assert (world.arrivals, world.reads) == (1, looked)
    assert effect == resolved_effect(said(outcome))
    assert recover(swap(world), record=Memory(entries), clock=world.clock, lock=nullcontext()) == effect


def test_a_persons_word_counts_after_a_death_before_any_outcome() -> None:
    """An intent without an outcome may be settled by a person too."""
    world = FakeWorld()
    about = {"effect": "swap", "target": "version two active"}
    entries = [
        Entry(1, "intent", NOW, {**about, "before": {"active": "one", "standby": "two"}}),
        Entry(2, "resolved", NOW, said("not_sent")),
    ]
    assert done(swap(world), world, entries).outcome == "not_sent"
    assert (world.arrivals, len(entries)) == (0, 2)


def test_other_entries_about_the_same_act_settle_nothing() -> None:
    """A kind that is not known neither spends an intent nor settles one."""
    world = FakeWorld()
    entries = [Entry(1, "noted", NOW, said("applied"))]
    effect = done(swap(world), world, entries)
    assert (effect.outcome, effect.observed_by, world.arrivals) == ("applied", "attested", 1)


def test_looks_that_fail_show_nothing_and_the_next_one_may() -> None:
    """After the request, a state that cannot be read is not seen; it is looked at again until the deadline."""
    world, looks = FakeWorld(answer="reset"), list[int]()
    act = swap(world)

    def read() -> Any:
        looks.append(1)
        if len(looks) == 3:
            raise RetrainError("the service is warming up")
        return act.read()

    effect = done(Act(**{**vars(act), "read": read}), world, [])
    assert (effect.outcome, effect.observed_by, len(looks)) == ("applied", "attested", 4)


def test_looks_that_always_fail_leave_it_unresolved() -> None:
    """Nothing seen until the deadline: unresolved, also where the service had refused."""
    for answer in ("reset", "422"):
        world, looks = FakeWorld(answer=answer), list[int]()
        act = swap(world)

        def read(act: Act = act, looks: list[int] = looks) -> Any:
            looks.append(1)
            if len(looks) > 2:
                raise RetrainError("the service is down")
            return act.read()

        effect = done(Act(**{**vars(act), "read": read}), world, [])
        assert (effect.outcome, effect.sent, world.arrivals) == ("unresolved", True, 1)


def test_a_lock_whose_note_is_gone_is_held_by_another_process(tmp_path: Path) -> None:
    """The note only names the holder; without it the lock holds all the same."""
    path = tmp_path / "lock"
    with ModelLock(path):
        (tmp_path / "lock.holder").unlink()
        with pytest.raises(Busy, match="another process"):
            perform(swap(FakeWorld()), record=Memory([]), clock=FakeClock(), lock=ModelLock(path))
        (tmp_path / "lock.holder").write_text("")
        with pytest.raises(Busy, match="another process"):
            ModelLock(path).__enter__()
