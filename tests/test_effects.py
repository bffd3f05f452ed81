"""An effect is sent at most once for a run and target, whatever breaks; and what the record says of it is so."""

from __future__ import annotations

import dataclasses
import itertools
import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fake_world import ANSWERS, Entry, FakeClock, FakeWorld, Killed, Memory
from minimal_service import minimal_service
from retrain.acts import Fingerprint, compare_scores, incident_act, incident_id, rollback_act, swap_act, training_act
from retrain.effects import Act, ModelLock, is_refusal, perform, recover
from retrain.errors import RetrainError
from retrain.facts import Effect
from retrain.ledger import Busy, decode, encode
from retrain.ledger.entries import GENESIS
from retrain.service.answers import Answer
from retrain.service.client import Service

BODY = {"model_type": "classifier", "data_version": "latest"}
SECONDS: dict[str, float] = {"observe_seconds": 4, "poll_seconds": 2}
DEATHS = [None, *itertools.product((1, 2, 3), ("before", "after"))]
SECOND_DEATHS = [None, (1, "after"), (2, "before")]  # the last: sent, and died before that was recorded
LEVELS = ["attested", "fingerprint", "response"]
OUTCOMES = [*itertools.product(ANSWERS, ("now", "never", "late")), ("connection refused", "never")]
OUTCOMES += [("connection refused once", "now"), ("connection refused once", "late")]


def swap(world: FakeWorld, level: str = "attested", **more: Any) -> Act:
    service = world.service()
    fingerprint = world.fingerprint(service) if level == "fingerprint" else None
    return swap_act(service, candidate="two", former="one", fingerprint=fingerprint, **SECONDS, **more)


def training(world: FakeWorld, attempt: int = 1) -> Act:
    return training_act(world.service(), BODY, attempt=attempt, **SECONDS)


def once(world: FakeWorld, act: Act, entries: list[Entry], dies: Any = None) -> Effect | None:
    """Live one life of a run; None where it was killed."""
    try:
        return perform(act, record=Memory(entries, dies), clock=world.clock, lock=nullcontext())
    except Killed:
        return None


def lives(world: FakeWorld, act: Act, *deaths: Any) -> tuple[Effect, list[Entry]]:
    """Live and die as told, then come back, and back again much later: nothing may change any more."""
    entries: list[Entry] = []
    for dies in deaths:
        once(world, act, entries, dies)
    effect = once(world, act, entries) or once(world, act, entries)
    assert effect is not None
    if effect.outcome != "not_sent":
        world.clock.seconds += 10_000
        assert once(world, act, entries) == effect
    return effect, entries


def judge(world: FakeWorld, effect: Effect) -> None:
    """Hold the record against what the world knows."""
    assert world.arrivals <= 1, "sent twice"
    if world.arrivals:
        assert effect.sent
    if not effect.sent:
        assert world.arrivals == 0
    if effect.outcome == "unresolved":
        assert effect.sent
        assert effect.observed_by == "none"
    if effect.observed_by == "response":
        assert world.said_2xx
    if effect.outcome == "applied" and effect.observed_by != "response":
        assert world.active == "two" or world.job > 0
    assert not (effect.outcome == "not_sent" and effect.sent and effect.observed_by != "none")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("answer", "applies"), OUTCOMES)
def test_a_swap_arrives_at_most_once_whatever_breaks_and_whenever_the_process_dies(
    level: str, answer: str, applies: Any
) -> None:
    """Every answer × applied now, never or after the deadline × a death at each append × a second death."""
    for deaths in itertools.product(DEATHS, SECOND_DEATHS):
        world = FakeWorld(answer=answer, applies=applies, attests=level == "attested")
        effect, entries = lives(world, swap(world, level), *deaths)
        judge(world, effect)
        assert [entry.kind for entry in entries].count("intent") <= 1 + answer.startswith("connection refused") * 4


@pytest.mark.parametrize("tells_jobs", [True, False])
@pytest.mark.parametrize(("answer", "applies"), OUTCOMES)
def test_a_training_is_triggered_at_most_once_whatever_breaks(tells_jobs: bool, answer: str, applies: Any) -> None:
    """The same matrix for the trigger, on a service that tells job ids and on one that does not."""
    for deaths in itertools.product(DEATHS, SECOND_DEATHS):
        world = FakeWorld(answer=answer, applies=applies, tells_jobs=tells_jobs)
        effect, _ = lives(world, training(world), *deaths)
        judge(world, effect)


@pytest.mark.parametrize("operator", ["between reads", "before the send", "after the send"])
@pytest.mark.parametrize("level", LEVELS)
def test_another_operator_who_swaps_never_makes_us_swap_again(level: str, operator: Any) -> None:
    """Whoever else acts: one request at most, and what was not seen is not called applied."""
    for answer, deaths in itertools.product(("ok", "503", "reset"), itertools.product(DEATHS, SECOND_DEATHS)):
        world = FakeWorld(answer=answer, attests=level == "attested", operator=operator)
        effect, _ = lives(world, swap(world, level), *deaths)
        assert world.arrivals <= 1
        if effect.outcome == "applied" and effect.observed_by in ("attested", "fingerprint"):
            assert world.active == "two"


@pytest.mark.parametrize(
    ("answer", "applies", "level", "outcome", "observed_by"),
    [
        ("ok", "now", "attested", "applied", "attested"),
        ("ok", "now", "fingerprint", "applied", "fingerprint"),
        ("ok", "now", "response", "applied", "response"),
        ("empty", "now", "response", "applied", "response"),
        ("500", "now", "attested", "applied", "attested"),
        ("500", "now", "fingerprint", "applied", "fingerprint"),
        ("500", "now", "response", "unresolved", "none"),
        ("500", "never", "attested", "unresolved", "none"),
        ("ok", "late", "attested", "unresolved", "none"),
        ("ok", "late", "fingerprint", "unresolved", "none"),
        ("reset", "now", "attested", "applied", "attested"),
        ("reset", "now", "response", "unresolved", "none"),
        ("redirect", "never", "attested", "unresolved", "none"),
        ("redirect", "never", "response", "unresolved", "none"),
        ("a page", "never", "response", "unresolved", "none"),
        ("429", "never", "attested", "unresolved", "none"),
        ("422", "never", "attested", "not_sent", "none"),
        ("422", "now", "attested", "unresolved", "none"),
        ("422", "never", "response", "unresolved", "none"),
        ("connection refused", "never", "attested", "not_sent", "none"),
    ],
)
def test_only_what_was_seen_is_applied(answer: str, applies: Any, level: str, outcome: str, observed_by: str) -> None:
    """A table of answers and what becomes of a swap, seen at each of the three levels."""
    world = FakeWorld(answer=answer, applies=applies, attests=level == "attested")
    effect, _ = lives(world, swap(world, level))
    assert (effect.outcome, effect.observed_by) == (outcome, observed_by), effect.detail


@pytest.mark.parametrize(
    ("answer", "level", "says"),
    [
        ({"active": "two", "standby": "one"}, "attested", "active is two, standby is one (202); so its answer said"),
        ({"slots": {"active": "two"}}, "attested", "so its answer said"),
        ({"active": "one", "standby": "two"}, "attested", "cannot be told"),
        ({"active": "three"}, "attested", "cannot be told"),
        ({"status": "ok"}, "attested", "active is two, standby is one (202); whether by this request or by another's"),
        ({"active": "two"}, "fingerprint", "scores against those before: different (202); whether by this request"),
    ],
)
def test_only_an_answer_that_names_what_is_seen_tells_whose_act_it_was(answer: Any, level: str, says: str) -> None:
    """Whatever else was seen may be another operator's doing, and the record says that this cannot be told."""
    world = FakeWorld(attests=level == "attested")

    def send() -> Answer:
        world.arrivals += 1
        world.toggle()
        return Answer(status_code=202, json=answer)

    effect = once(world, Act(**{**vars(swap(world, level)), "send": send}), [])
    assert effect is not None
    assert (effect.outcome, effect.observed_by) == ("applied", level)
    assert says in effect.detail


@pytest.mark.parametrize("level", ["attested", "fingerprint"])
@pytest.mark.parametrize("answer", ["reset", "503", "timeout"])
def test_another_operators_swap_while_ours_was_lost_is_not_called_ours(level: str, answer: str) -> None:
    """What was intended is so, and that it is this request's doing is nowhere said."""
    world = FakeWorld(answer=answer, applies="never", attests=level == "attested", operator="after the send")
    effect = once(world, swap(world, level), [])
    assert effect is not None
    assert (effect.outcome, effect.observed_by, effect.sent) == ("applied", level, True)
    assert "whether by this request or by another's cannot be told" in effect.detail


def test_a_version_that_is_neither_ours_nor_the_former_is_not_our_swap() -> None:
    """Seen is not what was wanted: unresolved, and what was seen stands in the record."""
    world = FakeWorld(answer="ok", applies="never")
    act = swap(world)

    def send() -> Answer:
        answer = act.send()
        world.active, world.standby = "three", "one"
        return answer

    effect = once(world, Act(**{**vars(act), "send": send}), [])
    assert effect is not None
    assert effect.outcome == "unresolved"
    assert "active is three, standby is one" in effect.detail


@pytest.mark.parametrize(("job", "says"), [("job-1", "so its answer said"), (None, "cannot be told")])
def test_a_training_is_this_requests_by_the_job_id_of_its_answer_only(job: str | None, says: str) -> None:
    """A job that is new and was not named may be anybody's."""
    world = FakeWorld()

    def send() -> Answer:
        world.arrivals += 1
        world.change("/training/trigger")
        return Answer(status_code=202, json={"status": "running", "job_id": job})

    entries = list[Entry]()
    effect = once(world, Act(**{**vars(training(world)), "send": send}), entries)
    assert effect is not None
    assert (effect.outcome, effect.observed_by) == ("applied", "attested")
    assert "job-1 is running" in effect.detail
    assert says in effect.detail
    assert entries[-1].kind == "outcome"
    assert entries[-1].body["seen"]["job_id"] == "job-1", "the record keeps the state by which it was seen"


@pytest.mark.parametrize("kind", ["attested", "fingerprint", "training"])
def test_a_state_that_changes_between_two_looks_stops_the_act(kind: str) -> None:
    """Someone else is acting; even where the second look shows what was wanted, this run does not claim it."""
    world = FakeWorld(attests=kind == "attested", operator="between reads")
    effect = once(world, training(world) if kind == "training" else swap(world, kind), [])
    assert effect is not None
    assert (effect.outcome, effect.sent, world.arrivals) == ("not_sent", False, 0)
    assert "changed between two looks" in effect.detail


def test_a_request_that_never_left_gives_one_new_intent_and_no_more() -> None:
    """Refused, then sent and killed before the answer was recorded: the second intent is spent."""
    world, entries = FakeWorld(answer="connection refused once"), list[Entry]()
    refused = once(world, swap(world), entries)
    assert refused is not None
    assert (refused.outcome, refused.sent, world.arrivals) == ("not_sent", False, 0)
    assert once(world, swap(world), entries, (2, "before")) is None
    effect = once(world, swap(world), entries)
    assert effect is not None
    assert (effect.outcome, effect.observed_by, world.arrivals) == ("applied", "attested", 1)
    assert [entry.kind for entry in entries] == ["intent", "sent", "outcome", "intent", "outcome"]


def test_a_swap_that_was_made_already_is_applied_and_not_sent() -> None:
    """A reload toggles: where the candidate is active already, one more would swap back."""
    world = FakeWorld(active="two", standby="one")
    effect, entries = lives(world, swap(world))
    assert (effect.outcome, effect.sent, effect.observed_by, world.arrivals) == ("applied", False, "attested", 0)
    assert [entry.kind for entry in entries] == ["outcome"]


@pytest.mark.parametrize(
    ("active", "standby", "says"),
    [
        ("three", "two", "active should be one"),
        ("one", "three", "standby should be two"),
        ("one", None, "nothing is in"),
    ],
)
def test_slots_that_are_not_what_was_tested_are_not_swapped(active: str, standby: Any, says: str) -> None:
    """What would be promoted must be what passed."""
    world = FakeWorld(active=active, standby=standby)
    effect, _ = lives(world, swap(world))
    assert (effect.outcome, effect.sent, world.arrivals) == ("not_sent", False, 0)
    assert says in effect.detail


def test_scores_that_are_not_those_taken_before_are_not_swapped() -> None:
    """Where only scores tell versions apart, a swap by someone else earlier in the run shows in them."""
    world = FakeWorld(active="two", standby="one", attests=False)
    effect, _ = lives(world, swap(world, "fingerprint"))
    assert (effect.outcome, effect.sent, world.arrivals) == ("not_sent", False, 0)
    assert "not those taken before" in effect.detail


def test_a_policy_that_asks_for_more_than_can_be_seen_sends_nothing() -> None:
    """A minimum of observation is judged before the act, not after it."""
    world = FakeWorld(attests=False)
    effect, _ = lives(world, swap(world, "fingerprint", minimum="attested"))
    assert (effect.outcome, world.arrivals) == ("not_sent", 0)
    assert "asks for attested" in effect.detail


def test_a_roll_back_goes_back_once_and_is_seen_by_the_former_scores() -> None:
    """By fingerprint, the scores must be those taken before the swap, not merely other ones."""
    world = FakeWorld(attests=False)
    service = world.service()
    taken = world.fingerprint(service)
    fingerprint = Fingerprint(take=taken.take, serving=world.scores("two"), expected=taken.take())
    entries: list[Entry] = []
    act = rollback_act(service, candidate="two", former="one", fingerprint=fingerprint, **SECONDS)
    world.toggle()
    effect = once(world, act, entries)
    assert effect is not None
    assert (effect.effect, effect.outcome, effect.observed_by) == ("rollback", "applied", "fingerprint")
    assert (world.active, world.arrivals) == ("one", 1)


def test_each_attempt_of_a_run_may_train_once() -> None:
    """A second attempt is a target of its own; the first one's intent does not stand in its way."""
    world, entries = FakeWorld(), list[Entry]()
    once(world, training(world), entries)
    world.phase = "failed"
    effect = once(world, training(world, attempt=2), entries)
    assert effect is not None
    assert (effect.outcome, world.arrivals) == ("applied", 2)


def test_a_training_of_someone_else_is_not_ours() -> None:
    """While one runs nothing is sent; and a job whose id is not the one of our answer is not taken for it."""
    world = FakeWorld(phase="running", job=7)
    effect, _ = lives(world, training(world))
    assert (effect.outcome, world.arrivals) == ("not_sent", 0)
    assert "job-7" in effect.detail
    applied = training(world).applied
    before = {"phase": "idle", "job_id": None, "version": None, "metrics_sha256": None}
    assert applied(before, {**before, "phase": "running", "job_id": "job-8"}, {"job_id": "job-9"}) is None
    assert applied(before, {**before, "phase": "running", "job_id": "job-9"}, {"job_id": "job-9"}) == "attested"


def test_recovery_looks_and_never_sends() -> None:
    """Nothing intended: None. Intended and cut short: settled by looking."""
    world, entries = FakeWorld(), list[Entry]()
    ways: dict[str, Any] = {"clock": world.clock, "lock": nullcontext()}
    assert recover(swap(world), record=Memory(entries), **ways) is None
    assert once(world, swap(world), entries, (1, "after")) is None
    effect = recover(swap(world), record=Memory(entries), **ways)
    assert effect is not None
    assert (effect.outcome, effect.sent, world.arrivals) == ("unresolved", True, 0)
    assert "may have been sent or not" in effect.detail


def test_a_state_that_cannot_be_read_sends_nothing() -> None:
    """Not knowing the slots is no reason to toggle them."""
    world = FakeWorld()

    def read() -> Any:
        raise RetrainError("the service is down")

    effect, _ = lives(world, Act(**{**vars(swap(world)), "read": read}))
    assert (effect.outcome, effect.sent, world.arrivals) == ("not_sent", False, 0)


def test_an_incident_is_opened_once_and_found_by_its_id() -> None:
    """The id comes from the run's, so an insert whose answer was lost is found by looking."""
    rows: list[str] = []
    incident = incident_id("20130609T020000Z-abc123")
    assert incident == incident_id("20130609T020000Z-abc123") != incident_id("20130609T020000Z-abc124")

    def insert() -> None:
        rows.append(incident)
        raise RetrainError("the connection broke")

    act = incident_act(incident, insert=insert, lookup=lambda: incident in rows)
    world, entries = FakeWorld(), list[Entry]()
    effects = [once(world, act, entries) for _ in range(3)]
    assert rows == [incident]
    assert effects[0] == effects[1] == effects[2]
    assert effects[0] is not None
    assert (effects[0].outcome, effects[0].observed_by) == ("applied", "attested")
    assert "its row is there" in effects[0].detail
    assert "cannot be told" not in effects[0].detail, "an id of the run's own"


def test_an_insert_that_succeeded_is_not_recorded_as_without_an_answer() -> None:
    """What stands in the record is what the warehouse said."""
    rows: list[str] = []
    act = incident_act("INC-1", insert=lambda: rows.append("INC-1"), lookup=lambda: "INC-1" in rows)
    entries: list[Entry] = []
    effect = once(FakeWorld(), act, entries)
    assert effect is not None
    assert effect.detail == "incident INC-1: seen: its row is there (inserted); so its answer said"
    assert next(entry for entry in entries if entry.kind == "sent").body["words"] == "inserted"


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ([0.1, 0.2], [0.1, 0.2], "same"),
        ([0.1, 0.2], [0.1, 0.2 + 9e-7], "same"),
        ([0.1, 0.2], [0.1, 0.3], "different"),
        ([0.1, None, 0.2], [0.1, 0.5, None], "unknown"),
        ([0.1], [0.1, 0.2], "unknown"),
        ([], [], "unknown"),
        ([None], [None], "unknown"),
    ],
)
def test_fingerprints_differ_beyond_the_tolerance_only(one: Any, other: Any, says: str) -> None:
    """Too few pairs tell nothing: unknown, never same."""
    assert compare_scores(one, other) == says


def test_one_process_holds_a_model_at_a_time(tmp_path: Path) -> None:
    """The second gets Busy (exit 18) at once, with the holder's name; the first may take it twice."""
    lock = ModelLock(tmp_path / "model" / "effects.lock", holder="run abc")
    with lock, lock:
        with pytest.raises(Busy, match="run abc") as busy:
            ModelLock(tmp_path / "model" / "effects.lock").__enter__()
        assert busy.value.exit_code == 18
    with ModelLock(tmp_path / "model" / "effects.lock"):
        pass


def test_busy_sends_nothing(tmp_path: Path) -> None:
    """The lock comes before the first look."""
    world, entries = FakeWorld(), list[Entry]()
    with ModelLock(tmp_path / "lock"), pytest.raises(Busy):
        perform(swap(world), record=Memory(entries), clock=world.clock, lock=ModelLock(tmp_path / "lock"))
    assert (world.arrivals, world.reads, entries) == (0, 0, [])


@pytest.mark.timeout(60)
def test_a_minimal_service_trains_and_swaps_over_a_real_wire(tmp_path: Path) -> None:
    """Four endpoints are enough: the trigger is seen by the status, the swap and its undoing by the scores."""
    clock, record, lock = FakeClock(), Memory([]), ModelLock(tmp_path / "lock")
    ways: dict[str, Any] = {"record": record, "clock": clock, "lock": lock}
    rows = [{"x": number} for number in range(5)]
    with minimal_service(rows_field="rows") as url, Service(base_url=url, clock=clock) as service:
        fingerprint = Fingerprint(take=lambda: service.predict(rows).scores)
        assert fingerprint.is_steady()
        trained = perform(training_act(service, BODY), **ways)
        former = service.predict(rows).scores
        swapped = perform(swap_act(service, candidate=None, former=None, fingerprint=fingerprint), **ways)
        back = Fingerprint(take=fingerprint.take, expected=former)
        undone = perform(rollback_act(service, candidate=None, former=None, fingerprint=back), **ways)
        assert [effect.outcome for effect in (trained, swapped, undone)] == ["applied"] * 3
        assert [effect.observed_by for effect in (trained, swapped, undone)] == [
            "attested",
            "fingerprint",
            "fingerprint",
        ]
        assert (url.service.sent("/training/trigger"), url.service.sent("/model/reload")) == (1, 2)
        assert url.service.active == "one"


@pytest.mark.timeout(60)
def test_a_minimal_service_without_a_fingerprint_is_taken_at_its_word(tmp_path: Path) -> None:
    """Response only: a 2xx is all there is, and the record says so."""
    ways: dict[str, Any] = {"record": Memory([]), "lock": nullcontext(), "clock": FakeClock()}
    with minimal_service() as url, Service(base_url=url, clock=FakeClock()) as service:
        effect = perform(swap_act(service, candidate=None, former=None), **ways)
        again = perform(swap_act(service, candidate=None, former=None), **ways)
        assert url.service.sent("/model/reload") == 1
    assert effect == again
    assert (effect.outcome, effect.observed_by) == ("applied", "response")


# Hostile answers

KEYS = st.sampled_from(["job_id", "slots", "active", "standby", "status", "version"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["job_id", "active", "two"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9) | KEYS, inner, max_size=5),
    max_leaves=20,
)
DATES = st.sampled_from(
    ["Mon, 01 Jan 2024 00:00:00 +9999999999999", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date", "content-type", "x-request-id", "content-encoding", "set-cookie"]),
    DATES.map(str.encode) | st.binary(max_size=40).filter(lambda value: not set(value) & set(b"\r\n\0")),
)
BODIES = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode())


class Durable(Memory):
    """A record that an entry of the ledger must be able to hold."""

    def append(self, kind: str, body: Any) -> int:
        number = len(self.entries()) + 1
        at = datetime(2013, 6, 9, tzinfo=UTC)
        more = {"previous": GENESIS, "run": "run-1", "model": "flights", "at": at, "writer": "w"}
        data = encode(number=number, kind=kind, body={"effect": "", "target": "", **body}, **more)
        return super().append(kind, decode(data, name=kind).body)


@settings(max_examples=150, deadline=None)
@given(st.integers(200, 599), HEADERS, BODIES)
@example(503, {"retry-after": b"Mon, 01 Jan 2024 00:00:00 +9999999999999"}, b"{}")
@example(200, {}, json.dumps([["\0" * 4_000] * 1_000] * 4).encode())
def test_whatever_an_answer_holds_it_is_recorded_that_the_request_was_sent(
    code: int, headers: dict[str, bytes], body: bytes
) -> None:
    """And what became of it is decided by looking, as after any answer; a refusal of what was done is not believed."""
    world = FakeWorld()
    answered = httpx.Response(code, headers=[(name.encode(), value) for name, value in headers.items()], content=body)
    act = dataclasses.replace(swap(world), send=lambda: sent_to(world, answered).reload())
    entries: list[Entry] = []
    effect = perform(act, record=Durable(entries), clock=world.clock, lock=nullcontext())
    assert [entry.kind for entry in entries] == ["intent", "sent", "outcome"]
    refused = is_refusal(Answer(status_code=code))
    seen = ("unresolved", "none") if refused else ("applied", "attested")
    assert (effect.outcome, effect.observed_by, effect.sent, world.arrivals) == (*seen, True, 1)
    assert not entries[1].body["never_left"]


def sent_to(world: FakeWorld, answered: httpx.Response) -> Service:
    """The world's service, with another answer to what it does."""

    def handle(request: httpx.Request) -> httpx.Response:
        world.handle(request)
        return answered

    return Service(base_url="http://fake", transport=httpx.MockTransport(handle), clock=world.clock, timeout_seconds=5)


@pytest.mark.parametrize("error", [OverflowError("date value out of range"), KeyError("\ud800"), RetrainError("no")])
def test_an_answer_over_which_the_reader_breaks_is_one_that_was_lost(error: Exception) -> None:
    """The request may have gone out: that is recorded, looked for, and never sent again."""
    world = FakeWorld()

    def send() -> Answer:
        world.service().reload()
        raise error

    entries: list[Entry] = []
    act = dataclasses.replace(swap(world), send=send)
    effect = perform(act, record=Durable(entries), clock=world.clock, lock=nullcontext())
    assert (effect.outcome, effect.observed_by, effect.sent) == ("applied", "attested", True)
    assert f"no answer that can be read ({type(error).__name__}: " in entries[1].body["words"]
    assert perform(act, record=Durable(entries), clock=world.clock, lock=nullcontext()) == effect
    assert world.arrivals == 1


def test_a_secret_is_not_cut_in_two_where_an_error_is_too_long() -> None:
    """Its beginning alone would be taken for an ordinary word, and written."""
    for before in range(280, 302):
        world = FakeWorld()

        def send(before: int = before) -> Answer:
            raise RetrainError(f"{'x ' * (before // 2)}s3cr3t-canary-4711")

        entries: list[Entry] = []
        act = dataclasses.replace(swap(world), send=send)
        perform(act, record=Durable(entries), clock=world.clock, lock=nullcontext())
        told = str(entries[1].body).replace("s3cr3t-canary-4711", "")
        assert "s3cr" not in told, before
