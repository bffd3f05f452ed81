"""Kill writers in the middle of what they do, 200 times: no file under a final name may be half of one.

    PYTHONPATH=tests python -m crash.torn_files --kills 200 --seed 1

Each writer writes files of up to a megabyte without a pause, in a process of its own, until it is killed from outside
after some milliseconds. Every file tells its own length and SHA-256, so half of one cannot pass for a whole.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crash.boundaries import die_with_parent
from crash.lives import wait_for
from retrain.engine import writing
from retrain.ledger import (
    FolderStore,
    Head,
    StoreHead,
    load_pinned,
    load_signer,
    make_key,
    pin,
    public_pem,
    save_pinned,
)
from retrain.record.records import write_atomically

__all__ = ["WRITERS", "Kill", "kill_once", "main", "say", "whole"]

_LARGEST = 1_000_000
_LONGEST_SECONDS = 0.03


def say(number: int) -> str:
    """Return the text of file ``number``: JSON that tells its own length and digest."""
    filling = hashlib.sha256(str(number).encode()).hexdigest() * random.Random(number).randrange(_LARGEST // 64)  # noqa: S311
    digest = hashlib.sha256(filling.encode()).hexdigest()
    return json.dumps({"number": number, "length": len(filling), "sha256": digest, "filling": filling})


def whole(data: bytes) -> bool:
    """Tell whether ``data`` is the whole of what ``say`` returned."""
    try:
        told = json.loads(data)
        digest = hashlib.sha256(told["filling"].encode()).hexdigest()
        return bool(told["length"] == len(told["filling"]) and told["sha256"] == digest)
    except (ValueError, KeyError, TypeError):
        return False


def _forever(write: Callable[[int], object]) -> None:
    number = 0
    while True:
        number += 1
        write(number)


def _key(folder: Path, number: int) -> None:
    make_key(folder / f"{number}.pem")


def _pins(folder: Path) -> Callable[[int], None]:
    make_key(folder / "signer.key")
    keys = [pin(public_pem(load_signer(folder / "signer.key")), role="runner", name="the runner")]
    return lambda _: save_pinned(folder / "pinned.keys", keys)


WRITERS: dict[str, Callable[[Path], Callable[[int], object]]] = {
    "records.write_atomically": lambda folder: lambda n: write_atomically(folder / f"{n % 3}.json", say(n)),
    "engine.writing.replace": lambda folder: lambda n: writing.replace(folder / f"{n % 3}.json", say(n)),
    "engine.writing.create": lambda folder: lambda n: writing.create(folder / f"{n}.json", say(n)),
    "ledger create": lambda folder: lambda n: FolderStore(folder).create(f"entries/{n}.json", say(n).encode()),
    "ledger replace": lambda folder: lambda n: FolderStore(folder).replace(f"{n % 3}.json", say(n).encode()),
    "ledger head": lambda folder: lambda n: StoreHead(folder, "delays").push(Head(n, f"{n:064d}")),
    "ledger make_key": lambda folder: lambda n: _key(folder, n),
    "ledger save_pinned": _pins,
}
"""Everything that writes a file under a final name: from a folder to what writes file number n into it."""


@dataclass(frozen=True)
class Kill:
    """What one kill left: files under final names, those that are torn, and whether a write was cut short."""

    writer: str
    files: int
    torn: tuple[str, ...]
    cut_short: bool


def _begin(writer: str, folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        die_with_parent()
        _forever(WRITERS[writer](folder))
    finally:
        os._exit(1)


def kill_once(writer: str, folder: Path, *, after_seconds: float) -> Kill:
    """Start ``writer`` in ``folder``, kill it so long after its first file, and look at what it left."""
    child = _begin(writer, folder)
    deadline = time.monotonic() + 20
    while not any(_finals(folder)) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after_seconds)
    os.kill(child, signal.SIGKILL)
    if (ended := wait_for(child)) != -signal.SIGKILL:
        raise RuntimeError(f"{writer} ended by itself with {ended}")
    finals = list(_finals(folder))
    torn = tuple(path.name for path in finals if not _reads(path))
    return Kill(writer, len(finals), torn, any(_asides(folder)))


def _is_aside(path: Path) -> bool:
    return path.name.startswith(".") or ".staging" in path.parts


def _finals(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_aside(path))


def _asides(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and _is_aside(path))


def _reads(path: Path) -> bool:
    """Read a file as whoever uses it would."""
    try:
        if path.suffix in (".pem", ".key"):
            load_signer(path)
        elif path.suffix == ".keys":
            load_pinned(path)
        elif path.name.endswith(".head.json"):
            StoreHead(path.parents[1], "delays").read()
        else:
            return whole(path.read_bytes())
    except Exception:  # noqa: BLE001 (whatever it is, the file does not read)
        return False
    return True


def run(kills: int, *, seed: int, root: Path) -> list[Kill]:
    """Kill the writers in turn, ``kills`` times in all."""
    draw = random.Random(seed)  # noqa: S311 (when, not a secret)
    done = []
    for number in range(kills):
        folder = root / str(number)
        folder.mkdir()
        writer = list(WRITERS)[number % len(WRITERS)]
        done.append(kill_once(writer, folder, after_seconds=draw.uniform(0, _LONGEST_SECONDS)))
        shutil.rmtree(folder)
    return done


def _summary(done: Sequence[Kill], seconds: float) -> str:
    kills, files = Counter(kill.writer for kill in done), Counter[str]()
    for kill in done:
        files[kill.writer] += kill.files
    cut = Counter(kill.writer for kill in done if kill.cut_short)
    torn = Counter(kill.writer for kill in done for _ in kill.torn)
    rows = [f"| {name} | {kills[name]} | {cut[name]} | {files[name]} | {torn[name]} |" for name in kills]
    return "\n".join(
        [
            "# Torn files",
            "",
            f"{len(done)} kills in {seconds:.0f} s, {sum(cut.values())} of them in the middle of a write:"
            f" {sum(files.values())} files under a final name, **{sum(torn.values())} unparsable**.",
            "",
            "| writer | kills | cut short | files | torn |",
            "|---|---:|---:|---:|---:|",
            *rows,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, print the summary, and return 1 if any file was torn."""
    parser = argparse.ArgumentParser(prog="crash.torn_files", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    gc.freeze()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torn-") as root:
        done = run(options.kills, seed=options.seed, root=Path(root))
    sys.stdout.write(_summary(done, time.monotonic() - began) + "\n")
    return int(any(kill.torn for kill in done))


if __name__ == "__main__":
    sys.exit(main())
