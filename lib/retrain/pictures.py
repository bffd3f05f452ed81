"""Pictures where people would rather look: facts and limits in, a PNG out, with a text that says the same.

Drawn without pyplot: no global state, no backend, nothing left open.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain.facts import FeatureDrift, Metrics, Window
from retrain.judgement.looks import F1Look, SlowLook, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Picture",
    "candidate_against_production",
    "f1_over_time",
    "latencies",
    "psi_by_feature",
    "psi_over_time",
    "watch",
]

_BLUE, _RED, _GREY, _AMBER = "#2f6690", "#b23a48", "#8d99ae", "#d58936"


@dataclass(frozen=True)
class Picture:
    """A PNG and the text that says the same to who cannot see it."""

    png: bytes
    text: str

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        """Return the text."""
        return self.text


def f1_over_time(windows: Sequence[Window], *, baseline: float | None, tolerance: float) -> Picture:
    """Draw F1 by window with the baseline and the limit below which a retraining is triggered."""
    told = [(window.window_start, window.f1) for window in windows if window.f1 is not None]
    figure, axes = _axes("F1 over time")
    _line(axes, told, "F1", _BLUE)
    if baseline is not None:
        axes.axhline(baseline, color=_GREY, label=f"baseline {baseline:.3f}")
        axes.axhline(baseline - tolerance, color=_RED, linestyle="--", label=f"limit {baseline - tolerance:.3f}")
    axes.set_ylabel("F1")
    figure.autofmt_xdate(bottom=0.25)
    last = f"; the last is {told[-1][1]:.3f}" if told else ""
    return _picture(figure, axes, f"F1 in {len(told)} windows{last}; baseline {_said(baseline)}.")


def psi_by_feature(
    drift: Sequence[FeatureDrift], *, aggregate: float | None, ceiling: float, shown: int = 15
) -> Picture:
    """Draw PSI of the features that drifted most, with the aggregate and its ceiling."""
    told = sorted((item for item in drift if item.psi is not None), key=lambda item: item.psi or 0)[-shown:]
    figure, axes = _axes("PSI by feature", height=1.2 + 0.24 * max(len(told), 1), left=2.0)
    axes.barh([_literal(item.feature) for item in told], [item.psi or 0 for item in told], color=_BLUE)
    axes.axvline(ceiling, color=_RED, linestyle="--", label=f"ceiling for the aggregate {ceiling:g}")
    if aggregate is not None:
        axes.axvline(aggregate, color=_AMBER, label=f"aggregate {aggregate:.3f}")
    worst = f"{told[-1].feature} {told[-1].psi:.3f}" if told else "none"
    return _picture(figure, axes, f"PSI of {len(told)} features; the largest: {worst}; aggregate {_said(aggregate)}.")


def psi_over_time(series: Mapping[str, Sequence[tuple[datetime, float | None]]], *, ceiling: float) -> Picture:
    """Draw PSI by period, one line a feature."""
    figure, axes = _axes("PSI over time")
    for feature, points in series.items():
        known = [(at, value) for at, value in points if value is not None]
        _line(axes, known, _literal(feature))
    axes.axhline(ceiling, color=_RED, linestyle="--", label=f"ceiling for the aggregate {ceiling:g}")
    axes.set_ylabel("PSI")
    figure.autofmt_xdate(bottom=0.25)
    return _picture(figure, axes, f"PSI over time of {', '.join(series) or 'no feature'}.")


def latencies(seconds: Sequence[float | None], *, p99: float | None, ceiling: float) -> Picture:
    """Draw the distribution of request latencies (seconds) with p99 and the ceiling; an infinite p99 is only said."""
    known = [value for value in seconds if value is not None]
    figure, axes = _axes("Latency of the smoke test's requests")
    axes.hist([value * 1000 for value in known], bins=30, color=_BLUE)
    axes.axvline(ceiling * 1000, color=_RED, linestyle="--", label=f"ceiling {ceiling * 1000:g} ms")
    told = f"{_said(p99)} s"
    if p99 == math.inf:
        told = "no answer in time"
        axes.plot([], [], color=_AMBER, label=f"p99: {told}")
    elif p99 is not None:
        axes.axvline(p99 * 1000, color=_AMBER, label=f"p99 {p99 * 1000:.0f} ms")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("requests")
    return _picture(figure, axes, f"{len(known)} latencies, p99 {told}, ceiling {ceiling:g} s.")


def candidate_against_production(
    candidate: Metrics | None, production: Metrics | None, floors: Mapping[str, float | None]
) -> Picture:
    """Draw the four figures of candidate and production side by side, with the floor of each."""
    names = ("f1", "auc_roc", "precision", "recall")
    figure, axes = _axes("Candidate against production")
    for offset, who, model, colour in ((-0.2, "production", production, _GREY), (0.2, "candidate", candidate, _BLUE)):
        told = [
            (place, getattr(model, name))
            for place, name in enumerate(names)
            if model and getattr(model, name) is not None
        ]
        axes.bar(
            [place + offset for place, _ in told], [value for _, value in told], width=0.38, color=colour, label=who
        )
    for place, name in enumerate(names):
        floor = floors.get(name)
        if floor is not None:
            label = "" if place else "floor"
            axes.hlines(floor, place - 0.42, place + 0.42, color=_RED, linestyle="--", label=label)
    axes.set_xticks(range(len(names)), ["F1", "AUC-ROC", "precision", "recall"])
    figures = [*floors.values(), *(getattr(model, name, None) for model in (candidate, production) for name in names)]
    axes.set_ylim(0.5 if all(value is None or value > 0.5 for value in figures) else 0.0, 1.0)  # nothing below the edge
    said = ", ".join(f"{name} {_said(getattr(candidate, name, None))}" for name in names)
    return _picture(figure, axes, f"Candidate: {said}.")


def watch(
    course: Sequence[Standing], *, baseline: float | None, tolerance: float, ceiling: float, acts_at: float
) -> Picture:
    """Draw the watch after the swap: F1, the evidence against the new version, and latency p99, each with its limit.

    ``acts_at`` is the e-value at which a regression counts as seen.
    """
    figure, axes = _axes("The watch: F1", height=6.4, rows=3)
    upper, middle, lower = figure.axes
    upper.plot(*_series(course, lambda at: at.f1), "o", color=_GREY, markersize=3, label="each window")
    upper.plot(*_series(course, lambda at: at.f1_so_far), ".-", color=_BLUE, label="all windows so far")
    adjusted = _series(course, lambda at: at.f1_at_baseline_prevalence)
    if adjusted[0]:
        upper.plot(*adjusted, ":", color=_AMBER, label="so far, at the baseline's prevalence")
    if baseline is not None:
        upper.axhline(baseline, color=_GREY, label=f"baseline {baseline:.3f}")
        upper.axhline(baseline - tolerance, color=_RED, linestyle="--", label=f"limit {baseline - tolerance:.3f}")
    middle.set_title("Evidence against the new version: e-values, which act where they reach the line", **_SMALL)
    middle.plot(*_series(course, lambda at: _e_value(at.f1_look)), ".-", color=_BLUE, label="F1 is below the baseline")
    middle.plot(*_series(course, lambda at: _e_value(at.slow_look)), ".-", color=_AMBER, label="1 % or more are slow")
    middle.axhline(acts_at, color=_RED, linestyle="--", label=f"acts at {acts_at:g}")
    middle.set_yscale("log", subs=[])
    lower.set_title("Latency p99 of each window, seconds", **_SMALL)
    lower.plot(
        *_series(course, lambda at: at.window.latency_p99_seconds), "o-", color=_AMBER, markersize=3, label="p99"
    )
    lower.axhline(ceiling, color=_RED, linestyle="--", label=f"ceiling {ceiling:g} s")
    lower.set_xlabel("minutes after the swap", fontsize=8)
    lower.set_xlim(left=0)
    lower.set_ylim(bottom=0)
    for plot in (middle, lower):
        plot.legend(fontsize=7, framealpha=0.8, edgecolor="none")
    return _picture(figure, axes, _said_of_watch(course, baseline, acts_at))


_SMALL: Mapping[str, Any] = {"loc": "left", "fontsize": 9}


def _series(course: Sequence[Standing], figure: Callable[[Standing], float | None]) -> tuple[list[float], list[float]]:
    """Return minutes and figures, where there are any."""
    told = [(at.minute, value) for at in course if at.minute is not None and (value := figure(at)) is not None]
    return [minute for minute, _ in told], [value for _, value in told]


def _e_value(look: F1Look | SlowLook | None) -> float | None:
    """Return an e-value that a logarithmic axis can show."""
    return None if look is None else max(1e-6, min(look.e_value, 1e12))


def _said_of_watch(course: Sequence[Standing], baseline: float | None, acts_at: float) -> str:
    said = f"{len(course)} windows watched; baseline F1 {_said(baseline)}"
    if not course:
        return f"{said}."
    last = course[-1]
    looks = (("F1", _e_value(last.f1_look)), ("slow requests", _e_value(last.slow_look)))
    told = ", ".join(f"{value:.3g} for {name}" for name, value in looks if value is not None)
    evidence = f"; e-value {told}, acts at {acts_at:g}" if told else ""
    return f"{said}, so far {_said(last.f1_so_far)}{evidence}."


_WIDTH = 7.2  # inches


def _axes(title: str, *, height: float = 2.8, rows: int = 1, left: float = 0.6) -> tuple[Figure, Axes]:
    """Return a figure of ``rows`` plots. Its margins are given, in inches: to find them takes as long as to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), dpi=96)
    figure.subplots_adjust(left=left / _WIDTH, right=0.98, top=1 - 0.28 / height, bottom=0.45 / height, hspace=0.2)
    plots = figure.subplots(rows, 1, sharex=rows > 1, squeeze=False)
    for axes in plots[:, 0]:
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    first: Axes = plots[0, 0]
    first.set_title(title, loc="left", fontsize=10)
    return figure, first


def _line(axes: Axes, points: Sequence[tuple[Any, float]], label: str, colour: str | None = None) -> None:
    axes.plot([at for at, _ in points], [value for _, value in points], "o-", color=colour, markersize=3, label=label)


def _picture(figure: Figure, axes: Axes, text: str) -> Picture:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, framealpha=0.8, edgecolor="none")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return Picture(buffer.getvalue(), text)


def _literal(name: str) -> str:
    """Return a column's name so that matplotlib neither sets it as a formula nor leaves it out of the legend."""
    shown = "".join(one if one.isprintable() else "\ufffd" for one in name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _said(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"
