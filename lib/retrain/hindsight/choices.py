"""What other values of a policy's own settings would do at the same traffic: α, windows in a row, sample predictions.

Each is a point between two errors: acting on a healthy version, and not seeing, or seeing late, a bad one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from retrain.checks import Figure, Model
from retrain.hindsight.traffic import Traffic, draw_watch, judge_watch, windows_of
from retrain.sections.post_deploy_monitoring import Policy as Watch
from retrain.sections.staging_smoke_tests import Policy as Smoke
from retrain.sections.staging_smoke_tests import predictions_to_send
from retrain.statistics.beta import log_at_most
from retrain.statistics.intervals import requests_to_prove, slow_share_upper

if TYPE_CHECKING:
    import numpy

__all__ = ["SLOW_SHARES", "SampleChoice", "WatchChoice", "sample_choices", "watch_choices"]

ALPHAS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
IN_A_ROW = (1, 2, 3, 4, 5)
SAMPLES = (10, 30, 100, 200, 299, 473, 1000, 3000)
SLOW_SHARES = (0.005, 0.02)
"""Half and twice the budget of slow requests."""


class WatchChoice(Model):
    """One setting of the watch: the share of healthy versions rolled back, and when a ``drop`` is seen (median)."""

    setting: str
    value: float
    in_force: bool
    healthy_rolled_back: float
    drop: float
    drop_seen: float
    minutes: Figure


class SampleChoice(Model):
    """One number of sample predictions: how often p99 < 1 s passes at each of ``SLOW_SHARES``, and what it can prove.

    ``proves`` is the largest share of slow requests that none slow of so many leave possible, at 95 %.
    """

    predictions: int
    in_force: bool
    passes_at_half: float
    passes_at_twice: float
    proves: float


def watch_choices(
    rng: numpy.random.Generator, policy: Watch, traffic: Traffic, *, runs: int
) -> tuple[WatchChoice, ...]:
    """Judge the same watches with every α of the exact rule, and with every number of bad windows in a row."""
    drop = min(2 * policy.f1_drop_tolerance, traffic.f1 / 2)
    if not drop or traffic.shares(drop) is None:
        return ()
    slow = traffic.slow_share
    healthy, worse = (draw_watch(rng, policy, traffic, runs=runs, drop=by, slow_share=slow) for by in (0.0, drop))
    alphas = sorted({*ALPHAS, policy.false_rollback_rate})
    settings: list[tuple[str, float, dict[str, Any]]] = [
        *(("false_rollback_rate", alpha, {"rule": "exact", "false_rollback_rate": alpha}) for alpha in alphas),
        *(("consecutive_windows", row, {"rule": "consecutive", "consecutive_windows": row}) for row in IN_A_ROW),
    ]
    found = []
    for setting, value, update in settings:
        other = policy.model_copy(update=update)
        rolled_back, seen = (_seen(other, traffic, drawn) for drawn in (healthy, worse))
        found.append(
            WatchChoice(
                setting=setting,
                value=value,
                in_force=other == policy,
                healthy_rolled_back=float((rolled_back > 0).mean()),
                drop=drop,
                drop_seen=float((seen > 0).mean()),
                minutes=_median(seen, traffic.window_minutes),
            )
        )
    return tuple(found)


def sample_choices(policy: Smoke) -> tuple[SampleChoice, ...]:
    """Work out for each number of sample predictions how often the smoke test passes p99, exactly."""
    sent = predictions_to_send(policy)
    return tuple(
        SampleChoice(
            predictions=number,
            in_force=number == sent,
            passes_at_half=_passes(policy, number, SLOW_SHARES[0]),
            passes_at_twice=_passes(policy, number, SLOW_SHARES[1]),
            proves=slow_share_upper(0, number),
        )
        for number in sorted({*SAMPLES, sent})
    )


def _passes(policy: Smoke, number: int, share: float) -> float:
    allowed = number - -(-99 * number // 100)
    if policy.prove_p99:
        while allowed >= 0 and requests_to_prove(allowed) > number:
            allowed -= 1
    return math.exp(log_at_most(allowed, number, share)) if allowed >= 0 else 0.0


def _seen(policy: Watch, traffic: Traffic, drawn: tuple[Any, Any, int]) -> Any:
    rows, slow, requests = drawn
    windows = windows_of(policy, traffic)
    return judge_watch(policy, baseline=traffic.baseline, rows=rows, slow=slow, requests=requests, windows=windows).seen


def _median(seen: Any, window_minutes: float) -> float | None:
    """Return the minute by which half of the runs had acted; None where fewer ever did."""
    import numpy

    minutes = numpy.sort(numpy.where(seen > 0, seen * window_minutes, numpy.inf))
    middle = float(minutes[(len(minutes) - 1) // 2])
    return middle if math.isfinite(middle) else None
