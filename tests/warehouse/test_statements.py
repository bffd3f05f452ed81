"""The texts: they parse as Snowflake's, carry no clock of their own, and take only names that were checked."""

from pathlib import Path

import pytest
import sqlglot

import retrain.warehouse
from retrain.errors import UsageError
from retrain.warehouse.statements import Sql, identifier, load, quoted, render

FILES = sorted(Path(retrain.warehouse.__file__).with_name("sql").glob("*.sql"))
NAMES = {
    **{name: Sql(name.upper()) for name in ("transactions", "data_quality", "incidents", "model_metrics")},
    **{name: Sql(name.upper()) for name in ("ingestion_timestamp", "label", "transaction_id")},
    "heads": Sql("RETRAIN_HEADS"),
    "table": Sql("INCIDENTS"),
    "value": Sql('"DELAY" AS f'),
    "values": [Sql('"DELAY" AS f0'), Sql('"HOUR" AS f1')],
    "counts": [Sql("COUNT_IF(f0 <= CAST(? AS FLOAT)) AS f0_0"), Sql("COUNT(f1) AS f1_known")],
    "features": [Sql('"DELAY" AS f0'), Sql('"HOUR" AS f1')],
}


def test_there_are_files():
    """One query a file, and the files are found."""
    assert len(FILES) == 23


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_statement_is_snowflakes(file):
    """Each statement parses in Snowflake's dialect, as one statement."""
    assert len(sqlglot.parse(render(load(file.stem), NAMES), dialect="snowflake")) == 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_statement_reads_the_warehouses_clock(file):
    """The run's instant is bound: CURRENT_TIMESTAMP is local time against NTZ columns."""
    text = load(file.stem).upper()
    assert not any(word in text for word in ("CURRENT_TIMESTAMP", "CURRENT_DATE", "GETDATE", "SYSDATE", "LOCALTIME"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_statement_says_what_it_answers(file):
    """A file begins with what it answers and ends its header with the columns of the result."""
    header = [line for line in load(file.stem).splitlines() if line.startswith("--")]
    assert "unbook" in header[0]
    assert any(line.startswith("-- Result") for line in header)
    assert "?" not in "".join(header)  # a question mark is a bound value


@pytest.mark.parametrize("bad", ["", "a b", "T;DROP TABLE X", 'T"', "a.b.c.d", "1a", "T--", "é", "a.", "T\n"])
def test_a_table_that_is_no_name_is_refused(bad):
    """Settings cannot carry SQL, and the message names the setting."""
    with pytest.raises(UsageError, match=r"warehouse\.tables\.transactions"):
        identifier(bad, setting="warehouse.tables.transactions")


@pytest.mark.parametrize("good", ["T", "s.t", "DB.S.T$1", "_x"])
def test_a_plain_name_passes_as_it_is(good):
    """Up to three parts, not quoted."""
    assert identifier(good, setting="x") == good


def test_a_quoted_column_keeps_its_case_and_refuses_quotes():
    """Discovered columns are quoted, and one with a quote in it is refused."""
    assert quoted("Air_Time") == '"Air_Time"'
    with pytest.raises(UsageError, match="plain identifier"):
        quoted('x" FROM secrets --')


def test_a_string_that_was_not_checked_cannot_get_in():
    """Only Sql stands in a statement, alone or in a list."""
    for value in ("TRANSACTIONS", ["TRANSACTIONS"]):
        with pytest.raises(TypeError, match="checked"):
            render("SELECT 1 FROM {t}", {"t": value})
    with pytest.raises(KeyError):
        render("SELECT 1 FROM {t}", {})
