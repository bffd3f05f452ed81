"""An import that is put off changes nothing but when it happens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from retrain.warehouse.driver import may_be_a_workload

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


LEFT_OUT = """
import sys, retrain.runner, retrain.warehouse.driver
from retrain.engine.lean import import_papermill
import_papermill()
print(sorted({"boto3", "botocore"} & set(sys.modules)))
import boto3
print(boto3.__name__, sys.modules["botocore"].__name__)
from retrain.late import left_out
with left_out(("boto3", "colorsys")):
    import boto3
    try:
        import colorsys
    except ImportError as error:
        print(error.name)
import colorsys
print(colorsys.__name__)
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
        (LEFT_OUT, ["[]", "boto3 botocore", "colorsys", "colorsys"]),
    ],
    ids=["the connector's data frames", "papermill's places elsewhere", "other threads", "left out"],
)
def test_what_is_put_off_is_the_same_when_it_is_used(code: str, said: list[str]) -> None:
    """Nothing of it is imported before; what is not installed is missing as ever; other threads get the real names."""
    assert lines(code) == said


@pytest.mark.parametrize(
    ("files", "variables", "may"),
    [
        ({}, {}, False),
        ({"connections.toml": '[default]\nauthenticator = "snowflake"'}, {}, False),
        ({"connections.toml": '[default]\nauthenticator = "WORKLOAD_IDENTITY"'}, {}, True),
        ({"config.toml": '[connections.x]\nauthenticator = "workload_identity"'}, {}, True),
        ({}, {"SNOWFLAKE_CONNECTIONS": '{"default": {"authenticator": "Workload_Identity"}}'}, True),
        ({}, {"OTHER": "workload_identity"}, False),
    ],
)
def test_boto3_is_left_out_only_where_no_connection_may_need_it(
    files: dict[str, str], variables: dict[str, str], may: bool, tmp_path: Path
) -> None:
    """Whoever logs in as a cloud's workload finds it."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert may_be_a_workload({"SNOWFLAKE_HOME": str(tmp_path), **variables}) is may


def test_a_connector_file_that_cannot_be_read_leaves_nothing_out(tmp_path: Path) -> None:
    """What it says is not known."""
    (tmp_path / "connections.toml").mkdir()
    assert may_be_a_workload({"SNOWFLAKE_HOME": str(tmp_path)})
