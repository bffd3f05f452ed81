"""A slice of the kills during writes (``crash.torn_files`` does all 200), and a writer that does tear its files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crash.torn_files import WRITERS, say, whole

TESTS = Path(__file__).parents[1]

NAIVE = """
import sys, pathlib
from crash import torn_files
torn_files.WRITERS["plain open"] = lambda folder: lambda n: (folder / "one.json").write_text(torn_files.say(n))
folder = pathlib.Path(sys.argv[1])
kills = []
for number in range(40):
    (folder / str(number)).mkdir()
    kills.append(torn_files.kill_once("plain open", folder / str(number), after_seconds=number / 1000))
sys.exit(not any(kill.torn for kill in kills))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    words = [sys.executable, *arguments]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.timeout(120)
def test_a_writer_that_is_killed_leaves_no_half_file_under_a_final_name() -> None:
    """Every way in which the library writes a whole file: the former one, the new one or none."""
    done = python("-m", "crash.torn_files", "--kills", str(5 * len(WRITERS)), "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "**0 unparsable**" in done.stdout


@pytest.mark.timeout(120)
def test_a_plain_write_is_seen_to_tear(tmp_path: Path) -> None:
    """The kills do come in the middle: a file that is written in place ends up torn."""
    done = python("-c", NAIVE, str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_half_of_a_file_never_passes_for_a_whole() -> None:
    """Cut anywhere, or with other filling, a file is not whole."""
    text = say(1)
    assert whole(text.encode())
    assert not any(whole(text[:length].encode()) for length in (0, 1, len(text) // 2, len(text) - 1))
    assert not whole(text.replace("a", "b").encode())
