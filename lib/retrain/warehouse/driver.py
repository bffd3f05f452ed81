"""The Snowflake connector, imported without the pandas and Arrow that it takes along for data frames.

Import ``connector`` from here, where it is used: it takes half a second, and with both one and a half. A cursor's
``fetch_pandas_all`` works as ever; they are imported then. Nor does it load its "minicore", which nothing but its
telemetry asks for: that takes a thread, and a process that lets others fork from it must never have started one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from retrain.late import put_off

__all__ = ["connector"]

_MINICORE = "SNOWFLAKE_DISABLE_MINICORE"


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


with _without_minicore(), put_off({"pandas": ("DataFrame",), "pyarrow": ()}):
    from snowflake import connector
