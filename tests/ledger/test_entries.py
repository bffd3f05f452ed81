"""An entry is one file in one form: what is not exactly that is not an entry."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785

from retrain.errors import UsageError
from retrain.ledger.entries import GENESIS, LARGEST_ENTRY, decode, encode, entry_file, entry_number, safe_name
from retrain.ledger.problems import LedgerError, Malformed

from .small import RUNNER

AT = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)


def made(kind: str = "verdict", **other: Any) -> bytes:
    fields: dict[str, Any] = {"number": 1, "previous": GENESIS, "run": "run-1", "model": "delays", "at": AT}
    return encode(kind=kind, **fields | {"writer": "w", "body": {"a": 1}, "signer": RUNNER} | other)


def changed(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The entry with its statement changed and everything written canonically again."""
    envelope = json.loads(data)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    envelope["payload"] = base64.b64encode(rfc8785.dumps(change(statement) or statement)).decode()
    return rfc8785.dumps(envelope)


def rewritten(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The envelope changed and written canonically again."""
    envelope = json.loads(data)
    change(envelope)
    return rfc8785.dumps(envelope)


def test_an_entry_comes_back_as_it_was_written() -> None:
    """Every field survives, the instant to the microsecond."""
    entry = decode(made(), name="x")
    assert (entry.number, entry.kind, entry.run, entry.model, entry.at) == (1, "verdict", "run-1", "delays", AT)
    assert (entry.body, entry.previous, entry.writer, entry.envelope.signatures) == ({"a": 1}, GENESIS, "w", {})


def test_the_statement_is_an_in_toto_statement_about_the_run_or_its_files() -> None:
    """A seal is about each file of the run, by digest; any other entry about the run."""
    statement = json.loads(
        decode(made("closed", body={"files": {"b": "1" * 64, "a": "2" * 64}}), name="x").envelope.payload
    )
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:retrain:entry:1"
    assert [about["name"] for about in statement["subject"]] == ["runs/run-1/a", "runs/run-1/b"]
    assert statement["subject"][0]["digest"] == {"sha256": "2" * 64}
    assert json.loads(decode(made(), name="x").envelope.payload)["subject"][0]["name"] == "runs/run-1"


def test_signed_kinds_carry_one_signature_and_need_a_key() -> None:
    """OPEN, CLOSE, APPROVAL and the like are signed; a process without a key cannot write them."""
    assert len(decode(made("opened"), name="x").envelope.signatures) == 1
    with pytest.raises(UsageError, match="'opened' is signed"):
        made("opened", signer=None)


def test_an_entry_that_is_too_large_is_refused_and_not_read() -> None:
    """Four MiB at most, when writing and when reading: what is larger belongs in a file of the run."""
    with pytest.raises(LedgerError, match="too large"):
        made(body={"a": "x" * LARGEST_ENTRY})
    with pytest.raises(Malformed, match="more than an entry may have"):
        decode(b" " * (LARGEST_ENTRY + 1), name="x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"payload":1,"payloadType":"a","signatures":[]}',
        b'{"payload":"****","payloadType":"a","signatures":[]}',
        b'{"payload":"","payloadType":1,"signatures":[]}',
        b'{"payload":"","payloadType":"text/plain","signatures":[]}',
        b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}',
        made() + b"\n",
        made().replace(b'":"', b'": "', 1),
        made().replace(b'"signatures":[]', b'"signatures":[{"keyid":"a","sig":""}]'),
        rewritten(made("opened"), lambda envelope: envelope.update(signatures=[])),
        rewritten(made("opened"), lambda envelope: envelope["signatures"][0].update(note="x")),
        rewritten(made("opened"), lambda envelope: envelope["signatures"].append(envelope["signatures"][0])),
        rewritten(made("opened"), lambda envelope: envelope.update(note="x")),
        rewritten(made(), lambda envelope: envelope.update(payload=base64.b64encode(b"[]").decode())),
        rewritten(made(), lambda envelope: envelope.update(payload="****")),
        rewritten(made(), lambda envelope: envelope.update(payload="W11=")),  # as good a base64 of [] as W10=
    ],
)
def test_what_is_no_envelope_is_malformed(data: bytes) -> None:
    """One more byte, field or signature than there should be, or one less, and the file is named as no entry."""
    with pytest.raises(Malformed, match=r"entries/7 is not an entry"):
        decode(data, name="entries/7")


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(more=1),
        lambda told: told.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda told: told.update(predicateType="urn:retrain:entry:2"),
        lambda told: told.update(subject=[]),
        lambda told: told.update(predicate=[]),
        lambda told: told["predicate"].update(more=1),
        lambda told: told["predicate"].pop("writer"),
        lambda told: told["predicate"].update(number="1"),
        lambda told: told["predicate"].update(number=True),
        lambda told: told["predicate"].update(kind=1),
        lambda told: told["predicate"].update(run="../x"),
        lambda told: told["predicate"].update(previous="0"),
        lambda told: told["predicate"].update(body=[]),
        lambda told: told["predicate"].update(body={"files": []}),
        lambda told: told["predicate"].update(body={"files": {"a": "b"}}),
        lambda told: told["predicate"].update(body={"files": {"a": 1}}),
        lambda told: told["predicate"].update(at="2026-11-23"),
        lambda told: told["predicate"].update(at="2026-11-23T09:00:00"),
        lambda told: told["predicate"].update(at="2026-11-23T09:00:00Z"),
        lambda told: told["predicate"].update(at="yesterday"),
        lambda told: ["no object"],
    ],
)
def test_what_is_no_statement_of_ours_is_malformed(change: Callable[[dict[str, Any]], Any]) -> None:
    """Fields, their types and their forms are fixed, so that two readers cannot understand two things."""
    with pytest.raises(Malformed):
        decode(changed(made(), change), name="x")


def test_a_seal_without_digests_is_malformed() -> None:
    """A run does not end without saying what its files were."""
    with pytest.raises(Malformed):
        decode(changed(made("closed", body={"files": {}}), lambda told: told["predicate"].update(body={})), name="x")


def test_an_instant_keeps_its_offset() -> None:
    """Any offset is an instant; none is not."""
    at = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert decode(made(at=at), name="x").at == at


@pytest.mark.parametrize("number", [1, 99_999_999, 100_000_000])
def test_a_file_has_one_name_for_a_number(number: int) -> None:
    """Eight digits at least, and no second way to write the same number."""
    assert entry_number(entry_file(number)) == number


@pytest.mark.parametrize(
    "name", ["entries/00000000.json", "entries/1.json", "entries/000000001.json", "x/00000001.json"]
)
def test_other_names_are_no_entries(name: str) -> None:
    """What is named otherwise is not an entry."""
    assert entry_number(name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", ".staging", "a" * 129, "é", "a\n", 7])
def test_names_that_could_leave_the_folder_are_refused(name: Any) -> None:
    """A model's or a run's id is a plain name, before it is part of any path."""
    with pytest.raises(UsageError, match="is not a name"):
        safe_name(name, what="run")


def test_a_list_may_read_what_is_no_proof() -> None:
    """The same entry, in whatever form its JSON is; what is no entry is none there either."""
    loose = json.dumps(json.loads(made()), indent=1).encode()
    with pytest.raises(Malformed, match="canonical"):
        decode(loose, name="x")
    assert decode(loose, name="x", reader=json.loads).body == {"a": 1}
    for wrong in (b"[]", b"{", b"[" * 100_000):
        with pytest.raises(Malformed, match="x is not an entry"):
            decode(wrong, name="x", reader=json.loads)
