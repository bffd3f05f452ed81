"""Steps of the *Decision Record*: the run as its executed notebooks tell it, held against its entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain.checks import Verdict
from retrain.record import decision
from retrain.sections.decision_record import Facts

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["changed_in_production", "gathered", "scraps", "timeline"]

SCRAP = "application/scrapbook.scrap.json+json"
"""The type of what ``retrain.notebook.glue`` shows, which is scrapbook's own."""


def scraps(run: Run) -> dict[str, Any]:
    """Return the verdict that each executed notebook of the run's folder holds, by file name, as scrapbook reads it.

    A notebook that is being written just now, or cannot be read, holds none.
    """
    told = {path.name: _glued(path, "verdict") for path in sorted(run.folder.path.glob("*.ipynb"))}
    return {name: verdict for name, verdict in told.items() if verdict is not None}


def gathered(run: Run, told: dict[str, Any]) -> Facts:
    """Return every verdict in the order of the record; where a notebook says otherwise or is not there, say so."""
    bodies = [body for body in run.folder.bodies("verdict") if body["verdict"]["section"] != "decision_record"]
    ending = run.folder.bodies("ending")
    broken = ending[-1] if ending and ending[-1]["outcome"] in ("error", "usage") else {}
    said = [*decision.read(run.folder).deviations, *(_difference(body, told) for body in bodies)]
    return Facts(
        verdicts=tuple(Verdict.model_validate(body["verdict"]) for body in bodies),
        effects=run.folder.effects(),
        unsettled=tuple(str(entry.body["effect"]) for entry in run.folder.unsettled()),
        deviations=tuple(deviation for deviation in said if deviation),
        ended=broken.get("outcome"),
        reason=str(broken.get("reason", "")),
    )


def timeline(facts: Facts) -> list[dict[str, str]]:
    """Return a row a section, in order: what it decided, and the sentence that decided."""
    return [
        {"section": verdict.section.replace("_", " "), "outcome": verdict.outcome, "why": verdict.sentence}
        for verdict in facts.verdicts
    ]


def changed_in_production(run: Run, facts: Facts) -> str:
    """Return in one sentence which version served before this run, and which serves after it."""
    deployed = run.facts("blue_green_deployment")
    applied = {effect.effect for effect in facts.effects if effect.outcome == "applied"}
    if deployed is None or "swap" not in applied:
        return "Nothing was changed in production."
    former, new = deployed.before.active or "the former version", deployed.after.active or "the new version"
    if "rollback" in applied:
        return f"{new} served for a while; {former} serves again."
    return f"{new} serves in place of {former}, which is in standby."


def _glued(path: Path, name: str) -> Any:
    """Return what was last glued under ``name`` in a notebook, or None. Importing scrapbook would take a second."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
        scraps = [data[SCRAP] for data in shown if SCRAP in data]
        named = [scrap["data"] for scrap in scraps if scrap["name"] == name]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # JSON of another shape is no notebook either
        return None
    return named[-1] if named else None


def _difference(body: Any, told: dict[str, Any]) -> str:
    name, section = body.get("notebook"), body["verdict"]["section"]
    if name is None:
        return f"{section} was executed by hand: its notebook is not in the run's folder"
    if name not in told:
        return f"{name} holds no verdict, though the record does"
    return "" if told[name] == body["verdict"] else f"{name} and the record tell different verdicts"
