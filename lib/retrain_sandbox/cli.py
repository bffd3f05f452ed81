"""``retrain sandbox …``: up, down, status, reset, scenario."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from retrain.errors import RetrainError
from retrain_sandbox import lifecycle, state
from retrain_sandbox.servers import Progress
from retrain_sandbox.world import World

__all__ = ["app"]

T = TypeVar("T")

app = typer.Typer(
    name="sandbox",
    help="The embedded default: a local warehouse and a local mlmonitoring service. A sandbox, never production.",
    no_args_is_help=True,
)
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where the sandbox lives. Default: $RETRAIN_SANDBOX, else .sandbox in the project."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def up(home: Home = None, as_json: Json = False) -> None:
    """Start the warehouse and the mlmonitoring service; the first time, build the data and the default scenario."""
    _show_world(_work(lambda place, say: lifecycle.up(place, progress=say), home, quiet=as_json), as_json)


@app.command()
def down(home: Home = None) -> None:
    """Stop both; what they keep stays on disk."""
    stopped = _work(lambda place, _: lifecycle.down(place), home)
    typer.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def status(home: Home = None, as_json: Json = False) -> None:
    """Tell what runs, on which ports, in which scenario, and the sandbox's time."""
    found = _work(lambda place, _: lifecycle.status(place), home, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(_lines(found))


@app.command()
def reset(home: Home = None) -> None:
    """Stop the sandbox and throw its world away; the cache (data, trained models) stays."""
    gone = _work(lambda place, _: lifecycle.reset(place), home)
    typer.echo(f"deleted: {', '.join(gone)}" if gone else "there was nothing to delete")


@app.command()
def scenario(
    name: Annotated[str, typer.Argument(help="Such as f1_drop, healthy, open_p1.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put the world in a known state, in seconds. It becomes a world of its own, with its own model name."""
    changed = _work(lambda place, say: lifecycle.apply_scenario(place, name, progress=say), home, quiet=as_json)
    _show_world(changed, as_json)


def _work(act: Callable[[Path, Progress], T], home: Path | None, *, quiet: bool = False) -> T:
    """Run ``act`` with the home and a way to tell progress; an error becomes one line and its exit code."""
    place = (home or state.default_home()).expanduser().resolve()
    console = Console(stderr=True)
    try:
        if quiet or not console.is_terminal:
            return act(place, lambda _: None)
        with console.status("[bold]sandbox[/bold]") as spinner:
            return act(place, lambda text: spinner.update(f"[bold]sandbox[/bold] {text} …"))
    except RetrainError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error


def _show_world(world: World, as_json: bool) -> None:
    found = lifecycle.status(world.home)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(_lines(found))


def _lines(found: dict[str, Any]) -> dict[str, str]:
    def process(one: dict[str, Any] | None) -> str:
        if not one:
            return "never started"
        return f"http://{state.HOST}:{one['port']} (pid {one['pid']})" if one["running"] else "stopped"

    clock = f"{found['now'][:19]}Z, {found['rate']:g} sandbox seconds a second" if found["now"] else "-"
    return {
        "sandbox": "up" if found["up"] else "down",
        "home": found["home"],
        "scenario": found["scenario"] or "-",
        "model": found["model"] or "-",
        "time": clock,
        "warehouse": process(found["warehouse"]),
        "mlmonitoring": process(found["service"]),
    }


def _show(lines: dict[str, str]) -> None:
    if not sys.stdout.isatty():
        for name, text in lines.items():
            typer.echo(f"{name}: {text}")
        return
    table = Table(show_header=False, box=None, title="Sandbox: not production", title_justify="left")
    for name, text in lines.items():
        table.add_row(f"[bold]{name}[/bold]", text)
    Console().print(table)


if __name__ == "__main__":
    app()
