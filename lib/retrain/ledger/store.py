"""Where a record lives: a local folder, or a bucket on S3, GCS or Azure, through obstore.

Names are relative, with ``/``. ``create`` writes only if absent, whole or not at all, and is durable when it returns.

obstore's own local ``put`` links a finished file into place but never syncs it: a power cut could leave an empty file
under a final name. So a folder writes aside, syncs, links (obstore's copy without overwriting, a hard link), and
syncs the folder. What a killed process leaves aside lies in ``.staging`` of the store's root, outside any record.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from retrain.errors import UsageError
from retrain.ledger.problems import Missing, StoreError

__all__ = ["BucketStore", "FolderStore", "Store", "folder_of", "open_store"]

_REMOTE = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
_STAGING = ".staging"


class Store(Protocol):
    """A folder of files, local or remote."""

    @property
    def remote(self) -> bool:
        """Whether each question costs a request over the network."""

    @property
    def place(self) -> str:
        """The folder or address, for messages."""

    def within(self, folder: str) -> Store:
        """Return the store of a folder inside this one."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a new file, durably; return False, and write nothing, where there is one already."""

    def replace(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of the one there may be, durably."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes; Missing where there is none."""

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is fine."""

    def names(self, under: str = "") -> list[str]:
        """Return the names of all files below the folder ``under``, in order."""

    def folders(self) -> list[str]:
        """Return the names of the folders right inside, in order."""


def open_store(url: str | Path) -> Store:
    """Return the store at a folder's path, ``file://…``, ``s3://bucket/prefix``, ``gs://…`` or ``az://…``.

    Credentials, region and endpoint come from the environment as each cloud's own tools read them.
    """
    scheme = urlsplit(str(url)).scheme
    if scheme in _REMOTE:
        return BucketStore(_bucket(str(url)), str(url).rstrip("/"))
    if scheme == "file":
        return FolderStore(folder_of(str(url)))
    if "://" in str(url):
        raise UsageError(f"records cannot live at {url!r}: a folder, or one of s3://, gs://, az://")
    return FolderStore(Path(url))


def _bucket(url: str) -> obstore.store.ObjectStore:
    allowed = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")  # a local stand-in
    patience = timedelta(seconds=30)
    try:
        return from_url(
            url,
            client_options={"timeout": patience, "connect_timeout": timedelta(seconds=5), "allow_http": allowed},
            retry_config={"max_retries": 4, "retry_timeout": patience},
        )
    except (BaseError, ValueError) as error:
        raise UsageError(f"records cannot live at {url!r}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _telling(what: str, place: str) -> Iterator[None]:
    """Turn what obstore and the file system raise into one clear line."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreError(f"cannot {what} in {place}: {_first_line(error)}") from error


@contextmanager
def _seeking(what: str, place: str) -> Iterator[None]:
    """Tell absent from no answer."""
    try:
        with _telling(what, place):
            yield
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise Missing(f"cannot {what}: there is none in {place}") from error
        raise


def folder_of(url: str) -> Path:
    """Return the folder that a ``file:`` address names."""
    from urllib.request import url2pathname  # takes a client of HTTP along: not for a list of runs

    return Path(url2pathname(urlsplit(url).path))


class FolderStore:
    """A folder on this machine."""

    remote = False

    def __init__(self, folder: Path, *, root: Path | None = None) -> None:
        """Take the folder, and the root of the store that it is part of (itself, if none)."""
        self._folder = folder.absolute()
        self._root = (root or folder).absolute()
        self._local: LocalStore | None = None

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    def within(self, folder: str) -> FolderStore:
        """Return the store of a folder inside this one."""
        return FolderStore(self._folder / folder, root=self._root)

    def create(self, name: str, data: bytes) -> bool:
        """Write a new file, durably; return False, and write nothing, where there is one already."""
        with _telling(f"write {name}", self.place):
            final = self._folder / name
            aside = self._aside(data)
            try:
                obstore.copy(self._obstore(), aside, self._relative(final), overwrite=False)
            except AlreadyExistsError:
                return False
            finally:
                obstore.delete(self._obstore(), aside)
            self._sync_folders(final.parent)
            return True

    def replace(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of the one there may be, durably."""
        with _telling(f"write {name}", self.place):
            final = self._folder / name
            obstore.rename(self._obstore(), self._aside(data), self._relative(final), overwrite=True)
            self._sync_folders(final.parent)

    def read(self, name: str) -> bytes:
        """Return a file's bytes; Missing where there is none."""
        with _seeking(f"read {name}", self.place):
            return (self._folder / name).read_bytes()

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        with _telling(f"ask for {name}", self.place):
            return (self._folder / name).exists()

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is fine."""
        with _telling(f"remove {name}", self.place):
            (self._folder / name).unlink(missing_ok=True)

    def names(self, under: str = "") -> list[str]:
        """Return the names of all files (and links) below the folder ``under``, in order."""
        with _telling(f"list {under}", self.place):
            return sorted(_walk(str(self._folder / under), under))

    def folders(self) -> list[str]:
        """Return the names of the folders right inside, in order."""
        with _telling("list", self.place):
            inside = self._folder.iterdir() if self._folder.is_dir() else ()
            return sorted(each.name for each in inside if each.is_dir() and each.name != _STAGING)

    def _obstore(self) -> LocalStore:
        if self._local is None:  # made at the first write: reading a record makes no folder
            self._local = LocalStore(self._root, mkdir=True)
        return self._local

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _aside(self, data: bytes) -> str:
        aside = f"{_STAGING}/{uuid.uuid4().hex}"
        obstore.put(self._obstore(), aside, data, use_multipart=False)
        _sync(self._root / aside)
        return aside

    def _sync_folders(self, folder: Path) -> None:
        """Sync ``folder`` and each one above it up to the root: they may be new as well."""
        while True:
            _sync(folder)
            if folder == self._root:
                return
            folder = folder.parent


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(folder: str, prefix: str) -> Iterator[str]:
    """Yield every file below ``folder``. Links are named, never followed."""
    if not os.path.isdir(folder):  # noqa: PTH112 (scandir below works with plain strings: 20,000 files a second more)
        return
    with os.scandir(folder) as inside:
        for each in inside:
            if each.is_dir(follow_symlinks=False):
                yield from _walk(each.path, f"{prefix}{each.name}/")
            else:
                yield f"{prefix}{each.name}"


class BucketStore:
    """A prefix of a bucket. Writing only if absent is the service's own conditional put (``If-None-Match: *``)."""

    remote = True

    def __init__(self, bucket: obstore.store.ObjectStore, place: str, *, prefix: str = "") -> None:
        """Take an obstore store, its address for messages, and a prefix that ends with ``/`` or is empty."""
        self._bucket = bucket
        self._prefix = prefix
        self.place = place

    def within(self, folder: str) -> BucketStore:
        """Return the store of a folder inside this one."""
        return BucketStore(self._bucket, f"{self.place}/{folder}", prefix=f"{self._prefix}{folder}/")

    def create(self, name: str, data: bytes) -> bool:
        """Write a new object; return False where there is one already with other bytes.

        The same bytes are this very write, whose answer was lost and which the client sent again.
        """
        with _telling(f"write {name}", self.place):
            try:
                obstore.put(self._bucket, self._prefix + name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return self.read(name) == data
            return True

    def replace(self, name: str, data: bytes) -> None:
        """Write an object in place of the one there may be."""
        with _telling(f"write {name}", self.place):
            obstore.put(self._bucket, self._prefix + name, data, use_multipart=False)

    def read(self, name: str) -> bytes:
        """Return an object's bytes; Missing where there is none."""
        with _seeking(f"read {name}", self.place):
            return bytes(obstore.get(self._bucket, self._prefix + name).bytes())

    def exists(self, name: str) -> bool:
        """Return whether there is such an object."""
        try:
            with _seeking(f"ask for {name}", self.place):
                obstore.head(self._bucket, self._prefix + name)
        except Missing:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove an object; one that is gone already is fine."""
        with _telling(f"remove {name}", self.place), suppress(FileNotFoundError):
            obstore.delete(self._bucket, self._prefix + name)

    def names(self, under: str = "") -> list[str]:
        """Return the names of all objects below ``under``, in order."""
        with _telling(f"list {under}", self.place):
            found = obstore.list(self._bucket, prefix=self._prefix + under)
            return sorted(str(each["path"]).removeprefix(self._prefix) for chunk in found for each in chunk)

    def folders(self) -> list[str]:
        """Return the names of the folders right inside, in order."""
        with _telling("list", self.place):
            found = obstore.list_with_delimiter(self._bucket, prefix=self._prefix)["common_prefixes"]
            return sorted(str(each).removeprefix(self._prefix).rstrip("/") for each in found)
