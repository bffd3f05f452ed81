"""What only shows something starts lean: neither the stack nor what runs notebooks is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.synthetic import write_runs

ROOT = Path(__file__).parents[1]
HEAVY = {
    "IPython",
    "apprise",
    "boto3",
    "botocore",
    "cryptography",
    "httpx",
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


@pytest.mark.parametrize("named", [True, False])
def test_listing_runs_imports_nothing_heavy(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there are runs to be read, and where the parameters file says where they are."""
    for part in ("notebooks", "parameters"):
        (tmp_path / part).symlink_to(ROOT / part)
    write_runs(tmp_path / "records", 2)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    shown, packages = imported("runs", *(["--records", str(tmp_path / "records")] if named else []))
    assert shown.count("no_action") == 2
    assert packages & (HEAVY | {"securesystemslib", "rich"}) == set()


def test_a_parameters_file_that_is_wrong_is_told_when_runs_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the records are is read from it alone only where it says so plainly."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "parameters").mkdir()
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    for text, words in (("records: {url: off}", "records.url"), ("records: {url: ftp://host/x}", "records.url")):
        (tmp_path / "parameters" / "sandbox.yaml").write_text(f"environment: sandbox\nsandbox: {{}}\n{text}\n")
        told = subprocess.run([sys.executable, "-c", RUN, "runs"], capture_output=True, text=True, check=False)
        assert (told.returncode, words in told.stderr) == (2, True), told.stderr
