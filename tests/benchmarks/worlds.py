"""A sandbox of a benchmark's own, with a project beside it that holds this one's notebooks and parameters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["sandbox"]

ROOT = Path(__file__).parents[2]


@contextmanager
def sandbox(folder: Path, scenario: str) -> Iterator[dict[str, str]]:
    """Start a sandbox in ``folder``/home and set its scenario; yield the environment that commands find it by."""
    from retrain_sandbox import lifecycle

    for name in ("notebooks", "parameters"):
        (folder / name).symlink_to(ROOT / name)
    try:
        lifecycle.apply_scenario(folder / "home", scenario)
        mine = {"RETRAIN_SANDBOX": str(folder / "home"), "RETRAIN_HOME": str(folder), "RETRAIN_ACTOR": "bench"}
        yield {**os.environ, **mine}
    finally:
        lifecycle.down(folder / "home")
