"""One of the whole runs that `make crash-test` kills: the command line, real notebooks, the sandbox's service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_run_killed_once_its_swap_was_intended_sends_it_once_at_most_and_tells_what_is_so(tmp_path: Path) -> None:
    """Killed by SIGKILL, resumed, judged by the service's own log: one intent, one request at most, a true record."""
    done = subprocess.run(
        [sys.executable, "-m", "crash.whole_runs", "--cases", "1"],
        env={**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=570,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "intent swap, resumed: exits [-9, " in done.stdout
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"
