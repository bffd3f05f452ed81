"""The one seam to the embedded default: starts the sandbox when it is not up, and says where it is.

Nothing else in ``retrain`` imports ``retrain_sandbox``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain.errors import UsageError
from retrain.settings import Settings, project_root

if TYPE_CHECKING:
    import typer

    from retrain_sandbox import World

__all__ = ["commands", "connect_arguments", "fill", "home", "now_of"]

HOME_VARIABLE = "RETRAIN_SANDBOX"


def home(settings: Settings) -> Path:
    """Return the sandbox's folder: the setting, ``$RETRAIN_SANDBOX``, or ``.sandbox`` in the project."""
    named = (settings.sandbox.home if settings.sandbox else None) or os.environ.get(HOME_VARIABLE)
    return Path(named).expanduser().resolve() if named else project_root() / ".sandbox"


def fill(settings: Settings, *, start: bool) -> Settings:
    """Return the settings with the sandbox's model, world and, where none is set, its service."""
    block = settings.sandbox
    if block is None:
        return settings
    world = _world(home(settings), start=start)
    service = settings.service
    if service.base_url is None:
        service = service.model_copy(update={"base_url": world.service_url})
    known = block.model_copy(update={"home": str(home(settings)), "world": world.world_id})
    model = settings.model or world.model
    return settings.model_copy(update={"model": model, "service": service, "sandbox": known})


def now_of(settings: Settings) -> Callable[[], datetime]:
    """Return a function that tells the sandbox's own time."""
    from retrain_sandbox import clock

    place = home(settings)
    return lambda: clock.now(place)


def connect_arguments(settings: Settings) -> Mapping[str, Any]:
    """Return what the connector needs to log in to the sandbox's warehouse."""
    return _world(home(settings), start=False).warehouse


def commands() -> typer.Typer:
    """Return the ``retrain sandbox`` commands."""
    from retrain_sandbox.cli import app

    return app


def _world(place: Path, *, start: bool) -> World:
    try:
        import retrain_sandbox
    except ImportError as missing:
        raise UsageError(f"the sandbox is not installed ({missing.name}): pip install 'retrain[sandbox]'") from missing
    return retrain_sandbox.connect(place, start=start)
