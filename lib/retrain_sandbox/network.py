"""The classifier: a network of one hidden layer, trained with Adam on mini-batches. Numpy only, the same by seed.

Loss: mean weighted cross-entropy. Adam: Kingma and Ba (2015), algorithm 1, with their β1, β2 and ε.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Epoch",
    "Fit",
    "Floats",
    "Network",
    "Recipe",
    "cross_entropy",
    "cross_entropy_of_share",
    "fit",
    "workspace_bytes",
]

Floats = npt.NDArray[np.float32]
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
LEAST_IMPROVEMENT = 1e-5  # of the validation loss, for an epoch to count as better


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    learning_rate: float = 4e-3
    batch_size: int = 256
    hidden_units: int = 32
    epochs: int = 30
    patience: int = 5  # epochs without a better validation loss before training stops
    class_weight: str | None = None  # "balanced": both classes weigh the same in the loss
    oversampling: str | None = None  # "smote": the smaller class is filled up with interpolated rows
    workspace_megabytes: float | None = None  # what the activations of a batch may take; None: no limit


@dataclass(frozen=True)
class Epoch:
    """One line of the training log."""

    epoch: int
    training_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Network:
    """Weights: ``hidden`` (inputs × units), ``hidden_bias``, ``output`` (units), ``output_bias`` (1)."""

    hidden: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats

    def scores(self, inputs: Floats) -> Floats:
        """Return the probability of the positive class for each row of ``inputs`` (rows × inputs)."""
        raw = np.maximum(inputs @ self.hidden + self.hidden_bias, 0) @ self.output + self.output_bias
        return _sigmoid(raw)

    @property
    def weights(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The arrays in the order of the fields."""
        return self.hidden, self.hidden_bias, self.output, self.output_bias


@dataclass(frozen=True)
class Fit:
    """A trained network (its best epoch), and how it got there."""

    network: Network
    log: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return min(self.log, key=lambda line: line.validation_loss)


def fit(
    training: tuple[Floats, Floats],
    validation: tuple[Floats, Floats],
    recipe: Recipe,
    *,
    seed: int,
    watch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train a network on ``training`` = (inputs, labels) until ``validation`` stops getting better.

    ``watch`` is told of each epoch. MemoryError when a batch needs more workspace than the recipe allows.
    """
    random = np.random.default_rng(seed)
    inputs, labels, weights = _weighted(training, recipe, seed)
    _reserve(len(labels), inputs.shape[1], recipe)
    network = _start(random, inputs.shape[1], recipe.hidden_units)
    adam = _Adam(network, recipe.learning_rate)
    judged = _class_weights(validation[1], recipe)
    best, best_loss, best_epoch = network, float("inf"), 0
    log: list[Epoch] = []
    for number in range(1, recipe.epochs + 1):
        loss = _epoch(adam, inputs, labels, weights, random.permutation(len(labels)), recipe.batch_size)
        line = Epoch(number, loss, cross_entropy(validation[1], network.scores(validation[0]), judged))
        log.append(line)
        if watch:
            watch(line)
        if line.validation_loss < best_loss - LEAST_IMPROVEMENT:
            best = Network(*(array.copy() for array in network.weights))
            best_loss, best_epoch = line.validation_loss, number
        elif number - best_epoch >= recipe.patience:
            break
    return Fit(best, tuple(log))


def cross_entropy(labels: Floats, scores: Floats, weights: Floats | float = 1.0) -> float:
    """Return the mean weighted cross-entropy of ``scores`` (kept off 0 and 1 by 1e-7) against ``labels``."""
    kept = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(weights * np.where(labels > 0, np.log(kept), np.log1p(-kept))))


def cross_entropy_of_share(labels: Floats, recipe: Recipe) -> float:
    """Return the loss of telling every row the share of positives: what a network knows that knows nothing."""
    weights = _class_weights(labels, recipe)
    share = np.full_like(labels, np.average(labels, weights=weights))
    return cross_entropy(labels, share, weights)


def workspace_bytes(rows: int, inputs: int, hidden_units: int) -> int:
    """Return what a batch of ``rows`` takes: its inputs, and activations, gradients and masks of the hidden layer."""
    return rows * (inputs + 4 * hidden_units + 4) * 4


def _reserve(rows: int, inputs: int, recipe: Recipe) -> None:
    if recipe.workspace_megabytes is None:
        return
    batch = min(recipe.batch_size, rows)
    needed = workspace_bytes(batch, inputs, recipe.hidden_units) / 1e6
    if needed > recipe.workspace_megabytes:
        raise MemoryError(
            f"a batch of {batch} rows with {recipe.hidden_units} hidden units needs {needed:.1f} MB of workspace, "
            f"the job has {recipe.workspace_megabytes:.1f} MB"
        )


def _weighted(training: tuple[Floats, Floats], recipe: Recipe, seed: int) -> tuple[Floats, Floats, Floats]:
    inputs, labels = training
    if recipe.oversampling == "smote":
        from imblearn.over_sampling import SMOTE  # half a second to import, and hardly ever wanted

        inputs, labels = SMOTE(random_state=seed).fit_resample(inputs, labels)
        inputs, labels = np.asarray(inputs, np.float32), np.asarray(labels, np.float32)
    return inputs, labels, _class_weights(labels, recipe)


def _class_weights(labels: Floats, recipe: Recipe) -> Floats:
    """Return the weight of each row in the loss; their mean is 1."""
    if recipe.class_weight != "balanced":
        return np.ones_like(labels)
    share = float(labels.mean())
    return np.where(labels > 0, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)


def _start(random: np.random.Generator, inputs: int, units: int) -> Network:
    return Network(
        random.normal(0, np.sqrt(2 / inputs), (inputs, units)).astype(np.float32),  # He et al. (2015)
        np.zeros(units, np.float32),
        random.normal(0, np.sqrt(1 / units), units).astype(np.float32),
        np.zeros(1, np.float32),
    )


def _sigmoid(raw: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(raw, -60, 60))), np.float32)


class _Adam:
    """Moves the weights of ``network`` in place."""

    def __init__(self, network: Network, learning_rate: float) -> None:
        self.network = network
        self.learning_rate = learning_rate
        self.steps = 0
        self.first = [np.zeros_like(array) for array in network.weights]
        self.second = [np.zeros_like(array) for array in network.weights]

    def step(self, gradients: tuple[Floats, ...]) -> None:
        self.steps += 1
        pace = self.learning_rate * np.sqrt(1 - BETA_2**self.steps) / (1 - BETA_1**self.steps)
        for weights, first, second, gradient in zip(
            self.network.weights, self.first, self.second, gradients, strict=True
        ):
            first *= BETA_1
            first += (1 - BETA_1) * gradient
            second *= BETA_2
            second += (1 - BETA_2) * gradient * gradient
            weights -= (pace * first / (np.sqrt(second) + EPSILON)).astype(np.float32)


def _epoch(
    adam: _Adam, inputs: Floats, labels: Floats, weights: Floats, order: npt.NDArray[np.int64], batch_size: int
) -> float:
    """Go through all rows once in ``order``; return the mean training loss."""
    total = 0.0
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        total += _batch(adam, inputs[rows], labels[rows], weights[rows]) * len(rows)
    return total / len(order)


def _batch(adam: _Adam, inputs: Floats, labels: Floats, weights: Floats) -> float:
    network = adam.network
    before = inputs @ network.hidden + network.hidden_bias
    active = before > 0
    hidden = np.asarray(before * active, np.float32)
    scores = _sigmoid(hidden @ network.output + network.output_bias)
    error = np.asarray(weights * (scores - labels) / len(labels), np.float32)
    back = np.asarray(np.outer(error, network.output) * active, np.float32)
    kept = np.clip(scores, 1e-7, 1 - 1e-7)
    loss = float(-np.mean(weights * np.where(labels > 0, np.log(kept), np.log1p(-kept))))
    adam.step((inputs.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(keepdims=True)))
    return loss
