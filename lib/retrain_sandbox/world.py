"""The world a run meets: which model, in which scenario, and where warehouse, service and clock are.

``world.json`` = {"model", "world_id", "scenario"}; addresses come from ``state.json``, for ports may change.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrain_sandbox import state
from retrain_sandbox.errors import SandboxDown

__all__ = ["DATABASE", "SCHEMA", "World", "name_world", "named", "read"]

DATABASE = "RETRAIN"
SCHEMA = "PUBLIC"


@dataclass(frozen=True)
class World:
    """A sandbox that is up. Nothing here is true after its next ``scenario``, ``down`` or ``reset``."""

    model: str  # as in MODEL_METRICS.model and GET /health
    world_id: str  # new with every scenario applied
    scenario: str  # "" before the first
    service_url: str  # http://127.0.0.1:PORT; "" when no service was started
    warehouse: dict[str, Any] = field(repr=False)  # keyword arguments for snowflake.connector.connect; holds a password
    clock_file: Path

    @property
    def home(self) -> Path:
        """The directory of this sandbox."""
        return self.clock_file.parent


def name_world(home: Path, *, model: str, scenario: str) -> str:
    """Write ``world.json`` with a new world_id, and return that: the last step of applying a scenario."""
    world_id = secrets.token_hex(6)
    state.write_json(state.world_file(home), {"model": model, "world_id": world_id, "scenario": scenario})
    return world_id


def named(home: Path) -> dict[str, str]:
    """Return {"model", "world_id", "scenario"}; all empty strings before the first scenario."""
    try:
        raw = json.loads(state.world_file(home).read_text())
    except FileNotFoundError:
        raw = {}
    return {name: str(raw.get(name, "")) for name in ("model", "world_id", "scenario")}


def read(home: Path) -> World:
    """Return the world of the sandbox in ``home``; SandboxDown when it was never up or is going up or down."""
    current = state.read(home)
    if current is None or current.warehouse is None:
        raise SandboxDown(f"The sandbox in {home} is not up: run `retrain sandbox up`.")
    return World(
        **named(home),
        service_url=f"http://{state.HOST}:{current.service.port}" if current.service else "",
        warehouse=connection(current, current.warehouse.port),
        clock_file=state.clock_file(home),
    )


def connection(current: state.State, port: int) -> dict[str, Any]:
    """Return the keyword arguments for ``snowflake.connector.connect`` to the warehouse on ``port``."""
    return {
        "account": "sandbox",
        "user": current.user,
        "password": current.password,
        "host": state.HOST,
        "port": port,
        "protocol": "http",
        "database": DATABASE,
        "schema": SCHEMA,
    }
