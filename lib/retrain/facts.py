"""What adapters observe and sections judge: the values that more than one room shares.

Missing is None throughout; nothing here decides anything.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from retrain.checks import Figure, Instant, Model

Priority = Literal["high", "normal", "low"]


class Effect(Model):
    """What became of an act that changes the world outside (see ``retrain.effects``)."""

    effect: Literal["training", "swap", "rollback", "incident"]
    sent: bool = False
    outcome: Literal["applied", "unresolved", "not_sent"] = "not_sent"
    observed_by: Literal["attested", "fingerprint", "response", "none"] = "none"
    detail: str = ""


class Metrics(Model):
    """A model's figures on a hold-out. Counts are rows; latency is in seconds. Missing stays None."""

    version: str | None = None
    f1: Figure = None
    precision: Figure = None
    recall: Figure = None
    auc_roc: Figure = None
    latency_p99_seconds: Figure = None
    tp: int | None = None
    fp: int | None = None
    fn: int | None = None
    tn: int | None = None


class Scored(Model):
    """On what a model's figures rest, where the service tells: its hold-out, and the requests behind its p99.

    ``slow_requests`` of ``timed_requests`` took a second or more.
    """

    holdout_id: str | None = None
    timed_requests: int | None = None
    slow_requests: int | None = None


class BestEver(Model):
    """The best figures that any promoted version had on the hold-out of its own gate, and which version had them.

    ``promotions`` counts all promotions; none means that nothing was ever promoted, which is not *not known*.
    """

    promotions: int
    f1: Figure = None
    f1_version: str | None = None
    f1_at: Instant | None = None
    auc_roc: Figure = None
    auc_roc_version: str | None = None
    auc_roc_at: Instant | None = None


class Slots(Model):
    """Which version is in which slot. ``attested`` is False where the service does not tell."""

    active: str | None = None
    standby: str | None = None
    attested: bool = False


class Window(Model):
    """One row of MODEL_METRICS: counts where the service writes them, figures where it does not.

    ``recorded_at`` is when it was written last: labels come late, and a row may be written again.
    """

    window_start: Instant
    window_end: Instant
    recorded_at: Instant | None = None
    version: str | None = None
    tp: int | None = None
    fp: int | None = None
    fn: int | None = None
    tn: int | None = None
    f1: Figure = None
    requests: int | None = None
    slow_requests: int | None = None
    latency_p99_seconds: Figure = None


class Incident(Model):
    """An incident that is open."""

    incident_id: str
    severity: str
    title: str = ""
    opened_at: Instant | None = None


class Request(Model):
    """A person's request: the team decided to retrain, and why."""

    reason: str = Field(min_length=1)
    priority: Priority = "normal"
    by: str = ""


class FeatureDrift(Model):
    """PSI of one feature between the reference window and the current one, with the rows on each side."""

    feature: str
    psi: Figure
    reference_rows: int
    current_rows: int
    bins: int = 10


class Coverage(Model):
    """The rows of the window that F1 is counted over, and how many of them have their label by now."""

    rows: int
    labelled: int


class Fired(Model):
    """When a trigger last called for a retraining, its figure then, and the lowest figure that was seen since."""

    run_id: str
    at: Instant
    figure: Figure
    lowest_since: Figure = None


class Epoch(Model):
    """One line of the training log."""

    epoch: int
    training_loss: Figure = None
    validation_loss: Figure = None


class Remedy(Model):
    """One change to the next training request."""

    name: str
    body: dict[str, Any]
