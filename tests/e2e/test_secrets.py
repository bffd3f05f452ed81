"""A canary secret that a person pastes, the environment holds and an error repeats is in no byte of the record."""

import base64
import urllib.parse

import pytest

from .conftest import RETRAIN, Sandbox

pytestmark = pytest.mark.e2e

CANARY = 'kanarien/"vogel"+7c4f%21'


def test_a_canary_is_in_no_byte_of_the_record(sandbox: Sandbox) -> None:
    sandbox.scenario("critical_quality")
    records = sandbox.records.parent / "canary"
    told = sandbox.command(
        str(RETRAIN), "run", "--json", "--set", f"records.url={records}",
        "--set", "service.token_environment_variable=MLMONITORING_TOKEN", "--reason", f"as asked with {CANARY}",
        MLMONITORING_TOKEN=CANARY,
    )  # fmt: skip
    assert (told.json["outcome"], told.code) == ("blocked", 10), told.out + told.err
    assert "[redacted" in told.out
    spelled = [
        CANARY,
        urllib.parse.quote(CANARY, safe=""),
        base64.b64encode(CANARY.encode()).decode().rstrip("="),
        CANARY.replace('"', '\\"'),
        CANARY.encode().hex(),
    ]
    files = [path for path in records.rglob("*") if path.is_file()]
    assert len(files) > 10
    found = [(path.name, word) for path in files for word in spelled if word.encode() in path.read_bytes()]
    assert found == []
    assert not [word for word in spelled if word in told.out + told.err]
