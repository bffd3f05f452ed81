"""Is a comparison like with like: the same hold-out, two models that differ; and was a promoted version ever better?"""

from __future__ import annotations

from typing import Literal, NamedTuple

from retrain.checks import exact
from retrain.facts import BestEver, Metrics, Scored
from retrain.judgement.proof import COUNT_TOLERANCE, classes, counts_problem
from retrain.judgement.words import counted, listed, shown

__all__ = [
    "UNTOLD",
    "WRITTEN",
    "Below",
    "alike",
    "below_best",
    "disagreements",
    "holdouts_apart",
    "not_of_training",
    "without_best",
]

WRITTEN = {"f1": "F1", "auc_roc": "AUC-ROC", "precision": "precision", "recall": "recall"}
"""How the four figures that are compared with production's are written."""


UNTOLD = {
    None: "that candidate and production differ cannot be shown: a version was not told",
    "different": "a version was not told: that candidate and production differ is shown by their scores on the samples",
    "same": "a version was not told, and candidate and production give the samples the same scores",
    "unknown": "that candidate and production differ cannot be shown yet: a version was not told, and the slots cannot"
    " be asked apart; whether the swap changes the scores is looked at after it",
}
"""What is said where a version was not told, by what the slots' scores show."""


class Below(NamedTuple):
    """A figure that lies more than its tolerance below the best that a promoted version had."""

    requirement: str
    observed: str
    reason: str


def holdouts_apart(
    candidate: Metrics | None, production: Metrics | None, ours: Scored | None, theirs: Scored | None
) -> str:
    """Return why the two figures do not, or may not, come from the same rows; an empty string where the ids agree.

    Ids that agree are not enough where the counts of both are told and are of other rows.
    """
    one, other = (scored.holdout_id if scored is not None else None for scored in (ours, theirs))
    if one is None or other is None:
        return "no id shows that candidate and production were scored on the same hold-out"
    if one != other:
        return f"candidate and production were scored on different hold-outs, {one} and {other}: not like with like"
    rows = classes(candidate), classes(production)
    if None not in rows and rows[0] != rows[1]:
        told = listed(f"{shown(each[0])} of {counted(sum(each), 'row')} positive" for each in rows if each is not None)
        return f"candidate and production are said to be scored on one hold-out, {one}, but their counts are {told}"
    return ""


def not_of_training(status: str | None, job: str | None, ours: str | None) -> str:
    """Return why the service's figures are not, or may not be, those of this run's training; else an empty string.

    ``ours`` is that training's job. Where it is None, or ``status`` is, there is nothing to hold the other against.
    """
    if status not in (None, "completed"):
        return f"the service's status is {status}, not completed"
    if ours is None or job == ours:
        return ""
    if job is None:
        return f"the service tells no job any more, and this run's training is {ours}"
    return f"the service's figures are those of {job}, and this run's training is {ours}"


def alike(candidate: Metrics | None, production: Metrics | None, deltas: dict[str, float | None]) -> bool:
    """Whether every figure that was told of both is the same, F1 and AUC-ROC among them: nothing tells them apart."""
    same = {}
    for name in ("f1", "auc_roc", "precision", "recall", "tp", "fp", "fn", "tn"):
        ours, theirs, delta = getattr(candidate, name, None), getattr(production, name, None), deltas.get(name)
        if ours is not None and theirs is not None:
            same[name] = exact(ours) == exact(theirs)
        elif delta is not None:
            same[name] = delta == 0
    return {"f1", "auc_roc"} <= set(same) and all(same.values())


def below_best(
    candidate: Metrics | None, best: BestEver | None, tolerances: dict[Literal["f1", "auc_roc"], float]
) -> list[Below]:
    """Return the figures of ``candidate`` that lie below the best of any promoted version less their tolerance."""
    found = []
    for name, tolerance in tolerances.items():
        value: float | None = getattr(candidate, name, None)
        top: float | None = getattr(best, name, None)
        if value is None or top is None or exact(value) >= exact(top) - exact(tolerance):
            continue
        written, version = WRITTEN[name], getattr(best, f"{name}_version", None)
        had = f"the best that a promoted version had, {shown(top)}{f' ({version})' if version else ''}"
        limit = shown(exact(top) - exact(tolerance))
        found.append(
            Below(
                f"{written} ≥ the best ever {shown(top)} − {shown(tolerance)} = {limit}",
                shown(value),
                f"{written} {shown(value)} lies {shown(exact(top) - exact(value))} below {had}:"
                f" more than {shown(tolerance)}",
            )
        )
    return found


def without_best(best: BestEver | None) -> str:
    """Return why no best figure is known to hold a candidate against, or an empty string."""
    if best is None:
        return "the best figures of promoted versions were not asked for"
    if best.promotions == 0:
        return "no promotion is recorded in MODEL_METRICS, so there is no best figure to hold the candidate against"
    missing = [written for written, told in (("F1", best.f1), ("AUC-ROC", best.auc_roc)) if told is None]
    return f"no promotion in MODEL_METRICS tells its {listed(missing)}" if missing else ""


def disagreements(candidate: Metrics | None, production: Metrics | None, deltas: dict[str, float | None]) -> list[str]:
    """Say where the service's deltas are not the differences of its figures, and where its counts do not fit them."""
    found = []
    for name, written in WRITTEN.items():
        ours, theirs, delta = getattr(candidate, name, None), getattr(production, name, None), deltas.get(name)
        if ours is None or theirs is None or delta is None:
            continue
        difference = exact(ours) - exact(theirs)
        if abs(difference - exact(delta)) > COUNT_TOLERANCE:
            found.append(f"the service's delta of {written}, {shown(delta)}, is not the difference {shown(difference)}")
    for who, model in (("the candidate", candidate), ("production", production)):
        problem = counts_problem(model) if model is not None else ""
        if problem:
            found.append(f"the counts of {who} do not fit its figures: {problem}")
    return found
