"""Runbook: the whole run on one page. What triggered, what was checked, what was decided, and how to undo it."""

from __future__ import annotations

from pydantic import Field

from retrain.checks import Model, Verdict
from retrain.facts import Effect


class Facts(Model):
    """Every verdict of the run in the order it was reached, and what became of each effect."""

    verdicts: tuple[Verdict, ...] = ()
    effects: tuple[Effect, ...] = ()


class Policy(Model):
    """How much the page shows."""

    rows_shown: int = Field(10, ge=1, le=1000, description="rows of a table before it says how many more there are")
