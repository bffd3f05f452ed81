"""The commands about a record that is there: verify it, approve what waits, settle what nobody saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrain.errors import UsageError

if TYPE_CHECKING:
    from retrain.ledger import HeadSink
    from retrain.settings import Settings

__all__ = ["mount"]

Environment = Annotated[
    str | None, typer.Option("--environment", "-e", help="A file in parameters/, without .yaml; sandbox by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Records = Annotated[Path | None, typer.Option("--records", help="The folder that holds the records.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or 'latest'.")]
By = Annotated[str, typer.Option("--by", help="Your name; it stands in the record.")]
Key = Annotated[Path | None, typer.Option("--key", help="Your private key's file; made on first use in the sandbox.")]


def mount(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (verify, approve, resolve):
        app.command()(command)


def verify(
    environment: Environment = None,
    model: Annotated[str | None, typer.Option("--model", help="Only this model's record.")] = None,
    records_folder: Records = None,
    keys: Annotated[Path | None, typer.Option("--keys", help="The file of the public keys that are trusted.")] = None,
    head: Annotated[
        str | None, typer.Option("--head", help="What is kept outside: a file, a head in JSON, or 'warehouse'.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether a record holds: 0 verified, 1 tampered, 3 incomplete, 4 unanchored, 5 empty."""
    from retrain.record import verifying

    offline = records_folder is not None and keys is not None and head != "warehouse"
    settings = None if offline else _settings(environment, start=head == "warehouse")
    root = records_folder or _root(settings)
    keys = keys or _pinned_file(settings)
    named = model or (settings.model if settings is not None and head == "warehouse" else None)
    kept = _warehouse(settings, named, root) if head == "warehouse" else head
    found = verifying.reports(root, model=named, keys=keys, head=kept)
    status, code = verifying.worst(found)
    if as_json:
        told = {name: report.to_json() for name, report in found.items()}
        findings = [{"model": name, **finding} for name, report in told.items() for finding in report["findings"]]
        _print_json({"status": status, "exit_code": code, "findings": findings, "records": told})
    else:
        from retrain.console import print_verified

        print_verified(status, found)
    raise typer.Exit(code)


def approve(
    run_id: Run, by: By, key: Key = None, environment: Environment = None, records_folder: Records = None
) -> None:
    """Approve the swap that a run waits for; then: retrain run --resume RUN. Not by who started it."""
    from retrain.record import approvals

    folder = _find(run_id, environment, records_folder)
    _warn(approvals.approve(folder, by=_said("--by", by), key=key))
    sys.stdout.write(f"approved by {by}; go on with: retrain run --resume {folder.run_id}\n")


def resolve(
    run_id: Run,
    effect: Annotated[str, typer.Option("--effect", help="training, swap, rollback or incident.")],
    outcome: Annotated[str, typer.Option("--outcome", help="What you found: applied or not_applied.")],
    by: By,
    why: Annotated[str, typer.Option("--why", help="How you know; it stands in the record.")],
    key: Key = None,
    environment: Environment = None,
    records_folder: Records = None,
) -> None:
    """Say how an effect that nobody saw has ended, as a new, signed entry of the run's record."""
    from retrain.record import approvals

    folder = _find(run_id, environment, records_folder)
    told = {"effect": effect, "outcome": outcome, "by": _said("--by", by), "why": _said("--why", why)}
    _warn(approvals.resolve(folder, **told, key=key))
    sys.stdout.write(f"{effect} of run {folder.run_id}: {outcome}, says {by}\n")


def _said(option: str, text: str) -> str:
    if not text.strip():
        raise UsageError(f"{option} is empty")
    return text.strip()


def _find(run_id: str, environment: str | None, records_folder: Path | None) -> Any:
    from retrain.record import records

    return records.find(records_folder or _root(_settings(environment, start=False)), run_id)


def _settings(environment: str | None, *, start: bool) -> Settings:
    """Return the settings; the sandbox's model and warehouse are asked for only where they are needed."""
    from retrain.environment import resolve as resolved
    from retrain.settings import load

    settings = load(environment)
    return resolved(settings, start=False) if start else settings


def _root(settings: Settings | None) -> str | Path:
    from retrain.record.opening import records_root

    assert settings is not None  # noqa: S101 (read unless a folder was named)
    return records_root(settings)


def _pinned_file(settings: Settings | None) -> Path:
    from retrain.record.keyring import pinned_file

    assert settings is not None  # noqa: S101 (read unless a file was named)
    return pinned_file(settings)


def _warehouse(settings: Settings | None, model: str | None, root: str | Path) -> HeadSink:
    from retrain.record.anchors import warehouse_head

    assert settings is not None  # noqa: S101 (read for the warehouse's sake)
    records = settings.records.model_copy(update={"url": str(root)}) if settings.sandbox else settings.records
    return warehouse_head(settings.model_copy(update={"model": model, "records": records}))


def _warn(troubles: list[str]) -> None:
    for trouble in troubles:
        sys.stderr.write(f"warning: {trouble}\n")


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
