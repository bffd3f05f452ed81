"""The flow: the runbook's sections, their outcomes, and what follows what. Read this file first.

Every section is the same sentence: gather facts, decide, act if the verdict says so, record. Each is a notebook in
``notebooks/`` and a room in ``sections/``; this page is how they hang together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from retrain.errors import UsageError, nearest

if TYPE_CHECKING:
    from retrain.checks import Verdict

__all__ = [
    "END",
    "EXIT_CODES",
    "FIRST",
    "LAST",
    "SECTIONS",
    "Section",
    "exit_code",
    "following",
    "run_outcome",
    "section",
]

END = "decision_record"
"""Whatever happens, a run ends with its decision record."""


@dataclass(frozen=True)
class Section:
    """One section of the runbook: its name, its notebook, and where each of its outcomes leads."""

    name: str
    notebook: str
    title: str
    leads_to: Mapping[str, str]


SECTIONS = (
    Section("when_to_retrain", "01_when_to_retrain.ipynb", "When to Retrain",
            {"retrain": "prerequisites", "no_action": END, "inconclusive": END}),
    Section("prerequisites", "02_prerequisites.ipynb", "Prerequisites",
            {"ready": "training", "blocked": END}),
    Section("training", "03_training.ipynb", "Training Configuration",
            {"trained": "evaluation_gate", "failed": "if_retraining_fails", "unresolved": END, "not_ready": END}),
    Section("evaluation_gate", "04_evaluation_gate.ipynb", "Evaluation Gate",
            {"passed": "staging_smoke_tests", "rejected": "if_retraining_fails"}),
    Section("staging_smoke_tests", "05_staging_smoke_tests.ipynb", "Promote to Staging, Smoke Tests",
            {"staged": "blue_green_deployment", "smoke_failed": END, "not_ready": END}),
    Section("blue_green_deployment", "06_blue_green_deployment.ipynb", "Blue-Green Deployment",
            {"swapped": "post_deploy_monitoring", "smoke_failed": "rollback",
             "awaiting_approval": END, "unresolved": END, "not_ready": END}),
    Section("post_deploy_monitoring", "07_post_deploy_monitoring.ipynb", "Post-Deploy Monitoring",
            {"healthy": END, "regressed": "rollback", "inconclusive": END, "not_ready": END}),
    Section("rollback", "08_rollback.ipynb", "Rollback",
            {"rolled_back": END, "unresolved": END, "not_ready": END}),
    Section("if_retraining_fails", "09_if_retraining_fails.ipynb", "If Retraining Fails",
            {"retry": "training", "give_up": END, "not_ready": END}),
    Section("decision_record", "10_decision_record.ipynb", "Decision Record", {}),
)  # fmt: skip
FIRST, LAST = SECTIONS[0].name, SECTIONS[-1].name

EXIT_CODES: Mapping[str, int] = MappingProxyType({
    "deployed": 0, "no_action": 0, "error": 1, "usage": 2, "blocked": 10, "rejected": 11, "training_failed": 12,
    "smoke_failed": 13, "rolled_back": 14, "inconclusive": 15, "awaiting_approval": 16, "unresolved": 17, "busy": 18,
    "interrupted": 19,
})  # fmt: skip

_ENDS: Mapping[tuple[str, str], str] = MappingProxyType({
    ("when_to_retrain", "no_action"): "no_action",
    ("when_to_retrain", "inconclusive"): "inconclusive",
    ("prerequisites", "blocked"): "blocked",
    ("training", "unresolved"): "unresolved",
    ("staging_smoke_tests", "smoke_failed"): "smoke_failed",
    ("blue_green_deployment", "awaiting_approval"): "awaiting_approval",
    ("blue_green_deployment", "unresolved"): "unresolved",
    ("post_deploy_monitoring", "healthy"): "deployed",
    ("post_deploy_monitoring", "inconclusive"): "inconclusive",
    ("rollback", "unresolved"): "unresolved",
})  # fmt: skip

_ROLLED_BACK_AFTER: Mapping[str, str] = MappingProxyType({
    "regressed": "rolled_back",
    "inconclusive": "inconclusive",
    "smoke_failed": "smoke_failed",
})  # fmt: skip


def section(name: str) -> Section:
    """Return the section called ``name``; an unknown name is a UsageError that says the nearest one."""
    for known in SECTIONS:
        if known.name == name or known.notebook.startswith(name + "_"):
            return known
    names = [known.name for known in SECTIONS]
    raise UsageError(f"there is no section {name!r}.{nearest(name, names)} The sections are {', '.join(names)}")


def following(verdict: Verdict, *, on_inconclusive: str = "hold") -> str:
    """Return the name of the section that ``verdict`` leads to; an outcome the runbook does not know ends the run.

    ``on_inconclusive`` is the watch's policy: ``roll_back`` sends an inconclusive watch to the roll back.
    """
    if (verdict.section, verdict.outcome, on_inconclusive) == ("post_deploy_monitoring", "inconclusive", "roll_back"):
        return "rollback"
    return section(verdict.section).leads_to.get(verdict.outcome, END)


def run_outcome(verdicts: Sequence[Verdict]) -> str:
    """Return the outcome of a run from its verdicts in the order they were reached.

    The last one decides; a roll back and a failure also look at what led to them. A verdict that needed an earlier
    section and found none is ``blocked``. One from which a run cannot end is ``incomplete``; none at all, ``error``.
    """
    told = [verdict for verdict in verdicts if verdict.section != LAST]
    if not told:
        return "error"
    last = told[-1]
    before = told[-2] if len(told) > 1 else None
    if last.outcome == "not_ready":
        return "blocked"
    if (last.section, last.outcome) == ("rollback", "rolled_back"):
        return _ROLLED_BACK_AFTER.get(before.outcome if before else "", "rolled_back")
    if (last.section, last.outcome) == ("if_retraining_fails", "give_up"):
        rejected = before is not None and before.section == "evaluation_gate"
        return "rejected" if rejected else "training_failed"
    return _ENDS.get((last.section, last.outcome), "incomplete")


def exit_code(outcome: str) -> int:
    """Return the exit code of ``outcome``; one that is not known is an error, 1."""
    return EXIT_CODES.get(outcome, 1)
