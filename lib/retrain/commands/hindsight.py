"""`retrain replay | backtest | simulate`: what was decided, what another policy would have done, what to expect."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrain.errors import UsageError

if TYPE_CHECKING:
    from retrain.settings import Settings

__all__ = ["app"]

app = typer.Typer()

Environment = Annotated[str | None, typer.Option("--environment", "-e", help="A file in parameters/, without .yaml.")]
Parameters = Annotated[Path | None, typer.Option("--parameters", help="A parameters file with another policy.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One parameter.")]
Records = Annotated[Path | None, typer.Option("--records", help="The folder that holds the records.")]
Picture = Annotated[Path | None, typer.Option("--picture", help="Write a picture here (PNG).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@app.command()
def replay(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or 'latest'.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every run of the records.")] = False,
    environment: Environment = None,
    records_folder: Records = None,
    as_json: AsJson = False,
) -> None:
    """Decide again from the recorded facts and policy: identical, or the difference is shown (exit 1)."""
    from retrain.hindsight import replay as replaying
    from retrain.hindsight.telling import lines
    from retrain.record import records

    if bool(run_id) == every:
        raise UsageError("say which run to replay, or --all")
    root = _root(records_folder, environment)
    told = replaying.replay_all(root) if every else replaying.replay(records.find(root, run_id))
    _print(told.model_dump(mode="json")) if as_json else sys.stdout.writelines(f"{line}\n" for line in lines(told))
    raise typer.Exit(told.exit_code)


@app.command()
def backtest(
    environment: Environment = None,
    parameters: Parameters = None,
    assignments: Assignments = None,
    since: Annotated[str, typer.Option("--since", help="Only runs from this day on: 2013-06-01.")] = "",
    records_folder: Records = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Hold another policy against all past facts: which decisions flip, and what would have been done."""
    from retrain.hindsight import backtest as testing
    from retrain.hindsight import flipped

    settings = _settings(environment, parameters, assignments)
    found = testing.backtest(_root(records_folder, environment), settings, since=_instant(since))
    if picture:
        picture.write_bytes(flipped.picture(found).png)
    _print(found.model_dump(mode="json")) if as_json else sys.stdout.writelines(
        f"{line}\n" for line in flipped.lines(found)
    )


@app.command()
def simulate(
    environment: Environment = None,
    parameters: Parameters = None,
    assignments: Assignments = None,
    traffic: Annotated[
        list[str] | None,
        typer.Option("--traffic", metavar="NAME=VALUE", help="For example prevalence=0.1."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Simulated runs.")] = 4000,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same figures.")] = 0,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Show what a policy does at your own traffic: false roll backs, minutes to see a drop, false retrainings."""
    from retrain.hindsight import simulated
    from retrain.hindsight.simulate import simulate as simulating

    settings = _settings(environment, parameters, assignments)
    told = simulating(settings, _traffic(traffic or []), seed=seed, runs=runs)
    if picture:
        picture.write_bytes(simulated.picture(told).png)
    _print(told.model_dump(mode="json")) if as_json else simulated.print_simulation(told)


def _settings(environment: str | None, parameters: Path | None, assignments: list[str] | None) -> Settings:
    from retrain.settings import load

    return load(environment, file=parameters, assignments=assignments or ())


def _root(folder: Path | None, environment: str | None) -> str | Path:
    from retrain.record.opening import records_root

    return folder or records_root(_settings(environment, None, None))


def _instant(day: str) -> datetime | None:
    if not day:
        return None
    try:
        told = datetime.fromisoformat(day)
    except ValueError as wrong:
        raise UsageError(f"--since {day!r}: say a day like 2013-06-01, or an instant") from wrong
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def _traffic(told: list[str]) -> Any:
    from pydantic import ValidationError

    from retrain.errors import nearest
    from retrain.hindsight.traffic import Traffic

    given = dict(pair.partition("=")[::2] for pair in told)
    for name in given:
        if name not in Traffic.model_fields:
            known = ", ".join(Traffic.model_fields)
            raise UsageError(f"--traffic {name!r} is not known.{nearest(name, Traffic.model_fields)} Known are {known}")
    try:
        return Traffic.model_validate_strings(given)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the figures together"
        raise UsageError(f"--traffic {where}: {first['msg'].removeprefix('Value error, ')}") from wrong


def _print(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
