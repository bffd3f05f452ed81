"""What the mlmonitoring service takes and answers: the bodies of its OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from retrain_sandbox.data import CATEGORIES, NUMBERS

__all__ = [
    "Accepted",
    "Health",
    "Hyperparameters",
    "Instance",
    "PredictRequest",
    "PredictResponse",
    "Problem",
    "SlotsResponse",
    "TrainingStatus",
    "TriggerRequest",
]

MOST_INSTANCES = 10_000
Slot = Literal["active", "standby"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


def _whole(value: Any) -> Any:
    """Let 30.0 be 30, as JSON has it; anything else is left to the type."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]


class Hyperparameters(_Body):
    """What a request may change about the training; what it does not name is searched for, or stays as it is."""

    class_weight: Literal["balanced"] | None = Field(None, description="balanced: both classes weigh the same")
    oversampling: Literal["smote"] | None = Field(None, description="smote: the smaller class is filled up")
    epochs: Whole = Field(30, ge=1, le=1000)
    learning_rate: float = Field(4e-3, gt=0, le=1)
    batch_size: Whole = Field(256, ge=16, le=65_536)
    hidden_units: Whole = Field(32, ge=1, le=1024)


class TriggerRequest(_Body):
    """The request for a training."""

    model_type: Literal["classifier"]
    data_version: Literal["latest"] = Field(description="latest: the labelled rows of the last two months")
    hyperparameters: Hyperparameters | None = None


class Accepted(_Body):
    """A training has begun."""

    job_id: str
    status: Literal["running"]


def _instance() -> type[BaseModel]:
    number = Annotated[float | None, Field()]
    category = Annotated[str | None, Field(max_length=64)]
    features: dict[str, Any] = {name: (number, Field(description=about)) for name, about in NUMBERS.items()}
    features |= {name: (category, Field(description=about)) for name, about in CATEGORIES.items()}
    return create_model("Instance", __base__=_Body, **features)


Instance = _instance()
"""A row to score: every feature, null where it is not known."""


class PredictRequest(_Body):
    """Rows to score."""

    instances: list[Instance] = Field(min_length=1, max_length=MOST_INSTANCES)  # type: ignore[valid-type]
    slot: Slot = "active"


class _Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class PredictResponse(_Answer):
    """A score for each instance, in order: the probability of reaching the gate 45 or more minutes late."""

    scores: list[float]
    model_version: str
    slot: Slot


class SlotsResponse(_Answer):
    """The versions in the slots."""

    active: str | None
    standby: str | None


class Health(_Answer):
    """The service is up."""

    status: Literal["ok"]
    model: str
    now: str = Field(description="the sandbox's instant")
    slots: SlotsResponse


class Progress(_Answer):
    """How far a training is."""

    trial: int
    trials: int
    epoch: int
    epochs: int
    fraction: float


class Metrics(_Answer):
    """A model's figures on the hold-out."""

    f1: float | None
    precision: float | None
    recall: float | None
    auc_roc: float | None
    latency_p99_seconds: float | None
    tp: int
    fp: int
    fn: int
    tn: int
    timed_requests: int | None = Field(None, description="requests behind the latency p99")
    slow_requests: int | None = Field(None, description="those of them that took a second or more")


class Holdout(_Answer):
    """The rows on which production and candidate were scored."""

    id: str
    rows: int
    positives: int
    description: str


class Comparison(_Answer):
    """The candidate against production, on the same rows; delta is candidate − production."""

    production_version: str
    production: Metrics
    delta: dict[str, float]
    auc_roc_difference_standard_error: float | None = Field(None, description="of delta's auc_roc, by DeLong's method")
    holdout: Holdout


class LogLine(_Answer):
    """One epoch of the fit."""

    epoch: int
    training_loss: float
    validation_loss: float


class DataWindow(_Answer):
    """The labelled rows that the training read: [start, end)."""

    start: str
    end: str
    rows: int


class TrainingStatus(_Answer):
    """How the latest training goes or went. What does not apply is null."""

    status: Literal["idle", "running", "completed", "failed"]
    job_id: str | None = None
    model_version: str | None = None
    progress: Progress | None = None
    metrics: Metrics | None = None
    comparison: Comparison | None = None
    class_counts: dict[str, int] | None = None
    log: list[LogLine] | None = None
    trials: list[dict[str, Any]] | None = None
    error: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    data_window: DataWindow | None = None


class Fault(_Answer):
    """Where a body is wrong, and why."""

    loc: list[str | int]
    msg: str
    type: str


class Problem(_Answer):
    """Why a request was refused."""

    detail: str | list[Fault]
