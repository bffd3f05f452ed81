"""The Snowflake connector, imported without the pandas and Arrow that it takes along for data frames.

Import ``connector`` from here, where it is used: it takes half a second, and with both one and a half. A cursor's
``fetch_pandas_all`` works as ever; they are imported then. It does without boto3, too, unless a connection may log in
as a cloud's workload, which is all that it needs boto3 for. Nor does it load its "minicore", which nothing but its
telemetry asks for: that takes a thread, and a process that lets others fork from it must never have started one.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from retrain.late import left_out, put_off
from retrain.warehouse.places import connector_folder

__all__ = ["connector", "may_be_a_workload"]

_BOTO = ("boto3", "botocore")
_MINICORE = "SNOWFLAKE_DISABLE_MINICORE"
_WORKLOAD = "workload_identity"


def may_be_a_workload(variables: Mapping[str, str]) -> bool:
    """Tell whether the connector's variables or files speak of a workload's identity, or cannot be read."""
    told = [value for name, value in variables.items() if name.startswith("SNOWFLAKE_")]
    folder = connector_folder(variables)
    return any(_WORKLOAD in text.lower() for text in (*told, *map(_text, folder.glob("*.toml"))))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _WORKLOAD


@contextmanager
def _without_minicore() -> Iterator[None]:
    """Tell the connector to do without for as long as it is imported, and leave the environment as it was."""
    before = os.environ.get(_MINICORE)
    os.environ[_MINICORE] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_MINICORE]
        else:
            os.environ[_MINICORE] = before


_spared = () if may_be_a_workload(os.environ) else _BOTO
with _without_minicore(), left_out(_spared), put_off({"pandas": ("DataFrame",), "pyarrow": ()}):
    from snowflake import connector
