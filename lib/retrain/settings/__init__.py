"""The parameters in force: read strictly, typed, consistent, and complained of where a person would look."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain.settings.model import FILE_ONLY, RUNBOOK, Settings, load, parameter_names, schema
    from retrain.settings.places import DEFAULT_ENVIRONMENT, project_root

__all__ = [
    "DEFAULT_ENVIRONMENT",
    "FILE_ONLY",
    "RUNBOOK",
    "Settings",
    "load",
    "parameter_names",
    "project_root",
    "schema",
]

_PLACES = ("DEFAULT_ENVIRONMENT", "project_root")


def __getattr__(name: str) -> Any:
    """Return a public name of the package; the model of the parameters is built when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "places" if name in _PLACES else "model"
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return value
