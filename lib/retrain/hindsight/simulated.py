"""A simulation for people: tables in plain words, and a picture to choose α, windows and samples by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from retrain.hindsight.choices import SLOW_SHARES, WatchChoice
from retrain.hindsight.simulate import Curve, Row, Simulated
from retrain.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

__all__ = ["picture", "print_simulation"]


def picture(simulated: Simulated) -> Picture:
    """Draw roll backs by minute, both curves to choose by, the gate's passes and the false retrainings."""
    from retrain.hindsight.curves import drawn, panels

    figure, (watch, choose, samples, gate, trigger) = panels(
        "The watch: share of new versions rolled back by minute",
        "To choose α or windows in a row: left is calm, low is quick; ● is the policy's own",
        "To choose the number of sample predictions: how often p99 < 1 s passes",
        "The gate: share of candidates that pass",
        "Triggers: false retrainings a year, by F1",
    )
    for curve in simulated.watch:
        dashes = "--" if curve.slow_share != simulated.traffic.slow_share else "-"
        watch.plot(curve.minutes, curve.rolled_back, dashes, label=_state(curve, simulated))
    watch.set_xlabel("minutes after the swap", fontsize=8)
    _choose(choose, simulated.watch_choices)
    predictions = [choice.predictions for choice in simulated.sample_choices]
    samples.plot(predictions, [choice.passes_at_half for choice in simulated.sample_choices], "o-", markersize=3,
                 label=f"{100 * SLOW_SHARES[0]:g} % slow: should pass")  # fmt: skip
    samples.plot(predictions, [choice.passes_at_twice for choice in simulated.sample_choices], "o-", markersize=3,
                 label=f"{100 * SLOW_SHARES[1]:g} % slow: should not")  # fmt: skip
    samples.set_xscale("log")
    samples.set_xlabel("sample predictions", fontsize=8)
    gate.plot([point.x for point in simulated.gate], [point.y for point in simulated.gate], "o-", markersize=3)
    gate.set_xlabel("true drop of the candidate's F1 against production", fontsize=8)
    trigger.plot([p.x for p in simulated.retrainings], [p.y for p in simulated.retrainings], "o-", markersize=3)
    _own(trigger, simulated)
    said = "; ".join(f"{row.what} {row.value:.3g} {row.unit}" for row in simulated.rows if row.value is not None)
    return drawn(figure, f"{said}.")


def _own(axes: Axes, simulated: Simulated) -> None:
    """Mark the team's own volume of labels, and scale the axes so that none at all looks like none."""
    traffic = simulated.traffic
    labels = traffic.labels_per_day or traffic.requests_per_minute * 1440 * traffic.labelled_share
    own = [point for point in simulated.retrainings if point.x == labels]
    axes.plot([p.x for p in own], [p.y for p in own], "o", color="black", markersize=6, label="your labels")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0, top=max(1.0, *(1.1 * point.y for point in simulated.retrainings)))
    axes.set_xlabel("labels a day", fontsize=8)


def _choose(axes: Axes, choices: Sequence[WatchChoice]) -> None:
    """Draw one line a setting: healthy versions rolled back against minutes to see the drop."""
    for setting, label in (("false_rollback_rate", "exact test, α"), ("consecutive_windows", "bad windows in a row")):
        line = [(max(one.healthy_rolled_back, 1e-4), one.minutes, one) for one in choices if one.setting == setting]
        told = [(share, minutes, one) for share, minutes, one in line if minutes is not None]
        axes.plot([share for share, _, _ in told], [minutes for _, minutes, _ in told], "o-", markersize=3, label=label)
        for share, minutes, one in told:
            axes.annotate(f"{one.value:g}", (share, minutes), textcoords="offset points", xytext=(2, 4), fontsize=7)
            if one.in_force:
                axes.plot([share], [minutes], "o", color="black", markersize=6)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    drop = choices[0].drop if choices else 0.0
    axes.set_xlabel("share of healthy versions rolled back", fontsize=8)
    axes.set_ylabel(f"minutes to see −{drop:.2g}", fontsize=8)


def print_simulation(simulated: Simulated) -> None:
    """Print what the policy does, what other settings would do, and what was assumed."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for title, table in _tables(simulated):
        console.print(f"\n[bold]{escape(title)}[/]")
        console.print(table)
    console.print(f"\n{simulated.runs:,} runs, seed {simulated.seed}. Assumed: {'; '.join(simulated.assumed)}.")


def _tables(simulated: Simulated) -> Iterable[tuple[str, Table]]:
    traffic = simulated.traffic
    labelled = traffic.requests_per_minute * traffic.labelled_share
    events = labelled * sum((traffic.shares() or ())[:3])
    yield (
        f"The watch after a swap, at {traffic.requests_per_minute:,} requests a minute; {labelled:,.4g} of them get a "
        f"label in time, {events:.3g} of which are true positives, false positives or false negatives",
        _watch(simulated),
    )
    yield "Other settings of the watch: ▸ is the policy's own", _watch_choices(simulated)
    yield "Sample predictions of the smoke test: ▸ is the policy's own", _sample_choices(simulated)
    yield "The gate: a candidate whose F1 is truly lower than production's", _of_rows(simulated, "gate")
    yield "Triggers, while nothing is wrong", _of_rows(simulated, "triggers")


def _state(curve: Curve, simulated: Simulated) -> str:
    if curve.slow_share != simulated.traffic.slow_share:
        return f"{100 * curve.slow_share:g} % slow"
    return f"F1 −{curve.drop:g}" if curve.drop else "healthy"


def _watch(simulated: Simulated) -> Table:
    from rich.table import Table

    table = Table("the new version is", "rolled back", "seen after, median", "watched longer", "still open", box=None)
    for curve in simulated.watch:
        minutes = _minutes(curve.median_minutes)
        healthy = curve is simulated.watch[0]
        shares = (curve.rolled_back[-1], curve.extended, curve.inconclusive)
        rolled_back, extended, still_open = (_percent(share) for share in shares)
        table.add_row(_state(curve, simulated), rolled_back, "" if healthy else minutes, extended, still_open)
    return table


def _watch_choices(simulated: Simulated) -> Table:
    from rich.table import Column, Table

    drop = simulated.watch_choices[0].drop if simulated.watch_choices else 0.0
    named = Column("setting", no_wrap=True)
    table = Table("", named, "healthy rolled back", f"F1 −{drop:.2g} rolled back", "seen after, median", box=None)
    for choice in simulated.watch_choices:
        minutes = _minutes(choice.minutes)
        mark, setting = "▸" if choice.in_force else "", f"{choice.setting} {choice.value:g}"
        table.add_row(mark, setting, _percent(choice.healthy_rolled_back), _percent(choice.drop_seen), minutes)
    return table


def _sample_choices(simulated: Simulated) -> Table:
    from rich.table import Table

    half, twice = (f"{100 * share:g} % slow: passes" for share in SLOW_SHARES)
    table = Table("", "predictions", half, twice, "none slow proves", box=None)
    for choice in simulated.sample_choices:
        mark, passes = "▸" if choice.in_force else "", (choice.passes_at_half, choice.passes_at_twice)
        table.add_row(mark, f"{choice.predictions:,}", *map(_percent, passes), f"≤ {100 * choice.proves:.2f} % slow")
    return table


def _of_rows(simulated: Simulated, about: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "how often", "95 % interval", box=None)
    for row in (row for row in simulated.rows if row.about == about):
        table.add_row(escape(row.what), *_figures(row))
    return table


def _figures(row: Row) -> tuple[str, str]:
    share = row.unit == "of runs"

    def said(value: float | None) -> str:
        return "not told" if value is None else _percent(value) if share else f"{value:.3g} {row.unit}"

    between = "" if row.low is None or row.high is None else f"{said(row.low)} – {said(row.high)}"
    return said(row.value), between


def _minutes(minutes: float | None) -> str:
    if minutes is None:
        return "not within the watch"
    return f"{minutes:g} minute{'' if minutes == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share < 0.01 else f"{100 * share:.1f} %"
