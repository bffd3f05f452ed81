"""What is out of order in a world: ``<home>/service/conditions.json``. An empty one is a world in order.

Each condition is a cause, and what the runbook then sees follows from it. None says how a run shall end.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from retrain_sandbox import state

__all__ = ["Conditions", "Lookup", "SearchSpace", "Serving", "Traffic", "Training", "read", "write"]


@dataclass(frozen=True)
class SearchSpace:
    """What the trials of a training choose from; the learning rate from an interval, by its logarithm."""

    learning_rate: tuple[float, float] = (1e-3, 1e-2)
    batch_size: tuple[int, ...] = (256, 512)
    hidden_units: tuple[int, ...] = (16, 32, 64)
    from_production: bool = True  # try production's own parameters first


@dataclass(frozen=True)
class Training:
    """Conditions under which this world trains."""

    space: SearchSpace = SearchSpace()
    blind_to: tuple[str, ...] = ()  # features lost on the way to the training (a broken join): there, all null
    workspace_megabytes: float | None = None  # memory for the activations of a batch; None: plenty


@dataclass(frozen=True)
class Lookup:
    """A model that looks a row up elsewhere before it scores, where some rows are found late."""

    share: float = 0.0  # of the rows, always the same ones
    seconds: float = 0.0
    only_active: bool = False  # the slow store is the one that the active slot asks


@dataclass(frozen=True)
class Serving:
    """What the export of the versions trained in this world does to them, after they were evaluated."""

    scale: float = 1.0  # scores leave as scale * p + offset
    offset: float = 0.0
    half_precision: bool = False  # 1 - e / (1 + e) with e = exp(-z)² in 16 bits: NaN where e is infinite
    leaves_out: tuple[str, str] | None = None  # (feature, category): its rows are missing from the answers
    lookup: Lookup = Lookup()


@dataclass(frozen=True)
class Traffic:
    """What happens to the labelled traffic of the versions trained in this world once they serve."""

    shifted_labels_share: float = 0.0  # of the requests get the label of the request before them
    silent_after_minutes: float | None = None  # since the swap: no MODEL_METRICS window that ends later is written


@dataclass(frozen=True)
class Conditions:
    """All that is out of order in a world."""

    training: Training = field(default_factory=Training)
    serving: Serving = field(default_factory=Serving)
    traffic: Traffic = field(default_factory=Traffic)
    data_quality_runs: bool = True  # False: whoever made them has stopped


_ADAPTER = TypeAdapter(Conditions)


def _file(home: Path) -> Path:
    return state.service_directory(home) / "conditions.json"


def read(home: Path) -> Conditions:
    """Return the conditions of the world in ``home``; those of a world in order where there is no file."""
    path = _file(home)
    return _ADAPTER.validate_json(path.read_bytes()) if path.is_file() else Conditions()


def write(home: Path, conditions: Conditions) -> None:
    """Replace the conditions of the world in ``home``."""
    state.write_json(_file(home), asdict(conditions))
