"""A sandbox for the session: its warehouse alone, over a real wire. Models and data are built once (the cache)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector
from snowflake.connector import SnowflakeConnection

from retrain_sandbox import lifecycle, world


@pytest.fixture(scope="session")
def sandbox_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache every sandbox of this session shares: $RETRAIN_SANDBOX_CACHE, or one of the session's own."""
    named = os.environ.get("RETRAIN_SANDBOX_CACHE") or str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRAIN_SANDBOX_CACHE", named)
        yield Path(named)


@pytest.fixture(scope="session")
def sandbox_home(tmp_path_factory: pytest.TempPathFactory, sandbox_cache: Path) -> Iterator[Path]:
    """A home whose warehouse runs; no service, no scenario. Leave the tables as you found them."""
    home = tmp_path_factory.mktemp("sandbox")
    lifecycle.up(home, only=("warehouse",))
    yield home
    lifecycle.down(home)


@pytest.fixture
def connect(sandbox_home: Path) -> Iterator[Callable[..., SnowflakeConnection]]:
    """Connect to the session's warehouse; keyword arguments win over the world's."""
    opened: list[SnowflakeConnection] = []

    def connect_to(**changed: Any) -> SnowflakeConnection:
        opened.append(snowflake.connector.connect(**world.read(sandbox_home).warehouse | changed))
        return opened[-1]

    yield connect_to
    for connection in opened:
        connection.close()
