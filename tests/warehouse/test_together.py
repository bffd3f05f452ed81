"""Questions that do not depend on each other are asked side by side, and each stays itself: tag, evidence, error."""

import contextlib
import json
import threading
from concurrent.futures import Future
from datetime import timedelta

import httpx
import pytest

from retrain.warehouse import WarehouseError
from retrain.warehouse.together import AT_ONCE, begin, ended

from .conftest import NOW, REFERENCE_END, START, opened

WINDOW = {"since": REFERENCE_END, "until": NOW}


@contextlib.contextmanager
def meeting(arguments, wanted):
    """Each statement waits in the warehouse until ``wanted`` of them are there; one that is alone is refused."""
    where = f"http://127.0.0.1:{arguments['port']}/meet"
    httpx.post(f"{where}/{wanted}").raise_for_status()
    try:
        yield
    finally:
        httpx.post(f"{where}/0").raise_for_status()


def three(held):
    """Three questions that ask nothing of each other."""
    return {
        "samples": lambda: held.new_samples(**WINDOW),
        "quality": lambda: held.quality(now=NOW),
        "incidents": lambda: held.open_incidents(["P1"]),
    }


def in_turn(held):
    return {name: ask() for name, ask in three(held).items()}


def test_three_questions_are_in_the_warehouse_at_the_same_time(arguments):
    """None is answered before all three have arrived: asked one after the other, the first would wait in vain."""
    with opened(arguments) as held:
        with meeting(arguments, 3):
            answers = held.together(three(held))
        assert answers["samples"].value.total > 0
        with meeting(arguments, 3), pytest.raises(WarehouseError):
            held.quality(now=NOW)


def test_questions_begun_ahead_are_there_while_the_next_one_is_asked(arguments):
    """``ahead`` returns before they are answered, and what is asked meanwhile runs beside them."""
    with opened(arguments) as held:
        with meeting(arguments, 3):
            held.ahead({name: ask for name, ask in three(held).items() if name != "samples"})
            samples = held.new_samples(**WINDOW)
            quality = held.taken("quality", lambda: pytest.fail("it was begun already"))
            incidents = held.taken("incidents", lambda: pytest.fail("it was begun already"))
        turn = in_turn(held)
        assert (samples.value, quality.value, incidents.value) == tuple(told.value for told in turn.values())


def test_what_was_begun_ahead_is_taken_once(warehouse):
    """A cell that a person executes again asks again: what it shows is of now."""
    asked = []
    warehouse.ahead({"quality": lambda: asked.append("ahead") or warehouse.quality(now=NOW)})
    for _ in range(2):
        warehouse.taken("quality", lambda: asked.append("again") or warehouse.quality(now=NOW))
    assert asked == ["ahead", "again"]


def test_the_evidence_is_that_of_a_question_asked_alone(warehouse):
    """Text, values, rows and result hash alike; each its own query id; the instant is the run's."""
    turn, together = in_turn(warehouse), warehouse.together(three(warehouse))
    ids = [told.evidence[0].query_id for told in (*turn.values(), *together.values())]
    assert None not in ids
    assert len(set(ids)) == 6
    for name, told in together.items():
        (ours,), (alone,) = told.evidence, turn[name].evidence
        assert ours.model_copy(update={"query_id": alone.query_id}) == alone
        assert ours.sql_sha256
        assert ours.result_sha256
        assert ours.rows is not None


def test_each_question_carries_the_tag_of_when_it_was_begun(arguments, monkeypatch):
    """The entry before which it was asked, though the record goes on while it runs."""
    with opened(arguments) as held:
        tags, fetch, go = {}, held._connections.fetch, threading.Event()

        def fetched(sql, binds, *, tag):
            assert go.wait(10)
            tags[sql.splitlines()[0]] = dict(tag)
            return fetch(sql, binds, tag=tag)

        monkeypatch.setattr(held._connections, "fetch", fetched)
        held.at_entry(7)
        held.ahead({"quality": lambda: held.quality(now=NOW), "incidents": lambda: held.open_incidents(["P1"])})
        held.at_entry(8)
        go.set()
        held.new_samples(**WINDOW)
        for name in ("quality", "incidents"):
            held.taken(name, lambda: pytest.fail("it was begun already"))
        assert sorted((tag["entry"], tag["run"]) for tag in tags.values()) == [(7, "r1"), (7, "r1"), (8, "r1")]


def test_the_tag_arrives_with_each_statement(arguments):
    """What the warehouse's own history will show beside a query that was asked with others."""
    with opened(arguments) as held:
        held.at_entry(12)
        held.together({"quality": lambda: held.quality(now=NOW), "samples": lambda: held.new_samples(**WINDOW)})
        newest = httpx.get(f"http://127.0.0.1:{arguments['port']}/seen").raise_for_status().json()
        assert json.loads(newest["parameters"]["QUERY_TAG"]) == {"entry": 12, "run": "r1"}


def test_the_one_that_fails_names_itself(arguments):
    """Among three, the one whose statement is refused, by name; the others are not blamed."""
    with opened(arguments) as held:
        held._connections.fetch = _refusing(held._connections.fetch, "quality runs of the last day")
        with pytest.raises(WarehouseError, match="Query quality failed") as caught:
            held.together(three(held))
        assert not getattr(caught.value, "__notes__", [])
        held.ahead(three(held))
        assert held.taken("samples", lambda: None).value.total > 0
        with pytest.raises(WarehouseError, match="Query quality failed"):
            held.taken("quality", lambda: None)


def _refusing(fetch, marked):
    def fetched(sql, binds, *, tag):
        return fetch(
            "SELECT 1 / nothing_like_it" if marked in sql else sql, binds if marked not in sql else (), tag=tag
        )

    return fetched


def test_two_that_fail_are_both_told():
    """The first is raised, the other is a note on it."""

    def fails(with_):
        raise WarehouseError(f"Query {with_} failed")

    with pytest.raises(WarehouseError, match="Query a failed") as caught:
        ended(begin({"a": lambda: fails("a"), "fine": lambda: 1, "b": lambda: fails("b")}))
    assert caught.value.__notes__ == ["asked together with it, b failed too: Query b failed"]


def test_no_more_than_four_run_at_once():
    """A warehouse is not flooded, and whoever waits has a turn."""
    running, most, lock, full = 0, 0, threading.Lock(), threading.Barrier(AT_ONCE)

    def call():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait(10)
        with lock:
            running -= 1

    ended(begin({str(number): call for number in range(2 * AT_ONCE)}))
    assert most == AT_ONCE


def test_an_interrupted_wait_begins_no_further_question(monkeypatch):
    """Ctrl-C in a cell ends the cell: it does not wait for slow statements, and what was not begun stays unasked."""
    go, asked = threading.Event(), []

    def slow(number):
        asked.append(number)
        go.wait(10)

    def interrupted(futures):
        raise KeyboardInterrupt

    monkeypatch.setattr("retrain.warehouse.together.wait", interrupted)
    told = begin({number: lambda number=number: slow(number) for number in range(AT_ONCE + 1)})
    with pytest.raises(KeyboardInterrupt):
        ended(told)
    go.set()
    assert told[AT_ONCE].cancelled()
    assert AT_ONCE not in asked
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("warehouse-"))


def test_an_answer_comes_as_arrow(arguments):
    """What travels is Arrow, not JSON text."""
    with opened(arguments) as held:
        held.quality(now=NOW)
        [connection] = held._connections._idle
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM TRANSACTIONS")
            assert cursor._query_result_format == "arrow"


def test_questions_that_are_asked_ahead_of_nothing_are_none(warehouse):
    """No question, no thread, no answer."""
    assert warehouse.together({}) == {}
    assert begin({}) == {}
    assert isinstance(begin({"one": lambda: 1})["one"], Future)
    assert warehouse.taken("never begun", lambda: START + timedelta(days=1)) == START + timedelta(days=1)
