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
from retrain.hindsight.traffic import Traffic, Watched, draw_scores, draw_watch, judge_gate, judge_watch, windows_of
from retrain.pictures import Picture
from retrain.settings import Settings
from retrain.statistics.intervals import wilson
from retrain.statistics.operating import false_drift_triggers, false_f1_triggers

if TYPE_CHECKING:
    import numpy

    from retrain.sections.when_to_retrain import Policy as Triggers
    from retrain.statistics.operating import Counts

__all__ = ["Curve", "Point", "Row", "Simulated", "picture", "print_simulation", "simulate"]

DROPS = (0.0, 0.05, 0.1, 0.15, 0.2)
SLOW_SHARES = (0.02, 0.05)
GATE_DROPS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.1)
VOLUMES = (0.125, 0.25, 0.5, 1.0, 2.0)

ASSUMED = (
    "rows are independent of one another; real traffic comes in bursts and has days and weeks",
    "the baseline F1 is taken as the truth; what it was measured on has an error of its own",
    "a model with a lower F1 has precision and recall lower by one factor",
    "the gate's AUC-ROC and latency rows are taken as passed, and two models' errors as independent",
    "after a false retraining the windows of F1 and drift begin anew; scheduled retrainings are left out",
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
    """The share of runs that were rolled back by the end of each window, for one state of the new version."""

    drop: float
    slow_share: float
    minutes: tuple[float, ...]
    rolled_back: tuple[float, ...]
    median_minutes: Figure
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
    )


def _watch(rng: numpy.random.Generator, settings: Settings, traffic: Traffic, runs: int) -> tuple[Curve, ...]:
    states = [(drop, traffic.slow_share) for drop in DROPS if traffic.shares(drop)]
    states += [(0.0, slow) for slow in SLOW_SHARES if slow > traffic.slow_share]
    return tuple(_curve(rng, settings, traffic, runs, drop, slow) for drop, slow in states)


def _curve(
    rng: numpy.random.Generator, settings: Settings, traffic: Traffic, runs: int, drop: float, slow_share: float
) -> Curve:
    import numpy

    policy = settings.post_deploy_monitoring
    rows, slow, requests = draw_watch(rng, policy, traffic, runs=runs, drop=drop, slow_share=slow_share)
    watched = judge_watch(policy, baseline=traffic.baseline, rows=rows, slow=slow, requests=requests)
    rolled_back = _rolled_back(watched, windows_of(policy, traffic), also_open=policy.on_inconclusive == "roll_back")
    windows = numpy.arange(1, windows_of(policy, traffic) + 1)
    by_window = [float(((rolled_back > 0) & (rolled_back <= window)).mean()) for window in windows]
    minutes = [float(window) * traffic.window_minutes for window in windows]
    median = next((minute for minute, share in zip(minutes, by_window, strict=True) if share >= 0.5), None)
    return Curve(
        drop=drop,
        slow_share=slow_share,
        minutes=tuple(minutes),
        rolled_back=tuple(by_window),
        median_minutes=median,
        inconclusive=float(watched.inconclusive.mean()),
    )


def _rolled_back(watched: Watched, windows: int, *, also_open: bool) -> Counts:
    """Return the window of each roll back; what stays open is rolled back in the end where the policy says so."""
    import numpy

    return numpy.where(watched.inconclusive, windows, watched.seen) if also_open else watched.seen


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
    found = {volume: _by_f1(rng, policy, traffic, years, labels * volume) for volume in VOLUMES}
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
    points = tuple(Point(x=labels * volume, y=float(each.mean())) for volume, each in found.items())
    told = f"by F1, at {labels:,.0f} labels a day"
    return points, [_a_year(told, found[1.0]), _a_year("by drift", by_drift)]


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


def picture(simulated: Simulated) -> Picture:
    """Draw roll backs by minute, the gate's passes by true drop, and false retrainings by labels a day."""
    from retrain.hindsight.curves import drawn, panels

    figure, (watch, gate, trigger) = panels(
        "The watch: share rolled back by minute",
        "The gate: share that passes",
        "Triggers: false retrainings a year, by F1",
    )
    for curve in simulated.watch:
        spike = curve.slow_share != simulated.traffic.slow_share
        label = f"{100 * curve.slow_share:g} % slow" if spike else f"F1 −{curve.drop:g}" if curve.drop else "healthy"
        watch.plot(curve.minutes, curve.rolled_back, "--" if spike else "-", label=label)
    watch.set_xlabel("minutes after the swap", fontsize=8)
    gate.plot([point.x for point in simulated.gate], [point.y for point in simulated.gate], "o-", markersize=3)
    gate.set_xlabel("true drop of the candidate's F1 against production", fontsize=8)
    trigger.plot([p.x for p in simulated.retrainings], [p.y for p in simulated.retrainings], "o-", markersize=3)
    trigger.set_xscale("log")
    trigger.set_xlabel("labels a day", fontsize=8)
    said = "; ".join(f"{row.what} {row.value:.3g} {row.unit}" for row in simulated.rows if row.value is not None)
    return drawn(figure, f"{said}.")


def print_simulation(simulated: Simulated) -> None:
    """Print every characteristic with its interval, and what was assumed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console, table = Console(highlight=False), Table("", "what", "value", "95 % interval", box=None)
    for row in simulated.rows:
        value = f"not within the watch ({row.unit})" if row.value is None else f"{row.value:.4g} {row.unit}"
        between = "" if row.low is None or row.high is None else f"{row.low:.3g} – {row.high:.3g}"
        table.add_row(row.about, escape(row.what), value, between)
    console.print(table)
    console.print(f"{simulated.runs:,} runs, seed {simulated.seed}. Assumed: {'; '.join(simulated.assumed)}.")
