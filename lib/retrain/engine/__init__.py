"""Execute notebooks so that what the file says is true: the papermill engine ``retrain`` and its warm kernels.

``execute`` runs one notebook and returns its ``Account``; ``papermill --engine retrain`` does the same from outside.
Nothing is imported with this package: a name is, when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain.engine.account import (
        Account,
        CellAccount,
        CellStatus,
        EngineError,
        Interrupted,
        OutputExistsError,
        Status,
    )
    from retrain.engine.execution import ahead, execute, prepare
    from retrain.engine.papermill_engine import RetrainEngine

__all__ = [
    "Account",
    "CellAccount",
    "CellStatus",
    "EngineError",
    "Interrupted",
    "OutputExistsError",
    "RetrainEngine",
    "Status",
    "ahead",
    "execute",
    "prepare",
]

_HOMES = {
    "RetrainEngine": "papermill_engine",
    "ahead": "execution",
    "execute": "execution",
    "prepare": "execution",
}


def __getattr__(name: str) -> Any:
    """Return a public name of the package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'account')}"), name)
    return value
