"""Which values are secrets here, and whether a run's folder holds one.

They are resolved where they are used, in the runner and again in each kernel: from the environment, from the
connector's ``connections.toml``, from the sandbox. Nothing is kept beyond the ``Secrets`` that ``gather`` returns.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from retrain import sandbox
from retrain.errors import RetrainError, UsageError
from retrain.ledger.entries import Entry, entry_file
from retrain.redaction import Secrets, weakness
from retrain.settings import Settings

__all__ = ["Finding", "Secrets", "addresses", "gather", "scan", "scan_entries"]

_SECRET_NAME = re.compile(
    r"(^|_)(?<!_IN_)(PASS(WORD|WD|PHRASE|CODE)?|PWD|SECRETS?|TOKEN|PAT|SAS|CREDENTIALS?|API_?KEY|(PRIVATE|SECRET|ACCOUNT|"
    r"ACCESS|STORAGE|SAS)_?KEY(_BASE64|_RAW)?|CONNECTION_STRING|AUTHORIZATION)$|^(SNOWFLAKE|AWS|AZURE|GOOGLE)_.*KEY$",
    re.IGNORECASE,
)
_SECRET_FILE = re.compile(
    r"((KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)(_?(FILE_)?(FILE|PATH))?|_SERVICE_ACCOUNT(_PATH)?)$", re.I
)
_FOLDER_VARIABLES = {"PWD", "OLDPWD"}
_CREDENTIALS_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S*@", re.IGNORECASE)
_CONNECTION_STRING_KEY = re.compile(r"(?:AccountKey|SharedAccessSignature|SharedAccessKey|Password)=([^;]+)", re.I)
_LARGEST_FILE = 64 * 1024
_TELLING = 8
"""Characters from which a part of a secret address is taken for a secret of its own."""

Named = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Finding:
    """A file that still holds secrets: its path below the run's folder, or an entry's; and their names, sorted."""

    file: str
    secrets: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"a secret was found in {self.file}: {', '.join(self.secrets)}"


def gather(settings: Settings, *, environment: Mapping[str, str] | None = None) -> Secrets:
    """Return every secret that a run with these settings can meet.

    ``settings`` are resolved already: where they name the sandbox, it is up (SandboxDown otherwise). ``environment`` is
    the process's own by default. A value that cannot be told from ordinary text is named in ``Secrets.weak``. Raises
    UsageError for a ``connections.toml`` that does not read: what is in it could not be kept out of the record.
    """
    variables = os.environ if environment is None else environment
    secrets = Secrets()
    for name, value in (*_of_environment(settings, variables), *_of_warehouse(settings, variables)):
        why = weakness(value)
        if why:
            secrets.weak.setdefault(name, why)
        else:
            secrets.register(value, name)
    return secrets


def scan(folder: Path, secrets: Secrets) -> list[Finding]:
    """Return the files below ``folder`` that hold a secret in their bytes or in their name, in order.

    A link is judged by its name and target and not followed. Raises RetrainError for a file that cannot be read: what
    could not be looked at is not clean.
    """
    findings = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        try:
            found = {found for text in (os.fsencode(name), *_texts(_content(path))) for found in secrets.found_in(text)}
        except OSError as error:
            told = f"{folder / secrets.redact(name)}: it cannot be searched for secrets: {error.strerror}"
            raise RetrainError(told) from error
        if found:
            findings.append(Finding(secrets.redact(name), tuple(sorted(found))))
    return findings


def scan_entries(entries: Iterable[Entry], secrets: Secrets) -> list[Finding]:
    """Return the entries of a run whose body holds a secret, in order: they lie beside its folder, not in it."""
    bodies = ((entry.number, json.dumps(entry.body, ensure_ascii=False).encode()) for entry in entries)
    found = ((number, secrets.found_in(body)) for number, body in bodies)
    return [Finding(entry_file(number), tuple(names)) for number, names in found if names]


def addresses(value: str) -> list[str]:
    """Return the addresses of notifications in a variable's value, with white space or commas between them."""
    return [each for each in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+", value) if each]


def _texts(content: bytes) -> Iterator[bytes]:
    """Yield a file's bytes and, of a signed envelope, what is in it: base64 hides how a secret is escaped there."""
    yield content
    if b'"payload"' in content:
        with suppress(ValueError, KeyError, TypeError):
            yield base64.b64decode(json.loads(content)["payload"], validate=True)


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return path.read_bytes() if path.is_file() else b""


def _of_environment(settings: Settings, variables: Mapping[str, str]) -> Named:
    notifications = settings.notifications
    told = notifications.urls_environment_variable if notifications is not None else None
    for name, value in variables.items():
        if not value or name in _FOLDER_VARIABLES:
            continue
        if name == told:
            for address in addresses(value):
                yield from _of_address(name, address)
        elif name == settings.service.token_environment_variable:
            yield name, value
        else:
            yield from _of_variable(name, value)


def _of_variable(name: str, value: str) -> Named:
    if _CREDENTIALS_IN_URL.match(value):
        yield from _password_of(name, value)
    if _SECRET_FILE.search(name) and (content := _small_file(value)) is not None:
        yield from _of_content(name, content)
    elif _SECRET_NAME.search(name):
        yield from _of_content(name, value)


def _of_content(name: str, content: str) -> Named:
    """Yield a secret as it is, or what is secret in a JSON object of credentials or in a connection string."""
    parts = [found.group(1) for found in _CONNECTION_STRING_KEY.finditer(content)]
    block = _json_object(content)
    if block is not None:
        yield from _of_block(name, block)
        return
    yield name, content
    yield from ((name, part) for part in parts)


def _of_block(name: str, block: Mapping[str, Any]) -> Named:
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield from _of_block(f"{name}.{key}", value)
        elif isinstance(value, str) and value:
            if _SECRET_FILE.search(key) and (content := _small_file(value)) is not None:
                yield f"{name}.{key}", content
            elif _SECRET_NAME.search(key):
                yield f"{name}.{key}", value


def _of_address(name: str, address: str) -> Named:
    """Yield an address of a notification, and its parts that open it: for some services those are path or host."""
    yield name, address
    _, _, rest = address.partition("://")
    if weakness(rest) is None:
        yield name, rest
    yield from _password_of(name, address)
    parts = urlsplit(address)
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    yield from ((name, piece) for piece in pieces if len(piece) >= _TELLING)


def _password_of(name: str, address: str) -> Named:
    user_info, at, _ = address.partition("://")[2].partition("/")[0].rpartition("@")
    _, colon, password = user_info.partition(":")
    if at and colon and password:
        yield name, unquote(password)


def _of_warehouse(settings: Settings, variables: Mapping[str, str]) -> Named:
    chosen = settings.warehouse.connection_name
    if settings.sandbox is not None and chosen is None:
        yield "sandbox_warehouse_password", str(sandbox.connect_arguments(settings).get("password") or "")
        return
    from retrain.warehouse.places import connector_folder

    folder = connector_folder(variables)
    config = _toml(folder / "config.toml")
    told = variables.get("SNOWFLAKE_CONNECTIONS")
    known = (
        _parsed(told, "SNOWFLAKE_CONNECTIONS")
        if told
        else _toml(folder / "connections.toml") or config.get("connections", {})
    )
    default = variables.get("SNOWFLAKE_DEFAULT_CONNECTION_NAME") or config.get("default_connection_name") or "default"
    block = known.get(chosen or default)
    if isinstance(block, Mapping):
        yield from _of_block(f"connections.{chosen or default}", block)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read, so its secrets could not be kept out of the record") from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its text may quote the file
        place = re.search(r"\(at .*\)$", str(error))
        told = f" {place.group()}" if place else ""
        raise UsageError(f"{where} is no TOML{told}, so its secrets could not be kept out of the record") from None


def _small_file(value: str) -> str | None:
    """Return the text of the file that ``value`` names, or None where it names none."""
    if "\n" in value or len(value) > 4096:
        return None
    path = Path(value).expanduser()
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return None
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return None


def _json_object(content: str) -> dict[str, Any] | None:
    if not content.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
