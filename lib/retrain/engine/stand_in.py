"""A shell to show to libraries that ask, while they are imported, whether they are in a notebook."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

__all__ = ["shell"]


@contextlib.contextmanager
def shell() -> Iterator[None]:
    """For the time of the block ``get_ipython()`` answers with something that looks like a kernel's shell.

    pandas sets its display width by it, tqdm picks its bar. A module that keeps the function it found then has the real
    answer afterwards.
    """
    import IPython
    from IPython.core import getipython

    real = getipython.get_ipython
    looks: list[Any] = [SimpleNamespace(kernel=SimpleNamespace(), config={"IPKernelApp": {}})]

    def get_ipython() -> Any:
        return looks[0] if looks else real()

    IPython.get_ipython = get_ipython
    builtins.get_ipython = get_ipython  # type: ignore[attr-defined]
    try:
        yield
    finally:
        looks.clear()
        IPython.get_ipython = real
        del builtins.get_ipython  # type: ignore[attr-defined]
