"""The search for a recipe: Optuna, five trials, each a stratified cross-validation of five folds.

So few trials must not be spent on chance: production's own recipe goes first, the sampler (TPE) models from the third
trial on instead of the eleventh, and a trial is pruned after two folds when its loss is above the median of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retrain_sandbox.conditions import SearchSpace
from retrain_sandbox.network import Fit, Floats, Recipe, fit

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

__all__ = ["FOLDS", "TRIALS", "Rows", "Searched", "search", "stratified_folds"]

TRIALS = 5
FOLDS = 5
Rows = tuple[Floats, Floats]  # inputs, labels


@dataclass(frozen=True)
class Searched:
    """The best recipe, the labels searched on with its out-of-fold scores for them, and all trials."""

    recipe: Recipe
    labels: Floats
    scores: Floats
    trials: tuple[dict[str, Any], ...]


def search(
    rows: Rows,
    base: Recipe,
    space: SearchSpace,
    *,
    fixed: dict[str, Any],
    first: Recipe | None,
    pool: Executor,
    seed: int,
    progress: Callable[[int, int], None],
) -> Searched:
    """Try five recipes on ``rows`` and return the one with the least mean validation loss.

    ``fixed`` parameters are not searched; ``first`` is tried first. ``progress`` is told (trial, folds done).
    """
    study = _study(seed)
    if first is not None:
        study.enqueue_trial(_parameters(first, fixed))
    folds = stratified_folds(rows[1], FOLDS, seed)
    done: list[tuple[float, Recipe, Floats]] = []
    for number in range(1, TRIALS + 1):
        trial = study.ask()
        recipe = replace(base, **(_suggest(trial, space, fixed) | fixed))
        asked = _ask(pool, rows, folds, recipe, seed)
        outcome = _cross_validate(trial, asked, rows, folds, partial(progress, number))
        if outcome is None:
            _tell_pruned(study, trial)
        else:
            study.tell(trial, outcome[0])
            done.append((outcome[0], recipe, outcome[1]))
    _, recipe, scores = min(done, key=lambda one: one[0])
    return Searched(recipe, rows[1], scores, tuple(_told(study)))


def stratified_folds(labels: Floats, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each row, each with the same share of positives (to a row)."""
    random = np.random.default_rng(seed)
    place = np.empty(len(labels), np.int64)
    for label in (0, 1):
        members = np.flatnonzero((labels > 0) == label)
        place[random.permutation(members)] = np.arange(len(members)) % folds
    return place


def _study(seed: int) -> Study:
    import optuna  # half a second: only a training needs it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=2),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1),
    )


SEARCHED = ("learning_rate", "batch_size", "hidden_units")


def _parameters(recipe: Recipe, fixed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asdict(recipe).items() if name in SEARCHED and name not in fixed}


def _suggest(trial: Trial, space: SearchSpace, fixed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "learning_rate" not in fixed:
        found["learning_rate"] = trial.suggest_float("learning_rate", *space.learning_rate, log=True)
    if "batch_size" not in fixed:
        found["batch_size"] = trial.suggest_categorical("batch_size", space.batch_size)
    if "hidden_units" not in fixed:
        found["hidden_units"] = trial.suggest_categorical("hidden_units", space.hidden_units)
    return found


def _ask(pool: Executor, rows: Rows, folds: npt.NDArray[np.int64], recipe: Recipe, seed: int) -> list[Future[Fit]]:
    inputs, labels = rows
    return [
        pool.submit(
            fit,
            (inputs[folds != fold], labels[folds != fold]),
            (inputs[folds == fold], labels[folds == fold]),
            recipe,
            seed=seed + fold,
        )
        for fold in range(FOLDS)
    ]


def _cross_validate(
    trial: Trial,
    asked: Sequence[Future[Fit]],
    rows: Rows,
    folds: npt.NDArray[np.int64],
    progress: Callable[[int], None],
) -> tuple[float, Floats] | None:
    """Return the mean loss and the out-of-fold scores, or None where the trial is not worth its last folds."""
    scores, losses = np.empty_like(rows[1]), []
    try:
        for fold, asked_fold in enumerate(asked):
            fitted = asked_fold.result()
            scores[folds == fold] = fitted.network.scores(rows[0][folds == fold])
            losses.append(fitted.best.validation_loss)
            trial.report(float(np.mean(losses)), fold)
            progress(fold + 1)
            if fold + 1 < FOLDS and trial.should_prune():
                return None
    finally:
        for rest in asked:
            rest.cancel()
    return float(np.mean(losses)), scores


def _tell_pruned(study: Study, trial: Trial) -> None:
    from optuna.trial import TrialState

    study.tell(trial, state=TrialState.PRUNED)


def _told(study: Study) -> list[dict[str, Any]]:
    return [
        {
            "trial": trial.number + 1,
            "state": trial.state.name.lower(),
            "parameters": trial.params,
            "validation_loss": trial.value,
            "folds": len(trial.intermediate_values),
        }
        for trial in study.get_trials(deepcopy=False)
    ]
