"""The list of runs, in plain text: a thousand rows of rich's take a quarter of a second."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from retrain.record.briefs import Brief

__all__ = ["print_runs"]


def print_runs(briefs: Sequence[Brief], root: str | Path) -> None:
    """Print one line a run, newest first."""
    if not briefs:
        sys.stdout.write(f"no runs below {root}\n")
        return
    rows = [("run", "model", "outcome", "why")]
    rows += [(each.run_id, each.model, each.outcome, _one_line(each.reason)) for each in briefs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    sys.stdout.write("\n".join(lines) + "\n")


def _one_line(text: str) -> str:
    """Return ``text`` without what would break the line or steer the terminal."""
    text = " ".join(text.split())
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)
