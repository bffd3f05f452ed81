"""The commands that run the runbook, list its runs and show one; the other groups are mounted here too.

Thin: a command reads arguments, calls the library, prints, and exits with its code.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrain.commands import hindsight
from retrain.commands import record as record_commands
from retrain.errors import UsageError

if TYPE_CHECKING:
    from retrain.record.decision import Decision
    from retrain.settings import Settings

__all__ = ["app", "mount_sandbox", "print_json"]

app = typer.Typer(
    name="retrain",
    help="The runbook that runs itself: retrain a model, or say why not.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_SANDBOX = "The embedded default: a warehouse and a service."

Environment = Annotated[
    str | None, typer.Option("--environment", "-e", help="A file in parameters/, without .yaml; sandbox by default.")
]
Parameters = Annotated[Path | None, typer.Option("--parameters", help="Another parameters file.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One parameter.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Records = Annotated[Path | None, typer.Option("--records", help="The folder that holds the records.")]


@app.command()
def run(
    environment: Environment = None,
    parameters: Parameters = None,
    assignments: Assignments = None,
    reason: Annotated[str, typer.Option("--reason", help="Retrain because the team decided to; say why.")] = "",
    priority: Annotated[str, typer.Option("--priority", help="Of a manual request: high, normal or low.")] = "",
    resume: Annotated[str, typer.Option("--resume", metavar="RUN", help="Go on with a run that died or waits.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run the whole runbook once: check the triggers and, if one is met, everything after."""
    request = _request(reason, priority)
    settings = _settings(environment, parameters, assignments)
    from retrain import runner
    from retrain.console import Progress

    with Progress(quiet=as_json) as progress:
        if resume:
            decision = runner.resume(_find(resume, settings, None), listener=progress)
        else:
            decision = runner.run(settings, request=request, listener=progress)
    _tell(decision, as_json=as_json)


@app.command()
def step(
    section: Annotated[str, typer.Argument(help="A section, by name or number: prerequisites, 02.")],
    run_id: Annotated[str, typer.Option("--run", help="The run to join; a new one without.")] = "",
    environment: Environment = None,
    parameters: Parameters = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Run one section, in a run that is there or in one of its own."""
    from retrain import runbook, runner
    from retrain.console import Progress

    runbook.section(section)
    settings = _settings(environment, parameters, assignments)
    folder = _find(run_id, settings, None) if run_id else None
    with Progress(quiet=as_json) as progress:
        decision = runner.step(settings, section, folder=folder, listener=progress)
    _tell(decision, as_json=as_json, code=0)


@app.command()
def rollback(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run whose swap is to be undone, or 'latest'.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the record.")],
    environment: Environment = None,
    parameters: Parameters = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Put the version back that served before a run's swap: once, and seen to serve. CHANGES PRODUCTION."""
    from retrain import runner
    from retrain.console import Progress

    settings = _settings(environment, parameters, assignments)
    folder = _find(run_id, settings, None)
    with Progress(quiet=as_json) as progress:
        decision = runner.roll_back(settings, folder, reason=reason, listener=progress)
    _tell(decision, as_json=as_json, code=0 if decision.outcome == "rolled_back" else None)


@app.command("runs")
def list_runs(
    environment: Environment = None,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    records_folder: Records = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first."""
    from retrain.commands.listing import print_runs
    from retrain.record import records
    from retrain.record.briefs import brief
    from retrain.settings.places import records_folder as plainly_named

    root = records_folder or plainly_named(environment) or _records_root(_settings(environment, None, None))
    told = [brief(folder) for folder in records.runs(root, model, reader=json.loads)]  # `verify` proves, a list tells
    if as_json:
        print_json([asdict(run) for run in told])
    else:
        print_runs(told, root)


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or 'latest'.")] = "latest",
    environment: Environment = None,
    records_folder: Records = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run decided, as its record tells it."""
    from retrain.record import decision

    folder = _find(run_id, _settings(environment, None, None), records_folder)
    _tell(decision.read(folder), as_json=as_json, code=0)


app.add_typer(hindsight.app)
record_commands.mount(app)


def mount_sandbox(asked: str) -> None:
    """Mount `retrain sandbox …` when it is asked for; for help its name will do: its imports are not free."""
    if asked == "sandbox":
        from retrain import sandbox

        app.add_typer(sandbox.commands(), name=asked, help=_SANDBOX)
    elif asked == "--help":
        app.add_typer(typer.Typer(), name="sandbox", help=_SANDBOX)


def _settings(environment: str | None, parameters: Path | None, assignments: list[str] | None) -> Settings:
    from retrain.settings import load

    return load(environment, file=parameters, assignments=assignments or ())


def _request(reason: str, priority: str) -> Any:
    from pydantic import ValidationError

    from retrain.facts import Request
    from retrain.record.provenance import actor

    if not reason.strip():
        if priority:
            raise UsageError("--priority belongs to a manual request: say --reason too")
        return None
    try:
        return Request(reason=reason.strip(), priority=priority.lower() or "normal", by=actor())
    except ValidationError as wrong:
        raise UsageError(f"--priority {priority!r}: say high, normal or low") from wrong


def _records_root(settings: Settings) -> str | Path:
    from retrain.record.opening import records_root

    return records_root(settings)


def _find(run_id: str, settings: Settings, records_folder: Path | None) -> Any:
    from retrain.record import records

    return records.find(records_folder or _records_root(settings), run_id)


def _tell(decision: Decision, *, as_json: bool, code: int | None = None) -> None:
    from retrain.console import print_decision

    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        print_decision(decision)
    raise typer.Exit(decision.exit_code if code is None else code)


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
