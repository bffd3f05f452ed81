"""The Snowflake connector, imported without the pandas and Arrow that it takes along for data frames.

Import ``connector`` from here, where it is used: it takes half a second, and with both one and a half. A cursor's
``fetch_pandas_all`` works as ever; they are imported then.
"""

from retrain.late import put_off

with put_off({"pandas": ("DataFrame",), "pyarrow": ()}):
    from snowflake import connector

__all__ = ["connector"]
