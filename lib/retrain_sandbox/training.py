"""Training: from labelled rows to a candidate that is evaluated beside production.

One row in five is held out (``table``). Of the others a tenth decides when to stop and where the threshold lies; the
rest train. A stratified sample of them goes through the search (``search``), the best recipe is fitted on all of them,
and production and candidate are scored on the hold-out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_sandbox.conditions import Conditions, Serving
from retrain_sandbox.data import CATEGORIES, NUMBERS
from retrain_sandbox.encoding import Encoder, encoder_for
from retrain_sandbox.figures import Figures, auc_difference_error, choose_threshold, count, p99
from retrain_sandbox.metrics import SLOW_SECONDS
from retrain_sandbox.models import Manifest, Model, send
from retrain_sandbox.network import Epoch, Fit, Recipe, cross_entropy_of_share, fit
from retrain_sandbox.search import FOLDS, TRIALS, Rows, Searched, search, stratified_folds
from retrain_sandbox.table import Table, held_out

__all__ = ["Evaluated", "Plan", "Trained", "TrainingFailed", "difference_error", "evaluate", "train", "train_directly"]

SEED = 2013
SEARCH_ROWS = 18_000  # rows of the stratified sample that the search sees
LEAST_ROWS = 1_000
VALIDATION_PARTS = 10  # one of so many parts of the rows decides when to stop, and the threshold
TIMED_REQUESTS = 300  # single-row predictions behind a latency p99
SMALL_SHARE = 0.05  # of positives: below it a collapse is one of imbalance
COLLAPSED_RECALL = 0.6  # finding fewer of the positives than this at a score of 0.5
STEADY_EPOCHS = 8  # a loss that falls in each of the last so many epochs, by more than this part of itself,
STILL_FALLING = 0.001  # has not converged,
NEAR = 0.2  # unless it is below this part of the loss of a network that knows nothing but the share of positives

Progress = Callable[[int, int, int, float], None]
"""Told (trial, epoch, epochs, fraction of the whole training)."""


class TrainingFailed(Exception):  # noqa: N818 - it is what happened, and the job's status says so
    """There is no candidate; the message says why. ``log`` and ``trials`` hold what there was until then."""

    def __init__(self, message: str, log: tuple[Epoch, ...] = (), trials: tuple[dict[str, Any], ...] = ()) -> None:
        """Take the sentence that becomes the job's ``error``."""
        super().__init__(message)
        self.log = log
        self.trials = trials


@dataclass(frozen=True)
class Plan:
    """What a training is to do: the window [start, end) of its rows, and under which conditions."""

    start: datetime
    end: datetime
    now: datetime
    world_id: str = ""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    production: Model | None = None


@dataclass(frozen=True)
class Evaluated:
    """One model on the hold-out: its figures, its scores, and of how many timed requests how many were slow."""

    figures: Figures
    scores: npt.NDArray[np.float64]
    timed_requests: int
    slow_requests: int


@dataclass(frozen=True)
class Trained:
    """A candidate with its figures, production's on the same hold-out, and how it came about."""

    model: Model
    candidate: Evaluated
    production: Evaluated | None
    holdout: Table
    log: tuple[Epoch, ...]
    trials: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class _Prepared:
    """Rows made ready: inputs and labels to train, to validate; and the hold-out, untouched."""

    encoder: Encoder
    training: Rows
    validation: Rows
    holdout: Table
    rows: int


def train(rows: Table, plan: Plan, pool: Executor, progress: Progress) -> Trained:
    """Search, fit, choose a threshold, evaluate. TrainingFailed says why there is no candidate."""
    prepared = _prepare(rows, plan.conditions.training.blind_to)
    try:
        searched = _search(prepared, plan, pool, progress)
        fitted = _fit(prepared, searched.recipe, progress)
    except MemoryError as error:
        raise TrainingFailed(f"resource exhaustion: out of memory: {error}") from error
    _refuse_collapse(searched, fitted)
    _refuse_unconverged(searched, fitted)
    model, candidate = _candidate(prepared, fitted, searched.recipe, plan)
    return Trained(
        model=model,
        candidate=candidate,
        production=evaluate(plan.production, prepared.holdout) if plan.production else None,
        holdout=prepared.holdout,
        log=fitted.log,
        trials=searched.trials,
    )


def train_directly(rows: Table, plan: Plan, recipe: Recipe = Recipe()) -> Model:  # noqa: B008 - frozen
    """Fit ``recipe`` without a search: how the scenarios make the models that serve before a run begins."""
    prepared = _prepare(rows, ())
    return _candidate(prepared, _fit(prepared, recipe, lambda *_: None), recipe, plan)[0]


def evaluate(model: Model, holdout: Table) -> Evaluated:
    """Score ``holdout`` and time single-row predictions of some of its rows."""
    timed = holdout.instances(np.arange(min(TIMED_REQUESTS, len(holdout))))
    seconds = send(model, timed, active=False).seconds
    scores = model.score(holdout.columns)
    figures = Figures.of(holdout.labels, scores, model.manifest.threshold, latency_p99_seconds=p99(seconds))
    return Evaluated(figures, scores, len(seconds), sum(one >= SLOW_SECONDS for one in seconds))


def difference_error(trained: Trained) -> float | None:
    """Return the standard error of candidate − production in AUC-ROC, None without a production to compare with."""
    if trained.production is None:
        return None
    return auc_difference_error(trained.holdout.labels, trained.candidate.scores, trained.production.scores)


def _prepare(rows: Table, blind_to: tuple[str, ...]) -> _Prepared:
    if len(rows) < LEAST_ROWS:
        raise TrainingFailed(
            f"data: {len(rows)} labelled rows in the training window, at least {LEAST_ROWS} are needed"
        )
    for label, members in rows.class_counts.items():
        if members < FOLDS * VALIDATION_PARTS:
            raise TrainingFailed(f"data: class {label} has {members} of {len(rows)} rows: too few to train on")
    untouched = held_out(rows.ids)
    usable = rows.take(~untouched)
    numbers = [name for name in NUMBERS if name not in blind_to]
    categories = [name for name in CATEGORIES if name not in blind_to]
    try:
        encoder = encoder_for(usable.columns, numbers=numbers, categories=categories)
    except ValueError as error:
        raise TrainingFailed(f"data: {error}") from error
    inputs = encoder.encode(usable.columns)
    part = stratified_folds(usable.labels, VALIDATION_PARTS, SEED) == 0
    return _Prepared(
        encoder=encoder,
        training=(inputs[~part], usable.labels[~part]),
        validation=(inputs[part], usable.labels[part]),
        holdout=rows.take(untouched),
        rows=len(rows),
    )


def _search(prepared: _Prepared, plan: Plan, pool: Executor, progress: Progress) -> Searched:
    conditions = plan.conditions.training
    base = replace(Recipe(workspace_megabytes=conditions.workspace_megabytes), **plan.hyperparameters)
    parts = (TRIALS + 1) * FOLDS  # the last fit counts as a trial

    def folds_done(trial: int, folds: int) -> None:
        progress(trial, 0, base.epochs, ((trial - 1) * FOLDS + folds) / parts)

    return search(
        _sample(prepared.training),
        base,
        conditions.space,
        fixed=plan.hyperparameters,
        first=plan.production.manifest.recipe if plan.production and conditions.space.from_production else None,
        pool=pool,
        seed=SEED,
        progress=folds_done,
    )


def _sample(rows: Rows) -> Rows:
    """Return a stratified sample of about SEARCH_ROWS rows."""
    parts = max(1, round(len(rows[1]) / SEARCH_ROWS))
    chosen = stratified_folds(rows[1], parts, SEED + 1) == 0
    return rows[0][chosen], rows[1][chosen]


def _fit(prepared: _Prepared, recipe: Recipe, progress: Progress) -> Fit:
    def watch(line: Epoch) -> None:
        progress(TRIALS, line.epoch, recipe.epochs, (TRIALS + line.epoch / recipe.epochs) / (TRIALS + 1))

    return fit(prepared.training, prepared.validation, recipe, seed=SEED, watch=watch)


def _refuse_collapse(searched: Searched, fitted: Fit) -> None:
    share = float(searched.labels.mean())
    recall = count(searched.labels, searched.scores, 0.5).recall or 0.0
    if share >= SMALL_SHARE or recall >= COLLAPSED_RECALL:
        return
    raise TrainingFailed(
        f"class imbalance: {share:.2%} of the rows are positive, and in cross-validation the best trial finds "
        f"{recall:.1%} of them at a score of 0.5: the larger class has swallowed the smaller",
        fitted.log,
        searched.trials,
    )


def _refuse_unconverged(searched: Searched, fitted: Fit) -> None:
    losses = [line.validation_loss for line in fitted.log]
    recipe = searched.recipe
    if len(losses) < recipe.epochs or len(losses) <= STEADY_EPOCHS:
        return  # it stopped by itself
    falls = [1 - after / before for before, after in pairwise(losses[-1 - STEADY_EPOCHS :])]
    knowing_nothing = cross_entropy_of_share(searched.labels, recipe)
    if min(falls) <= STILL_FALLING or losses[-1] <= NEAR * knowing_nothing:
        return
    raise TrainingFailed(
        f"no convergence: after {len(losses)} epochs the validation loss is {losses[-1]:.4f} and has fallen in each of "
        f"the last {STEADY_EPOCHS}, by {np.mean(falls):.1%} an epoch (learning rate {recipe.learning_rate:g}, "
        f"batches of {recipe.batch_size} rows)",
        fitted.log,
        searched.trials,
    )


def _candidate(prepared: _Prepared, fitted: Fit, recipe: Recipe, plan: Plan) -> tuple[Model, Evaluated]:
    """Name the model, find its threshold, evaluate it, and only then export it (``conditions.serving``)."""
    inputs, labels = prepared.validation
    weights = hashlib.sha256(b"".join(array.tobytes() for array in fitted.network.weights)).hexdigest()
    serving = plan.conditions.serving
    manifest = Manifest(
        version=f"v{plan.end:%Y%m%d}-{weights[:6]}",
        trained_at=plan.now,
        reference_start=plan.start,
        reference_end=plan.end,
        rows=prepared.rows,
        recipe=recipe,
        encoder=prepared.encoder,
        threshold=choose_threshold(labels, fitted.network.scores(inputs)),
        figures=Figures(None, None, None, None, None, 0, 0, 0, 0),
        world_id=plan.world_id,
        serving=replace(Serving(), lookup=serving.lookup),
    )
    evaluated = evaluate(Model(manifest, fitted.network), prepared.holdout)
    return Model(replace(manifest, figures=evaluated.figures, serving=serving), fitted.network), evaluated
