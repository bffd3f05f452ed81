from collections.abc import Callable
from pathlib import Path

import pytest

from .small import Clock, Record


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "records", Clock())


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make every holder of this machine look dead from now on."""

    def die() -> None:
        monkeypatch.setattr("retrain.ledger.holders.lives", lambda _: False)

    return die
