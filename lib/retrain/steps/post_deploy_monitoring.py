"""Steps of *Post-deploy monitoring*: windows as they come, judged after each, for half an hour."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain import pictures
from retrain.facts import Window
from retrain.pictures import Picture
from retrain.record.records import RunFolder
from retrain.sections.post_deploy_monitoring import Facts, decide

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["baseline_f1", "picture", "swapped_at", "watch"]

_LOOKS_A_PICTURE = 5


def swapped_at(folder: RunFolder) -> datetime | None:
    """Return the instant at which a run saw its swap, on the environment's clock, or None where there was none."""
    swaps = [told for told in folder.bodies("effect") if told["effect"]["effect"] == "swap"]
    if not swaps or swaps[-1]["effect"]["outcome"] != "applied":
        return None
    return datetime.fromisoformat(swaps[-1]["now"])


def baseline_f1(run: Run) -> float | None:
    """Return the new version's baseline: the F1 that the gate saw when it was promoted."""
    gate = run.facts("evaluation_gate")
    return gate.candidate.f1 if gate is not None and gate.candidate is not None else None


def watch(run: Run, since: datetime | None, live: Callable[[Any], None]) -> Facts:
    """Look at MODEL_METRICS until the watch is over or a drop is found; ``live`` is shown as windows come."""
    facts = _facts(run, since, ())
    if since is None:
        return facts
    with run.waiting("watch"):
        known = run.warehouse.versions_seen_before(run.model, before=since).value
        looks = 0
        while True:
            facts = _facts(run, since, known)
            if looks % _LOOKS_A_PICTURE == 0:
                live(picture(run, facts))
            looks += 1
            if decide(facts, run.policy).outcome != "watching":
                break
            run.clock.sleep(run.policy.poll_seconds)
    live(picture(run, facts))
    return facts


def picture(run: Run, facts: Facts) -> Picture:
    """Draw the watch so far."""
    policy = run.policy
    return pictures.watch(
        facts.windows or (),
        baseline=facts.baseline_f1,
        tolerance=policy.f1_drop_tolerance,
        ceiling=policy.latency_p99_ceiling_seconds,
    )


def _facts(run: Run, since: datetime | None, known: tuple[str, ...]) -> Facts:
    candidate = _candidate(run)
    if since is None:
        return Facts(candidate_version=candidate, baseline_f1=baseline_f1(run))
    now = run.clock.now()
    until = min(now, since + timedelta(minutes=run.policy.watch_minutes))
    told = run.warehouse.watch_windows(run.model, since=since, until=until)
    ours = tuple(window for window in told.value if window.window_start >= since and _is_ours(window, candidate, known))
    return Facts(
        swapped_at=since,
        watched_minutes=round((now - since) / timedelta(minutes=1), 3),
        candidate_version=candidate,
        baseline_f1=baseline_f1(run),
        windows=ours,
        other_windows=len(told.value) - len(ours),
        evidence={"windows": told.evidence},
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
