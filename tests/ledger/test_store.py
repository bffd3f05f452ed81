"""A store writes only if absent, whole or not at all, and durably; a folder and a bucket behave alike."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest

from retrain.errors import UsageError
from retrain.ledger import FolderStore, Missing, Store, StoreError, open_store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "records")
    return open_store(f"{request.getfixturevalue('s3')}/{tmp_path.name}")


def test_a_file_is_created_once(store: Store) -> None:
    """The second writer of a name is told so, and the first one's bytes stay."""
    assert store.create("a/b.json", b"one")
    assert not store.create("a/b.json", b"two")
    assert store.read("a/b.json") == b"one"


def test_of_many_that_create_the_same_name_one_wins(store: Store) -> None:
    """Eight writers race for each of five names: one wins each, and its bytes are there."""
    with ThreadPoolExecutor(8) as pool:
        for name in ("a", "b", "c", "d", "e"):
            won = list(pool.map(lambda each, name=name: store.create(name, str(each).encode()), range(8)))
            if store.remote:  # moto asks, then writes, without a lock; S3 itself lets one win
                assert any(won)
            else:
                assert sum(won) == 1
                assert store.read(name) == str(won.index(True)).encode()


def test_a_file_is_replaced_whole(store: Store) -> None:
    """Replacing needs no file before it."""
    store.replace("x.json", b"one")
    store.replace("x.json", b"two")
    assert store.read("x.json") == b"two"


def test_what_is_not_there_is_missing(store: Store) -> None:
    """Absent is an answer, and told apart from no answer."""
    assert not store.exists("a")
    with pytest.raises(Missing, match="cannot read a"):
        store.read("a")
    assert store.names() == []
    assert store.folders() == []


def test_names_and_folders_are_listed_in_order(store: Store) -> None:
    """All files below, however deep, relative to the store; folders right inside, the aside one not among them."""
    model = store.within("delays")
    for name in ("runs/b/x", "runs/a/y", "entries/1"):
        model.create(name, b"")
    assert model.exists("runs/b/x")
    assert model.names() == ["entries/1", "runs/a/y", "runs/b/x"]
    assert model.names("runs/a/") == ["runs/a/y"]
    assert store.folders() == ["delays"]
    assert model.place.endswith("/delays")


def test_a_lost_answer_is_not_a_lost_race(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the client sends a write again whose answer was lost, finding its own bytes means that it won."""
    store = open_store(f"{s3}/lost")
    assert store.create("a", b"mine")
    assert store.create("a", b"mine")
    assert not store.create("a", b"another's")


def test_a_bucket_that_does_not_answer_is_an_error(s3: str) -> None:
    """No such bucket: neither absent nor created."""
    store = open_store("s3://elsewhere/x")
    for act in (lambda: store.create("a", b""), lambda: store.replace("a", b"")):
        with pytest.raises(StoreError, match="cannot write a in s3://elsewhere"):
            act()


@pytest.mark.parametrize("url", ["https://example.com/x", "ftp://x"])
def test_other_addresses_are_refused(url: str) -> None:
    """What is neither a folder nor one of three clouds is a mistake in the settings."""
    with pytest.raises(UsageError, match="records cannot live at"):
        open_store(url)


def test_an_address_without_a_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What obstore says of an address is told as a mistake in the settings."""
    with pytest.raises(UsageError, match="records cannot live at"):
        open_store("az://")


def test_folders_have_two_ways_to_be_named(tmp_path: Path) -> None:
    """A path and a file address are the same place; other clouds are buckets."""
    for url in (str(tmp_path), tmp_path, tmp_path.as_uri()):
        store = open_store(url)
        assert isinstance(store, FolderStore)
        assert store.place == str(tmp_path)


def test_a_link_is_named_and_not_followed(tmp_path: Path) -> None:
    """A link to a folder is one name, so that nothing outside is taken for a part of the record."""
    (tmp_path / "store").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("x")
    (tmp_path / "store" / "link").symlink_to(tmp_path / "outside")
    store = FolderStore(tmp_path / "store")
    assert store.names() == ["link"]
    with pytest.raises(StoreError, match="cannot read link"):
        store.read("link")


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be made durable is not there under its final name."""
    store = FolderStore(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        store.create("a/b", b"x")
    assert not store.exists("a/b")


def test_every_new_file_and_folder_is_synced_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are on the disk before they get their name; the name and each new folder before ``create`` returns."""
    store = FolderStore(tmp_path / "records").within("delays")
    synced: list[tuple[str, bool]] = []
    true_sync = os.fsync

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.relative_to(tmp_path).as_posix(), store.exists("entries/1")))
        true_sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    store.create("entries/1", b"x")
    assert synced[0][0].startswith("records/.staging/")
    assert not synced[0][1]
    assert synced[1:] == [("records/delays/entries", True), ("records/delays", True), ("records", True)]


def test_obstore_still_cannot_be_told_to_sync(tmp_path: Path) -> None:
    """The day it can, this fails: writing aside and syncing here are then no longer needed."""
    with pytest.raises(TypeError, match="fsync"):
        obstore.store.LocalStore(tmp_path, fsync=True)  # type: ignore[call-arg]


KILLS = 200
KILLER = """
import os, pathlib, signal, sys, time
from retrain.ledger import FolderStore

def write(turn, ready):
    store = FolderStore(pathlib.Path(sys.argv[1]))
    for number in range(1_000_000):
        data = (b"%06d" % number) * 20_000 + b"end"
        store.create(f"entries/{turn}-{number:06d}", data)
        store.replace("replaced", data)
        if not number:
            os.write(ready, b"!")

for turn in range(int(sys.argv[2])):
    told, ready = os.pipe()
    child = os.fork()  # nothing but imports has happened: no thread runs yet
    if not child:
        write(turn, ready)
    os.close(ready)
    assert os.read(told, 1) == b"!"  # from here on it does nothing but write
    time.sleep(0.0007 * (turn % 41))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told)
"""


def test_no_kill_leaves_a_torn_file_under_a_final_name(tmp_path: Path) -> None:
    """A writer killed at any instant, 200 times, leaves only whole files; what was torn has no final name."""
    subprocess.run([sys.executable, "-c", KILLER, str(tmp_path), str(KILLS)], check=True, timeout=300)
    files = list((tmp_path / "entries").iterdir())
    assert len({path.name.split("-")[0] for path in files}) == KILLS  # each was killed in the middle of writing
    for path in [*files, tmp_path / "replaced"]:
        data = path.read_bytes()
        assert len(data) == 120_003, path
        assert data == data[:6] * 20_000 + b"end", path


def test_a_folder_that_cannot_be_looked_into_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither there nor absent, and one clear line like any other failure of the store."""

    def refused(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(StoreError, match="cannot ask for a in"):
        FolderStore(tmp_path).exists("a")
