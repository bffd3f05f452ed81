"""Where the outside is: the service, the warehouse and the clock of the environment that the settings name.

In the sandbox they come from the running sandbox, through the one seam in ``retrain.sandbox``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from retrain import sandbox
from retrain.clock import Clock, EnvironmentClock
from retrain.errors import UsageError
from retrain.settings import Settings

if TYPE_CHECKING:
    from retrain.service.client import Service
    from retrain.warehouse import Warehouse

__all__ = ["clock", "resolve", "service", "warehouse"]


def resolve(settings: Settings, *, start: bool = True) -> Settings:
    """Return the settings with what only the running environment knows: model, service and world of the sandbox."""
    return settings if settings.sandbox is None else sandbox.fill(settings, start=start)


def clock(settings: Settings) -> Clock:
    """Return the environment's clock: the machine's, or the sandbox's own."""
    return EnvironmentClock() if settings.sandbox is None else EnvironmentClock(sandbox.now_of(settings))


def service(settings: Settings, *, redact: Callable[[str], str] | None = None) -> Service:
    """Return the client of the mlmonitoring service; ``redact`` takes secrets out of what it keeps of an answer."""
    from retrain.service.client import Service

    if not settings.service.base_url:
        raise UsageError("service.base_url is not set: name the mlmonitoring service, for example https://host:8443")
    block = settings.service
    return Service(
        base_url=str(block.base_url),
        timeout_seconds=block.timeout_seconds,
        paths=block.paths.model_dump(),
        predict_rows_field=block.predict_rows_field,
        predict_slot_field=block.predict_slot_field,
        token=_token(block.token_environment_variable),
        clock=clock(settings),
        redact=redact,
    )


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable)
    if not token:
        raise UsageError(f"service.token_environment_variable names {variable}, and {variable} is not set or empty")
    return token


def warehouse(settings: Settings, *, run_id: str = "") -> Warehouse:
    """Return the warehouse adapter; it connects when it is first asked.

    The connector is imported here: that is no time of the warehouse's, and no query waits for it.
    """
    from retrain.warehouse import Warehouse, driver  # noqa: F401

    block = settings.warehouse
    return Warehouse(
        connect_arguments(settings),
        database=block.database,
        schema=block.schema_,
        tables=block.tables.model_dump(),
        columns=block.columns.model_dump(),
        features=block.features,
        clock=clock(settings),
        run_id=run_id,
        statement_timeout_seconds=block.statement_timeout_seconds,
        network_timeout_seconds=block.network_timeout_seconds,
    )


def connect_arguments(settings: Settings) -> Mapping[str, Any]:
    """Return what the connector needs to log in; a password is never among the settings."""
    block = settings.warehouse
    if settings.sandbox is not None and block.connection_name is None:
        return sandbox.connect_arguments(settings)
    return {} if block.connection_name is None else {"connection_name": block.connection_name}
