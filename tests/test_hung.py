"""A command that hangs does not only cost its time: it says where it, and what it started, stood."""

import sys
from pathlib import Path

import pytest

import hung

CHILD = """
import time
def standing_in_the_child():
    print("up", flush=True)
    time.sleep(60)
standing_in_the_child()
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE)
child.stdout.readline()
def standing_in_the_parent():
    child.wait()
standing_in_the_parent()
"""


def test_what_hangs_tells_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(hung.HungError, match=r"did not end within 2 s") as told:
        hung.run([sys.executable, "-c", PARENT], seconds=2, environment={}, folder=tmp_path)
    assert "standing_in_the_child" in str(told.value).split("Fatal Python error", 1)[1]
    assert "standing_in_the_parent" in str(told.value).split("Fatal Python error", 1)[1]


def test_what_ends_tells_what_it_said(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['GIVEN']); sys.stderr.write(os.getcwd()); sys.exit(3)"
    told = hung.run([sys.executable, "-c", code], seconds=30, environment={"GIVEN": "a word"}, folder=tmp_path)
    assert (told.returncode, told.stdout, told.stderr) == (3, "a word\n", str(tmp_path))
