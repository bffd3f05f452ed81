"""Pictures drawn by a process that has imported what draws, where this one has not: a third of a second.

The first section's kernel starts before matplotlib is imported anywhere, and has enough to wait for meanwhile.
"""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from retrain import pictures
from retrain.engine import zygotes
from retrain.pictures import Picture

if TYPE_CHECKING:
    import socket

__all__ = ["drawn", "errand"]

_ERRAND = f"{__name__}:errand"
_SECONDS = 60.0
_LARGEST = 1_000_000


def drawn(draw: Callable[..., Picture], *given: Any, **named: Any) -> Picture:
    """Return what ``draw``, one of ``retrain.pictures``, draws of its arguments, elsewhere if that is sooner."""
    if "matplotlib.figure" not in sys.modules:
        body = {"draw": draw.__name__, "of": base64.b64encode(pickle.dumps((given, named))).decode()}
        channel = zygotes.errand(_ERRAND, body)
        if channel is not None and (told := _answer(channel)):
            picture: Picture = pickle.loads(told)  # noqa: S301 - a fork of the process that this one is a fork of
            return picture
    return draw(*given, **named)


def _answer(channel: socket.socket) -> bytes:
    """Return what the errand sent; nothing where it failed, or took too long: then it is drawn here."""
    with channel:
        channel.settimeout(_SECONDS)
        try:
            return channel.recv(_LARGEST)
        except OSError:
            return b""


def errand(body: Mapping[str, str], channel: socket.socket) -> None:
    """Draw for another process, and send the picture."""
    given, named = pickle.loads(base64.b64decode(body["of"]))  # noqa: S301 - what a kernel of the same run wants drawn
    channel.send(pickle.dumps(getattr(pictures, body["draw"])(*given, **named)))
