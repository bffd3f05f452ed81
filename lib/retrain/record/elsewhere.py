"""The warehouse's head asked by a process that has the connector already: a fork of the one that makes kernels.

To import the connector takes longer than all that a run does before its first notebook. Where no such process is to be
had, or it is lost, the head is asked from here, as ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from weakref import finalize

from retrain.engine import zygotes
from retrain.errors import RetrainError
from retrain.ledger.chain import Head
from retrain.ledger.problems import LedgerError, StoreError
from retrain.warehouse.heads import WarehouseHead

__all__ = ["Elsewhere"]

_ERRAND = "retrain.warehouse.heads:errand"
_LONGEST = 65_536
_SECONDS = 20.0
"""The longest to wait for the other process. Asked from here then, a warehouse that was slow has had a start."""

_KINDS = {kind.__name__: kind for kind in (StoreError, LedgerError, RetrainError)}


class Elsewhere:
    """A ``HeadSink`` that asks another process, and the sink itself once that cannot be asked."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Take what makes a WarehouseHead, and begin the errand; UsageError as there."""
        self._here = WarehouseHead(**arguments)
        self.place = self._here.place
        self._channel = zygotes.errand(_ERRAND, arguments)
        if self._channel is not None:
            finalize(self, self._channel.close)
            self._channel.settimeout(_SECONDS)

    def push(self, head: Head) -> None:
        """Keep ``head``: the same head may be pushed twice, so one whose answer was lost is pushed from here."""
        if self._asked(asdict(head)) is None:
            self._here.push(head)

    def read(self) -> Head | None:
        """Return the newest head that is kept, None where there is none yet."""
        told = self._asked(None)
        if told is None:
            return self._here.read()
        return None if told["kept"] is None else Head(**told["kept"])

    def close(self) -> None:
        """End the errand, and close the connection that was opened here."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._here.close()

    def _asked(self, head: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the answer, None where none came; raise what the other process tells of."""
        if self._channel is None:
            return None
        try:
            self._channel.send(json.dumps(head).encode())
            data = self._channel.recv(_LONGEST)
        except OSError:
            data = b""
        if not data:
            self._channel.close()
            self._channel = None
            return None
        told: dict[str, Any] = json.loads(data)
        if "error" in told:
            raise _KINDS.get(told["error"], RuntimeError)(told["message"])
        return told
