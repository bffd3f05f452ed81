"""PSI where the rows are, against PSI of rows that were pulled: ``python tests/benchmarks/bench_psi.py [--rows N]``.

The sandbox's flights, copied with jitter until there are N rows, in the local warehouse. Production's profile is frozen
before. *Ours* is the library's check: one statement, one row back. *Pulled* fetches the eight columns of the same
window into pandas (in Arrow batches, the connector's fastest way) and counts with numpy in the same frozen bins. Each
is a process of its own, so that its peak memory is its own, and both have to come to the same numbers. Evidently takes
part, once, where it can be imported or ``--evidently`` (or EVIDENTLY) names an interpreter that can: the same rows
pulled, in its own bins.

Memory is the peak of the whole client process, imports and all; beside it, what the question takes beyond the imports,
which a warm kernel shares with its parent. Each side imports what it needs: ours neither pandas nor pyarrow.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sides import Report, Row, in_turns, parser, print_report

FEATURES = (
    *("departure_delay_minutes", "air_time_minutes", "scheduled_block_minutes", "distance_miles"),
    *("temperature_f", "pressure_mb", "wind_speed_mph", "humidity_percent"),
)
YEAR = datetime(2013, 1, 1, tzinfo=UTC)
REFERENCE = {"reference_start": YEAR - timedelta(days=366), "reference_end": YEAR}
WINDOW = {"since": YEAR, "until": YEAR + timedelta(days=366)}
TABLES = {name: name.upper() for name in ("transactions", "data_quality", "incidents", "model_metrics")}
COLUMNS = {name: name.upper() for name in ("ingestion_timestamp", "label", "transaction_id")}
SERVER = Path(__file__).parents[1] / "warehouse" / "serve.py"
REST = "transaction_id AS TRANSACTION_ID, label AS LABEL"
SAME = 1e-9
FULL = 10_000_000


def write_rows(folder: Path, rows: int) -> None:
    """Write TRANSACTIONS: the year before as the reference, once; then ``rows`` of the year, jittered copies of it."""
    import duckdb

    from retrain_sandbox.cache import transactions_parquet

    cache = Path(os.environ.get("RETRAIN_SANDBOX_CACHE") or folder / "cache")
    with duckdb.connect() as duck:
        duck.execute("SELECT setseed(0.2013)").fetchall()
        duck.read_parquet(str(transactions_parquet(cache))).create_view("flights")
        flights = duck.execute(f"SELECT count(*), {_each('stddev({0})')} FROM flights")  # noqa: S608 - names from above
        count, *spreads = flights.fetchall()[0]
        jitter = {
            name: f"{name} + (random() - 0.5) * {spread / 20} AS {name.upper()}"
            for name, spread in zip(FEATURES, spreads, strict=True)
        }
        earlier = "ingestion_timestamp - INTERVAL 365 DAY AS INGESTION_TIMESTAMP"
        before = f"SELECT {earlier}, {_each('{0} AS {1}')}, {REST} FROM flights"  # noqa: S608 - likewise
        copies = f"FROM flights, range({-(-rows // count)}) LIMIT {rows}"
        during = f"SELECT ingestion_timestamp AS INGESTION_TIMESTAMP, {', '.join(jitter.values())}, {REST} {copies}"
        duck.execute(f"COPY ({before} UNION ALL ({during})) TO '{folder / 'TRANSACTIONS.parquet'}'")


def _each(template: str) -> str:
    return ", ".join(template.format(name, name.upper()) for name in FEATURES)


@contextmanager
def served(folder: Path) -> Iterator[dict[str, Any]]:
    """The tests' warehouse over the rows in ``folder``; yields what the connector needs to log in."""
    command = [sys.executable, str(SERVER), str(folder)]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        port = server.stdout.readline()
        try:
            assert port, "the warehouse did not start"
            where = {"account": "sandbox", "host": "127.0.0.1", "port": int(port), "protocol": "http"}
            yield {**where, "user": "somebody", "password": "secret"}
        finally:
            server.terminate()


@contextmanager
def warehouse(login: dict[str, Any]) -> Iterator[Any]:
    """The library's warehouse."""
    from retrain.clock import EnvironmentClock
    from retrain.warehouse import Warehouse

    named = {"database": "RETRAIN", "schema": "PUBLIC", "tables": TABLES, "columns": COLUMNS, "features": FEATURES}
    with Warehouse(login, **named, clock=EnvironmentClock(), run_id="bench") as opened:
        yield opened


def ours(login: dict[str, Any], profile: str) -> dict[str, float]:
    """Ask for the drift of the window."""
    from retrain.warehouse import Profile

    with warehouse(login) as opened:
        found = opened.drift(Profile.model_validate_json(Path(profile).read_text()), **WINDOW).value
    return {drift.feature: drift.psi for drift in found}


def pulled_rows(login: dict[str, Any], window: dict[str, datetime]) -> Any:
    """Fetch the columns of a window (since, until] into pandas."""
    import snowflake.connector

    stamps = [instant.replace(tzinfo=None).isoformat(" ") for instant in window.values()]
    where = "ingestion_timestamp > '{}' AND ingestion_timestamp <= '{}'".format(*stamps)
    query = f"SELECT {', '.join(FEATURES)} FROM TRANSACTIONS WHERE {where}"  # noqa: S608 - names and dates of this file
    with snowflake.connector.connect(**login, database="RETRAIN", schema="PUBLIC") as connection:
        return connection.cursor().execute(query).fetch_pandas_all()


def pulled(login: dict[str, Any], profile: str) -> dict[str, float]:
    """Pull the rows and count them with numpy."""
    import numpy

    frame = pulled_rows(login, WINDOW)
    told = {}
    for one in json.loads(Path(profile).read_text())["features"]:
        name, edges = one["feature"]["name"], one["edges"]
        values = frame[name.upper()].to_numpy(dtype=float)
        known = values[~numpy.isnan(values)]
        counts = numpy.bincount(numpy.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
        sides = [numpy.asarray(one["counts"]), numpy.append(counts, len(values) - len(known))]
        p, q = ((side + 0.5) / (side.sum() + 0.5 * len(side)) for side in sides)
        told[name] = float(numpy.sum((p - q) * numpy.log(p / q)))
    return told


def evidently(login: dict[str, Any], profile: str) -> dict[str, float]:
    """Pull the rows of both windows and ask Evidently, which keeps no profile and chooses bins of equal width."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [name.upper() for name in FEATURES]
    definition = DataDefinition(numerical_columns=columns)
    current, reference = (
        Dataset.from_pandas(pulled_rows(login, window), data_definition=definition) for window in (WINDOW, REFERENCE)
    )
    told = Report([DataDriftPreset(columns=columns, num_method="psi")]).run(current, reference).dict()["metrics"]
    values = {metric["config"]["column"]: metric["value"] for metric in told if "column" in metric.get("config", {})}
    return {name: float(values[name.upper()]) for name in FEATURES}


SIDES: dict[str, Callable[[dict[str, Any], str], dict[str, float]]] = {
    "ours": ours,
    "pulled": pulled,
    "evidently": evidently,
}
IMPORTS = {
    "ours": ("retrain.warehouse", "retrain.warehouse.driver"),
    "pulled": ("numpy", "pandas", "snowflake.connector"),
    "evidently": ("pandas", "snowflake.connector", "evidently", "evidently.presets"),
}


def inside(side: str, login: str, profile: str) -> None:
    """Measure one side here, and print seconds, megabytes at the peak, and the figures."""
    for name in IMPORTS[side]:
        importlib.import_module(name)  # as in a warm kernel, they are there before anything is asked
    gc.collect()
    whole = _megabytes("VmHWM")
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is this question's
    before, started = _megabytes("VmRSS"), time.perf_counter()
    told = SIDES[side](json.loads(login), profile)
    seconds, peak = time.perf_counter() - started, _megabytes("VmHWM")
    found = {"seconds": seconds, "megabytes": max(whole, peak), "more": peak - before, "psi": told}
    print(json.dumps(found))  # noqa: T201


def _megabytes(name: str) -> float:
    """One line of this process's status in megabytes; not a number where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), float("nan"))


def asked(side: str, login: dict[str, Any], profile: Path, python: str = sys.executable) -> dict[str, Any]:
    """Measure one side in a process of its own."""
    command = [python, __file__, "--inside", side, json.dumps(login), str(profile)]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-3000:]
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def compare(count: int, rounds: int, evidently_python: str | None) -> Report:
    """Measure all sides in turns."""
    with tempfile.TemporaryDirectory(prefix="psi-") as name:
        folder = Path(name)
        write_rows(folder, count)
        with served(folder) as login:
            profile = folder / "profile.json"
            with warehouse(login) as opened:
                profile.write_text(opened.reference_profile(**REFERENCE).value.model_dump_json())
            sides = {side: partial(asked, side, login, profile) for side in ("ours", "pulled")}
            found = in_turns(sides, rounds)
            if evidently_python:  # once: it takes minutes
                found["evidently"] = [asked("evidently", login, profile, evidently_python)]
    return Report(f"PSI of {len(FEATURES)} features, {count:,} rows", tuple(rows(found, count)), tuple(remarks(found)))


def rows(found: dict[str, list[dict[str, Any]]], count: int) -> Iterator[Row]:
    """Time and memory, side by side; the bars are the project's at ten million rows."""
    what = f"PSI of {len(FEATURES)} features, {count:,} rows"
    opponents = {"pulled": "rows pulled into pandas, same PSI", "evidently": "rows pulled into pandas, Evidently"}
    full = count >= FULL
    for side, against in opponents.items():
        if side not in found:
            continue

        def both(what: str, side: str = side) -> tuple[list[float], list[float]]:
            return [each[what] for each in found["ours"]], [each[what] for each in found[side]]

        yield Row(what, against, *both("seconds"), at_least=10 if full else None)
        if all(each["more"] == each["more"] for each in found["ours"]):
            whole, bar = "the client's memory for it, imports and all", 20 if full else None
            yield Row(whole, against, *both("megabytes"), "MB", at_least=bar)
            yield Row("the same, beyond what the imports take", against, *both("more"), "MB")


def remarks(found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Say how far the figures are apart, and what did not take part."""
    mine, theirs = found["ours"][0]["psi"], found["pulled"][0]["psi"]
    apart = max(abs(mine[name] - theirs[name]) for name in mine)
    assert set(mine) == set(theirs) and apart < SAME, (mine, theirs)
    least, most = min(mine.values()), max(mine.values())
    yield f"The figures of both are the same, within {apart:.1e}; PSI is between {least:.4f} and {most:.4f}."
    if "evidently" in found:
        told = found["evidently"][0]["psi"].values()
        yield f"Evidently's, in its own bins, are between {min(told):.4f} and {max(told):.4f}."
    else:
        yield "Evidently cannot be imported here and did not take part: EVIDENTLY names an interpreter that has it."


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=FULL)
    here = os.environ.get("EVIDENTLY") or (sys.executable if importlib.util.find_spec("evidently") else None)
    arguments.add_argument("--evidently", metavar="PYTHON", default=here, help="an interpreter that has Evidently")
    arguments.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.inside:
        inside(*chosen.inside)
        return
    print_report(compare(chosen.rows, chosen.rounds, chosen.evidently), chosen.json)


if __name__ == "__main__":
    main()
