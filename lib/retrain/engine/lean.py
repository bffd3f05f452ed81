"""jsonschema without the second or two that an environment with jupyter-server adds to its import."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

__all__ = ["import_jsonschema"]

_GRAMMAR = "rfc3987_syntax"


def import_jsonschema() -> None:
    """Import jsonschema so that the grammar of IRIs is built when one is checked, not now; nothing else changes.

    nbformat and papermill import jsonschema, which takes one function from ``rfc3987_syntax`` where that is installed;
    importing that module compiles its grammar. Call this before them; afterwards it does nothing.
    """
    wanted = importlib.util.find_spec("jsonschema") is not None and "jsonschema" not in sys.modules
    if not wanted or _GRAMMAR in sys.modules or importlib.util.find_spec(_GRAMMAR) is None:
        return
    late = ModuleType(_GRAMMAR)
    late.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_GRAMMAR] = late
    try:
        importlib.import_module("jsonschema")
    finally:
        del sys.modules[_GRAMMAR]  # whoever imports it from here on gets the real one


def _is_valid_syntax(*arguments: Any) -> Any:
    return importlib.import_module(_GRAMMAR).is_valid_syntax(*arguments)
