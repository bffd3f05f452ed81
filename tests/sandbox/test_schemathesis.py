"""The service keeps to the OpenAPI document it publishes, whatever is sent: bodies made from it, and bodies it forbids.

Bounded and the same each time: a fixed number of examples an endpoint, from a fixed seed. The sandbox is one of this
module's own, in a world that nobody else looks at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from retrain_sandbox import lifecycle, service

EXAMPLES = 40
CONFIG = {
    "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none", "no-shrink": True},
    "request-timeout": 20,
}
DOCUMENT = service.application(Path()).openapi()
SEEN: defaultdict[str, Counter[int]] = defaultdict(Counter)
ENDPOINTS = {"/training/trigger", "/training/status", "/predict/batch", "/model/reload", "/health"}


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory, sandbox_cache: Path) -> Iterator[str]:
    """A sandbox whose world is healthy, gone afterwards."""
    home = tmp_path_factory.mktemp("fuzzed")
    try:
        yield lifecycle.apply_scenario(home, "healthy").service_url
    finally:
        lifecycle.down(home)


def test_the_document_tested_is_the_one_published(service_url: str) -> None:
    """Over the wire comes the document that the tests below are made from, and it names every endpoint."""
    document = httpx.get(f"{service_url}/openapi.json").raise_for_status().json()
    assert document == DOCUMENT
    assert set(document["paths"]) == ENDPOINTS


@schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(CONFIG)).parametrize()
def test_answers_are_the_documented_ones(case: Case, service_url: str) -> None:
    """No server error, no status, content type or body that the document does not name.

    What it forbids is refused, what it allows is not, and another method is answered by 405.
    """
    answer = case.call_and_validate(base_url=service_url)
    SEEN[case.operation.label].update([answer.status_code])


def test_both_what_is_taken_and_what_is_refused_was_sent() -> None:
    """The examples reach every kind of answer that this world can give: otherwise nothing would have been tested."""
    if len(SEEN) < len(ENDPOINTS):
        pytest.skip("the tests before this one were not run")
    assert {202, 409, 422, 405} <= set(SEEN["POST /training/trigger"])
    assert {200, 409, 422, 405} <= set(SEEN["POST /predict/batch"])
    for endpoint in ("GET /training/status", "GET /health"):
        assert {200, 405} <= set(SEEN[endpoint])
    assert {409, 405} <= set(SEEN["POST /model/reload"])
    print({k: dict(v) for k, v in SEEN.items()})


def test_the_service_outlives_it(service_url: str) -> None:
    """After all that, it still tells how it is and scores a row."""
    health = httpx.get(f"{service_url}/health").raise_for_status().json()
    assert health["status"] == "ok"
    assert health["slots"]["active"]
