"""F1 falls with the share of positives alone: what it would be at the baseline's share, the model being as it is.

Recall and the false-positive rate belong to the model; with them F1 at a prevalence π is
2πr / (πr + π + (1 − π)f). From 10 % to 5 % positives a model with precision and recall of 0.88 loses 0.055.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from retrain.facts import Metrics
from retrain.judgement.windows import Tally
from retrain.judgement.words import shown

__all__ = ["ALONE", "adjusted_f1", "alone", "baseline_shares", "f1_at", "rates"]

ALONE = "prevalence alone explains the drop"
"""How the words begin that say so."""


def f1_at(prevalence: Fraction, *, recall: Fraction, false_positive_rate: Fraction) -> Fraction | None:
    """Return F1 of a model at a ``prevalence``; None where it would find nothing at all, true or false."""
    found = prevalence * recall
    events = found + prevalence + (1 - prevalence) * false_positive_rate
    return 2 * found / events if events else None


def adjusted_f1(total: Tally, baseline: Metrics | None) -> Fraction | None:
    """Return the F1 that the counts would give at the baseline's prevalence; None where a count is not known."""
    before, now = baseline_shares(baseline), _shares(total)
    if before is None or now is None:
        return None
    return f1_at(before[0], recall=now[1], false_positive_rate=now[2])


def alone(total: Tally, baseline: Metrics | None, limit: Decimal) -> str:
    """Say so where F1 is below ``limit`` and would not be at the baseline's prevalence; empty otherwise."""
    line, adjusted = Fraction(limit), adjusted_f1(total, baseline)
    if total.f1 is None or total.f1 >= line or adjusted is None or adjusted < line:
        return ""
    return f"{ALONE}: {_at_baseline(baseline, adjusted)}"


def rates(total: Tally, baseline: Metrics | None) -> str:
    """Write prevalence, recall and false-positive rate, and F1 at the baseline's prevalence where that is known."""
    positives = total.tp + total.fn
    recall = f"recall {_shown(Fraction(total.tp, positives))}" if positives else "no positives"
    if total.tn is None:
        return f"{recall}, prevalence unknown (no true negatives told)"
    negatives = total.fp + total.tn
    rate = f"false-positive rate {_shown(Fraction(total.fp, negatives))}" if negatives else "no negatives"
    told = f"prevalence {_shown(Fraction(positives, positives + negatives))}, {recall}, {rate}"
    adjusted = adjusted_f1(total, baseline)
    return told if adjusted is None else f"{told}; {_at_baseline(baseline, adjusted)}"


def baseline_shares(baseline: Metrics | None) -> tuple[Fraction, Fraction, Fraction] | None:
    """Return prevalence, recall and false-positive rate of the baseline; None where its counts are not known."""
    if baseline is None or None in (counts := (baseline.tp, baseline.fp, baseline.fn, baseline.tn)):
        return None
    known = [count for count in counts if count is not None]
    return _shares(Tally(*known)) if min(known) >= 0 else None


def _at_baseline(baseline: Metrics | None, adjusted: Fraction) -> str:
    before = baseline_shares(baseline)
    prevalence = f" of {_shown(before[0])}" if before is not None else ""
    return f"at the baseline's prevalence{prevalence} this is F1 {_shown(adjusted)}"


def _shares(total: Tally) -> tuple[Fraction, Fraction, Fraction] | None:
    """Return prevalence, recall and false-positive rate; None unless there are positives and negatives."""
    if total.tn is None:
        return None
    positives, negatives = total.tp + total.fn, total.fp + total.tn
    if not positives or not negatives:
        return None
    prevalence = Fraction(positives, positives + negatives)
    return prevalence, Fraction(total.tp, positives), Fraction(total.fp, negatives)


def _shown(share: Fraction) -> str:
    return shown(round(float(share), 4))
