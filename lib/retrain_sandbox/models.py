"""Trained models: how they score, and how they lie on disk (weights in .npz, all else in JSON, no pickle)."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from retrain_sandbox import state
from retrain_sandbox.conditions import Serving
from retrain_sandbox.encoding import Columns, Encoder, Instance, instances_to_columns
from retrain_sandbox.figures import Figures
from retrain_sandbox.network import Floats, Network, Recipe

__all__ = ["Answers", "Manifest", "Model", "load", "save", "send"]

THREADS = 16  # requests under way at once, where a model waits for something


@dataclass(frozen=True)
class Manifest:
    """All of a model but its weights. Instants are UTC with an offset."""

    version: str
    trained_at: datetime
    reference_start: datetime  # the training window: [reference_start, reference_end)
    reference_end: datetime
    rows: int
    recipe: Recipe
    encoder: Encoder
    threshold: float
    figures: Figures  # on the hold-out of its own training
    world_id: str = ""  # the world whose service trained it; "" where it was there before
    serving: Serving = field(default_factory=Serving)


@dataclass(frozen=True)
class Answers:
    """What came of single-row requests: a score each (NaN where none came), and wall seconds each."""

    scores: npt.NDArray[np.float64]
    seconds: list[float]


@dataclass(frozen=True)
class Model:
    """A model as it serves."""

    manifest: Manifest
    network: Network

    @property
    def version(self) -> str:
        """The name under which slots, answers and MODEL_METRICS know it."""
        return self.manifest.version

    def score(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Return the score of each row, as exported; nothing is left out and nothing waited for."""
        return self._exported(self.manifest.encoder.encode(columns))

    def predict(self, instances: Sequence[Instance], *, active: bool) -> list[float]:
        """Answer a request: the scores of ``instances``, with all that serving does to them and costs."""
        serving = self.manifest.serving
        if serving.leaves_out is not None:
            feature, category = serving.leaves_out
            instances = [row for row in instances if row.get(feature) != category]
        if not instances:
            return []
        self._look_up(instances, active=active)
        encoder = self.manifest.encoder
        one = len(instances) == 1
        inputs = encoder.encode_one(instances[0]) if one else encoder.encode(instances_to_columns(instances, encoder))
        return [float(score) for score in self._exported(inputs)]

    def _exported(self, inputs: Floats) -> npt.NDArray[np.float64]:
        serving = self.manifest.serving
        scores = self.network.scores(inputs).astype(np.float64)
        if serving.half_precision:
            scores = _in_half_precision(scores)
        return np.asarray(scores * serving.scale + serving.offset)

    def _look_up(self, instances: Sequence[Instance], *, active: bool) -> None:
        lookup = self.manifest.serving.lookup
        if lookup.share and (active or not lookup.only_active) and any(_cold(row, lookup.share) for row in instances):
            time.sleep(lookup.seconds)


def _in_half_precision(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        odds_against = ((1 - scores) / scores).astype(np.float16)
        squared = odds_against * odds_against
        return np.asarray(1 - squared / (1 + squared), np.float64)


def _cold(instance: Instance, share: float) -> bool:
    return zlib.crc32(repr(sorted(instance.items())).encode()) % 10_000 < share * 10_000


def send(model: Model, instances: Sequence[Instance], *, active: bool) -> Answers:
    """Send each of ``instances`` to ``model`` as a request of its own, and time it."""

    def request(instance: Instance) -> tuple[float, float]:
        begun = time.perf_counter()
        scores = model.predict([instance], active=active)
        return (scores[0] if scores else math.nan), time.perf_counter() - begun

    if not model.manifest.serving.lookup.share:  # nothing waits: threads would only measure each other
        answered = [request(instance) for instance in instances]
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            answered = list(pool.map(request, instances))
    return Answers(np.array([score for score, _ in answered]), [seconds for _, seconds in answered])


_ADAPTER = TypeAdapter(Manifest)
_ARRAYS = ("hidden", "hidden_bias", "output", "output_bias")


def save(directory: Path, model: Model) -> None:
    """Write ``model`` to ``directory``; the manifest comes last, so a directory with one is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = dict(zip(_ARRAYS, model.network.weights, strict=True))
    temporary = directory / ".weights.npz"
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / "weights.npz")
    state.write_json(directory / "manifest.json", _ADAPTER.dump_python(model.manifest, mode="json"))


def load(directory: Path) -> Model:
    """Read the model in ``directory``. FileNotFoundError when there is none, ValueError when it is damaged."""
    manifest = _ADAPTER.validate_json((directory / "manifest.json").read_bytes())
    with np.load(directory / "weights.npz", allow_pickle=False) as arrays:
        network = Network(*(np.asarray(arrays[name], np.float32) for name in _ARRAYS))
    if network.hidden.shape[0] != manifest.encoder.width:
        raise ValueError(f"{directory}: weights for {network.hidden.shape[0]} inputs, not {manifest.encoder.width}")
    return Model(manifest, network)
