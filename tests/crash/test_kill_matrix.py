"""A slice of the kill matrix (``make crash-test`` runs it whole), and proof that its judge notices what it is for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def matrix(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that may fork: this one holds whatever the tests before it have started."""
    return subprocess.run(
        [sys.executable, "-m", "crash.kill_matrix", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.mark.timeout(180)
def test_a_process_that_is_killed_anywhere_sends_once_and_records_what_is_so(tmp_path: Path) -> None:
    """Boundaries × faults × deaths while recovering: no double effect, no false record, no unknown end."""
    done = matrix(tmp_path, "--cases", "45", "--seed", "11")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "**0 double effects, 0 false records, 0 cases with a violation.**" in done.stdout
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("sabotage", "says"),
    [
        ("reads, then sends again", "sent 2 times"),
        ("takes sent for applied", "false record"),
        ("sends before it intends", "before any intent"),
        ("claims what it sees", "claims as its own"),
    ],
)
def test_the_judge_notices_an_effects_layer_that_is_broken(tmp_path: Path, sabotage: str, says: str) -> None:
    """Reading first and retrying is not enough, belief is not sight, and an intent comes first."""
    done = matrix(tmp_path, "--cases", "24", "--seed", "11", "--sabotage", sabotage)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-2000:]
    assert says in done.stdout
