"""An error of retrain's in a notebook is one sentence for people, and an entry of the record that always fits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from retrain import notebook
from retrain.errors import UsageError
from retrain.ledger import TakenOver
from retrain.redaction import Secrets


def reported(monkeypatch: pytest.MonkeyPatch, error: Exception, *, broken: Exception | None = None) -> tuple[Any, Any]:
    """Report an error as a kernel does; return what was shown and what was recorded."""
    handlers: list[Any] = []
    shown: list[str] = []
    said: list[dict[str, Any]] = []

    def say(kind: str, **body: Any) -> None:
        if broken is not None:
            raise broken
        said.append({"kind": kind, **body})

    shell = SimpleNamespace(
        set_custom_exc=lambda kinds, told: handlers.append(told),
        _showtraceback=lambda kind, error, lines: shown.extend(lines),
    )
    secrets = Secrets()
    secrets.register("s3cr3t-canary-4711", "TOKEN")
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    run: Any = SimpleNamespace(section="training", secrets=secrets, say=say)
    notebook._report_errors(run)
    handlers[0](shell, type(error), error, None)
    return shown, said


def test_an_error_is_shown_as_a_sentence_and_recorded_with_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, said = reported(monkeypatch, UsageError("no such table"))
    assert shown == ["UsageError: no such table"]
    assert said == [
        {"kind": "error", "section": "training", "error": "UsageError", "message": "no such table", "exit_code": 2}
    ]


def test_a_message_of_any_length_fits_into_an_entry_and_no_secret_is_cut_in_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An entry that is too large would lose what the error means for the run."""
    _, said = reported(monkeypatch, UsageError("x" * 3_990 + "s3cr3t-canary-4711" + "y" * 10_000_000))
    assert len(said[0]["message"]) == 4000
    assert "s3cr" not in said[0]["message"]


def test_an_error_after_the_run_was_taken_over_is_only_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, said = reported(monkeypatch, UsageError("late"), broken=TakenOver("another has it"))
    assert (shown, said) == (["UsageError: late"], [])
