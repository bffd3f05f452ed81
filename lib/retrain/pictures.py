"""Pictures where people would rather look: facts and limits in, a PNG out, with a text that says the same.

Drawn without pyplot: no global state, no backend, nothing left open.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain.facts import FeatureDrift, Metrics, Window

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
    figure.autofmt_xdate()
    last = f"; the last is {told[-1][1]:.3f}" if told else ""
    return _picture(figure, axes, f"F1 in {len(told)} windows{last}; baseline {_said(baseline)}.")


def psi_by_feature(
    drift: Sequence[FeatureDrift], *, aggregate: float | None, ceiling: float, shown: int = 15
) -> Picture:
    """Draw PSI of the features that drifted most, with the aggregate and its ceiling."""
    told = sorted((item for item in drift if item.psi is not None), key=lambda item: item.psi or 0)[-shown:]
    figure, axes = _axes("PSI by feature", height=1.2 + 0.24 * max(len(told), 1))
    axes.barh([item.feature for item in told], [item.psi or 0 for item in told], color=_BLUE)
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
        _line(axes, known, feature)
    axes.axhline(ceiling, color=_RED, linestyle="--", label=f"ceiling for the aggregate {ceiling:g}")
    axes.set_ylabel("PSI")
    figure.autofmt_xdate()
    return _picture(figure, axes, f"PSI over time of {', '.join(series) or 'no feature'}.")


def latencies(seconds: Sequence[float | None], *, p99: float | None, ceiling: float) -> Picture:
    """Draw the distribution of request latencies (seconds) with p99 and the ceiling."""
    known = [value for value in seconds if value is not None]
    figure, axes = _axes("Latency of the smoke test's requests")
    axes.hist([value * 1000 for value in known], bins=30, color=_BLUE)
    axes.axvline(ceiling * 1000, color=_RED, linestyle="--", label=f"ceiling {ceiling * 1000:g} ms")
    if p99 is not None:
        axes.axvline(p99 * 1000, color=_AMBER, label=f"p99 {p99 * 1000:.0f} ms")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("requests")
    return _picture(figure, axes, f"{len(known)} latencies, p99 {_said(p99)} s, ceiling {ceiling:g} s.")


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
    axes.set_ylim(0.5, 1.0)
    said = ", ".join(f"{name} {_said(getattr(candidate, name, None))}" for name in names)
    return _picture(figure, axes, f"Candidate: {said}.")


def watch(windows: Sequence[Window], *, baseline: float | None, tolerance: float, ceiling: float) -> Picture:
    """Draw the watch after the swap: F1 by window above, latency p99 by window below, each with its limit."""
    figure, axes = _axes("The watch: F1", height=4.6, rows=2)
    upper, lower = figure.axes[0], figure.axes[1]
    f1 = [(window.window_start, window.f1) for window in windows if window.f1 is not None]
    p99 = [
        (window.window_start, window.latency_p99_seconds)
        for window in windows
        if window.latency_p99_seconds is not None
    ]
    _line(upper, f1, "F1", _BLUE)
    if baseline is not None:
        upper.axhline(baseline, color=_GREY, label=f"baseline {baseline:.3f}")
        upper.axhline(baseline - tolerance, color=_RED, linestyle="--", label=f"limit {baseline - tolerance:.3f}")
    _line(lower, p99, "p99", _AMBER)
    lower.axhline(ceiling, color=_RED, linestyle="--", label=f"ceiling {ceiling:g} s")
    lower.set_title("Latency p99", loc="left", fontsize=9)
    lower.legend(fontsize=7, frameon=False)
    figure.autofmt_xdate()
    return _picture(figure, axes, f"{len(windows)} windows watched; baseline F1 {_said(baseline)}.")


def _axes(title: str, *, height: float = 2.8, rows: int = 1) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=96, layout="constrained")
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
        axes.legend(fontsize=7, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return Picture(buffer.getvalue(), text)


def _said(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"
