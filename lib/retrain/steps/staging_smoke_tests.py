"""Steps of *Promote to staging* and *Smoke tests*: the slots, a hundred recent rows, a hundred predictions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from retrain import pictures
from retrain.facts import Slots
from retrain.pictures import Picture
from retrain.sections import staging_smoke_tests as rules
from retrain.service.answers import Smoke
from retrain.warehouse import Answer

if TYPE_CHECKING:
    from retrain.notebook import Run

__all__ = [
    "asked_again",
    "candidate_version",
    "facts",
    "latency_picture",
    "p99",
    "sample_rows",
    "side_by_side",
    "slots",
    "smoke_test",
]

Rows = tuple[dict[str, Any], ...]
Again = Answer[tuple[float | None, ...] | None]


def slots(run: Run) -> Answer[Slots]:
    """Return which version is in which slot, where the service tells.

    Where a process died in the middle of a swap, the slots before it are those that it saw, not those of now.
    """
    cut_short = run.cut_short({"blue_green_deployment": "swap"}.get(run.section, run.section))
    if cut_short is not None:
        seen = cut_short["before"] or {}
        slots = {name: seen[name] for name in ("active", "standby") if name in seen}
        return Answer(Slots(**slots, attested=bool(slots)), ())
    health = run.service.health()
    return Answer(health.slots, (health.evidence,)) if health else Answer(Slots(), ())


def candidate_version(run: Run) -> str | None:
    """Return the version that the gate judged in this run, or that the service says was trained last."""
    judged = run.facts("evaluation_gate")
    if judged is not None and judged.candidate is not None and judged.candidate.version:
        return str(judged.candidate.version)
    return run.service.status().version


def sample_rows(run: Run) -> Answer[Rows]:
    """Draw the run's sample of recent rows, feature values only: the same rows each time it is asked in one run."""
    policy = run.settings.staging_smoke_tests
    with run.waiting("warehouse"):
        since = run.now - timedelta(days=policy.sample_window_days)
        return run.warehouse.sample_rows(rules.predictions_to_send(policy), since=since, until=run.now)


def smoke_test(run: Run, rows: Answer[Rows], told: Slots) -> Smoke:
    """Send one request a row: to the standby slot where the service tells its slots, else as it answers."""
    policy = run.settings.staging_smoke_tests
    slot = "standby" if told.attested else None
    return run.service.smoke(rows.value, slot=slot, concurrency=policy.concurrency, warm_up=policy.warm_up_requests)


def asked_again(run: Run, rows: Answer[Rows], told: Slots) -> Again:
    """Ask the first rows once more, in one batch and last row first; their scores come back in the rows' own order.

    None where the policy does not want it, or there is no row.
    """
    first = rows.value[: run.settings.staging_smoke_tests.batch_rows]
    if not first:
        return Answer(None, ())
    told_at_once = run.service.predict(first[::-1], slot="standby" if told.attested else None)
    return Answer(told_at_once.scores[::-1], (told_at_once.evidence,))


def side_by_side(smoke: Smoke, again: Again) -> list[dict[str, Any]]:
    """Return each row's score alone and in the batch, those that differ most first."""
    pairs = [(place, *scores) for place, scores in enumerate(zip(smoke.scores, again.value or (), strict=False), 1)]
    apart = [0.0 if alone is None or together is None else -abs(alone - together) for _, alone, together in pairs]
    told = [{"row": place, "alone": alone, "in the batch": together} for place, alone, together in pairs]
    return [row for _, row in sorted(zip(apart, told, strict=True), key=lambda each: each[0])]


def facts(
    run: Run, candidate: str | None, told: Answer[Slots], rows: Answer[Rows], smoke: Smoke, again: Again
) -> rules.Facts:
    """Put together what was seen, for the verdict."""
    return rules.Facts(
        gate=run.outcome("evaluation_gate"),
        candidate_version=candidate,
        slots=told.value,
        answered_by=smoke.answered_by,
        scores=smoke.scores,
        latencies_seconds=smoke.latencies_seconds,
        client_p99_seconds=smoke.client_p99_seconds,
        invalid=smoke.invalid,
        timeouts=smoke.timeouts,
        again=again.value,
        edition=rules.EDITION,
        evidence={
            "predictions": (smoke.evidence, *rows.evidence),
            "again": again.evidence,
            "slots": told.evidence,
        },
    )


def p99(run: Run, smoke: Smoke) -> str:
    """Return the 99th percentile of latencies as the verdict tells it: a request without an answer took forever."""
    return rules.in_words(_p99(run, smoke))


def latency_picture(run: Run, smoke: Smoke) -> Picture:
    """Draw the latencies with their 99th percentile and the ceiling."""
    ceiling = run.policy.latency_p99_ceiling_seconds
    return pictures.latencies(smoke.latencies_seconds, p99=_p99(run, smoke), ceiling=ceiling)


def _p99(run: Run, smoke: Smoke) -> float | None:
    return rules.p99_of(smoke.latencies_seconds, run.policy, timeouts=smoke.timeouts)
