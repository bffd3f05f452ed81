"""Steps of *Post-deploy monitoring*: windows as they come, judged after each, for half an hour.

The new version serves meanwhile, so nothing that may pass ends the watch: a look that fails is followed by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain import pictures
from retrain.clock import Pace
from retrain.errors import RetrainError
from retrain.facts import Metrics, Window
from retrain.judgement import prevalence
from retrain.judgement.looks import Standing, standings
from retrain.judgement.windows import revised, tp_fp_fn
from retrain.pictures import Picture
from retrain.record.records import RunFolder
from retrain.sections.post_deploy_monitoring import (
    EDITION,
    Facts,
    decide,
    longest_minutes,
    looked,
    watch_of,
    why_extended,
)
from retrain.warehouse import Unreachable, WarehouseError

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = ["baseline", "baseline_figures", "course", "picture", "swapped_at", "watch"]

_LOOKS_A_PICTURE = 5

_MARGIN_MINUTES = 5.0
"""A warehouse that is away, or a clock that goes back, may prolong a watch by so much beyond its longest."""

_MINUTE = timedelta(minutes=1)


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
    """Look at MODEL_METRICS until the watch is over or a drop is found; ``live`` is shown as windows come.

    A look that fails is not the end: what it would have seen is looked for at the next. Raises UsageError where a
    table, a column or a privilege is wrong, which no waiting mends.
    """
    facts = _before(run, since)
    if since is None:
        return facts
    with run.waiting("watch"):
        looking, looks, pace = _Looking(run, since), 0, Pace(run.policy.poll_seconds)
        while True:
            facts = looking.again(facts)
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
    """Return what was known at the end of each window, newest first: counts are summed, never averaged."""
    return [_row(standing) for standing in reversed(standings(watch_of(facts, run.policy)))]


def _row(standing: Standing) -> dict[str, Any]:
    f1, slow = standing.f1_look, standing.slow_look
    summed = f1 is not None or tp_fp_fn(standing.window) is not None
    return {
        "minute": standing.minute,
        "events so far": f1.total.events if f1 is not None else None,
        "F1 so far": standing.f1_so_far if summed else standing.f1,
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


class _Looking:
    """The looks of one watch: the instant of each never goes back, and neither does the clock that bounds them all."""

    def __init__(self, run: Run, since: datetime) -> None:
        """Take the run and the instant of its swap; look at nothing yet."""
        self._run = run
        self._since = since
        self._now = max(since, run.clock.now())
        self._longest = longest_minutes(run.policy)
        self._until = self._now + _MINUTE * (self._longest + _MARGIN_MINUTES)
        self._began_seconds = run.clock.monotonic()
        self._known: tuple[str, ...] | None = None

    def again(self, former: Facts) -> Facts:
        """Look once more, after the look that told ``former``."""
        self._now = max(self._now, self._run.clock.now())
        minutes = (self._run.clock.monotonic() - self._began_seconds) / 60
        late = minutes > self._longest + _MARGIN_MINUTES
        behind = late and self._now < self._until - _MINUTE * _MARGIN_MINUTES
        former = former.model_copy(update={"overran_minutes": round(minutes, 3) if behind else None})
        try:
            return self._answered(former, last=behind)
        except (WarehouseError, Unreachable) as error:
            return self._failed(former, error, last=late or self._now >= self._until)

    def _answered(self, former: Facts, *, last: bool) -> Facts:
        """Look as far as the watch reaches: beyond its minutes where ``former`` ended it and settled nothing."""
        run, since, policy = self._run, self._since, self._run.policy
        because = former.extended_because or why_extended(former, policy)
        minutes = self._longest if because or last else policy.watch_minutes
        over = since + _MINUTE * minutes
        until = over if last else min(self._now, over)
        told = run.warehouse.watch_windows(run.model, since=since, until=until)
        version = former.candidate_version
        known = self._versions_before()
        ours = tuple(each for each in told.value if each.window_start >= since and _is_ours(each, version, known))
        facts = former.model_copy(
            update={
                "watched_minutes": minutes if until == over else round((until - since) / _MINUTE, 3),
                "windows": ours,
                "other_windows": len(told.value) - len(ours),
                "revisions": former.revisions + revised(former.windows or (), ours),
                "extended_because": because,
                "unanswered_since": None,
                "evidence": {"windows": told.evidence},
            }
        )
        return facts.model_copy(update={"looks": looked(facts)})

    def _failed(self, former: Facts, error: RetrainError, *, last: bool) -> Facts:
        """Keep what is known. A failed look watches nothing; the last one ends the watch."""
        since = former.unanswered_since
        return former.model_copy(
            update={
                "watched_minutes": self._longest if last else former.watched_minutes or 0.0,
                "failed_looks": former.failed_looks + 1,
                "last_failure": str(error),
                "unanswered_since": round((self._now - self._since) / _MINUTE, 3) if since is None else since,
            }
        )

    def _versions_before(self) -> tuple[str, ...]:
        """Return the versions that were known before the swap, asked until it was answered once."""
        if self._known is None:
            self._known = self._run.warehouse.versions_seen_before(self._run.model, before=self._since).value
        return self._known


def _is_ours(window: Window, candidate: str | None, known: tuple[str, ...]) -> bool:
    """Tell whether a window is the new version's: by name, by one never seen before the swap, or without any."""
    if candidate is not None:
        return window.version in (candidate, None)
    return window.version is None or window.version not in known


def _candidate(run: Run) -> str | None:
    deployed = run.facts("blue_green_deployment")
    gate = run.facts("evaluation_gate")
    version = gate.candidate.version if gate is not None and gate.candidate is not None else None
    return version or (deployed.after.active if deployed is not None and deployed.after.attested else None)
