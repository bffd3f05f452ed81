"""The embedded default: a local warehouse and a local mlmonitoring service. A sandbox, never production.

Light to import: nothing but the standard library until something must be started.
"""

from __future__ import annotations

from pathlib import Path

from retrain_sandbox.errors import SandboxDown
from retrain_sandbox.world import World, read

__all__ = ["World", "connect"]


def connect(home: Path, *, start: bool) -> World:
    """Return the world of the sandbox in ``home``.

    ``start``: bring it up when it is not (the first time this builds the data and applies the scenario ``f1_drop``).
    SandboxDown (exit 2) when it is down and ``start`` is False; SandboxError (exit 1) when it cannot be started.
    """
    from retrain_sandbox import lifecycle, servers  # late: psutil and friends, which a reader of World need not pay for

    home = home.resolve()
    if servers.are_up(home):
        world = read(home)
        if world.scenario or not start:
            return world
    elif not start:
        raise SandboxDown(f"The sandbox in {home} is not up: run `retrain sandbox up`.")
    return lifecycle.up(home)  # which waits for whoever applies a scenario just now
