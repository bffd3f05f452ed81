"""Notebooks to execute, warm and cold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from retrain.engine import zygotes

Write = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def _zygote_ends_with_the_session() -> Iterator[None]:
    yield
    zygotes.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a notebook of the given cells (sources, or cells) and return its path."""

    def write_(*cells: object, name: str = "in.ipynb", tags: dict[int, str] | None = None) -> Path:
        made = [
            new_code_cell(cell, metadata={"tags": [tags[position]] if tags and position in tags else []})
            if isinstance(cell, str)
            else cell
            for position, cell in enumerate(cells)
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(new_notebook(metadata=kernel, cells=made), tmp_path / name)
        return tmp_path / name

    return write_


@pytest.fixture(params=["warm", "cold"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with forked kernels and with standard ones: both must say the same."""
    monkeypatch.setenv("RETRAIN_WARM_KERNELS", "off" if request.param == "cold" else "on")
    return str(request.param)


@pytest.fixture
def runner() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that executes a notebook; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
