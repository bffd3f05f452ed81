"""A run's decision, as a machine reads it: what ``retrain run --json`` and ``retrain show RUN --json`` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from retrain import runbook
from retrain.checks import Check, Figure, Model, Verdict
from retrain.facts import Effect
from retrain.record.records import RunFolder

__all__ = ["Decision", "SectionTold", "Timing", "read"]

_UNTOLD = ("parameters", "holder", "notebooks")
"""What an OPEN holds beside who, why and when: too long for the decision, and in the record anyway."""


class SectionTold(Model):
    """One section of the run: its outcome, the sentence that decided, and every check."""

    section: str
    attempt: int
    outcome: str
    reason: str
    flip: str = ""
    notebook: str | None = None
    checks: tuple[Check, ...] = ()


class Timing(Model):
    """Wall seconds: in all, waiting for others (training, the watch, the warehouse), and the difference."""

    total_seconds: Figure = None
    service_seconds: Figure = None
    overhead_seconds: Figure = None


class Decision(Model):
    """The whole run in one object."""

    run_id: str
    model: str
    environment: str
    outcome: str
    exit_code: int
    reason: str = ""
    record: str
    opened: dict[str, Any] = Field({})
    sections: tuple[SectionTold, ...] = ()
    effects: tuple[Effect, ...] = ()
    deviations: tuple[str, ...] = ()
    timing: Timing = Timing()


def read(folder: RunFolder, *, closing: Mapping[str, Any] | None = None) -> Decision:
    """Return what the run's record says.

    ``closing`` is what the run's CLOSE is about to say: the decision is written before the record is sealed. A run
    that is still open has the outcome ``incomplete``, one whose process died ``abandoned``.
    """
    closed = closing or folder.closed or {}
    verdicts = folder.verdicts()
    outcome = str(closed.get("outcome") or _UNCLOSED[folder.state])
    return Decision(
        run_id=folder.run_id,
        model=folder.model,
        environment=folder.settings.environment,
        outcome=outcome,
        exit_code=int(closed.get("exit_code", runbook.exit_code(outcome))),
        reason=str(closed.get("reason") or _reason(verdicts)),
        record=folder.place,
        opened={name: value for name, value in folder.opened.items() if name not in _UNTOLD},
        sections=_sections(folder),
        effects=folder.effects(),
        deviations=_deviations(folder, verdicts),
        timing=_timing(folder, closed),
    )


_UNCLOSED = {"open": "incomplete", "parked": "awaiting_approval", "abandoned": "abandoned", "closed": "incomplete"}


def _sections(folder: RunFolder) -> tuple[SectionTold, ...]:
    told = []
    for body in folder.bodies("verdict"):
        verdict = Verdict.model_validate(body["verdict"])
        told.append(
            SectionTold(
                section=verdict.section,
                attempt=int(body.get("attempt", 1)),
                outcome=verdict.outcome,
                reason=verdict.sentence,
                flip=verdict.flip,
                notebook=body.get("notebook"),
                checks=verdict.checks,
            )
        )
    return tuple(told)


def _reason(verdicts: Sequence[Verdict]) -> str:
    told = [verdict.sentence for verdict in verdicts if verdict.section != runbook.LAST]
    return told[-1] if told else "no section reached a verdict"


def _deviations(folder: RunFolder, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    said = [str(body["deviation"]) for body in folder.bodies("deviation")]
    said += [deviation for verdict in verdicts for deviation in verdict.deviations]
    return tuple(dict.fromkeys(said))


def _timing(folder: RunFolder, closed: Any) -> Timing:
    total = closed.get("total_seconds")
    waited = sum(float(body["seconds"]) for body in folder.bodies("waited"))
    if total is None:
        return Timing(service_seconds=round(waited, 3))
    return Timing(
        total_seconds=round(total, 3),
        service_seconds=round(waited, 3),
        overhead_seconds=round(max(0.0, total - waited), 3),
    )
