"""Where the Snowflake connector keeps its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["connector_folder"]


def connector_folder(variables: Mapping[str, str]) -> Path:
    """Return where the connector looks: $SNOWFLAKE_HOME or ~/.snowflake if it is there, else the platform's folder."""
    named = Path(variables.get("SNOWFLAKE_HOME", "~/.snowflake/")).expanduser()
    if named.exists():
        return named
    from platformdirs import PlatformDirs

    return PlatformDirs(appname="snowflake", appauthor=False).user_config_path
