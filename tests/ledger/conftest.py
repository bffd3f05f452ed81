import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from .small import Clock, Record


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "records", Clock())


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make every holder of this machine look dead from now on."""

    def die() -> None:
        monkeypatch.setattr("retrain.ledger.holders.lives", lambda _: False)

    return die


@pytest.fixture(scope="module")  # not longer: what it sets in the environment is no secret of other tests
def s3() -> Iterator[str]:
    """A real S3 API over HTTP on loopback, with an empty bucket ``records``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{port}"
    access = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in access.items() | {("AWS_ENDPOINT_URL", address)}:
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket="records")
        yield "s3://records"
        server.stop()
