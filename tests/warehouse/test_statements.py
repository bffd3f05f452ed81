"""The texts: they parse as Snowflake's, carry no clock of their own, and take only names that were checked."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

import retrain.warehouse
from retrain.errors import UsageError
from retrain.warehouse.statements import Sql, identifier, load, quoted, render

from .conftest import NOW, REFERENCE_END, START, opened

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
    assert len(FILES) == 24


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_statement_is_snowflakes(file):
    """Each statement parses in Snowflake's dialect, as one statement."""
    assert len(sqlglot.parse(render(load(file.stem), NAMES), dialect="snowflake")) == 1


def sent(arguments):
    """Return every statement that the questions send, as it is sent, by the first line of its header."""
    with opened(arguments) as held:
        texts, fetch = {}, held._connections.fetch

        def fetched(sql, binds, *, tag):
            texts[sql.splitlines()[0]] = (sql, len(list(binds)))
            return fetch(sql, binds, tag=tag)

        held._connections.fetch = fetched
        window = {"since": REFERENCE_END, "until": NOW}
        profile = held.reference_profile(reference_start=START, reference_end=REFERENCE_END).value
        held.check()
        held.drift(profile, **window)
        held.drift_history(profile, **window)
        held.sample_rows(5, **window)
        held.new_samples(**window)
        held.class_balance(**window)
        held.quality(now=NOW)
        held.quality_history(**window)
        held.quality_by_check(**window)
        held.open_incidents(["P1"])
        held.find_incident("i1")
        held.open_incident("s1", opened_at=NOW, severity="P4", title="t", details="d", opened_by="o")
        held.production("m")
        held.f1_since("m", version="v1", **window)
        held.f1_windows("m", **window)
        held.watch_windows("m", since=NOW - timedelta(hours=4), until=NOW)
        held.versions_seen_before("m", before=NOW)
        held.best_promotions("m", until=NOW)
    return texts


def test_what_is_sent_is_snowflakes_to_the_last_function(arguments):
    """As rendered, drift's long lists of counts included: one statement of its dialect, no word that it would not know.

    A function that the dialect does not know would be parsed as an anonymous one, a statement as a bare command; and
    there are as many question marks as values bound.
    """
    texts = sent(arguments)
    assert len(texts) == len(FILES) - 4  # the three of the heads, and the list of tables for an error's message
    for header, (text, bound) in texts.items():
        (statement,) = sqlglot.parse(text, dialect="snowflake")
        assert not isinstance(statement, exp.Command), header
        assert [each.name for each in statement.find_all(exp.Anonymous)] == [], header
        assert len(list(statement.find_all(exp.Placeholder))) == bound, header
    (drift,) = (text for header, (text, _) in texts.items() if "histograms of all features over frozen" in header)
    assert "COUNT_IF(f0 < CAST(? AS FLOAT)) AS f0_0" in drift
    assert "COUNT_IF(f4 = CAST(? AS VARCHAR)) AS f4_0" in drift


def bounded(statement):
    """Tell whether a query's rows are bounded: one row of aggregates, or the first so many by their number."""
    if not isinstance(statement, exp.Select):
        return isinstance(statement, exp.Describe | exp.Insert | exp.Create)  # columns of a table; a row or none
    qualify = statement.args.get("qualify")
    if qualify is not None:
        first = qualify.this
        return isinstance(first, exp.LTE | exp.EQ) and isinstance(first.this, exp.Window)
    whole = statement.args.get("group") is None
    return whole and all(item.find(exp.AggFunc) for item in statement.expressions)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_answer_grows_with_a_table(file):
    """An aggregate in one row, or at most so many rows: nothing proportional to a table comes to the client."""
    (statement,) = sqlglot.parse(render(load(file.stem), NAMES), dialect="snowflake")
    assert bounded(statement)


@pytest.mark.parametrize("text", ["SELECT a FROM t", "SELECT a, COUNT(*) FROM t GROUP BY a", "SELECT a, MAX(b) FROM t"])
def test_an_answer_that_grows_with_a_table_would_be_found(text):
    """Rows as they are, and a row a group without a limit."""
    assert not bounded(sqlglot.parse_one(text, dialect="snowflake"))


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
