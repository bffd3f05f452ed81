"""What can go wrong with a record.

RetrainError
├── LedgerError          the record cannot be used as it is; nothing was sent
│   ├── Malformed        a file under entries/ is not an entry
│   ├── StoreError       the place where the record lives did not answer, or is full
│   │   └── Missing      it answered: there is no such file
│   └── TakenOver        exit 18: this run no longer holds the model; nothing was written or sent
└── Busy                 exit 18: another run holds the model; nothing was written or sent
"""

from __future__ import annotations

from retrain.errors import RetrainError

__all__ = ["Busy", "LedgerError", "Malformed", "Missing", "StoreError", "TakenOver"]


class LedgerError(RetrainError):
    """The record cannot be used as it is. The message names the file."""


class Malformed(LedgerError):  # noqa: N818 (the word of the design)
    """A file is not an entry in its one canonical form."""


class StoreError(LedgerError):
    """The store did not answer, refused, or is full. Whether a remote write landed is not known."""


class Missing(StoreError):  # noqa: N818 (the word of the design)
    """There is no such file in the store."""


class TakenOver(LedgerError):  # noqa: N818 (the word of the design)
    """The run was closed, abandoned or resumed by somebody else: it may not write, so it may not act."""

    exit_code = 18


class Busy(RetrainError):  # noqa: N818 (the word of the design)
    """Another run holds the model."""

    exit_code = 18
