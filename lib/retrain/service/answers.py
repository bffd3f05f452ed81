"""What the mlmonitoring service told, as values: an answer, a training's status, slots, scores.

They are read by ``retrain.service.replies``: what could not be used is missing, and ``notes`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from retrain.checks import Evidence, Figure, Instant, Model
from retrain.facts import Epoch, Metrics, Scored, Slots
from retrain.service.reading import bounded, plain

__all__ = ["Answer", "Health", "Phase", "Prediction", "Smoke", "TrainingStatus"]

Phase = Literal["idle", "running", "completed", "failed"]

_PHASES: dict[Phase, tuple[str, ...]] = {
    "idle": ("idle", "none", "notstarted", "ready", "nevertrained"),
    "running": ("running", "pending", "queued", "accepted", "started", "starting", "inprogress", "training"),
    "completed": ("completed", "complete", "succeeded", "success", "successful", "finished", "done"),
    "failed": ("failed", "failure", "error", "errored", "cancelled", "canceled", "aborted"),
}
_PHASE_OF = {word: phase for phase, words in _PHASES.items() for word in words}


@dataclass(frozen=True)
class Answer:
    """What came back for one request, or what became of it.

    ``never_left`` is True only where the request provably was not sent: no connection stood. ``broke_off`` is True
    where an answer began and did not come to its end. ``seconds`` is the wall time spent waiting; ``text`` is the
    beginning of the body.
    """

    status_code: int | None = None
    json: Any = None
    text: str = ""
    never_left: bool = False
    timed_out: bool = False
    broke_off: bool = False
    error: str | None = None
    evidence: Evidence | None = None
    seconds: float = 0.0
    retry_after_seconds: float | None = None
    is_page: bool = False

    @property
    def succeeded(self) -> bool:
        """True where the service answered 2xx itself; a page of HTML is somebody else's answer."""
        return self.status_code is not None and 200 <= self.status_code < 300 and not self.is_page

    @property
    def words(self) -> str:
        """The answer in a few words for a person."""
        if self.status_code is None:
            return self.error or self.text or "no answer"
        return f"{self.status_code}" + (f", {self.error}" if self.error else "")

    def kept(self) -> dict[str, Any]:
        """Return what a record keeps of the answer."""
        return {
            "status_code": self.status_code,
            "json": bounded(self.json),
            "text": self.text,
            "never_left": self.never_left,
            "timed_out": self.timed_out,
            "error": self.error,
            "evidence": self.evidence.model_dump(mode="json") if self.evidence else None,
        }


class TrainingStatus(Model):
    """What ``GET /training/status`` told. ``status`` is the service's own word in lower case, None where it gave none.

    ``metrics`` are the candidate's, ``deltas`` candidate − production by f1, auc_roc, precision, recall; ``progress``
    is a fraction; ``retry_after_seconds`` is how long the service asked to be left alone; ``raw`` is the answer itself,
    cut to a size that a record can hold.
    """

    status: str | None = None
    job_id: str | None = None
    version: str | None = None
    metrics: Metrics | None = None
    production: Metrics | None = None
    deltas: dict[str, Figure] = Field(default_factory=dict)
    holdout: str | None = None
    candidate_scored: Scored | None = None
    production_scored: Scored | None = None
    auc_difference_standard_error: Figure = None
    class_counts: dict[str, int] | None = None
    epochs: tuple[Epoch, ...] | None = None
    log_lines: tuple[str, ...] = ()
    error: str | None = None
    progress: Figure = None
    retry_after_seconds: Figure = None
    raw: Any = None
    notes: tuple[str, ...] = ()
    evidence: Evidence

    @property
    def phase(self) -> Phase | None:
        """Which of the four phases the service's word means, or None for a word that is not known."""
        return _PHASE_OF.get(plain(self.status or ""))


class Health(Model):
    """What ``GET /health`` told: the slots where it tells them, its model's name, its now."""

    slots: Slots = Slots()
    model: str | None = None
    now: Instant | None = None
    notes: tuple[str, ...] = ()
    evidence: Evidence


class Prediction(Model):
    """One answer of the prediction endpoint: a score for each row in order, None where no usable one came.

    ``invalid`` describes each answer that was no finite number. ``latency_seconds`` is None unless the service
    answered 2xx.
    """

    scores: tuple[Figure, ...]
    invalid: tuple[str, ...] = ()
    version: str | None = None
    slot: str | None = None
    latency_seconds: Figure = None
    timed_out: bool = False
    error: str | None = None
    evidence: Evidence


class Smoke(Model):
    """One request a row: scores and latencies (seconds) in order, None where no usable answer came.

    ``invalid`` holds at most twenty descriptions. ``answered_by`` and ``version`` are told only where every answer
    told the same. ``wall_seconds`` is the whole measurement, without the warm-up. ``client_p99_seconds`` is what this
    side itself adds to a latency, at most: the same requests against an echo on loopback; None where there is none.
    """

    scores: tuple[Figure, ...]
    latencies_seconds: tuple[Figure, ...]
    invalid: tuple[str, ...] = ()
    timeouts: int = 0
    errors: int = 0
    answered_by: str | None = None
    version: str | None = None
    predict_form: str | None = None
    concurrency: int = 1
    warm_up_requests: int = 0
    wall_seconds: float = 0.0
    client_p99_seconds: Figure = None
    evidence: Evidence
