"""The same record in a bucket, over a real S3 API: conditional puts in place of hard links."""

from pathlib import Path

import pytest

from retrain.ledger import Busy, Chain, StoreHead, TakenOver, join_run, open_run, open_store, verify

from .small import MODEL, PINNED, RUNNER, Clock


def chain(url: str, *, signed: bool = True) -> Chain:
    return Chain(open_store(url), MODEL, signer=RUNNER if signed else None, now=Clock())


@pytest.fixture
def url(s3: str, tmp_path: Path) -> str:
    return f"{s3}/{tmp_path.name}"


def test_a_whole_run_in_a_bucket(url: str) -> None:
    """Opened, written to by a kernel, closed with its files sealed, the head in another object, all verified there."""
    run, _ = open_run(chain(url), "run-1", by="ann", body={})
    with pytest.raises(Busy):
        open_run(chain(url), "run-2", by="bob", body={})
    kernel = join_run(chain(url, signed=False), "run-1", held_by=run.held_by)
    assert [kernel.append("verdict", {}), run.append("note", {}), kernel.append("verdict", {})] == [2, 3, 4]
    run.chain.store.create("runs/run-1/a.ipynb", b"cells")
    sink = StoreHead(f"{url}-heads", MODEL)
    sink.push(run.close("deployed", {}))
    with pytest.raises(TakenOver):
        kernel.append("verdict", {})
    record = open_store(url).within(MODEL)
    assert verify(record, pinned=PINNED, head=sink.read()).status == "verified"
    record.replace("runs/run-1/a.ipynb", b"other")
    report = verify(record, pinned=PINNED, head=sink.read())
    assert [finding.file for finding in report.findings] == ["runs/run-1/a.ipynb"]
