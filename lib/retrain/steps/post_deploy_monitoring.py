"""Steps of *Post-deploy monitoring*: windows as they come, judged after each, for half an hour."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain import pictures
from retrain.clock import Pace
from retrain.facts import Metrics, Window
from retrain.judgement import prevalence
from retrain.judgement.looks import Standing, standings
from retrain.judgement.windows import revised
from retrain.pictures import Picture
from retrain.record.records import RunFolder
from retrain.sections.post_deploy_monitoring import EDITION, Facts, decide, watch_of, why_extended

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["baseline", "baseline_figures", "course", "picture", "swapped_at", "watch"]

_LOOKS_A_PICTURE = 5


def swapped_at(folder: RunFolder) -> datetime | None:
    """Return the instant at which a run saw its swap, on the environment's clock, or None where there was none."""
    swaps = [told for told in folder.bodies("effect") if told["effect"]["effect"] == "swap"]
    if not swaps or swaps[-1]["effect"]["outcome"] != "applied":
        return None
    return datetime.fromisoformat(swaps[-1]["now"])


def baseline(run: Run) -> Metrics | None:
    """Return the figures with which the new version passed the gate; None where this run has no gate."""
    gate = run.facts("evaluation_gate")
    return gate.candidate if gate is not None else None


def watch(run: Run, since: datetime | None, live: Callable[[Any], None]) -> Facts:
    """Look at MODEL_METRICS until the watch is over or a drop is found; ``live`` is shown as windows come."""
    facts = _before(run, since)
    if since is None:
        return facts
    with run.waiting("watch"):
        known = run.warehouse.versions_seen_before(run.model, before=since).value
        looks, pace = 0, Pace(run.policy.poll_seconds)
        while True:
            facts = _look(run, since, known, facts)
            if looks % _LOOKS_A_PICTURE == 0:
                live(picture(run, facts))
            looks += 1
            if decide(facts, run.policy).outcome != "watching":
                break
            run.clock.sleep(pace.pause())
    live(picture(run, facts))
    return facts


def baseline_figures(run: Run) -> dict[str, float | None]:
    """Return what F1 is measured against, and the shares that it came from where the gate had counts."""
    figures = baseline(run)
    shares = prevalence.baseline_shares(figures)
    told = dict(zip(("prevalence", "recall", "false-positive rate"), map(float, shares), strict=True)) if shares else {}
    return {"baseline F1": figures.f1 if figures is not None else None, **told}


def picture(run: Run, facts: Facts) -> Picture:
    """Draw the watch so far."""
    policy, rule = run.policy, watch_of(facts, run.policy)
    return pictures.watch(
        standings(rule),
        baseline=facts.baseline_f1,
        tolerance=policy.f1_drop_tolerance,
        ceiling=policy.latency_p99_ceiling_seconds,
        acts_at=round(1 / rule.alpha, 2),
    )


def course(run: Run, facts: Facts) -> list[dict[str, Any]]:
    """Return what was known after each window, newest first: counts are summed, never averaged."""
    return [_row(standing) for standing in reversed(standings(watch_of(facts, run.policy)))]


def _row(standing: Standing) -> dict[str, Any]:
    f1, slow = standing.f1_look, standing.slow_look
    return {
        "minute": standing.minute,
        "events so far": f1.total.events if f1 is not None else None,
        "F1 so far": standing.f1_so_far if f1 is not None else standing.f1,
        "at the baseline's prevalence": standing.f1_at_baseline_prevalence,
        "e-value of a drop": f1.e_value if f1 is not None else None,
        "requests so far": slow.requests if slow is not None else None,
        "slow": slow.slow if slow is not None else None,
        "e-value of a spike": slow.e_value if slow is not None else None,
    }


def _before(run: Run, since: datetime | None) -> Facts:
    """Return what is known before the first look."""
    figures = baseline(run)
    return Facts(
        edition=EDITION,
        swapped_at=since,
        candidate_version=_candidate(run),
        baseline_f1=figures.f1 if figures is not None else None,
        baseline=figures,
    )


def _look(run: Run, since: datetime, known: tuple[str, ...], former: Facts) -> Facts:
    """Look once more. The watch goes on beyond its minutes where ``former`` ended it and settled nothing."""
    policy, now = run.policy, run.clock.now()
    because = former.extended_because or why_extended(former, policy)
    minutes = policy.watch_minutes + (policy.extension_minutes if because else 0)
    told = run.warehouse.watch_windows(run.model, since=since, until=min(now, since + timedelta(minutes=minutes)))
    version = former.candidate_version
    ours = tuple(window for window in told.value if window.window_start >= since and _is_ours(window, version, known))
    return former.model_copy(
        update={
            "watched_minutes": round(min((now - since) / timedelta(minutes=1), minutes), 3),
            "windows": ours,
            "other_windows": len(told.value) - len(ours),
            "revisions": former.revisions + revised(former.windows or (), ours),
            "extended_because": because,
            "evidence": {"windows": told.evidence},
        }
    )


def _is_ours(window: Window, candidate: str | None, known: tuple[str, ...]) -> bool:
    """Tell whether a window is the new version's: by name, or by a name that was never seen before the swap."""
    if candidate is not None:
        return window.version == candidate
    return window.version is None or window.version not in known


def _candidate(run: Run) -> str | None:
    deployed = run.facts("blue_green_deployment")
    gate = run.facts("evaluation_gate")
    version = gate.candidate.version if gate is not None and gate.candidate is not None else None
    return version or (deployed.after.active if deployed is not None and deployed.after.attested else None)
