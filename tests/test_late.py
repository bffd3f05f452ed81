"""An import that is put off changes nothing but when it happens."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONNECTOR = """
import sys
from retrain.warehouse.driver import connector
print(sorted({"pandas", "pyarrow"} & set(sys.modules)))
from snowflake.connector import options, pandas_tools
import pandas, pyarrow
print(options.installed_pandas, options.pandas.DataFrame is pandas.DataFrame, options.pyarrow.Table is pyarrow.Table)
print(type(pandas).__name__, pandas_tools.pandas.DataFrame({"a": [1]}).shape)
"""

PAPERMILL = """
import sys
from retrain.engine.lean import import_papermill
papermill = import_papermill()
print(sorted({"pyarrow", "boto3", "requests", "rfc3987_syntax"} & set(sys.modules)))
from papermill import iorw
import requests, papermill.s3, pyarrow.fs
print(iorw.requests.get is requests.get, isinstance(iorw.S3(), papermill.s3.S3))
print(isinstance(iorw.FileSelector("/"), pyarrow.fs.FileSelector), import_papermill() is papermill)
"""

THREADS = """
import sys, threading
from retrain.late import put_off
def other():
    from colorsys import rgb_to_hsv
    seen.append(rgb_to_hsv)
seen = []
with put_off({"colorsys": ("rgb_to_hsv",), "no_such_module": ("x",)}):
    from colorsys import rgb_to_hsv
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    try:
        import no_such_module
    except ModuleNotFoundError as error:
        print(error.name)
import colorsys
print(seen[0] is colorsys.rgb_to_hsv, rgb_to_hsv is colorsys.rgb_to_hsv, rgb_to_hsv(1, 0, 0) == (0, 1, 1))
"""


def lines(code: str) -> list[str]:
    """Run ``code`` in a process of its own; return what it printed."""
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return told.stdout.splitlines()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (CONNECTOR, ["[]", "True True True", "module (1, 1)"]),
        (PAPERMILL, ["[]", "True True", "True True"]),
        (THREADS, ["no_such_module", "True False True"]),
    ],
    ids=["the connector's data frames", "papermill's places elsewhere", "other threads"],
)
def test_what_is_put_off_is_the_same_when_it_is_used(code: str, said: list[str]) -> None:
    """Nothing of it is imported before; what is not installed is missing as ever; other threads get the real names."""
    assert lines(code) == said
