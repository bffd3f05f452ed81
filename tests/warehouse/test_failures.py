"""Whatever is wrong with the warehouse is said in one sentence, soon, and names the nearest right thing."""

import logging
import subprocess
import sys
import time
from unittest import mock

import httpx
import pytest
from snowflake.connector.errors import ProgrammingError

from retrain.errors import RetrainError, UsageError
from retrain.warehouse import Unreachable, WarehouseError, connection
from retrain.warehouse.failures import of_query

from .conftest import COLUMNS, NOW, START, TABLES, opened


def wrong(arguments, **changes):
    """Return what ``check`` says about these settings."""
    with opened(arguments, **changes) as held, pytest.raises(UsageError) as caught:
        held.check()
    return str(caught.value)


def test_a_warehouse_as_it_should_be_passes(warehouse):
    """All four tables with all the columns that the queries read."""
    warehouse.check()


def test_a_wrong_password(arguments):
    """Refused at once, naming the user and never the password."""
    said = wrong({**arguments, "password": "hunter2"})
    assert "refused the login of somebody" in said
    assert "hunter2" not in said


def test_a_warehouse_that_does_not_answer_fails_within_seconds(arguments):
    """Connection refused is not retried for minutes."""
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 does not answer"):
        opened({**arguments, "port": 1}).quality(now=NOW)
    assert time.monotonic() - begun < 5


def test_an_unknown_connection_name():
    """The name is said with the file it should stand in."""
    assert "no connection 'prodution' in the connector's connections.toml" in wrong({"connection_name": "prodution"})


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_missing_table(arguments, table):
    """The setting, the name, and the nearest right one."""
    said = wrong(arguments, tables={**TABLES, table: TABLES[table][:-1]})
    assert f"warehouse.tables.{table}: no table" in said
    assert f"Did you mean '{TABLES[table]}'?" in said


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_a_missing_column(arguments, column):
    """The setting, the name, the nearest right one, and what there is."""
    said = wrong(arguments, columns={**COLUMNS, column: COLUMNS[column] + "S"})
    assert f"warehouse.columns.{column}: table TRANSACTIONS has no column" in said
    assert f"Did you mean '{COLUMNS[column]}'?" in said
    assert "It has: TRANSACTION_ID, " in said


def test_a_table_of_another_shape(arguments):
    """A table that is there and lacks a column is found before any query of the run."""
    assert "table LOGBOOK has no column" in wrong(arguments, tables={**TABLES, "incidents": "LOGBOOK"})


def test_the_same_words_when_a_query_meets_it_first(arguments):
    """Without ``check`` the first query says the same."""
    column = pytest.raises(UsageError, match=r"warehouse\.columns\.label: .*Did you mean 'LABEL'")
    with opened(arguments, columns={**COLUMNS, "label": "labels"}) as held, column:
        held.new_samples(since=START, until=NOW)
    table = pytest.raises(UsageError, match=r"warehouse\.tables\.transactions: .*Did you mean 'TRANSACTIONS'")
    with opened(arguments, tables={**TABLES, "transactions": "TRANSACTION"}) as held, table:
        held.new_samples(since=START, until=NOW)


def test_a_missing_feature(arguments):
    """The nearest column is named."""
    assert "warehouse.features: table TRANSACTIONS has no column 'dellay'. Did you mean 'DELAY'?" in wrong(
        arguments, features=["dellay"]
    )


def test_a_feature_that_cannot_be_one(arguments):
    """The label would tell the answer, and a column named twice would count twice in the aggregate."""
    assert "warehouse.features: column 'LABEL' is no feature" in wrong(arguments, features=["delay", "label"])
    assert "warehouse.features: column 'DELAY' is named twice" in wrong(arguments, features=["delay", "DELAY"])


def test_a_table_without_features(arguments):
    """Nothing to measure drift on is said, not passed."""
    names = {"tables": {**TABLES, "transactions": "LOGBOOK"}, "columns": {**COLUMNS, "ingestion_timestamp": "AT"}}
    assert "LOGBOOK has no column that a model could read" in wrong(arguments, **names)


def test_a_column_that_is_neither_number_nor_text(arguments):
    """A column that no model reads is not left out in silence: the settings must name the features."""
    names = {"tables": {**TABLES, "transactions": "DATA_QUALITY"}, "columns": dict.fromkeys(COLUMNS, "RUN_ID")}
    said = wrong(arguments, **names)
    assert "'TIMESTAMP' is TIMESTAMP_NTZ" in said
    assert "warehouse.features" in said


def test_an_unknown_database(arguments):
    """Database and schema are named."""
    assert "NOPE.PUBLIC" in wrong(arguments, database="NOPE")


def test_a_statement_that_takes_too_long_is_cancelled(arguments):
    """Within its own time-out, and the limit is named."""
    with opened(arguments, statement_timeout_seconds=1) as held:
        slow = "SELECT COUNT(*) FROM TRANSACTIONS a, TRANSACTIONS b, TRANSACTIONS c WHERE a.DELAY < b.HOUR * c.HOUR"
        begun = time.monotonic()
        with pytest.raises(ProgrammingError) as caught:
            held._connections.fetch(slow, [], tag={})
        assert time.monotonic() - begun < 10
        said = of_query(caught.value, name="slow", place="A.B", timeout_seconds=1)
        assert isinstance(said, WarehouseError)
        assert "statement_timeout_seconds = 1" in str(said)


# What Snowflake answers and the sandbox cannot be brought to, by its documented codes.
@pytest.mark.parametrize(
    ("number", "message", "kind", "says"),
    [
        (3001, "Insufficient privileges to operate on table 'INCIDENTS'", UsageError, "lacks a privilege"),
        (606, "No active warehouse selected in the current session.", UsageError, "no virtual warehouse"),
        (90105, "Cannot perform SELECT. This session does not have a current database.", UsageError, "no A.B"),
        (630, "Statement reached its statement or warehouse timeout of 5 second(s)", WarehouseError, "= 5 and was"),
        (100038, "Numeric value 'x' is not recognized", WarehouseError, "Query q failed"),
    ],
)
def test_snowflakes_own_errors(number, message, kind, says):
    """What a person can mend in the settings is a usage error; the rest is the warehouse's."""
    error = of_query(ProgrammingError(message, errno=number), name="q", place="A.B", timeout_seconds=5)
    assert type(error) is kind
    assert says in str(error)
    assert "\n" not in str(error)


def test_a_session_that_the_warehouse_forgot_is_replaced(arguments):
    """A restart of the warehouse between two queries is not the run's end."""
    with opened(arguments) as held:
        assert held.quality(now=NOW).value
        httpx.post(f"http://127.0.0.1:{arguments['port']}/forget").raise_for_status()
        begun = time.monotonic()
        assert held.quality(now=NOW).value
        assert time.monotonic() - begun < 10


def test_a_session_that_is_forgotten_twice_leaves_no_connection_open(monkeypatch):
    """The statement is asked once more on a new connection, not a third time; both connections are closed."""
    made = []

    def connected(arguments):
        made.append(mock.MagicMock())
        made[-1].cursor.return_value.__enter__.return_value.execute.side_effect = ProgrammingError("gone", errno=390112)
        return made[-1]

    monkeypatch.setattr(connection, "connect", connected)
    held = connection.Connections({}, statement_timeout_seconds=1)
    with pytest.raises(ProgrammingError, match="gone"):
        held.fetch("SELECT 1", [], tag={})
    assert [each.close.call_count for each in made] == [1, 1]
    assert held._idle == []


def test_the_connector_says_nothing_on_its_own(arguments, caplog):
    """Its retries and warnings are not for people; what matters is raised."""
    with caplog.at_level(logging.WARNING):
        wrong({**arguments, "port": 1})
    assert not [record for record in caplog.records if record.name.startswith("snowflake")]


def test_the_connector_is_imported_by_the_first_query_only():
    """``import retrain.warehouse`` costs neither the connector nor pandas nor numpy's friends."""
    code = "import sys, retrain.warehouse; print([m for m in ('snowflake.connector', 'pandas') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_every_error_is_one_of_ours():
    """The command line knows how to end."""
    assert issubclass(WarehouseError, RetrainError)
    assert WarehouseError("x").exit_code == 1
