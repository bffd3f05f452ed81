"""The blocks of a parameter file that say where the outside is: sandbox, warehouse, service, records, notifications."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field

from retrain.checks import Model

__all__ = [
    "Columns", "Name", "Notebooks", "Notifications", "Paths", "Records", "Sandbox", "Service", "Tables", "Warehouse",
]  # fmt: skip

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_$]{0,254}"
_TABLE = rf"({_IDENTIFIER}\.){{0,2}}{_IDENTIFIER}"
_PATH = r"(/[A-Za-z0-9_~.-]+)+"
_FIELD = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_VARIABLE = r"[A-Z_][A-Z0-9_]{0,99}"
_STORES = ("file", "s3", "gs", "az")


def _fits(pattern: str, wanted: str, *, tell: bool = True) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value) or value.endswith("\n"):
            given = f"is {value[:60]!r}; it " if tell else ""
            raise ValueError(f"{given}must be {wanted}")
        return value

    return AfterValidator(check)


def _like(pattern: str) -> object:
    return Field(json_schema_extra={"pattern": f"^{pattern}$"})


Name = Annotated[
    str,
    _fits(_NAME, "letters, digits, '-', '_' and '.', begin with a letter or digit, and hold at most 80"),
    _like(_NAME),
]
"""A name that is safe as a folder's name everywhere."""

Identifier = Annotated[
    str, _fits(_IDENTIFIER, "an unquoted SQL name: letters, digits, '_' and '$', no digit first"), _like(_IDENTIFIER)
]
Table = Annotated[
    str,
    _fits(_TABLE, "TABLE, SCHEMA.TABLE or DATABASE.SCHEMA.TABLE: letters, digits, '_' and '$', no digit first"),
    _like(_TABLE),
]
FieldName = Annotated[str, _fits(_FIELD, "the name of a JSON field: letters, digits and '_'"), _like(_FIELD)]
Variable = Annotated[
    str,
    _fits(_VARIABLE, "the NAME of an environment variable, in capitals, not the secret itself", tell=False),
    _like(_VARIABLE),
]


def _path(value: str) -> str:
    if not re.fullmatch(_PATH, value) or value.endswith("\n") or {".", ".."} & set(value.split("/")):
        raise ValueError(f"is {value[:60]!r}; it must be a path on the service, like /training/status")
    return value


def _base_url(value: str) -> str:
    wanted = "it must be like https://host:8443"
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError(f"holds a letter that no URL has; {wanted}")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL ({str(error).lower()}); {wanted}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"is not a URL with http or https and a host; {wanted}")
    if "@" in parts.netloc:
        raise ValueError("holds a name or a password; use service.token_environment_variable")
    if "?" in value or "#" in value:
        raise ValueError(f"holds a query or a fragment; {wanted}")
    return value.rstrip("/")


def _store(value: str) -> str:
    scheme, separator, _ = value.partition("://")
    if not value.strip() or not value.isprintable():
        raise ValueError("must be a folder, or a store such as s3://bucket/prefix")
    if separator and scheme not in _STORES:
        raise ValueError(
            f"names a store of kind {scheme[:20]!r}; known are {', '.join(f'{one}://' for one in _STORES)}"
        )
    if separator and any(sign in value for sign in "@?#"):
        raise ValueError("holds a name, a password or a query; the store's own environment variables hold credentials")
    return value


def _head(value: str) -> str:
    if not value.startswith("git+"):
        return _store(value)
    remote, _, branch = value.removeprefix("git+").rpartition("#")
    if not remote or remote.startswith("-") or not branch or not value.isprintable():
        raise ValueError("must be like git+https://host/repository#branch")
    return value


def _distinct(what: str) -> Callable[[Model], Model]:
    def check(block: Model) -> Model:
        seen: dict[str, str] = {}
        for name, value in block.model_dump().items():
            if value is not None and value.upper() in seen:
                raise ValueError(f"names the same {what} for {seen[value.upper()]} and {name}: {value}")
            seen[str(value).upper()] = name
        return block

    return check


class Sandbox(Model):
    """The embedded default. ``world`` is filled in by the sandbox that runs."""

    home: str | None = Field(None, min_length=1, description="its folder; null: $RETRAIN_SANDBOX or .sandbox")
    world: str | None = Field(None, description="the world in force, filled in by the sandbox that runs; leave it null")


class Tables(Model):
    """The four tables, each TABLE, SCHEMA.TABLE or DATABASE.SCHEMA.TABLE."""

    transactions: Table = Field("TRANSACTIONS", description="one row a transaction: features, label, time of ingestion")
    data_quality: Table = Field("DATA_QUALITY", description="one row a data-quality check")
    incidents: Table = Field("INCIDENTS", description="one row an incident")
    model_metrics: Table = Field("MODEL_METRICS", description="one row a promotion or a window of labelled traffic")


class Columns(Model):
    """Columns of the transactions table."""

    ingestion_timestamp: Identifier = Field("ingestion_timestamp", description="when the row arrived, in UTC")
    label: Identifier = Field("label", description="0 or 1, NULL while it is not known")
    transaction_id: Identifier = Field("transaction_id", description="names a row")


def _features(value: tuple[str, ...]) -> tuple[str, ...]:
    folded = [name.upper() for name in value]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} more than once")
    return value


class Warehouse(Model):
    """Where the tables are. Credentials are the connector's own affair and never stand here."""

    model_config = ConfigDict(serialize_by_alias=True)

    connection_name: Annotated[str, _fits(_NAME, "a name in connections.toml"), _like(_NAME)] | None = Field(
        None, description="a name in the connector's connections.toml; null: its environment variables or default"
    )
    database: Identifier = Field("RETRAIN", description="the database that holds the tables")
    schema_: Identifier = Field("PUBLIC", alias="schema", description="the schema that holds the tables")
    tables: Annotated[Tables, AfterValidator(_distinct("table"))] = Field(
        default_factory=Tables, description="the tables' names"
    )
    columns: Annotated[Columns, AfterValidator(_distinct("column"))] = Field(
        default_factory=Columns, description="columns of the transactions table"
    )
    features: Annotated[tuple[Identifier, ...], AfterValidator(_features)] | None = Field(
        None, min_length=1, description="feature columns; null: every other column of the transactions table"
    )
    statement_timeout_seconds: int = Field(300, ge=1, le=86_400, description="the longest a query may take, seconds")
    network_timeout_seconds: int = Field(60, ge=1, le=3600, description="the longest to wait for the network, seconds")


class Paths(Model):
    """The paths of the service's endpoints."""

    trigger: Annotated[str, AfterValidator(_path)] = Field("/training/trigger", description="POST starts a training")
    status: Annotated[str, AfterValidator(_path)] = Field("/training/status", description="GET tells how it goes")
    predict: Annotated[str, AfterValidator(_path)] = Field("/predict/batch", description="POST scores rows")
    reload: Annotated[str, AfterValidator(_path)] = Field("/model/reload", description="POST swaps the slots")
    health: Annotated[str, AfterValidator(_path)] | None = Field(
        "/health", description="GET tells the slots, where the service can; null: it cannot"
    )


class Service(Model):
    """Where the mlmonitoring service is and how to speak to it."""

    base_url: Annotated[str, AfterValidator(_base_url)] | None = Field(
        None, description="the service's address, such as https://host:8443; null only in the sandbox"
    )
    timeout_seconds: float = Field(10, gt=0, le=600, description="the longest to wait for one answer, seconds")
    paths: Annotated[Paths, AfterValidator(_distinct("path"))] = Field(
        default_factory=Paths, description="the paths of its endpoints"
    )
    predict_rows_field: FieldName = Field("instances", description="the field of a prediction request that holds rows")
    predict_slot_field: FieldName | None = Field(
        "slot", description="the field that names a slot; sent only where the service tells its slots; null: never"
    )
    token_environment_variable: Variable | None = Field(
        None, description="the environment variable that holds the bearer token; null: none is sent"
    )


class Records(Model):
    """Where the records of runs are kept."""

    url: Annotated[str, AfterValidator(_store)] = Field(
        "records", min_length=1, description="a folder, or file://, s3://, gs://, az://"
    )
    signing_key: str | None = Field(
        None, min_length=1, description="the file of the private key that signs; null only in the sandbox: made there"
    )
    pinned_keys: str = Field(
        ".retrain/keys/pinned.json", min_length=1, description="the file of the public keys that are trusted"
    )
    heads: tuple[Annotated[str, AfterValidator(_head)], ...] = Field(
        ("warehouse",), description="where the newest entry is kept too: warehouse, a folder, s3://, git+URL#branch"
    )
    heads_table: Table = Field("RETRAIN_HEADS", description="the table of heads in the warehouse, made if absent")


class Notebooks(Model):
    """How the runbook's notebooks are executed."""

    cell_minutes: float = Field(
        60, gt=0, le=1440, description="the longest a cell may take beyond what its section waits for, minutes"
    )


class Notifications(Model):
    """Who is told how a run ended."""

    urls_environment_variable: Variable = Field(description="the environment variable that holds the addresses to tell")
