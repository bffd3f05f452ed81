"""A backtest for people: in words, decision by decision, and in a picture."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from retrain import runbook
from retrain.hindsight.backtest import Backtest
from retrain.hindsight.flips import Flip
from retrain.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["lines", "picture"]

_UNKNOWN = "not known"
_COLUMNS = ("as recorded", "other policy", _UNKNOWN)


def lines(found: Backtest, *, shown: int = 20) -> Iterator[str]:
    """Yield the counts, the first ``shown`` decisions that flip and how many more there are, and what to mind."""
    yield _sentence(found)
    if found.runs:
        yield ""
        yield f"{'runs that were':<16}{''.join(f'{column:>14}' for column in _COLUMNS)}"
        for count in found.counts:
            figures = (count.recorded, count.other_policy, count.unknown)
            yield f"{count.what:<16}{''.join(f'{figure:>14,}' for figure in figures)}"
    for flip in found.flips[:shown]:
        yield ""
        yield from _flip(flip)
    if len(found.flips) > shown:
        yield ""
        yield f"showing {shown} of {len(found.flips):,}; --json has all"
    if found.caveats or any(count.unknown for count in found.counts):
        yield ""
    if any(count.unknown for count in found.counts):
        yield f"{_UNKNOWN}: the other policy leads to where the run has no facts, and what came there nobody can tell"
    yield from (f"mind: {caveat}" for caveat in found.caveats)


def _flip(flip: Flip) -> Iterator[str]:
    attempt = f", attempt {flip.attempt}" if flip.attempt > 1 else ""
    at = f"{flip.at:%Y-%m-%d %H:%M} UTC" if flip.at is not None else "at an unknown time"
    yield f"{flip.section}{attempt}: {flip.before} → {flip.after}   {at}, run {flip.run_id}"
    for check in flip.checks:
        yield f"  {check.name}: {check.before} → {check.after}{f' ({check.reason})' if check.reason else ''}"
    because = f"because {', '.join(flip.changes)}" if flip.by_policy else "because today's rules differ, not the policy"
    yield f"  {because}" + ("" if flip.reached else "; the run would have ended or turned off before")


def picture(found: Backtest) -> Picture:
    """Draw what was and would have been triggered, promoted and rolled back, and when which decisions flip."""
    from retrain.hindsight.curves import drawn, panels

    figure, (upper, lower) = panels(
        f"What {found.runs:,} runs did, and would have done under the other policy",
        "Decisions that flip: a mark for each, at the run's own time",
    )
    _draw_counts(upper, found)
    _draw_flips(lower, found)
    return drawn(figure, _sentence(found))


def _draw_counts(axes: Axes, found: Backtest) -> None:
    for place, (label, field) in enumerate(zip(_COLUMNS, ("recorded", "other_policy", "unknown"), strict=True)):
        values = [getattr(count, field) for count in found.counts]
        where = [x + (place - 1) * 0.27 for x in range(len(values))]
        said = f"{label}: its facts end before" if label == _UNKNOWN else label
        colour = ("#2f6690", "#d58936", "#c9ced6")[place]
        axes.bar_label(axes.bar(where, values, width=0.25, label=said, color=colour), fmt="{:,.0f}", fontsize=7)
    axes.set_xticks(range(len(found.counts)), [count.what for count in found.counts])
    axes.set_ylabel("runs")
    axes.margins(y=0.3)


def _draw_flips(axes: Axes, found: Backtest) -> None:
    """Draw a row for each section and change of outcome, in the order of the runbook."""
    order = [section.name for section in runbook.SECTIONS]
    rows: dict[tuple[int, str, str], list[datetime]] = {}
    for flip in found.flips:
        moments = rows.setdefault((order.index(flip.section), flip.before, flip.after), [])
        moments += [] if flip.at is None else [flip.at]
    for place, key in enumerate(sorted(rows)):
        days = [moment.timestamp() / 86_400 for moment in rows[key]]
        axes.plot(days, [place] * len(days), "|", markersize=12, markeredgewidth=1.5, color="#b23a48")
    names = [f"{order[section].replace('_', ' ')}:\n{before} → {after}" for section, before, after in sorted(rows)]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    if any(rows.values()):
        axes.xaxis_date()  # days since 1970, as matplotlib counts them
        axes.tick_params(axis="x", rotation=20)
    else:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center")


def _sentence(found: Backtest) -> str:
    if not found.verdicts:
        return "There are no past facts to decide on."
    flips = f"{len(found.flips):,} of {found.verdicts:,} verdicts in {found.runs:,} runs flip"
    return f"{flips}, and {len(found.changed_runs):,} runs go another way."
