"""Panels for pictures of many runs at once: drawn without pyplot, as every picture here is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from retrain.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["drawn", "panels"]


def panels(*titles: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel a title, one below the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.6 * len(titles)), dpi=96, layout="constrained")
    rows = list(figure.subplots(len(titles), 1, squeeze=False)[:, 0])
    for axes, title in zip(rows, titles, strict=True):
        axes.set_title(title, loc="left", fontsize=10)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    return figure, rows


def drawn(figure: Figure, text: str) -> Picture:
    """Return the figure as a PNG with the text that says the same, a legend in every panel that names something."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for axes in figure.axes:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return Picture(buffer.getvalue(), text)
