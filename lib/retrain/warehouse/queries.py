"""Every question that the sections ask of the warehouse: a method and an SQL file each.

Windows of time are half open, (since, until], save for data quality, which is closed as the runbook writes it. No
answer grows with a table: what is not an aggregate has a limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from retrain.clock import Clock
from retrain.facts import BestEver, FeatureDrift, Incident, Metrics, Window
from retrain.warehouse.answers import (
    Answer,
    F1Day,
    F1Since,
    Feature,
    NewSamples,
    Production,
    QualityCheck,
    QualityRun,
)
from retrain.warehouse.asker import Asker, ntz
from retrain.warehouse.connection import Connections
from retrain.warehouse.drift import Profile, WeeklyDrift, drift_of, history_of, profile_of
from retrain.warehouse.statements import Sql, quoted, render
from retrain.warehouse.together import begin, ended

__all__ = ["Warehouse"]

_MOST_ROWS = 1_000
_MOST_WINDOWS = 10_000

T = TypeVar("T")


class Warehouse:
    """A warehouse with the four tables of the runbook. Opened on the first question; close it, or use ``with``.

    ``connect_arguments`` are the connector's; ``tables`` and ``columns`` are the settings' names for them;
    ``features`` of None means every other column of TRANSACTIONS. Every method raises UsageError where the
    connection, a table or a column is wrong and WarehouseError where a query fails.
    """

    def __init__(
        self,
        connect_arguments: Mapping[str, Any],
        *,
        database: str,
        schema: str,
        tables: Mapping[str, str],
        columns: Mapping[str, str],
        features: Sequence[str] | None,
        clock: Clock,
        run_id: str = "",
        statement_timeout_seconds: int = 300,
        network_timeout_seconds: int = 60,
    ) -> None:
        """Check the names; connect to nothing yet."""
        arguments = {"network_timeout": network_timeout_seconds, **connect_arguments}
        arguments |= {"database": database, "schema": schema}
        self._connections = Connections(arguments, statement_timeout_seconds=statement_timeout_seconds)
        self._asker = Asker(
            self._connections,
            tables=tables,
            columns=columns,
            features=features,
            clock=clock,
            place=f"{database}.{schema}",
            timeout_seconds=statement_timeout_seconds,
        )
        self._run_id = run_id
        self._begun: dict[str, Future[Any]] = {}
        self.at_entry(None)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        self.close()

    def close(self) -> None:
        """Close every connection; the next question opens one again."""
        self._connections.close()

    def at_entry(self, number: int | None) -> None:
        """Tag the queries from here on with the run and this number of the record's entry."""
        self._asker.tag = {"run": self._run_id, "entry": number}

    def together(self, calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Ask independent questions at the same time, at most four, each on a connection of its own.

        Returns the answers under the names of ``calls``. The first error is raised once all have come to an end; what
        failed beside it is told in its notes.
        """
        return ended(self._begin(calls))

    def ahead(self, calls: Mapping[str, Callable[[], Any]]) -> None:
        """Begin to ask what a later step wants, and return at once: ``taken`` waits for it under its name."""
        self._begun |= self._begin(calls)

    def taken(self, name: str, call: Callable[[], T]) -> T:
        """Return what was begun under ``name``, once; asked again, or never begun, it is asked now."""
        begun = self._begun.pop(name, None)
        answer: T = call() if begun is None else begun.result()
        return answer

    def _begin(self, calls: Mapping[str, Callable[[], Any]]) -> dict[str, Future[Any]]:
        return begin({name: self._asker.as_now(call) for name, call in calls.items()})

    def check(self) -> None:
        """Raise UsageError unless all four tables are there with every column that the queries read."""
        self.together({table: partial(self._asker.require, table) for table in self._asker.tables})
        self._asker.features()

    def features(self) -> tuple[Feature, ...]:
        """Return the columns that the model reads."""
        return self._asker.features()

    def new_samples(self, *, since: datetime, until: datetime) -> Answer[NewSamples]:
        """Count the rows since the last training's watermark, labelled and all."""
        rows, evidence = self._asker.ask("new_samples", [ntz(since), ntz(until)])
        return Answer(NewSamples(**rows[0]), (evidence,))

    def class_balance(self, *, since: datetime, until: datetime) -> Answer[dict[str, int]]:
        """Count labelled rows by class, the class as text."""
        rows, evidence = self._asker.ask("class_balance", [ntz(since), ntz(until)])
        return Answer({str(row["class"]): row["samples"] for row in rows}, (evidence,))

    def quality(self, *, now: datetime, hours: float = 24) -> Answer[dict[str, int]]:
        """Count the data-quality runs of the last hours by status; NULL is "(null)", no runs an empty mapping."""
        rows, evidence = self._asker.ask("quality", [ntz(now - timedelta(hours=hours)), ntz(now)])
        counts: dict[str, int] = {}
        for row in rows:
            status = "(null)" if row["status"] is None else row["status"]
            counts[status] = counts.get(status, 0) + row["runs"]
        return Answer(counts, (evidence,))

    def quality_history(
        self, *, since: datetime, until: datetime, fine: Sequence[str] = ("healthy",), limit: int = 200
    ) -> Answer[tuple[QualityRun, ...]]:
        """Return the newest data-quality runs that did not end in a status of ``fine``."""
        binds = [ntz(since), ntz(until), json.dumps(list(fine)), limit]
        rows, evidence = self._asker.ask("quality_history", binds)
        return Answer(tuple(QualityRun(**row) for row in rows), (evidence,))

    def quality_by_check(self, *, since: datetime, until: datetime) -> Answer[tuple[QualityCheck, ...]]:
        """Count data-quality runs by check and status."""
        rows, evidence = self._asker.ask("quality_by_check", [ntz(since), ntz(until), _MOST_ROWS])
        return Answer(tuple(QualityCheck(**row) for row in rows), (evidence,))

    def open_incidents(self, severities: Sequence[str]) -> Answer[tuple[Incident, ...]]:
        """Return the open incidents of these severities and those without any, which is empty then; oldest first."""
        wanted = json.dumps([severity.strip().upper() for severity in severities])
        rows, evidence = self._asker.ask("open_incidents", [wanted, _MOST_ROWS])
        return Answer(tuple(_incident(row) for row in rows), (evidence,))

    def find_incident(self, incident_id: str) -> Answer[Incident | None]:
        """Return the incident of this id, open or closed, or None."""
        rows, evidence = self._asker.ask("find_incident", [incident_id])
        return Answer(_incident(rows[0]) if rows else None, (evidence,))

    def open_incident(
        self, incident_id: str, *, opened_at: datetime, severity: str, title: str, details: str, opened_by: str
    ) -> Answer[bool]:
        """Insert an open incident unless its id is there already; True where a row was inserted.

        Changes the warehouse: an effect, to be sent under an intent.
        """
        binds = [incident_id, ntz(opened_at), severity, title, details, opened_by, incident_id]
        rows, evidence = self._asker.ask("open_incident", binds)
        return Answer(bool(rows) and next(iter(rows[0].values())) == 1, (evidence,))

    def production(self, model: str) -> Answer[Production | None]:
        """Return the newest promotion of ``model``, or None where nothing was ever promoted."""
        rows, evidence = self._asker.ask("production", [model])
        return Answer(_production(rows[0]) if rows else None, (evidence,))

    def best_promotions(self, model: str, *, until: datetime) -> Answer[BestEver]:
        """Return the best figures that any version of ``model`` promoted until an instant had at its gate."""
        rows, evidence = self._asker.ask("best_promotions", [model, ntz(until)])
        return Answer(BestEver(**rows[0]), (evidence,))

    def f1_since(self, model: str, *, version: str, since: datetime, until: datetime) -> Answer[F1Since]:
        """Return F1 over the labelled traffic of one version, from summed counts."""
        rows, evidence = self._asker.ask("f1_since", [model, version, ntz(since), ntz(until)])
        return Answer(_f1_since(rows[0]), (evidence,))

    def f1_windows(self, model: str, *, since: datetime, until: datetime) -> Answer[tuple[F1Day, ...]]:
        """Return F1 by day and version, in order of time."""
        rows, evidence = self._asker.ask("f1_windows", [model, ntz(since), ntz(until), _MOST_ROWS])
        return Answer(tuple(_f1_day(row) for row in rows), (evidence,))

    def watch_windows(self, model: str, *, since: datetime, until: datetime) -> Answer[tuple[Window, ...]]:
        """Return the windows of every version that end in (since, until], each once, in order of time."""
        rows, evidence = self._asker.ask("watch_windows", [model, ntz(since), ntz(until), _MOST_WINDOWS])
        return Answer(tuple(Window(version=row.pop("model_version"), **row) for row in rows), (evidence,))

    def versions_seen_before(self, model: str, *, before: datetime) -> Answer[tuple[str, ...]]:
        """Return the versions that had metrics before an instant, newest first."""
        rows, evidence = self._asker.ask("versions_seen_before", [model, ntz(before), _MOST_ROWS])
        return Answer(tuple(row["model_version"] for row in rows), (evidence,))

    def sample_rows(
        self, count: int, *, since: datetime, until: datetime, seed: int = 0
    ) -> Answer[tuple[dict[str, Any], ...]]:
        """Draw ``count`` rows of the window, feature values only; the same window and seed draw the same rows."""
        features = self._asker.features()
        names = [f"f{index}" for index in range(len(features))]
        columns = [
            render("{column} AS {alias}", {"column": quoted(feature.column), "alias": Sql(alias)})
            for feature, alias in zip(features, names, strict=True)
        ]
        binds = [ntz(since), ntz(until), str(seed), count]
        rows, evidence = self._asker.ask("sample_rows", binds, names={"features": columns})
        drawn = tuple(
            {feature.name: row[alias] for feature, alias in zip(features, names, strict=True)} for row in rows
        )
        return Answer(drawn, (evidence,))

    def reference_profile(self, *, reference_start: datetime, reference_end: datetime) -> Answer[Profile]:
        """Return the frozen edges and counts of every feature in the reference window, to keep with production."""
        return profile_of(self._asker, self.together, since=reference_start, until=reference_end)

    def drift(self, profile: Profile, *, since: datetime, until: datetime) -> Answer[tuple[FeatureDrift, ...]]:
        """Return the PSI of every feature of ``profile`` against the window, in one scan of it."""
        return drift_of(self._asker, profile, since=since, until=until)

    def drift_history(self, profile: Profile, *, since: datetime, until: datetime) -> Answer[tuple[WeeklyDrift, ...]]:
        """Return the PSI of every feature for each seven days counted back from ``until``, oldest first."""
        return history_of(self._asker, profile, since=since, until=until)


def _incident(row: Mapping[str, Any]) -> Incident:
    return Incident(
        incident_id=row["incident_id"] or "(null)",
        severity=row["severity"] or "",
        title=row["title"] or "",
        opened_at=row["opened_at"],
    )


def _production(row: Mapping[str, Any]) -> Production:
    figures = ("f1", "precision", "recall", "auc_roc", "latency_p99_seconds", "tp", "fp", "fn", "tn")
    return Production(
        metrics=Metrics(version=row["model_version"], **{name: row[name] for name in figures}),
        labels=row["labels"],
        promoted_at=row["recorded_at"],
        trained_at=row["trained_at"],
        reference_start=row["reference_start"],
        reference_end=row["reference_end"],
    )


def _f1(tp: int | None, fp: int | None, fn: int | None) -> float | None:
    if tp is None or fp is None or fn is None or 2 * tp + fp + fn == 0:
        return None
    return 2 * tp / (2 * tp + fp + fn)


def _f1_since(row: Mapping[str, Any]) -> F1Since:
    windows, counted = row["windows"], row["windows_counted"]
    if not counted:
        note = "no windows" if not windows else f"none of {windows} windows has counts: F1 is the newest window's own"
        return F1Since(f1=row["newest_f1"], labels=row["newest_labels"] or 0, windows=windows, note=note)
    counts = {name: row[name] for name in ("tp", "fp", "fn", "tn")}
    f1 = _f1(counts["tp"], counts["fp"], counts["fn"])
    left_out = f"{windows - counted} of {windows} windows have no counts and are left out" if counted < windows else ""
    note = left_out if f1 is not None else "no true or predicted positives, so F1 is not defined"
    return F1Since(f1=f1, labels=row["labels"] or 0, windows=windows, windows_counted=counted, note=note, **counts)


def _f1_day(row: Mapping[str, Any]) -> F1Day:
    counted = row["windows_counted"] > 0
    return F1Day(
        day=row["day"],
        version=row["model_version"],
        f1=_f1(row["tp"], row["fp"], row["fn"]) if counted else row["only_f1"],
        labels=row["labels"],
        windows=row["windows"],
        requests=row["requests"],
        slow_requests=row["slow_requests"],
    )
