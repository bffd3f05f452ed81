"""Every notebook runs cell by cell in a stock kernel without an error, as in JupyterLab."""

import sys

import pytest

from .conftest import ROOT, Sandbox

pytestmark = pytest.mark.e2e


def test_every_notebook_runs_cell_by_cell(sandbox: Sandbox) -> None:
    sandbox.scenario("too_few_samples")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", str(ROOT / "notebooks")]
    told = sandbox.command(*command, RETRAIN_HOME=str(sandbox.project))
    assert told.code == 0, told.out[-3000:]
    assert " passed" in told.out
