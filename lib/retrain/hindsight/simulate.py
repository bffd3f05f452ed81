"""What a policy does at a team's own traffic: false roll backs, minutes to a drop, false retrainings, and more.

Nothing real is read. The rules are the library's own, many runs at once; the seed makes a simulation repeatable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from retrain.checks import Figure, Model, exact
from retrain.errors import UsageError
from retrain.hindsight.choices import SampleChoice, WatchChoice, sample_choices, watch_choices
from retrain.hindsight.traffic import Traffic, Watched, draw_scores, draw_watch, judge_gate, judge_watch, windows_of
from retrain.settings import Settings
from retrain.statistics.false_drift import Histogram, false_drift_a_year
from retrain.statistics.false_triggers import false_retrainings_a_year
from retrain.statistics.intervals import wilson
from retrain.statistics.operating import false_drift_triggers, false_f1_triggers

if TYPE_CHECKING:
    import numpy

    from retrain.sections.when_to_retrain import Policy as Triggers
    from retrain.statistics.operating import Counts

__all__ = ["Curve", "Point", "Row", "Simulated", "simulate"]

DROPS = (0.0, 0.05, 0.1, 0.15, 0.2)
SLOW_SHARES = (0.02, 0.05)
GATE_DROPS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.1)
LABELS_A_DAY = (50, 100, 200, 500, 1000, 3000)
"""Where the curve of false retrainings is worked out, beside the team's own volume."""

ASSUMED = (
    "rows are independent of one another; real traffic comes in bursts and has days and weeks",
    "the baseline F1 is taken as the truth; what it was measured on has an error of its own",
    "every window of MODEL_METRICS comes, and in time",
    "a model with a lower F1 has precision and recall lower by one factor",
    "the gate's AUC-ROC and latency rows are taken as passed, and two models' errors as independent",
    "after a false retraining the windows of F1 and drift begin anew; the stated rate by drift has a full window",
    "scheduled retrainings and hysteresis are left out",
    "drift is looked at once a day, in features independent of one another",
)


class Row(Model):
    """One characteristic: a share or a number, with the 95 % interval that the number of simulated runs leaves."""

    about: str
    what: str
    value: Figure
    unit: str
    low: Figure = None
    high: Figure = None


class Curve(Model):
    """The share of runs that were rolled back by the end of each window, for one state of the new version.

    ``extended`` is the share that was watched beyond the policy's minutes, ``inconclusive`` what was open even then.
    """

    drop: float
    slow_share: float
    minutes: tuple[float, ...]
    rolled_back: tuple[float, ...]
    median_minutes: Figure
    extended: float
    inconclusive: float


class Point(Model):
    """One point of a curve: ``x`` is a true F1 drop (gate) or labels a day (trigger)."""

    x: float
    y: float


class Simulated(Model):
    """The operating characteristics of a policy at one traffic."""

    seed: int
    runs: int
    traffic: Traffic
    rows: tuple[Row, ...]
    watch: tuple[Curve, ...]
    gate: tuple[Point, ...]
    retrainings: tuple[Point, ...]
    watch_choices: tuple[WatchChoice, ...]
    sample_choices: tuple[SampleChoice, ...]
    assumed: tuple[str, ...] = Field(ASSUMED)


def simulate(settings: Settings, traffic: Traffic, *, seed: int = 0, runs: int = 4000) -> Simulated:
    """Return what the policies of ``settings`` do at ``traffic``, from ``runs`` simulated runs (the years fewer)."""
    import numpy

    if runs < 1:
        raise UsageError(f"a simulation takes at least one run, not {runs}")
    if windows_of(settings.post_deploy_monitoring, traffic) < 1:
        raise UsageError("window_minutes is longer than the watch: no window would be seen")
    rng = numpy.random.default_rng(seed)
    watch = _watch(rng, settings, traffic, runs)
    gate = _gate(rng, settings, traffic, runs)
    years = max(1, min(100, runs // 20))
    retrainings, rows = _retrainings(rng, settings.when_to_retrain, traffic, years)
    return Simulated(
        seed=seed,
        runs=runs,
        traffic=traffic,
        rows=(*_watch_rows(watch, runs), *rows, *_gate_rows(gate, settings, traffic, runs)),
        watch=watch,
        gate=gate,
        retrainings=retrainings,
        watch_choices=watch_choices(rng, settings.post_deploy_monitoring, traffic, runs=runs),
        sample_choices=sample_choices(settings.staging_smoke_tests),
    )


def _watch(rng: numpy.random.Generator, settings: Settings, traffic: Traffic, runs: int) -> tuple[Curve, ...]:
    states = [(drop, traffic.slow_share) for drop in DROPS if traffic.shares(drop)]
    states += [(0.0, slow) for slow in SLOW_SHARES if slow > traffic.slow_share]
    return tuple(_curve(rng, settings, traffic, runs, drop, slow) for drop, slow in states)


def _curve(
    rng: numpy.random.Generator, settings: Settings, traffic: Traffic, runs: int, drop: float, slow_share: float
) -> Curve:
    import numpy

    policy, windows = settings.post_deploy_monitoring, windows_of(settings.post_deploy_monitoring, traffic)
    rows, slow, requests = draw_watch(rng, policy, traffic, runs=runs, drop=drop, slow_share=slow_share)
    watched = judge_watch(policy, baseline=traffic.baseline, rows=rows, slow=slow, requests=requests, windows=windows)
    rolled_back = _rolled_back(watched, also_open=policy.on_inconclusive == "roll_back")
    every = numpy.arange(1, rows.shape[1] + 1)
    by_window = [float(((rolled_back > 0) & (rolled_back <= window)).mean()) for window in every]
    minutes = [float(window) * traffic.window_minutes for window in every]
    median = next((minute for minute, share in zip(minutes, by_window, strict=True) if share >= 0.5), None)
    return Curve(
        drop=drop,
        slow_share=slow_share,
        minutes=tuple(minutes),
        rolled_back=tuple(by_window),
        median_minutes=median,
        extended=float(((watched.ended > windows) & ((watched.seen == 0) | (watched.seen > windows))).mean()),
        inconclusive=float(watched.inconclusive.mean()),
    )


def _rolled_back(watched: Watched, *, also_open: bool) -> Counts:
    """Return the window of each roll back; what stays open is rolled back in the end where the policy says so."""
    import numpy

    return numpy.where(watched.inconclusive, watched.ended, watched.seen) if also_open else watched.seen


def _watch_rows(watch: Sequence[Curve], runs: int) -> list[Row]:
    rows = []
    for curve in watch:
        spike = curve.drop == 0 and curve.slow_share != watch[0].slow_share
        healthy = curve is watch[0]
        drop = "healthy model" if healthy else f"F1 lower by {curve.drop:g}"
        state = f"{100 * curve.slow_share:g} % slow requests" if spike else drop
        rows.append(_share("watch", f"{state}: rolled back", curve.rolled_back[-1], runs))
        rows.append(_share("watch", f"{state}: inconclusive", curve.inconclusive, runs))
        if not healthy:
            rows.append(
                Row(about="watch", what=f"{state}: seen after", value=curve.median_minutes, unit="minutes, median")
            )
    return rows


def _gate(rng: numpy.random.Generator, settings: Settings, traffic: Traffic, runs: int) -> tuple[Point, ...]:
    drops = [drop for drop in GATE_DROPS if traffic.shares(drop)]
    scored = [(drop, *draw_scores(rng, traffic, runs=runs, drop=drop)) for drop in drops]
    return tuple(
        Point(x=drop, y=float(judge_gate(settings.evaluation_gate, candidate, production).mean()))
        for drop, candidate, production in scored
    )


def _gate_rows(gate: Sequence[Point], settings: Settings, traffic: Traffic, runs: int) -> list[Row]:
    return [
        _share(
            "gate", f"F1 truly lower by {point.x:g} ({_deserves(point.x, settings, traffic)}): passes", point.y, runs
        )
        for point in gate
    ]


def _deserves(drop: float, settings: Settings, traffic: Traffic) -> str:
    """Say whether a candidate so much worse should pass, were its figures known without error."""
    policy, (precision, recall) = settings.evaluation_gate, traffic.quality(drop)
    within = exact(drop) <= exact(policy.f1_tolerance)
    good = within and precision >= policy.precision_floor and recall >= policy.recall_floor
    return "should pass" if good else "a wrong promotion if it does"


def _retrainings(
    rng: numpy.random.Generator, policy: Triggers, traffic: Traffic, years: int
) -> tuple[tuple[Point, ...], list[Row]]:
    daily = traffic.requests_per_minute * 1440
    labels = traffic.labels_per_day or daily * traffic.labelled_share
    found = {each: _by_f1(rng, policy, traffic, years, each) for each in sorted({labels, *LABELS_A_DAY})}
    by_drift = false_drift_triggers(
        rng,
        runs=years,
        days=365,
        rows_a_day=traffic.rows_per_day or daily,
        reference_rows=traffic.reference_rows,
        features=traffic.features,
        bins=10,
        window_days=policy.drift_window_days,
        rest_days=policy.cooldown_hours / 24,
        minimum_rows=policy.psi_minimum_rows,
        ceiling=policy.psi_ceiling,
        by_maximum=policy.psi_aggregate == "max",
    )
    points = tuple(Point(x=each, y=float(counts.mean())) for each, counts in found.items())
    by_f1, drift = f"by F1, at {labels:,.0f} labels a day", f"by drift, at {traffic.rows_per_day or daily:,} rows a day"
    return points, [
        _stated(by_f1, _stated_by_f1(policy, traffic, labels)),
        _a_year(f"{by_f1}, simulated", found[labels]),
        _stated(drift, _stated_by_drift(policy, traffic)),
        _a_year(f"{drift}, simulated", by_drift),
    ]


def _stated(what: str, value: float | None) -> Row:
    return Row(about="triggers", what=f"false retrainings {what}", value=value, unit="a year")


def _stated_by_drift(policy: Triggers, traffic: Traffic) -> float:
    """Return what the trigger itself states: ten bins a feature, and an empty one for NULL."""
    rows = (traffic.rows_per_day or traffic.requests_per_minute * 1440) * policy.drift_window_days
    if min(rows, traffic.reference_rows) < policy.psi_minimum_rows:
        return 0.0
    return false_drift_a_year(
        [Histogram(11, traffic.reference_rows, rows)] * traffic.features,
        ceiling=policy.psi_ceiling,
        by_maximum=policy.psi_aggregate == "max",
        window_days=policy.drift_window_days,
    )


def _stated_by_f1(policy: Triggers, traffic: Traffic, labels: float) -> float | None:
    """Return what the trigger itself states of its false retrainings at this traffic."""
    shares, limit = traffic.shares(), exact(traffic.baseline) - exact(policy.f1_drop_tolerance)
    if shares is None:
        return None
    return false_retrainings_a_year(
        labels_a_day=labels,
        shares=shares,
        limit=float(limit),
        window_days=policy.f1_window_days,
        minimum_labels=policy.f1_minimum_labels,
        rest_hours=policy.cooldown_hours,
        looks_a_day=traffic.checks_per_day,
    )


def _by_f1(rng: numpy.random.Generator, policy: Triggers, traffic: Traffic, years: int, labels: float) -> Counts:
    import numpy

    shares, limit = traffic.shares(), exact(traffic.baseline) - exact(policy.f1_drop_tolerance)
    if shares is None or limit <= 0:
        return numpy.zeros(years, dtype=numpy.int64)
    return false_f1_triggers(
        rng,
        runs=years,
        steps=365 * traffic.checks_per_day,
        labels_a_step=labels / traffic.checks_per_day,
        shares=shares,
        window_steps=policy.f1_window_days * traffic.checks_per_day,
        rest_steps=math.ceil(policy.cooldown_hours * traffic.checks_per_day / 24),
        minimum_labels=policy.f1_minimum_labels,
        limit=float(limit),
    )


def _a_year(what: str, found: Counts) -> Row:
    mean, reach = float(found.mean()), 1.96 * float(found.std()) / math.sqrt(len(found))
    low, high = max(0.0, mean - reach), mean + reach if mean else 3.0 / len(found)  # none in n: at most 3 / n
    return Row(about="triggers", what=f"false retrainings {what}", value=mean, unit="a year", low=low, high=high)


def _share(about: str, what: str, value: float, runs: int) -> Row:
    low, high = wilson(round(value * runs), runs)
    return Row(about=about, what=what, value=value, unit="of runs", low=min(low, value), high=max(high, value))
