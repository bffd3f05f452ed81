"""Runbook: *Evaluation Gate*. Five rows that a candidate must pass before promotion."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Model, Status, Verdict, exact, inconclusive
from retrain.facts import Metrics
from retrain.judgement.proof import COUNT_TOLERANCE, auc_proof, counts_problem, f1_proof, share_proof, unknown
from retrain.judgement.words import judge, listed, share_problem, shown

__all__ = ["Facts", "Policy", "decide", "production_figure"]

SECTION = "evaluation_gate"
F1, AUC, PRECISION = "F1 score", "AUC-ROC", "Precision"
RECALL, LATENCY, OTHER = "Recall", "Latency p99", "Candidate is not production"

Name = Literal["f1", "auc_roc", "precision", "recall"]

_WRITTEN: dict[Name, str] = {"f1": "F1", "auc_roc": "AUC-ROC", "precision": "precision", "recall": "recall"}


class Facts(Model):
    """Candidate and production, as the service and the warehouse tell of them.

    ``production`` comes from the service's comparison, on the hold-out that ``holdout`` names; ``deltas`` are the
    service's own (candidate − production); ``production_observed_f1`` comes from MODEL_METRICS.
    ``first_promotion`` is True only where the service attests that nothing is serving.
    """

    candidate: Metrics | None = None
    production: Metrics | None = None
    deltas: dict[str, Figure] = Field({})
    production_observed_f1: Figure = None
    holdout: str | None = None
    first_promotion: bool = False
    evidence: dict[str, tuple[Evidence, ...]] = Field({})


class Policy(Model):
    """The runbook's figures."""

    f1_tolerance: float = Field(0.01, ge=0, le=1, description="F1 ≥ production F1 − this")
    auc_roc_tolerance: float = Field(0.005, ge=0, le=1, description="AUC-ROC ≥ production AUC-ROC − this")
    precision_floor: float = Field(0.85, ge=0, le=1, description="precision ≥ this")
    recall_floor: float = Field(0.80, ge=0, le=1, description="recall ≥ this")
    latency_p99_ceiling_seconds: float = Field(1.0, gt=0, description="latency p99 < this, seconds")
    disagreement_tolerance: float = Field(
        0.05, ge=0, le=1, description="production F1 in MODEL_METRICS may differ so far from the comparison's"
    )


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the five rows: what is not a pass closes the gate, save a latency that the smoke test will measure."""
    checks = (
        _relative(F1, "f1", policy.f1_tolerance, facts),
        _relative(AUC, "auc_roc", policy.auc_roc_tolerance, facts),
        _floor(PRECISION, "precision", policy.precision_floor, facts),
        _floor(RECALL, "recall", policy.recall_floor, facts),
        _latency(facts, policy),
        *_same(facts),
    )
    excused = _excused(facts)
    closed = [c for c in checks if c.status is Status.FAIL or (c.status is not Status.PASS and c.name not in excused)]
    return Verdict(
        section=SECTION,
        outcome="rejected" if closed else "passed",
        checks=checks,
        sentence=_sentence(checks, closed, facts),
        flip=_flip(checks, closed),
        deviations=_deviations(facts, policy),
    )


def production_figure(facts: Facts, name: Name) -> Decimal | None:
    """Return production's figure as the service tells it, or the candidate's less the service's own delta."""
    told: float | None = getattr(facts.production, name, None)
    if told is not None:
        return exact(told)
    candidate, delta = getattr(facts.candidate, name, None), facts.deltas.get(name)
    return None if candidate is None or delta is None else exact(candidate) - exact(delta)


def _excused(facts: Facts) -> set[str]:
    """The rows that may stay open: a latency that nobody told, and a comparison with nothing."""
    excused = {LATENCY} if facts.candidate is not None and facts.candidate.latency_p99_seconds is None else set()
    if facts.first_promotion:
        names: dict[str, Name] = {F1: "f1", AUC: "auc_roc"}
        excused |= {
            row
            for row, name in names.items()
            if production_figure(facts, name) is None and getattr(facts.candidate, name, None) is not None
        }
    return excused


def _relative(row: str, name: Name, tolerance: float, facts: Facts) -> Check:
    """Judge a figure against production's, less the tolerance."""
    written, evidence = _WRITTEN[name], facts.evidence.get("status", ())
    value: float | None = getattr(facts.candidate, name, None)
    production = production_figure(facts, name)
    wanted = f"{written} ≥ production {written} − {shown(tolerance)}"
    problem = share_problem(f"a candidate's {written}", value)
    if value is None:
        problem = f"the candidate's {written} was not told"
    elif problem == "" and production is None:
        first = "first promotion: nothing to compare with"
        problem = first if facts.first_promotion else f"production's {written} is not known"
    elif problem == "" and production is not None:
        problem = share_problem(f"a production {written}", float(production))
    if problem or production is None:
        return inconclusive(row, wanted, problem, evidence=evidence)
    limit = production - exact(tolerance)
    wanted = f"{written} ≥ production {shown(production)} − {shown(tolerance)} = {shown(limit)}"
    check = judge(row, value, "≥", limit, requirement=wanted, evidence=evidence)
    return _with(check, _relative_proof(check, name, tolerance, facts))


def _relative_proof(check: Check, name: Name, tolerance: float, facts: Facts) -> str:
    if facts.candidate is None:
        return unknown("no counts")
    proof = f1_proof if name == "f1" else auc_proof
    return proof(check.status, facts.candidate, facts.production, tolerance)


def _floor(row: str, name: Name, floor: float, facts: Facts) -> Check:
    """Judge a figure against a floor of its own."""
    written, evidence = _WRITTEN[name], facts.evidence.get("status", ())
    wanted = f"{written} ≥ {shown(floor)}"
    value: float | None = getattr(facts.candidate, name, None)
    problem = share_problem(f"a candidate's {written}", value)
    if problem:
        return inconclusive(row, wanted, problem, evidence=evidence)
    missing = f"the candidate's {written} was not told"
    check = judge(row, value, "≥", floor, requirement=wanted, missing=missing, evidence=evidence)
    model = facts.candidate
    if model is None or check.status is Status.INCONCLUSIVE:
        return check
    if counts_problem(model):
        return _with(check, unknown("the counts do not fit the figures"))
    others, of = (model.fp, "positive predictions") if name == "precision" else (model.fn, "positive rows")
    return _with(check, share_proof(check.status, model.tp, others, floor, of=of))


def _latency(facts: Facts, policy: Policy) -> Check:
    ceiling, evidence = policy.latency_p99_ceiling_seconds, facts.evidence.get("status", ())
    wanted = f"latency p99 < {shown(ceiling)} s"
    value = facts.candidate.latency_p99_seconds if facts.candidate else None
    if value is not None and value < 0:
        return inconclusive(LATENCY, wanted, f"a latency of {shown(value)} s cannot be", evidence=evidence)
    missing = "decided by the smoke test: the service told no latency"
    check = judge(LATENCY, value, "<", ceiling, requirement=wanted, unit=" s", missing=missing, evidence=evidence)
    return check if value is None else _with(check, unknown("a p99 without counts"))


def _same(facts: Facts) -> tuple[Check, ...]:
    """Refuse a candidate that is production: it would pass every comparison with itself."""
    ours, theirs = _versions(facts)
    if ours is None or ours != theirs:
        return ()
    reason = f"{ours} is in production already"
    return (Check(name=OTHER, requirement="another version", observed=ours, status=Status.FAIL, reason=reason),)


def _versions(facts: Facts) -> tuple[str | None, str | None]:
    return getattr(facts.candidate, "version", None), getattr(facts.production, "version", None)


def _with(check: Check, proof: str) -> Check:
    return check.model_copy(update={"reason": f"{check.reason}; {proof}"})


def _sentence(checks: Sequence[Check], closed: Sequence[Check], facts: Facts) -> str:
    version = (_versions(facts)[0] or "the candidate") if facts.candidate else "the candidate"
    if closed:
        return f"Rejected: {'; '.join(f'{check.name}: {_decided(check)}' for check in closed)}."
    told = "; ".join(f"{check.name} {_decided(check)}" for check in checks)
    return f"Passed: {version} may be promoted to staging. {told}."


def _decided(check: Check) -> str:
    return check.reason.split("; evidence:", maxsplit=1)[0]


def _flip(checks: Sequence[Check], closed: Sequence[Check]) -> str:
    if closed:
        return f"With {listed(check.requirement for check in closed)}: passed."
    passed = [check.requirement for check in checks if check.status is Status.PASS]
    return f"With any one of these not met: rejected ({'; '.join(passed)})."


def _deviations(facts: Facts, policy: Policy) -> tuple[str, ...]:
    found = []
    if facts.candidate is not None and facts.candidate.latency_p99_seconds is None:
        found.append("the service told no latency of the candidate: decided by the smoke test")
    if facts.first_promotion:
        found.append("a first promotion: nothing to compare with, so a person's approval is needed before the swap")
    elif facts.candidate is not None and None in _versions(facts):
        found.append("that candidate and production differ cannot be shown: a version was not told")
    if facts.holdout is None:
        found.append("the service does not tell on which hold-out the models were scored")
    return (*found, *_disagreements(facts, policy))


def _disagreements(facts: Facts, policy: Policy) -> list[str]:
    """Say where two sources of one figure differ."""
    found = []
    for name, written in _WRITTEN.items():
        ours, theirs = getattr(facts.candidate, name, None), getattr(facts.production, name, None)
        delta = facts.deltas.get(name)
        if ours is None or theirs is None or delta is None:
            continue
        difference = exact(ours) - exact(theirs)
        if abs(difference - exact(delta)) > COUNT_TOLERANCE:
            found.append(f"the service's delta of {written}, {shown(delta)}, is not the difference {shown(difference)}")
    for who, model in (("the candidate", facts.candidate), ("production", facts.production)):
        problem = counts_problem(model) if model is not None else ""
        if problem:
            found.append(f"the counts of {who} do not fit its figures: {problem}")
    compared, observed = production_figure(facts, "f1"), facts.production_observed_f1
    if compared is not None and observed is not None:
        apart = abs(compared - exact(observed))
        if apart > exact(policy.disagreement_tolerance):
            both = f"{shown(observed)} in MODEL_METRICS and {shown(compared)} in the comparison"
            found.append(f"production's F1 is {both}: {shown(apart)} apart")
    return found
