"""The head of a record in a table of the warehouse, over a real wire."""

import pytest

from retrain.errors import UsageError
from retrain.ledger import Head, LedgerError, StoreError
from retrain.warehouse.heads import WarehouseHead


def head(number, letter="a"):
    return Head(number, letter * 64)


@pytest.fixture
def sink(arguments, request):
    """A table of the test's own: it is not there before the first push."""
    made = WarehouseHead(
        {**arguments, "database": "RETRAIN", "schema": "PUBLIC"},
        table=f"HEADS_{abs(hash(request.node.name)) % 10**8}",
        model="flights",
        record="records",
    )
    yield made
    made.close()


def of(sink, arguments, **other):
    named = {"model": "flights", "record": "records", **other}
    return WarehouseHead(
        {**arguments, "database": "RETRAIN", "schema": "PUBLIC"},
        table=sink.place.removeprefix("warehouse table "),
        **named,
    )


def test_the_table_is_made_on_the_first_push_and_the_newest_head_is_kept(sink):
    """Before it, there is no head, and no error."""
    assert sink.read() is None
    sink.push(head(1))
    sink.push(head(3, "c"))
    assert sink.read() == head(3, "c")


def test_an_earlier_head_is_refused_and_the_same_one_is_kept_once(sink):
    """A record that was set back cannot cover it by pushing again."""
    sink.push(head(3))
    sink.push(head(3))
    for other in (head(2), head(3, "b")):
        with pytest.raises(LedgerError, match="no later one"):
            sink.push(other)
    assert sink.read() == head(3)


def test_models_and_records_are_kept_apart(sink, arguments):
    sink.push(head(3))
    for other in (of(sink, arguments, model="others"), of(sink, arguments, record="elsewhere")):
        assert other.read() is None
        other.push(head(1))
        other.close()
    assert sink.read() == head(3)


def test_a_warehouse_that_is_down_is_a_store_error(arguments):
    """So that a run goes on, and says so."""
    down = {**arguments, "port": 1, "database": "RETRAIN", "schema": "PUBLIC", "login_timeout": 1, "network_timeout": 1}
    with pytest.raises(StoreError, match="warehouse table HEADS"):
        WarehouseHead(down, table="HEADS", model="m", record="r").read()


def test_what_fails_is_told_in_a_sentence(sink, arguments):
    """The warehouse's own words, and no list of them."""
    sink.push(head(1))
    table = sink.place.removeprefix("warehouse table ")
    elsewhere = {**arguments, "database": "RETRAIN", "schema": "PUBLIC"}
    other = WarehouseHead(elsewhere, table=table, model="m", record="r")
    try:
        with pytest.raises(StoreError) as failed:
            other.push(Head("no number", "a" * 64))
    finally:
        other.close()
    assert str(failed.value).startswith(f"warehouse table {table}: push_head failed: ")
    assert "failed: [" not in str(failed.value)


def test_the_table_is_a_plain_name(arguments):
    with pytest.raises(UsageError, match="heads_table"):
        WarehouseHead(arguments, table="a; drop", model="m", record="r")
