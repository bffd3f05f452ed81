"""Reads whole answers of the mlmonitoring service into the values of ``retrain.service.answers``: pure, and defensive.

What could not be used is missing, and the value's ``notes`` say why; see ``retrain.service.reading``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from retrain.checks import Evidence, Figure
from retrain.facts import Epoch, Scored, Slots
from retrain.service.answers import Answer, Health, Prediction, TrainingStatus
from retrain.service.reading import bounded, comparison, figure, first, metrics, text, whole_number

__all__ = ["read_health", "read_prediction", "read_status"]

_SCORES = ("scores", "predictions", "results", "outputs", "probabilities", "data")
_SCORE = ("score", "probability", "proba", "prediction", "predicted_probability", "value", "output")
_AUC_ERRORS = ("auc_roc_difference_standard_error", "auc_difference_standard_error", "auc_roc_delta_standard_error")
_GENERIC = frozenset({
    "a", "common", "current", "data", "dataset", "default", "dev", "eval", "evaluation", "fold", "held", "heldout",
    "hold", "holdout", "latest", "main", "n", "na", "none", "null", "of", "out", "random", "same", "sample", "set",
    "shared", "split", "standard", "stratified", "test", "testing", "testset", "the", "train", "training", "unknown",
    "val", "valid", "validation",
})  # fmt: skip
"""Words that would fit any hold-out: two models that name the same one need not have been scored on the same rows."""
_SHARE_OR_COUNT = re.compile(r"[0-9]{1,7}|[0-9]*[.,][0-9]+|.*%", re.ASCII)
_LOG_LINES, _EPOCHS, _NOTES, _INVALID = 200, 10_000, 50, 20


def read_status(told: Any, evidence: Evidence) -> TrainingStatus:
    """Read a training's status from the JSON ``told``."""
    notes: list[str] = []
    body = _unwrapped(told, notes)
    compared = first(body, "comparison")
    production, deltas = comparison(compared, notes)
    candidate = metrics(first(body, "metrics"), notes, where="metrics")
    word = text(first(body, "status", "state"))
    if word is None:
        notes.append("the answer holds no status")
    log = first(body, "log", "logs", "history")
    shared = _holdout_id(first(compared, "holdout", "hold_out"))
    told_version = text(first(body, "model_version", "candidate_version", "version"))
    version = told_version or (candidate.version if candidate else None)
    return TrainingStatus(
        status=word.lower() if word else None,
        job_id=text(first(body, "job_id", "training_id", "run_id", "id")),
        version=version,
        metrics=candidate.model_copy(update={"version": version}) if candidate else None,
        production=production,
        deltas=deltas,
        holdout=_holdout(first(compared, "holdout", "hold_out") or first(body, "holdout", "hold_out")),
        candidate_scored=_scored(first(body, "metrics"), shared or _holdout_id(first(body, "holdout")), notes),
        production_scored=_scored(first(compared, "production"), shared, notes),
        auc_difference_standard_error=figure(first(compared, *_AUC_ERRORS), "comparison's standard error", notes),
        class_counts=_class_counts(first(body, "class_counts", "class_balance"), notes),
        epochs=_epochs(log if isinstance(log, list) else first(body, "epochs"), notes),
        log_lines=_log_lines(log),
        error=_error(first(body, "error", "error_message", "failure_reason")),
        progress=_progress(first(body, "progress"), notes),
        raw=bounded(told),
        notes=tuple(notes[:_NOTES]),
        evidence=evidence,
    )


def _unwrapped(told: Any, notes: list[str]) -> Mapping[str, Any]:
    if not isinstance(told, Mapping):
        notes.append("the answer is no JSON object")
        return {}
    inner = first(told, "training", "job", "data", "result")
    if first(told, "status", "state") is None and isinstance(inner, Mapping):
        return inner
    return told


def _holdout(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return text(value)
    name, says = text(first(value, "id", "name", "hash")), text(first(value, "description"))
    counts = [f"{first(value, key)} {key}" for key in ("rows", "positives") if text(first(value, key))]
    told = ": ".join(part for part in (name, says) if part)
    return " ".join(part for part in (told, f"({', '.join(counts)})" if counts else "") if part) or None


def _holdout_id(value: Any) -> str | None:
    """Return what names the very rows of a hold-out: its id or hash, or a plain word that would not fit any other."""
    if isinstance(value, Mapping):
        told = [text(first(value, name)) for name in ("id", "hash")]
        return next((each for each in told if each is not None and not _is_generic(each)), None)
    word = text(value) if isinstance(value, str) else None
    if word is None or len(word.split()) > 1 or _SHARE_OR_COUNT.fullmatch(word) or _is_generic(word):
        return None
    return word


def _is_generic(told: str) -> bool:
    return all(word in _GENERIC for word in re.findall(r"[^\W_]+", told.casefold()))


def _scored(told: Any, shared: str | None, notes: list[str]) -> Scored:
    """Read on what one model's figures rest; a hold-out of its own goes before the one that the comparison names."""
    named = {"id": first(told, "holdout_id"), "hash": first(told, "holdout_hash")}
    own = _holdout_id(first(told, "holdout", "hold_out")) or _holdout_id(named)
    timed = whole_number(first(told, "timed_requests", "latency_requests"), "timed_requests", notes)
    slow = whole_number(first(told, "slow_requests"), "slow_requests", notes)
    if timed is None or slow is None or slow > timed:
        timed = slow = None
    return Scored(holdout_id=own or shared, timed_requests=timed, slow_requests=slow)


def _class_counts(value: Any, notes: list[str]) -> dict[str, int] | None:
    if not isinstance(value, Mapping):
        return None
    read = {str(name)[:80]: whole_number(count, f"class_counts.{name}", notes) for name, count in value.items()}
    return {name: count for name, count in list(read.items())[:100] if count is not None} or None


def _epochs(value: Any, notes: list[str]) -> tuple[Epoch, ...] | None:
    if not isinstance(value, list):
        return None
    read = [_epoch(item, notes) for item in value[:_EPOCHS] if isinstance(item, Mapping)]
    return tuple(epoch for epoch in read if epoch is not None) or None


def _epoch(item: Mapping[str, Any], notes: list[str]) -> Epoch | None:
    number = whole_number(first(item, "epoch"), "log.epoch", notes)
    training = figure(first(item, "training_loss", "train_loss", "loss"), "log.training_loss", notes, low=-math.inf)
    losses = first(item, "validation_loss", "val_loss", "valid_loss")
    validation = figure(losses, "log.validation_loss", notes, low=-math.inf)
    return None if number is None else Epoch(epoch=number, training_loss=training, validation_loss=validation)


def _log_lines(log: Any) -> tuple[str, ...]:
    lines = log.splitlines() if isinstance(log, str) else log if isinstance(log, list) else []
    told = [text(line) for line in lines if isinstance(line, str)]
    return tuple(line for line in told if line)[-_LOG_LINES:]


def _error(value: Any) -> str | None:
    inner = first(value, "message", "detail", "reason")
    return text(inner) or text(value) or (None if value in (None, {}, []) else text(str(bounded(value))))


def _progress(value: Any, notes: list[str]) -> float | None:
    told = first(value, "fraction") if isinstance(value, Mapping) else value
    return figure(told, "progress", notes, high=1.0)


def read_health(told: Any, evidence: Evidence) -> Health:
    """Read the slots, the model's name and the service's now from the JSON ``told``."""
    notes: list[str] = []
    slots = _slots(first(told, "slots") or told, notes)
    moment = _moment(first(told, "now", "time"), notes)
    return Health(slots=slots, model=text(first(told, "model")), now=moment, notes=tuple(notes), evidence=evidence)


def _slots(value: Any, notes: list[str]) -> Slots:
    """Slots are attested where the active one is told; a null says that nothing serves."""
    if not isinstance(value, Mapping) or "active" not in value:
        return Slots()
    versions = {name: _version(value.get(name)) for name in ("active", "standby")}
    if versions["active"] is None and value["active"] is not None:
        notes.append(f"slots.active: {str(value['active'])[:60]!r} is no version; not used")
        return Slots()
    return Slots(active=versions["active"], standby=versions["standby"], attested=True)


def _version(value: Any) -> str | None:
    return text(first(value, "version", "model_version")) if isinstance(value, Mapping) else text(value)


def _moment(value: Any, notes: list[str]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        told = None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter: an instant that is before or after all years in UTC
        told = None
    if told is None and value is not None:
        notes.append(f"now: {str(value)[:60]!r} is no instant with an offset; not used")
    return told


def read_prediction(answer: Answer, rows: int, evidence: Evidence) -> Prediction:
    """Read ``rows`` scores from an answer; another number of them cannot be told apart by row, so none is used."""
    told = _items(answer.json, rows) if answer.succeeded else None
    scores: tuple[Figure, ...] = (None,) * rows
    invalid: tuple[str, ...] = ()
    error = answer.error if answer.succeeded else _why(answer)
    if told is not None and len(told) == rows:
        read = [_score(item) for item in told]
        scores = tuple(score for score, _ in read)
        invalid = tuple(why for _, why in read if why)
    elif answer.succeeded:
        invalid = (f"{len(told)} scores for {rows} rows" if told is not None else "the answer holds no scores",)
    return Prediction(
        scores=scores,
        invalid=invalid[:_INVALID],
        version=text(first(answer.json, "model_version", "version")),
        slot=text(first(answer.json, "slot")),
        latency_seconds=answer.seconds if answer.succeeded else None,
        timed_out=answer.timed_out,
        error=error,
        evidence=evidence,
    )


def _why(answer: Answer) -> str:
    return f"{answer.words}: {answer.text[:200]}" if answer.text else answer.words


def _items(told: Any, rows: int) -> list[Any] | None:
    if isinstance(told, list):
        return told
    found = first(told, *_SCORES)
    if isinstance(found, Mapping):
        found = first(found, *_SCORES)
    if found is None and rows == 1:
        single = first(told, *_SCORE)
        return None if single is None else [single]
    return found if isinstance(found, list) else None


def _score(item: Any) -> tuple[float | None, str]:
    value = first(item, *_SCORE) if isinstance(item, Mapping) else item
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, f"{str(item)[:60]!r} is no number" if item is not None else "null or NaN came for a score"
    if not abs(value) < 1e300:
        return None, f"{value} is not finite"
    return float(value), ""
