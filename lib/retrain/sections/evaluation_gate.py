"""Runbook: *Evaluation Gate*. Five rows that a candidate must pass before promotion."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field

from retrain.checks import Check, Evidence, Figure, Model, Status, Verdict, exact, inconclusive
from retrain.facts import BestEver, Metrics, Scored
from retrain.judgement import comparison
from retrain.judgement.proof import (
    Proof,
    auc_proof,
    counts_problem,
    f1_proof,
    latency_proof,
    share_proof,
    unknown,
)
from retrain.judgement.words import judge, listed, share_problem, shown

__all__ = ["EDITION", "Facts", "Policy", "best_ever_floors", "decide", "production_figure", "proofs"]

SECTION = "evaluation_gate"
F1, AUC, PRECISION = "F1 score", "AUC-ROC", "Precision"
RECALL, LATENCY, OTHER = "Recall", "Latency p99", "Candidate is not production"
HOLDOUT, BEST, OURS = "Same hold-out", "Best ever", "This run's training"

EDITION = 2
"""The edition of these rules, told with the facts that are gathered for them.

1 was release 0.1.0. Since 2 each row has its class of evidence, with both bounds; the decision is the same.
"""

Name = Literal["f1", "auc_roc", "precision", "recall"]


class Facts(Model):
    """Candidate and production, as the service and the warehouse tell of them.

    ``production`` comes from the service's comparison, on the hold-out that ``holdout`` names; ``deltas`` are the
    service's own (candidate − production); ``production_observed_f1`` comes from MODEL_METRICS.
    ``first_promotion`` is True only where the service attests that nothing is serving. ``best`` is of every promoted
    version; ``slot_scores`` says whether both slots give the fixed samples the same scores, asked where a version was
    not told. ``status`` and ``job`` are the service's now, ``training_job`` is that of this run's training. Older
    records hold none of ``best``, ``slot_scores``, ``candidate_scored``, ``production_scored``,
    ``auc_difference_standard_error`` and these three: what is None was not asked, and changes no verdict of theirs.
    Those of an earlier ``edition`` are judged in the words that they were gathered for.
    """

    candidate: Metrics | None = None
    production: Metrics | None = None
    deltas: dict[str, Figure] = Field({})
    production_observed_f1: Figure = None
    holdout: str | None = None
    first_promotion: bool = False
    best: BestEver | None = None
    slot_scores: Literal["same", "different", "unknown"] | None = None
    candidate_scored: Scored | None = None
    production_scored: Scored | None = None
    auc_difference_standard_error: Figure = None
    status: str | None = None
    job: str | None = None
    training_job: str | None = None
    edition: Literal[1, 2] = 1
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
    best_ever_f1_tolerance: float = Field(
        0.05,
        ge=0,
        le=1,
        description="F1 ≥ the best of any promoted version − this: five promotions that lose 0.01 each",
    )
    best_ever_auc_roc_tolerance: float = Field(
        0.025, ge=0, le=1, description="AUC-ROC ≥ the best of any promoted version − this: five times 0.005"
    )
    ratchet: Literal["show", "reject"] = Field(
        "show", description="a candidate below the best ever: shown beside the five rows, or rejected"
    )
    same_holdout: Literal["show", "require"] = Field(
        "show", description="a hold-out that is not attested as the same for both: shown, or rejected"
    )


def decide(facts: Facts, policy: Policy) -> Verdict:
    """Judge the five rows: what is not a pass closes the gate, save a latency that the smoke test will measure."""
    rows = tuple(_with(check, _proof(check, facts, policy), facts) for check in _rows(facts, policy))
    checks = (*rows, *_ours(facts), *_same(facts), *_same_holdout(facts, policy), *_best_ever(facts, policy))
    excused = _excused(facts)
    closed = [c for c in checks if c.status is Status.FAIL or (c.status is not Status.PASS and c.name not in excused)]
    return Verdict(
        section=SECTION,
        outcome="rejected" if closed else "passed",
        checks=checks,
        sentence=_sentence(checks, closed, facts) + _shown_beside(facts, policy),
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


def proofs(facts: Facts, policy: Policy) -> dict[str, Proof]:
    """Return what each of the five rows proves, beside what it decides."""
    return {check.name: _proof(check, facts, policy) for check in _rows(facts, policy)}


def best_ever_floors(policy: Policy) -> dict[Literal["f1", "auc_roc"], float]:
    """Return how far below the best of any promoted version each figure may lie."""
    return {"f1": policy.best_ever_f1_tolerance, "auc_roc": policy.best_ever_auc_roc_tolerance}


def _rows(facts: Facts, policy: Policy) -> tuple[Check, ...]:
    """The runbook's five, literally."""
    return (
        _relative(F1, "f1", policy.f1_tolerance, facts),
        _relative(AUC, "auc_roc", policy.auc_roc_tolerance, facts),
        _floor(PRECISION, "precision", policy.precision_floor, facts),
        _floor(RECALL, "recall", policy.recall_floor, facts),
        _latency(facts, policy),
    )


def _proof(check: Check, facts: Facts, policy: Policy) -> Proof:
    model, production = facts.candidate, facts.production
    if model is None or check.status is Status.INCONCLUSIVE:
        return unknown("the row could not be judged")
    if check.name == F1:
        return f1_proof(check.status, model, production, policy.f1_tolerance)
    if check.name == AUC:
        apart = comparison.holdouts_apart(model, production, facts.candidate_scored, facts.production_scored)
        error = None if apart else facts.auc_difference_standard_error
        return auc_proof(check.status, model, production, policy.auc_roc_tolerance, standard_error=error)
    if check.name == LATENCY:
        return latency_proof(check.status, facts.candidate_scored, policy.latency_p99_ceiling_seconds)
    if counts_problem(model):
        return unknown("the counts do not fit the figures")
    if check.name == PRECISION:
        return share_proof(check.status, model.tp, model.fp, policy.precision_floor, of="positive predictions")
    return share_proof(check.status, model.tp, model.fn, policy.recall_floor, of="positive rows")


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
    written, evidence = comparison.WRITTEN[name], facts.evidence.get("status", ())
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
    return judge(row, value, "≥", limit, requirement=wanted, evidence=evidence)


def _floor(row: str, name: Name, floor: float, facts: Facts) -> Check:
    """Judge a figure against a floor of its own."""
    written, evidence = comparison.WRITTEN[name], facts.evidence.get("status", ())
    wanted = f"{written} ≥ {shown(floor)}"
    value: float | None = getattr(facts.candidate, name, None)
    problem = share_problem(f"a candidate's {written}", value)
    if problem:
        return inconclusive(row, wanted, problem, evidence=evidence)
    missing = f"the candidate's {written} was not told"
    return judge(row, value, "≥", floor, requirement=wanted, missing=missing, evidence=evidence)


def _latency(facts: Facts, policy: Policy) -> Check:
    ceiling, evidence = policy.latency_p99_ceiling_seconds, facts.evidence.get("status", ())
    wanted = f"latency p99 < {shown(ceiling)} s"
    value = facts.candidate.latency_p99_seconds if facts.candidate else None
    if value is not None and value < 0:
        return inconclusive(LATENCY, wanted, f"a latency of {shown(value)} s cannot be", evidence=evidence)
    missing = "decided by the smoke test: the service told no latency"
    return judge(LATENCY, value, "<", ceiling, requirement=wanted, unit=" s", missing=missing, evidence=evidence)


def _ours(facts: Facts) -> tuple[Check, ...]:
    """Refuse figures that are not, or may not be, those with which this run's training ended."""
    problem = comparison.not_of_training(facts.status, facts.job, facts.training_job)
    wanted = f"completed{f', of {facts.training_job}' if facts.training_job else ''}"
    found, evidence = " of ".join(told for told in (facts.status, facts.job) if told), facts.evidence.get("status", ())
    if problem and found == "completed":
        return (inconclusive(OURS, wanted, problem, evidence=evidence),)
    return (_failed(OURS, wanted, found, problem, evidence),) if problem else ()


def _same(facts: Facts) -> tuple[Check, ...]:
    """Refuse a candidate that is production: it would pass every comparison with itself.

    Versions tell; where one is missing, the scores of both slots; where these cannot be had either, a candidate whose
    every figure is production's stays open.
    """
    (ours, theirs), wanted, evidence = _versions(facts), "another version", facts.evidence.get("slots", ())
    if ours is not None and ours == theirs:
        reason = f"{ours} is in production already"
        return (Check(name=OTHER, requirement=wanted, observed=ours, status=Status.FAIL, reason=reason),)
    if facts.slot_scores == "same":
        reason = "the active slot gives the fixed samples the very same scores"
        return (_failed(OTHER, "other scores than production's", "the same scores", reason, evidence),)
    unseen = facts.slot_scores == "unknown" and None in (ours, theirs) and not facts.first_promotion
    if unseen and comparison.alike(facts.candidate, facts.production, facts.deltas):
        reason = "no version was told, the slots could not be asked apart, and every figure is production's own"
        return (inconclusive(OTHER, wanted, reason, evidence=evidence),)
    return ()


def _same_holdout(facts: Facts, policy: Policy) -> tuple[Check, ...]:
    """Refuse a comparison that is not attested to be on the same rows, where the policy asks for that."""
    problem = _holdout_problem(facts)
    if policy.same_holdout == "show" or not problem:
        return ()
    ids = [scored.holdout_id for scored in (facts.candidate_scored, facts.production_scored) if scored is not None]
    wanted, evidence = "candidate and production on the same hold-out", facts.evidence.get("status", ())
    if len(ids) < 2 or None in ids:
        return (inconclusive(HOLDOUT, wanted, problem, evidence=evidence),)
    return (_failed(HOLDOUT, wanted, listed(str(each) for each in ids), problem, evidence),)


def _holdout_problem(facts: Facts) -> str:
    """Return why the comparison may not be like with like; nothing for a first promotion, which compares nothing."""
    if facts.first_promotion and facts.production is None and not facts.deltas:
        return ""
    return comparison.holdouts_apart(facts.candidate, facts.production, facts.candidate_scored, facts.production_scored)


def _best_ever(facts: Facts, policy: Policy) -> tuple[Check, ...]:
    """Refuse a candidate below the best that was ever promoted, where the policy asks for that."""
    if policy.ratchet == "show" or _nothing_to_keep(facts):
        return ()
    evidence, missing = facts.evidence.get("best", ()), comparison.without_best(facts.best)
    found = [_failed(BEST, *told, evidence) for told in _below(facts, policy)]
    if missing and not found:
        found.append(inconclusive(BEST, "a best figure of promoted versions", missing, evidence=evidence))
    return tuple(found)


def _nothing_to_keep(facts: Facts) -> bool:
    """Whether nothing was ever promoted, as far as is known. That nothing serves now does not say so."""
    return facts.first_promotion and (facts.best is None or facts.best.promotions == 0)


def _below(facts: Facts, policy: Policy) -> list[comparison.Below]:
    return comparison.below_best(facts.candidate, facts.best, best_ever_floors(policy))


def _failed(name: str, requirement: str, observed: str, reason: str, evidence: tuple[Evidence, ...]) -> Check:
    return Check(
        name=name, requirement=requirement, observed=observed, status=Status.FAIL, reason=reason, evidence=evidence
    )


def _versions(facts: Facts) -> tuple[str | None, str | None]:
    return getattr(facts.candidate, "version", None), getattr(facts.production, "version", None)


def _with(check: Check, proof: Proof, facts: Facts) -> Check:
    if facts.edition > 1:
        return check.model_copy(update={"reason": f"{check.reason}; {proof.text}"})
    if check.status is Status.INCONCLUSIVE:
        return check
    return check.model_copy(update={"reason": f"{check.reason}; {proof.first_text}"})


def _sentence(checks: Sequence[Check], closed: Sequence[Check], facts: Facts) -> str:
    version = (_versions(facts)[0] or "the candidate") if facts.candidate else "the candidate"
    if closed:
        return f"Rejected: {'; '.join(f'{check.name}: {_decided(check)}' for check in closed)}."
    told = "; ".join(f"{check.name} {_decided(check)}" for check in checks)
    return f"Passed: {version} may be promoted to staging. {told}."


def _shown_beside(facts: Facts, policy: Policy) -> str:
    """Say what the five rows do not see: a candidate below the best ever, where the policy only shows it."""
    told = [each.reason for each in _below(facts, policy)] if policy.ratchet == "show" else []
    return f" Shown beside the rows: {'; '.join(told)}." if told else ""


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
        found.append(comparison.UNTOLD[facts.slot_scores])
    if facts.holdout is None:
        found.append("the service does not tell on which hold-out the models were scored")
    elif facts.candidate_scored is not None and _holdout_problem(facts):
        found.append(_holdout_problem(facts))
    if policy.ratchet == "show" and facts.best is not None and not _nothing_to_keep(facts):
        found += [each.reason for each in _below(facts, policy)] or [
            told for told in [comparison.without_best(facts.best)] if told
        ]
    return (*found, *_disagreements(facts, policy))


def _disagreements(facts: Facts, policy: Policy) -> list[str]:
    """Say where two sources of one figure differ."""
    found = comparison.disagreements(facts.candidate, facts.production, facts.deltas)
    compared, observed = production_figure(facts, "f1"), facts.production_observed_f1
    if compared is not None and observed is not None:
        apart = abs(compared - exact(observed))
        if apart > exact(policy.disagreement_tolerance):
            both = f"{shown(observed)} in MODEL_METRICS and {shown(compared)} in the comparison"
            found.append(f"production's F1 is {both}: {shown(apart)} apart")
    return found
