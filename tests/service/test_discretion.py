"""What is kept of an answer holds no secret: it is taken out of the whole before anything is cut."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from retrain.redaction import Secrets
from retrain.service.client import Service

TOKEN = "s3cret/t0ken+x7Q-9zK"  # noqa: S105 - a canary
OTHER = "wArehouse-pass/4711-qZ"
SPELLED: dict[str, Callable[[str], str]] = {
    "raw": str,
    "escaped": lambda value: json.dumps(value).replace("/", "\\/")[1:-1],
    "url": lambda value: quote(value, safe=""),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
}


def _service(answer: httpx.Response | Exception, secrets: Secrets | None) -> Service:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    redact = None if secrets is None else secrets.redact
    return Service(base_url="http://fake", token=TOKEN, transport=httpx.MockTransport(handle), redact=redact)


def _parts(value: str) -> list[str]:
    return [value[at : at + 6] for at in range(len(value) - 5)]


@pytest.fixture
def secrets() -> Secrets:
    known = Secrets()
    known.register(TOKEN, "TOKEN")
    known.register(OTHER, "OTHER")
    return known


@pytest.mark.parametrize("spelling", SPELLED)
@pytest.mark.parametrize("limit", [500, 1000, 2000])
def test_a_secret_at_the_edge_of_what_is_kept_leaves_no_part(spelling: str, limit: int, secrets: Secrets) -> None:
    """Wherever the cut falls, in text and in values: 500 characters of the body, and each string at its own bound."""
    for value in (TOKEN, OTHER):
        told = SPELLED[spelling](value)
        for before in range(limit - len(told) - 12, limit + 1, 5):
            for body in ("x" * before + told, json.dumps({"error": "y" * before + value})):
                kept = _service(httpx.Response(500, text=body), secrets).trigger({}).kept()
                text = json.dumps({**kept, "evidence": None}, ensure_ascii=False)
                assert not [part for part in _parts(told) + _parts(value) if part in text], (before, body[:3])


@pytest.mark.parametrize("spelling", SPELLED)
def test_without_a_redactor_the_token_is_known_all_the_same(spelling: str) -> None:
    """A service that echoes it, in any spelling, in body, header or error."""
    told = SPELLED[spelling](TOKEN)
    answers: list[Any] = [
        httpx.Response(200, json={"seen": told}, headers={"x-request-id": told}),
        httpx.ConnectError(f"refused {told}"),
        httpx.ReadError("y" * 290 + told),
    ]
    for answer in answers:
        kept = json.dumps(_service(answer, None).reload().kept())
        assert "[redacted" in kept or "y" * 290 in kept
        assert not [part for part in _parts(told) if part in kept]


def test_a_token_too_short_to_be_told_from_words_goes_as_it_is() -> None:
    """It is replaced letter by letter, though in no other spelling."""
    client = Service(
        base_url="http://fake", token="q9", transport=httpx.MockTransport(lambda _: httpx.Response(200, text="a q9 b"))  # noqa: S106
    )  # fmt: skip
    assert client.reload().text == "a [redacted] b"


def test_an_answer_without_secrets_is_kept_byte_for_byte(secrets: Secrets) -> None:
    """Also one that is no text: its hash is that of what came."""
    import hashlib

    body = b'{"a": "\xff\xfe", "b": 1.10}'
    evidence = _service(httpx.Response(200, content=body), secrets).reload().evidence
    assert evidence is not None
    assert evidence.result_sha256 == hashlib.sha256(body).hexdigest()
