"""What only shows something starts lean: neither the stack nor what runs notebooks is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.synthetic import write_runs

HEAVY = {
    "IPython",
    "jupyter_client",
    "matplotlib",
    "nbclient",
    "nbformat",
    "numpy",
    "pandas",
    "papermill",
    "pyarrow",
    "retrain_sandbox",
    "scipy",
    "scrapbook",
    "snowflake",
    "zmq",
}
RUN = """
import sys
sys.argv[0] = "retrain"
from retrain.cli import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported(*arguments: str) -> tuple[str, set[str]]:
    """Run a command in a process of its own; return what it printed and the packages it imported."""
    told = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True)
    return told.stdout, set(told.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("runs", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """Help needs no model of anything; for a command's own help, typer takes pydantic along."""
    shown, packages = imported(*arguments)
    assert "Usage: retrain" in shown
    assert packages & (HEAVY if len(arguments) > 1 else HEAVY | {"pydantic"}) == set()


def test_help_names_the_sandbox_without_importing_it() -> None:
    """Its commands are mounted when they are asked for; both say the same of it."""
    about = "The embedded default: a warehouse and a service."
    assert f"sandbox   {about}" in imported("--help")[0]
    shown, packages = imported("sandbox", "--help")
    assert about in shown
    assert all(command in shown for command in ("up", "down", "status", "reset", "scenario"))
    assert "retrain_sandbox" in packages


def test_listing_runs_imports_nothing_heavy(tmp_path: Path) -> None:
    """Also where there are runs to be read."""
    write_runs(tmp_path, 2)
    shown, packages = imported("runs", "--records", str(tmp_path))
    assert shown.count("no_action") == 2
    assert packages & HEAVY == set()
