"""Imports put off: what a library takes along when it is imported, for corners that are seldom reached.

The Snowflake connector imports pandas and Arrow for results that are asked for as data frames, papermill imports Arrow
and an SDK for notebooks on HDFS and S3. Each takes longer than the library itself. With ``put_off`` they are imported
when such a corner is reached, and nothing else changes. With ``left_out`` the library that is imported does without, as
it does where they are not installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["left_out", "put_off"]

_one_at_a_time = threading.RLock()


@contextmanager
def put_off(modules: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """For the time of the block, importing one of ``modules`` gives a stand-in, which imports it when it is used.

    The values are the functions and classes that are taken from a module by name meanwhile: they are put off as well,
    until they are called. What is imported already, or is not installed, is left as it is. Other threads get the
    stand-in too, but no name that is put off.
    """
    with _one_at_a_time:
        wanted = {name: names for name, names in modules.items() if name not in sys.modules and _installed(name)}
        made = {name: _StandIn(name, names) for name, names in wanted.items()}
        sys.modules.update(made)
        try:
            yield
        finally:
            for name, stand_in in made.items():
                stand_in.end()
                if sys.modules.get(name) is stand_in:  # whoever imports it from here on gets the real one
                    del sys.modules[name]


@contextmanager
def left_out(modules: Sequence[str]) -> Iterator[None]:
    """For the time of the block, importing one of ``modules`` raises ImportError, unless it is imported already."""
    with _one_at_a_time:
        wanted = [name for name in modules if name not in sys.modules]
        sys.modules.update(dict.fromkeys(wanted))  # type: ignore[arg-type] # None is how an import is refused
        try:
            yield
        finally:
            for name in wanted:
                if sys.modules.get(name) is None:
                    sys.modules.pop(name, None)


class _StandIn(ModuleType):
    def __init__(self, name: str, put_off: Sequence[str]) -> None:
        super().__init__(name)
        self._put_off = tuple(put_off)
        self._waiting = True
        self._importer = threading.get_ident()

    def end(self) -> None:
        """Hand out nothing but the real module's names from here on."""
        self._waiting = False

    def __getattr__(self, name: str) -> Any:
        if self._waiting and threading.get_ident() == self._importer:
            if name in self._put_off:
                return _called_later(self.__name__, name)
            if name == "__path__":  # what `from pandas import …` asks for before it asks for the name
                raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _called_later(module: str, name: str) -> Callable[..., Any]:
    return lambda *arguments, **named: getattr(importlib.import_module(module), name)(*arguments, **named)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None
