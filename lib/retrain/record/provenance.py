"""Which code, environment and notebooks a run was made with, and who started it."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

from retrain import __version__
from retrain.ledger.heads import without_repository

__all__ = ["actor", "provenance", "sha256_of"]

ACTOR_VARIABLE = "RETRAIN_ACTOR"


def actor() -> str:
    """Return who acts: ``$RETRAIN_ACTOR``, or the user and host that this process runs as."""
    named = os.environ.get(ACTOR_VARIABLE, "").strip()
    return named or f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container: no password file knows the user that it runs as
        return f"user {os.getuid()}"


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def provenance(root: Path) -> dict[str, Any]:
    """Return the commit and whether the tree differs from it, the lock file's hash and each notebook's.

    What git does not tell is None.
    """
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    lock = root / "requirements.lock"
    notebooks = sorted((root / "notebooks").rglob("*.ipynb"))
    return {
        "retrain": __version__,
        "python": platform.python_version(),
        "commit": _git(root, "rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
        "lock_sha256": sha256_of(lock) if lock.exists() else None,
        "notebooks": {
            str(path.relative_to(root)): sha256_of(path) for path in notebooks if ".ipynb_checkpoints" not in path.parts
        },
    }


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says, or None where this is no checkout or there is no git."""
    try:
        told = subprocess.run(  # noqa: S603  (no shell; the arguments are this module's own)
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            env=without_repository(os.environ),
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()
