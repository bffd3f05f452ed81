"""What people see in a terminal: each section as it comes, and the decision at the end. Plain in a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from retrain import runbook

if TYPE_CHECKING:
    from retrain.ledger import Report
    from retrain.record.decision import Decision

__all__ = ["Progress", "print_decision", "print_verified"]

_COLOUR = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow"}
_MEANS = {
    "deployed": "The new version serves.",
    "no_action": "Nothing calls for a retraining; nothing was changed.",
    "blocked": "A retraining is called for, and something has to be put right first; nothing was changed.",
    "rejected": "The new version did not pass; production is as it was.",
    "training_failed": "No new version could be trained; production is as it was.",
    "smoke_failed": "The new version failed its smoke test.",
    "rolled_back": "The new version was put live, did worse, and the former one serves again.",
    "inconclusive": "The evidence is missing or too thin to say more; look at it before you trust this model.",
    "awaiting_approval": "The swap waits for a person's approval; production is as it was.",
    "unresolved": "An act was sent and nothing shows what it did: look before anything else is done.",
    "interrupted": "The run was stopped from outside and its record was finished.",
    "usage": "Something in the parameters or the connections is wrong; nothing was sent.",
    "error": "Something broke.",
    "incomplete": "The run is open.",
    "abandoned": "The run's process died; the next run closed it. What it left unsettled has to be looked at.",
}


_PIPE = 160


class Progress:
    """Prints a line as each section starts and its verdict when it ends; nothing at all when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        """Print to standard error, so that standard output holds the result alone."""
        self._console = _console(stderr=True, quiet=quiet)
        self._status = self._console.status("starting …")

    def __enter__(self) -> Progress:
        """Show that something is going on, on a terminal."""
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal clean."""
        self._status.stop()

    def __call__(self, event: str, told: dict[str, Any]) -> None:
        """Hear of a section."""
        if event == "started":
            self._status.update(f"{told['title']} …")
        elif event == "warning":
            Console(stderr=True, highlight=False).print(f"[yellow]warning[/] {escape(told['message'])}")
        elif event == "ended":
            verdict = told["verdict"]
            self._console.print(f"[bold]{verdict.section:<24}[/] {verdict.outcome:<14} {escape(verdict.sentence)}")


def print_decision(decision: Decision) -> None:
    """Print what was decided and why, the checks, what changed, and where the record is."""
    console = _console()
    lines = [f"[bold]{decision.outcome}[/]  {_MEANS.get(decision.outcome, '')}", "", escape(decision.reason)]
    console.print(Panel("\n".join(lines), title=f"{decision.model} · {decision.environment}", title_align="left"))
    checks = Table("section", "check", "status", "observed", "requirement", box=None)
    for section in decision.sections:
        for check in () if section.section == runbook.LAST else section.checks:
            status = f"[{_COLOUR[check.status.value]}]{check.status.value}[/]"
            checks.add_row(
                section.section, escape(check.name), status, escape(check.observed), escape(check.requirement)
            )
    if checks.row_count:
        console.print(checks)
    for effect in decision.effects:
        sent = "sent once" if effect.sent else "not sent"
        why = escape(effect.detail or effect.observed_by)
        console.print(f"changed outside: {effect.effect}: {sent}, {effect.outcome} ({why})")
    for deviation in decision.deviations:
        console.print(f"deviation: {escape(deviation)}")
    timing = decision.timing
    if timing.total_seconds is not None:
        waited = f"{timing.service_seconds:.1f} s of them waiting for training, the watch and the warehouse"
        console.print(f"took {timing.total_seconds:.1f} s, {waited}")
    console.print(f"record: {escape(decision.record)}")
    console.print(f"read it: {escape(str(Path(decision.record) / '10_decision_record.ipynb'))}")


def _console(**options: Any) -> Console:
    """Return a console as wide as the terminal, or wide enough for a table in a pipe."""
    console = Console(highlight=False, **options)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE, **options)


def print_verified(status: str, reports: Mapping[str, Report]) -> None:
    """Print whether the record holds, and every file at fault."""
    console = _console()
    console.print(f"[bold]{status}[/]")
    for model, report in reports.items():
        runs = f"{report.entries} entries, {len(report.runs)} runs"
        newest = f", newest entry {report.head.number} {report.head.sha256}" if report.head else ""
        console.print(f"{escape(model or 'the record')}: {report.status}: {runs}{newest}", soft_wrap=True)
        for finding in report.findings:
            console.print(f"  {finding.grade}: {escape(finding.file)}: {escape(finding.problem)}", soft_wrap=True)
        for file in report.left_out:
            console.print(f"  left out: {escape(file)}: Jupyter's own copy, no part of the record", soft_wrap=True)
