"""Disk space that a run holds back for its last words, so that one whose disk fills up can still be closed."""

from __future__ import annotations

import os
from pathlib import Path

from retrain.record.records import RunFolder, telling

__all__ = ["BYTES", "Reserve"]

BYTES = 256 * 1024
"""Enough for the decision, the last entries and CLOSE of a long run; a notebook has a reserve of its own."""


class Reserve:
    """A file beside the record, one for each model, since one run at a time holds it: no part of any run.

    Whoever was killed leaves it, and the next run of the model takes it over.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Name the file; nothing is written yet."""
        self._path: Path = folder.path.parents[2] / ".staging" / f"{folder.model}.reserve"

    def hold(self) -> None:
        """Set the space aside. StoreError where there is none; what there was of it is then given back."""
        try:
            with telling("write", self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("wb") as file:
                    file.write(os.urandom(BYTES))  # zeros would hold back nothing where they are compressed
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the space back; twice does no harm."""
        with telling("remove", self._path):
            self._path.unlink(missing_ok=True)
