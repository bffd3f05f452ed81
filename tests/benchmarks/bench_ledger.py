"""What the record costs: ``python tests/benchmarks/bench_ledger.py [--quick] [--runs N]``.

Finding the head, opening a run, opening one as ``retrain run`` does (with its head outside, its provenance and the look
back for an unresolved swap) and one append at 10 and at 100,000 entries, taken in turns, A B A B …; in a folder, and on
an S3 API on loopback. Of the entries only the newest run's are real: what is read beyond would not be an entry, and on
S3 not be there. Then the verification of N runs of twelve entries and ten files, which is linear, so a quarter of them
is timed as well.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from sides import Report, Row, parser, print_report

from retrain.ledger import (
    Chain,
    FolderStore,
    Head,
    PinnedKey,
    Store,
    encode,
    entry_file,
    load_signer,
    make_key,
    open_run,
    open_store,
    pin,
    public_pem,
    save_pinned,
    sha256,
    verify,
)
from retrain.ledger.chain import HINT
from retrain.ledger.entries import GENESIS
from retrain.record import supervision
from retrain.record.history import LOOKED_BACK
from retrain.settings import Settings, load

MODEL = "delays"
_SUPERVISED = "open a run as `retrain run` does"
AT = datetime(2026, 11, 23, tzinfo=UTC)
VERDICT = {
    "section": "evaluation_gate",
    "outcome": "passed",
    "checks": [
        {
            "name": f"check {n}",
            "requirement": "F1 ≥ 0.874",
            "observed": 0.881 + n / 1000,
            "status": "PASS",
            "reason": "x" * 40,
        }
        for n in range(5)
    ],
}


def keys() -> tuple[CryptoSigner, dict[str, PinnedKey]]:
    """Return a runner's key, and it pinned."""
    private = Ed25519PrivateKey.generate()
    key = pin(public_pem(CryptoSigner(private)), role="runner", name="runner")
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key(), keyid=key.keyid)), {key.keyid: key}


SIGNER, PINNED = keys()


def entry(number: int, previous: str, kind: str, run: str, body: Mapping[str, Any]) -> bytes:
    """Return the bytes of an entry."""
    fields: dict[str, Any] = {"model": MODEL, "at": AT, "writer": "bench", "signer": SIGNER}
    return encode(number=number, previous=previous, kind=kind, run=run, body=body, **fields)


def newest_run(store: Store, entries: int) -> None:
    """Write the last two entries of a chain, a run that opened and closed, and the hint beside them."""
    opened = entry(entries - 1, GENESIS, "opened", "run-0", {"by": "ann", LOOKED_BACK: entries - 2})
    closed = entry(entries, sha256(opened), "closed", "run-0", {"files": {}, "opened": entries - 1})
    store.create(entry_file(entries - 1), opened)
    store.create(entry_file(entries), closed)
    if store.remote:
        store.replace(HINT, bytes(Head(entries, sha256(closed))))


def long_chain(root: Path, entries: int) -> Store:
    """Return a store whose chain has that many files; all but the newest two are links to a few (they are not read)."""
    folder = root / MODEL / "entries"
    folder.mkdir(parents=True)
    for number in range(1, entries - 1):
        source = root / f"filling-{number // 50_000}"
        if not source.exists():
            source.write_bytes(b"{}")
        os.link(source, root / MODEL / entry_file(number))
    store = FolderStore(root)
    newest_run(store.within(MODEL), entries)
    return store


def settings_of(url: str, folder: Path) -> Settings:
    """Return the settings of an environment without a sandbox whose record is at ``url``; keys and head in a folder."""
    key = folder / "runner.pem"
    make_key(key)
    save_pinned(folder / "pinned.json", [pin(public_pem(load_signer(key)), role="runner", name="the runner")])
    values = {
        "model": MODEL,
        "service.base_url": "http://127.0.0.1:9",
        "warehouse.database": "D",
        "warehouse.schema": "S",
        "records.url": url,
        "records.signing_key": str(key),
        "records.pinned_keys": str(folder / "pinned.json"),
        "records.heads": f"[{folder / 'heads'}]",
    }
    return load("production", assignments=[f"{name}={value}" for name, value in values.items()])


def timed(act: Callable[[], object]) -> float:
    """Return milliseconds."""
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def compare_sizes(stores: Mapping[int, Store], rounds: int, *, where: str) -> Iterator[Row]:
    """Yield finding the head, opening a run, both ways, and one append on the longest chain, against the shortest."""
    figures: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = {size: settings_of(store.place, Path(folder, str(size))) for size, store in stores.items()}
        for turn in range(rounds):
            for size, store in stores.items():
                one_round(figures, store, size, f"run-{turn + 1}")
                one_supervised(figures, settings[size], size)
    low, high = min(stores), max(stores)
    for act in ("find the head", "open a run", _SUPERVISED, "append one entry"):
        what, against = f"{act}, {high:,} entries in {where}", f"the same, {low:,} entries"
        yield Row(what, against, figures[act, high], figures[act, low], unit="ms", at_least=0.5)


def one_round(figures: dict[tuple[str, int], list[float]], store: Store, size: int, run: str) -> None:
    """Find the head, open a run, append to it and close it, as a process that just started would."""
    figures.setdefault(("find the head", size), []).append(timed(lambda: Chain(store, MODEL).head()))
    chain = Chain(store, MODEL, signer=SIGNER)
    opened = []
    figures.setdefault(("open a run", size), []).append(
        timed(lambda: opened.append(open_run(chain, run, by="ann", body={})[0]))
    )
    figures.setdefault(("append one entry", size), []).append(timed(lambda: opened[0].append("verdict", VERDICT)))
    opened[0].close("deployed", {}, files={})


def one_supervised(figures: dict[tuple[str, int], list[float]], settings: Settings, size: int) -> None:
    """Open a run with all that goes with it, and close it as one that found nothing to do."""
    opened: list[supervision.Supervised] = []
    took = timed(lambda: opened.append(supervision.open_run(settings, {"reason": "scheduled check"})))
    figures.setdefault((_SUPERVISED, size), []).append(took)
    opened[0].close("no_action")


def in_a_folder(rounds: int) -> list[Row]:
    """Compare two chains on this disk."""
    with tempfile.TemporaryDirectory() as folder:
        stores = {size: long_chain(Path(folder) / str(size), size) for size in (10, 100_000)}
        return list(compare_sizes(stores, rounds, where="a folder"))


def on_s3(rounds: int) -> list[Row]:
    """Compare two chains on moto's S3 API."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_bucket(Bucket="records")
    stores = {size: open_store(f"s3://records/{size}") for size in (10, 100_000)}
    for size, store in stores.items():
        newest_run(store.within(MODEL), size)
    rows = list(compare_sizes(stores, rounds, where="S3"))
    server.stop()
    return rows


def many_runs(root: Path, runs: int) -> Head:
    """Write that many whole runs of twelve entries and ten files, and return the head."""
    (root / "entries").mkdir(parents=True)
    head = Head(0, GENESIS)
    for run in (f"run-{number:05d}" for number in range(runs)):
        folder = root / "runs" / run
        folder.mkdir(parents=True)
        files = {f"{number:02d}.ipynb": (f"{run} {number} " * 1_000).encode() for number in range(10)}
        for name, data in files.items():
            (folder / name).write_bytes(data)
        sealed = {"outcome": "deployed", "files": {name: sha256(data) for name, data in files.items()}}
        for kind in ("opened", *["verdict"] * 10, "closed"):
            body = {"opened": {"by": "ann"}, "verdict": VERDICT, "closed": sealed}[kind]
            data = entry(head.number + 1, head.sha256, kind, run, body)
            (root / entry_file(head.number + 1)).write_bytes(data)
            head = Head(head.number + 1, sha256(data))
    return head


def verification(runs: int) -> Row:
    """Hold the verification of a whole record against that of a quarter of it, taken four times."""
    found: list[list[float]] = []
    for count, times in ((runs, 1), (runs // 4, 4)):
        with tempfile.TemporaryDirectory() as folder:
            head = many_runs(Path(folder), count)
            found.append([timed(partial(verify_whole, Path(folder), head)) * times / 1000 for _ in range(3)])
    what = f"retrain verify, {runs:,} runs of 12 entries and 10 files"
    bars = {"at_least": 0.8, "at_most": 5.0} if runs == 1_000 else {}
    return Row(what, "a quarter of it, four times", *found, **bars)


def verify_whole(folder: Path, head: Head) -> None:
    """Verify a record that has no fault."""
    report = verify(folder, pinned=PINNED, head=head)
    assert report.status == "verified", report.findings


def main() -> None:
    """Run all of it."""
    arguments = parser(__doc__, rounds=25)
    arguments.add_argument("--runs", type=int, default=1_000, help="how many runs to verify")
    arguments.add_argument("--quick", action="store_true", help="few rounds and runs: does it work at all?")
    chosen = arguments.parse_args()
    rounds = 3 if chosen.quick else chosen.rounds
    rows = [*in_a_folder(rounds), *on_s3(rounds), verification(40 if chosen.quick else chosen.runs)]
    print_report(Report("The record", rows), chosen.json)


if __name__ == "__main__":
    main()
