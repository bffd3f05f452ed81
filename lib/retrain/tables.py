"""Markdown for people: tables and verdicts that read whole in an untrusted notebook, and cannot run anything.

Text from outside (a service's answer, a table's column) is escaped before it stands in Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from retrain.checks import Check, Evidence, Verdict
from retrain.literal import literal

__all__ = ["checked", "plain", "rows_of", "table", "verdict"]


def plain(value: Any) -> str:
    """Return ``value`` as text that Markdown and HTML take literally; None reads *missing*."""
    if value is None:
        return "*missing*"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
    return literal(text)


def rows_of(values: Iterable[BaseModel | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return models or mappings as rows."""
    return [value.model_dump() if isinstance(value, BaseModel) else dict(value) for value in values]


def table(values: Iterable[BaseModel | Mapping[str, Any]], *, shown: int = 10, empty: str = "none") -> str:
    """Return a Markdown table of the first ``shown`` rows, and say how many there are in all."""
    rows = rows_of(values)
    if not rows:
        return f"*{literal(empty)}*"
    names = list(rows[0])
    lines = [_line(literal(str(name).replace("_", " ")) for name in names), _line("---" for _ in names)]
    lines += [_line(plain(row.get(name)) for name in names) for row in rows[:shown]]
    more = f"\n\nshowing {shown} of {len(rows):,}" if len(rows) > shown else ""
    return "\n".join(lines) + more


def verdict(said: Verdict, leads_to: str = "") -> str:
    """Return a verdict: the sentence that decides, the checks (the word first), what would have flipped it."""
    parts = [
        f"### Verdict: **{plain(said.outcome)}**",
        plain(said.sentence),
        table(map(_row, said.checks), shown=50, empty="no checks"),
    ]
    if said.flip:
        parts.append(f"**What would have flipped it:** {plain(said.flip)}")
    parts += [f"**Deviation:** {plain(deviation)}" for deviation in said.deviations]
    if leads_to:
        parts.append(leads_to)
    return "\n\n".join(parts)


def checked(said: Verdict) -> str:
    """Return a verdict as a page of many shows it: every check with the evidence that it rests on."""
    rows = [{**_row(check), "evidence": "; ".join(map(_source, check.evidence)) or "none"} for check in said.checks]
    heading = f"**{plain(said.section.replace('_', ' '))}**: {plain(said.outcome)}"
    return f"{heading}\n\n{table(rows, shown=50, empty='no checks')}"


def _row(check: Check) -> dict[str, Any]:
    return {
        "status": check.status.value,
        "check": check.name,
        "requirement": check.requirement,
        "observed": check.observed,
        "why": check.reason,
    }


def _source(evidence: Evidence) -> str:
    """Name a piece of evidence so that it can be found: in the warehouse's query history, in the service's log."""
    asked = f"query {evidence.query_id}" if evidence.query_id else f"request {evidence.request_id}"
    named = asked if evidence.query_id or evidence.request_id else evidence.note
    return " ".join(part for part in (evidence.source, named) if part)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
