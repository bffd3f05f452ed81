"""Encoding, fitting, searching and refusing: what a training of the sandbox's service does with rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_rows import PLAN, rows
from sklearn.metrics import roc_auc_score

from retrain_sandbox import models, training
from retrain_sandbox.conditions import Conditions, Lookup, SearchSpace, Serving, Training
from retrain_sandbox.data import CATEGORIES, FEATURES, NUMBERS
from retrain_sandbox.encoding import encoder_for, instances_to_columns
from retrain_sandbox.figures import auc_roc, choose_threshold, count, p99
from retrain_sandbox.network import Recipe, fit
from retrain_sandbox.search import stratified_folds
from retrain_sandbox.table import HOLDOUT_SHARE, Table, held_out

HELD_OUT = [3, 7, 10, 14, 15, 17, 20, 27, 30, 39, 60, 68]
"""The first ids that no training may see: with another hash, production was trained on rows it is compared on."""


def train(table: Table, **changed: Any) -> training.Trained:
    with ThreadPoolExecutor(2) as pool:
        return training.train(table, replace(PLAN, **changed), pool, lambda *_: None)


@pytest.fixture(scope="module")
def production() -> models.Model:
    return training.train_directly(rows(), PLAN)


def test_one_row_and_many_rows_are_encoded_alike() -> None:
    """A single-row request goes another, quicker way to the same inputs; nulls and unknown categories too."""
    table = rows(50)
    encoder = encoder_for(table.columns, numbers=list(NUMBERS), categories=list(CATEGORIES))
    instances = [*table.instances(np.arange(20)), dict.fromkeys(FEATURES), dict.fromkeys(FEATURES, 1e308)]
    instances[-1] |= {"origin": "nowhere", "carrier": None}
    together = encoder.encode(instances_to_columns(instances, encoder))
    assert np.allclose(np.vstack([encoder.encode_one(one) for one in instances]), together, atol=1e-5)
    assert np.isfinite(together).all()


def test_a_feature_without_any_value_is_named() -> None:
    """A training on a column that was never delivered is refused, not imputed into nothing."""
    table = rows()
    table.columns["air_time_minutes"][:] = np.nan
    with pytest.raises(training.TrainingFailed, match="air_time_minutes"):
        train(table)


def test_the_hold_out_is_one_row_in_five_and_the_same_for_ever() -> None:
    """Held out once is held out in every training: production never saw the rows it is compared on."""
    ids = np.arange(1, 100_001)
    held = held_out(ids)
    assert abs(held.mean() - HOLDOUT_SHARE) < 0.005
    assert (held_out(ids[500:900]) == held[500:900]).all()
    assert ids[held][:12].tolist() == HELD_OUT


def test_folds_are_stratified() -> None:
    """Each fold has the same positives, to a row."""
    labels = rows(1003).labels
    folds = stratified_folds(labels, 5, seed=1)
    found = [int(labels[folds == fold].sum()) for fold in range(5)]
    assert max(found) - min(found) <= 1


def test_the_same_seed_gives_the_same_network() -> None:
    """A training can be repeated."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(400, 5)).astype(np.float32)
    data = (inputs, (inputs[:, 0] > 0).astype(np.float32))
    one, two = (fit(data, data, Recipe(epochs=3), seed=7) for _ in range(2))
    assert one.log == two.log
    assert (one.network.hidden == two.network.hidden).all()


def test_training_stops_once_the_validation_loss_no_longer_falls() -> None:
    """Labels without any pattern: at most patience epochs after the best one, which is kept."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(600, 5)).astype(np.float32)
    labels = (random.random(600) < 0.5).astype(np.float32)
    fitted = fit((inputs[:300], labels[:300]), (inputs[300:], labels[300:]), Recipe(learning_rate=0.02), seed=1)
    assert len(fitted.log) <= fitted.best.epoch + Recipe().patience
    assert len(fitted.log) < Recipe().epochs


def test_a_batch_beyond_the_workspace_is_out_of_memory() -> None:
    """What ends a training is the batch that does not fit; a smaller one does."""
    data = (np.zeros((500, 4), np.float32), np.zeros(500, np.float32))
    with pytest.raises(MemoryError, match="500 rows"):
        fit(data, data, Recipe(batch_size=16_384, workspace_megabytes=0.1), seed=1)
    fit(data, data, Recipe(batch_size=64, epochs=1, workspace_megabytes=0.1), seed=1)


def test_auc_is_that_of_an_independent_implementation() -> None:
    """Ties share their ranks."""
    random = np.random.default_rng(3)
    labels, scores = random.integers(0, 2, 500), random.integers(0, 20, 500) / 20
    assert auc_roc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auc_roc(np.ones(3), np.ones(3)) is None


def test_counts_and_threshold() -> None:
    """A score at the threshold is positive, one that is not a number is not."""
    labels, scores = np.array([1, 1, 0, 0, 1]), np.array([0.9, 0.5, 0.5, 0.1, np.nan])
    counts = count(labels, scores, 0.5)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (2, 1, 1, 1)
    assert 0.2 < choose_threshold(np.array([0] * 50 + [1] * 50), np.array([0.2] * 50 + [0.8] * 50)) <= 0.8
    assert p99([]) is None
    assert p99([0.1] * 99 + [5.0]) == 0.1


def test_a_training_tells_all_that_the_status_needs(production: models.Model) -> None:
    """Five trials, production's recipe first; both models are scored on the very same rows."""
    table = rows(seed=2)
    trained = train(table, production=production)
    figures = trained.model.manifest.figures
    assert len(trained.trials) == 5
    assert trained.trials[0]["parameters"]["hidden_units"] == production.manifest.recipe.hidden_units
    assert trained.production is not None
    for one in (figures, trained.production.figures):
        assert one.tp + one.fp + one.fn + one.tn == len(trained.holdout) == int(held_out(table.ids).sum())
    assert figures.f1 is not None and figures.f1 > 0.85
    assert figures.latency_p99_seconds is not None and 0 < figures.latency_p99_seconds < 1


def test_one_class_only_cannot_be_trained() -> None:
    """Constant labels are refused at once, with the class named."""
    table = rows()
    table.labels[:] = 0
    with pytest.raises(training.TrainingFailed, match="class 1 has 0"):
        train(table)


def test_a_class_too_small_to_be_heard_is_imbalance() -> None:
    """A collapse onto the larger class is told as such; class weights let the smaller be heard."""
    slow = SearchSpace(learning_rate=(1e-3, 1.1e-3), batch_size=(512,), hidden_units=(16,), from_production=False)
    conditions = Conditions(training=Training(space=slow))
    with pytest.raises(training.TrainingFailed, match="class imbalance") as caught:
        train(rows(8000, positives=0.02), conditions=conditions)
    assert caught.value.log


def test_a_loss_that_still_falls_is_no_convergence() -> None:
    """The log of the epochs comes with the refusal."""
    slow = SearchSpace(learning_rate=(2e-4, 2.1e-4), batch_size=(512,), from_production=False)
    with pytest.raises(training.TrainingFailed, match="no convergence") as caught:
        train(rows(), conditions=Conditions(training=Training(space=slow)))
    assert len(caught.value.log) == Recipe().epochs


def test_a_model_is_the_same_after_a_round_trip_through_disk(production: models.Model, tmp_path: Path) -> None:
    """No pickle; the manifest holds everything but the weights."""
    models.save(tmp_path / "m", production)
    again = models.load(tmp_path / "m")
    columns = rows().columns
    assert again.manifest == production.manifest
    assert (again.score(columns) == production.score(columns)).all()


@pytest.mark.parametrize(
    ("serving", "wrong"),
    [
        (Serving(scale=1.1, offset=-0.05), lambda scores: any(not 0 <= score <= 1 for score in scores)),
        (Serving(half_precision=True), lambda scores: any(score != score for score in scores)),
        (Serving(leaves_out=("origin", "JFK")), lambda scores: 0 < len(scores) < 500),
    ],
)
def test_what_an_export_breaks_shows_in_the_answers(production: models.Model, serving: Serving, wrong: Any) -> None:
    """A score outside [0, 1], a NaN, too few of them: each from its own cause."""
    broken = models.Model(replace(production.manifest, serving=serving), production.network)
    instances = rows().instances(np.arange(500))
    assert wrong(broken.predict(instances, active=True))
    assert not wrong(production.predict(instances, active=True))


def test_a_slow_look_up_of_the_active_slot_is_not_seen_in_standby(production: models.Model) -> None:
    """The waiting is real, the same rows wait, and only where the slow store is asked."""
    lookup = Lookup(share=1.0, seconds=0.05, only_active=True)
    slow = models.Model(replace(production.manifest, serving=Serving(lookup=lookup)), production.network)
    instances = rows().instances(np.arange(4))
    assert min(models.send(slow, instances, active=True).seconds) >= 0.05
    assert max(models.send(slow, instances, active=False).seconds) < 0.05
