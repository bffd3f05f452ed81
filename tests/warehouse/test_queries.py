"""Each query over the wire, on a warehouse that holds what trips a careless one."""

import hashlib
import json
import re
from datetime import datetime, timedelta

import pytest

from retrain.sections import prerequisites
from retrain.warehouse.answers import digest, plain
from retrain.warehouse.statements import load, render

from .conftest import COLUMNS, NOW, REFERENCE_END, START, TABLES, opened, seen

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def test_new_samples_are_those_after_the_watermark_with_a_known_label(warehouse, tables):
    """A label that is not known yet is not a labeled sample."""
    rows = [row for row in tables["TRANSACTIONS"].to_pylist() if row["INGESTION_TIMESTAMP"] > naive(REFERENCE_END)]
    answer = warehouse.new_samples(since=REFERENCE_END, until=NOW)
    assert answer.value.total == len(rows)
    assert answer.value.labelled == sum(row["LABEL"] is not None for row in rows) < len(rows)


def test_a_row_at_the_watermark_is_old_and_one_at_now_is_new(warehouse, tables):
    """The window is (since, until], as the runbook's > writes it."""
    first, second = [row["INGESTION_TIMESTAMP"] for row in tables["TRANSACTIONS"].to_pylist()][:2]
    assert warehouse.new_samples(since=aware(first), until=aware(second)).value.total == 1


def test_no_rows_is_zero(warehouse):
    """An empty window counts nothing and is no error."""
    answer = warehouse.new_samples(since=NOW, until=NOW)
    assert (answer.value.labelled, answer.value.total) == (0, 0)
    assert warehouse.class_balance(since=NOW, until=NOW).value == {}


def test_class_balance_counts_known_labels(warehouse, tables):
    """Labels are counted by class; unknown ones are no class."""
    labels = tables["TRANSACTIONS"]["LABEL"].to_pylist()
    counts = warehouse.class_balance(since=START - HOUR, until=NOW).value
    assert counts == {"0": labels.count(0), "1": labels.count(1)}


def test_quality_counts_the_last_day_and_keeps_null_apart(warehouse):
    """Exactly 24 hours ago is in, older and later than now are out, and NULL is no status that anybody allowed."""
    assert warehouse.quality(now=NOW).value == {"healthy": 3, "warning": 1, "(null)": 1}
    assert warehouse.quality(now=NOW, hours=25).value["critical"] == 1
    assert warehouse.quality(now=START).value == {}


def test_quality_history_shows_what_was_not_fine_newest_first(warehouse):
    """A missing status is not fine."""
    shown = warehouse.quality_history(since=START, until=NOW).value
    assert [(run.run_id, run.status) for run in shown] == [("q3", "warning"), ("q4", None), ("q25", "critical")]
    assert [run.run_id for run in warehouse.quality_history(since=START, until=NOW, limit=1).value] == ["q3"]
    fine = ("healthy", "warning", "critical")
    assert [run.status for run in warehouse.quality_history(since=START, until=NOW, fine=fine).value] == [None]


def test_quality_by_check_counts_each_status(warehouse):
    """First and last time come along."""
    rows = {row.status: row for row in warehouse.quality_by_check(since=START, until=NOW).value}
    assert {status: row.runs for status, row in rows.items()} == {"healthy": 3, "warning": 1, None: 1, "critical": 1}
    assert (rows["healthy"].first_at, rows["healthy"].last_at) == (NOW - 24 * HOUR, NOW - HOUR)


def test_open_incidents_of_the_severities_asked_for(warehouse):
    """Spelling in another case is still open and still P1; a missing opening time stays missing."""
    found = [incident for incident in warehouse.open_incidents(["P1"]).value if incident.severity.strip()]
    assert [(incident.incident_id, incident.opened_at) for incident in found] == [
        ("i2", None),
        ("i1", NOW - timedelta(days=2)),
    ]
    told = [incident.incident_id for incident in warehouse.open_incidents(["p1", "P2"]).value]
    assert told == ["i2", "i1", "i5", "i6", "i4"]


def test_an_open_incident_without_a_severity_is_told_whatever_was_asked_for(warehouse):
    """NULL or blank: nobody knows that it does not block, and *Prerequisites* leaves the check open."""
    told = warehouse.open_incidents(["P9"]).value
    assert [(incident.incident_id, incident.severity.strip()) for incident in told] == [("i5", ""), ("i6", "")]
    facts = prerequisites.Facts(now=NOW, open_incidents=told)
    check = prerequisites.decide(facts, prerequisites.Policy(blocking_severities=("P9",))).checks[2]
    assert (check.status, check.reason) == ("INCONCLUSIVE", "open without a severity: i5 and i6")


def test_an_incident_is_opened_once(warehouse):
    """The same id twice makes one row, and what was written is what is found."""
    told = {"opened_at": NOW, "severity": "P3", "title": "3 runs failed", "details": "it's", "opened_by": "r1"}
    assert warehouse.find_incident("run-1").value is None
    assert [warehouse.open_incident("run-1", **told).value for _ in range(2)] == [True, False]
    found = warehouse.find_incident("run-1").value
    assert (found.severity, found.title, found.opened_at) == ("P3", "3 runs failed", NOW)
    assert "run-1" in [incident.incident_id for incident in warehouse.open_incidents(["P3"]).value]


def test_production_is_the_newest_promotion(warehouse):
    """NaN and NULL are both missing, never a number and never 1970."""
    production = warehouse.production("m").value
    assert (production.metrics.version, production.metrics.f1, production.metrics.tp) == ("v1", 0.884, 80)
    assert production.metrics.precision is None
    assert production.trained_at is None
    assert (production.reference_start, production.reference_end) == (START, REFERENCE_END)
    assert warehouse.production("unknown").value is None


def test_the_best_promotion_is_the_highest_figure_not_the_newest_row(warehouse):
    """Only promotions until the instant count, NaN is none, and nothing promoted is a count of none."""
    best = warehouse.best_promotions("m", until=NOW).value
    assert (best.promotions, best.f1, best.f1_version) == (2, 0.884, "v1")
    assert (best.auc_roc, best.auc_roc_version, best.auc_roc_at) == (None, None, None)
    earlier = warehouse.best_promotions("m", until=START).value
    assert (earlier.promotions, earlier.f1, earlier.f1_version, earlier.f1_at) == (1, 0.7, "v0", START)
    nothing = warehouse.best_promotions("unknown", until=NOW).value
    assert (nothing.promotions, nothing.f1, nothing.f1_at) == (0, None, None)


def test_f1_is_computed_from_sums_and_never_averaged(warehouse):
    """A window written twice counts as it was written last; one without counts is left out, and that is said."""
    found = warehouse.f1_since("m", version="v1", since=NOW - WEEK, until=NOW).value
    assert (found.tp, found.fp, found.fn, found.tn, found.labels) == (14, 2, 4, 178, 200)
    assert found.f1 == 28 / 34
    assert (found.windows, found.windows_counted) == (3, 2)
    assert "1 of 3" in found.note


def test_f1_without_any_counts_is_the_newest_windows_own(warehouse):
    """Two windows of 0.8 and 0.6 are not 0.7."""
    found = warehouse.f1_since("plain", version="v1", since=NOW - WEEK, until=NOW).value
    assert (found.f1, found.labels, found.windows_counted) == (0.6, 50, 0)
    assert "newest" in found.note


@pytest.mark.parametrize(("model", "note"), [("nothing", "not defined"), ("unknown", "no windows")])
def test_f1_that_cannot_be_known_is_missing(warehouse, model, note):
    """No positives at all, and no windows at all, are both None with a reason."""
    found = warehouse.f1_since(model, version="v1", since=NOW - WEEK, until=NOW).value
    assert found.f1 is None
    assert note in found.note


def test_f1_by_day_is_apart_for_each_version(warehouse):
    """A point a day and version, from sums."""
    days = warehouse.f1_windows("m", since=START, until=NOW).value
    assert [(day.version, day.f1, day.windows) for day in days] == [("v1", 28 / 34, 3), ("v2", 16 / 19, 1)]
    assert days[0].day == NOW - timedelta(days=1)
    plain_day = warehouse.f1_windows("plain", since=START, until=NOW).value[0]
    assert (plain_day.f1, plain_day.windows) == (None, 2)


def test_watch_windows_come_once_in_order_and_never_from_the_future(warehouse):
    """Every version is there, so that a window of another one can be seen and left out by name."""
    windows = warehouse.watch_windows("m", since=NOW - 4 * HOUR, until=NOW).value
    assert [(w.window_start, w.version, w.tp) for w in windows] == [
        (NOW - 3 * HOUR, "v1", 6),
        (NOW - 2 * HOUR, "v1", 8),
        (NOW - HOUR, "v1", None),
        (NOW - HOUR, "v2", 8),
    ]
    assert windows[3].latency_p99_seconds is None
    assert windows[0].recorded_at == NOW - HOUR  # written again: the later row counts, and tells when it was written
    assert warehouse.watch_windows("m", since=NOW - HOUR / 2, until=NOW).value == ()


def test_versions_seen_before(warehouse):
    """Promotions and windows both count as seen."""
    assert warehouse.versions_seen_before("m", before=NOW - HOUR).value == ("v1", "v0")
    assert set(warehouse.versions_seen_before("m", before=NOW).value) == {"v0", "v1", "v2"}
    assert warehouse.versions_seen_before("m", before=START).value == ()


def test_sample_rows_are_feature_values_that_json_can_hold(warehouse):
    """No id, no time, no label; NaN and NULL are null; the same seed draws the same rows and another draws others."""
    drawn = warehouse.sample_rows(400, since=NOW - 60 * WEEK, until=NOW).value
    assert len(drawn) == 400
    assert set(drawn[0]) == {"delay", "hour", "dist", "temp", "carrier", "empty", "flag"}
    assert json.loads(json.dumps(drawn, allow_nan=False)) == list(drawn)
    assert any(row["dist"] is None for row in drawn)
    again = [warehouse.sample_rows(400, since=NOW - 60 * WEEK, until=NOW, seed=seed).value for seed in (0, 1)]
    assert again[0] == drawn != again[1]
    assert len(warehouse.sample_rows(400, since=NOW - timedelta(days=2), until=NOW).value) < 400


def test_evidence_says_where_a_figure_came_from(warehouse):
    """The hash of the text that was sent, of what came back, the warehouse's own id, and the run's instant."""
    answer = warehouse.quality(now=NOW)
    (evidence,) = answer.evidence
    text = render(load("quality"), {**warehouse._asker.tables, **warehouse._asker.columns})
    assert evidence.sql_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (evidence.source, evidence.at, evidence.rows) == ("warehouse", NOW, 3)
    assert re.fullmatch(r"[0-9a-f-]{36}", evidence.query_id)
    assert evidence.result_sha256 == warehouse.quality(now=NOW).evidence[0].result_sha256
    assert evidence.result_sha256 != warehouse.quality(now=NOW, hours=25).evidence[0].result_sha256
    assert evidence.note.startswith("quality(2013-06-30")


def test_values_are_bound_and_the_statement_is_tagged(warehouse, arguments):
    """The server binds; the tag names the run and the entry, and changes with it."""
    warehouse.at_entry(12)
    warehouse.find_incident("it's; --")
    newest = seen(arguments)
    assert newest["bindings"] == {"1": {"type": "TEXT", "value": "it's; --"}}
    assert "it's" not in newest["sqlText"]
    assert json.loads(newest["parameters"]["QUERY_TAG"]) == {"entry": 12, "run": "r1"}
    warehouse.at_entry(None)


def test_questions_asked_together_answer_under_their_names(arguments):
    """Independent questions run at the same time, and an error among them is not lost."""
    with opened(arguments) as held:
        asked = {str(hours): lambda hours=hours: held.quality(now=NOW, hours=hours) for hours in (1, 2, 3, 4, 24, 25)}
        answers = held.together(asked)
        assert [sum(answers[name].value.values()) for name in asked] == [1, 2, 3, 4, 5, 6]
        with pytest.raises(ZeroDivisionError):
            held.together({"fine": lambda: held.quality(now=NOW), "bad": lambda: 1 / 0})


def test_a_naive_instant_is_refused(warehouse):
    """A timestamp without an offset could be anybody's."""
    with pytest.raises(ValueError, match="offset"):
        warehouse.quality(now=datetime(2013, 1, 1))


def test_features_are_every_other_column_or_those_of_the_settings(warehouse, arguments):
    """Discovered names are lower case; the settings' spelling is kept; boolean and text are text."""
    found = warehouse.features()
    assert [(feature.name, feature.column) for feature in found][:2] == [("delay", "DELAY"), ("hour", "HOUR")]
    assert {feature.name for feature in found if feature.kind == "text"} == {"carrier"}
    with opened(arguments, features=["Carrier", "DELAY"]) as chosen:
        assert [(feature.name, feature.column) for feature in chosen.features()] == [
            ("Carrier", "CARRIER"),
            ("DELAY", "DELAY"),
        ]


def test_a_table_may_be_named_in_full(arguments):
    """database.schema.table works wherever a table is asked."""
    names = {**TABLES, "data_quality": "RETRAIN.PUBLIC.DATA_QUALITY"}
    with opened(arguments, tables=names, columns={**COLUMNS, "label": "label"}) as held:
        held.check()
        assert held.quality(now=NOW).value["healthy"] == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_not_a_number_is_missing(value):
    """NaN and infinities become None at the door."""
    assert plain(value) is None


def test_rows_hash_alike_whatever_the_order_of_names():
    """The canonical form sorts names and writes timestamps in ISO 8601."""
    assert digest([{"a": 1, "b": NOW}]) == digest([{"b": NOW, "a": 1}]) != digest([{"a": 2, "b": NOW}])


def aware(stamp):
    return stamp.replace(tzinfo=NOW.tzinfo)


def naive(instant):
    return instant.replace(tzinfo=None)
