"""What can go wrong with the sandbox, in one sentence each.

RetrainError            exit 1
├── SandboxError        the sandbox could not be started, stopped or changed
└── UsageError          exit 2
    └── SandboxDown     the sandbox is not up, and nobody asked for it to be started
"""

from __future__ import annotations

from retrain.errors import RetrainError, UsageError

__all__ = ["SandboxDown", "SandboxError"]


class SandboxError(RetrainError):
    """The sandbox could not be started, stopped or changed; the message names the log to read."""


class SandboxDown(UsageError):  # noqa: N818 - a state of affairs, named as people say it
    """The sandbox is not up. Nothing was sent."""
