"""Execute notebooks so that what the file says is true: the papermill engine ``retrain`` and its warm kernels.

``execute`` runs one notebook and returns its ``Account``; ``papermill --engine retrain`` does the same from outside.
Nothing heavy is imported with this package.
"""

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
from retrain.engine.zygotes import expect_more

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
    "expect_more",
    "prepare",
]
