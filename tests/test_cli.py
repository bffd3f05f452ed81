"""The command line: every command says what it does and is in the README; an error is one message and its exit code."""

import json
import re
import sys
from pathlib import Path

import pytest
import typer

from recorded_runs import record, whole_run
from retrain import cli
from retrain.commands.app import app

ROOT = Path(__file__).parent.parent
TEXTS = (ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.ipynb")), *(ROOT / "parameters").glob("*.yaml"))
NAMED = re.compile(r"(?:^|[`/:] ?)retrain ([a-z]+)\b([^`\n#|…]*)", re.MULTILINE)
LATE = ("sandbox",)
"""Mounted when it is asked for: its options are another file's."""


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["retrain", *arguments])
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")  # which the command sets for its process
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    code = ended.value.code
    return (code if isinstance(code, int) else 0), told.out, told.err


def commands() -> dict[str, str]:
    group = typer.main.get_command(app)
    return {name: command.help or "" for name, command in group.commands.items()}  # type: ignore[attr-defined]


def test_every_command_says_what_it_does() -> None:
    assert all(told.strip() for told in commands().values())


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in commands() if not re.search(rf"retrain {name}\b", readme)] == []


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_command_that_is_named_exists_with_its_options(text: Path) -> None:
    """What a person copies at night from the README, a notebook or a parameters file is taken by the command line."""
    group = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {name: {flag for option in command.params for flag in option.opts} for name, command in group.items()}
    named = NAMED.findall(text.read_text(encoding="utf-8"))
    assert named or text.parent.name == "notebooks"
    for name, rest in named:
        assert name in {*options, *LATE}, name
        wrong = set(re.findall(r"(?<!\S)--?[a-z-]+", rest)) - options.get(name, set())
        assert name in LATE or not wrong, (name, rest)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--environment", "sandboks"], "Did you mean 'sandbox'"),
        (["run", "--set", "evaluation_gate.f1_tolerence=0"], "f1_tolerance"),
        (["run", "--priority", "high"], "--reason"),
        (["step", "prerequisits"], "Did you mean 'prerequisites'"),
        (["show", "20990101", "--records", "nowhere"], "no run '20990101'"),
        (["replay"], "--all"),
        (["backtest", "--since", "yesterday"], "2013-06-01"),
        (["simulate", "--traffic", "prevalance=0.1"], "Did you mean 'prevalence'"),
        (["simulate", "--traffic", "prevalence=2"], "prevalence"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = call(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_an_error_is_json_where_json_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(monkeypatch, capsys, "run", "--json", "--environment", "sandboks")
    told = json.loads(out)
    assert (code, told["exit_code"], told["error"]) == (2, 2, "UsageError")


def test_a_recorded_run_is_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = record(tmp_path, whole_run())
    code, out, _ = call(monkeypatch, capsys, "replay", folder.run_id, "--json", "--records", str(tmp_path))
    assert (code, json.loads(out)["status"]) == (0, "identical")


def test_what_the_system_refuses_is_one_message_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A full disk, a folder where a file should be: no traceback, exit 1, and JSON where it was asked for."""
    (tmp_path / "config.toml").mkdir()
    monkeypatch.setattr("retrain.commands.app.app", lambda **_: (tmp_path / "config.toml").read_text())
    code, out, said = call(monkeypatch, capsys, "runs", "--json")
    assert (code, said) == (1, f"retrain: {tmp_path / 'config.toml'}: Is a directory\n")
    told = json.loads(out)
    assert (told["outcome"], told["exit_code"]) == ("error", 1)
