"""papermill and jsonschema without what they take along: a second or two where jupyter-server is installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from retrain.late import put_off

__all__ = ["import_jsonschema", "import_papermill"]

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


def import_papermill() -> ModuleType:
    """Import papermill and return it; what it needs for HDFS, S3 and HTTP is imported when a path is such a place."""
    import_jsonschema()
    elsewhere = {"pyarrow.fs": ("FileSelector", "HadoopFileSystem"), "papermill.s3": ("S3",), "requests": ()}
    with put_off(elsewhere):
        return importlib.import_module("papermill")


def _is_valid_syntax(*arguments: Any) -> Any:
    return importlib.import_module(_GRAMMAR).is_valid_syntax(*arguments)
