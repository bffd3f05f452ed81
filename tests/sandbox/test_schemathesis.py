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

from retrain_sandbox import lifecycle, servers, service, slots

EXAMPLES = 80
CONFIG = {
    "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none", "no-shrink": True},
    "request-timeout": 20,
}
DOCUMENT = service.application(Path()).openapi()
PUBLISHED = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(CONFIG))
SEEN: defaultdict[str, Counter[int]] = defaultdict(Counter)
ENDPOINTS = {"/training/trigger", "/training/status", "/predict/batch", "/model/reload", "/health"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sandbox of this module's own."""
    return tmp_path_factory.mktemp("fuzzed")


@pytest.fixture(scope="module")
def service_url(home: Path, sandbox_cache: Path) -> Iterator[str]:
    """A world that is healthy, gone afterwards."""
    try:
        yield lifecycle.apply_scenario(home, "healthy").service_url
    finally:
        lifecycle.down(home)


def test_the_document_tested_is_the_one_published(service_url: str) -> None:
    """Over the wire comes the document that the tests below are made from, and it names every endpoint."""
    document = httpx.get(f"{service_url}/openapi.json").raise_for_status().json()
    assert document == DOCUMENT
    assert set(document["paths"]) == ENDPOINTS


@PUBLISHED.parametrize()
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


@pytest.fixture(scope="module")
def staged_url(service_url: str, home: Path) -> str:
    """The same service with a model in both slots."""
    now = slots.read(home)
    assert now.active
    slots.write(home, now.staged(now.active))
    servers.restart_service(home)
    return service_url


@PUBLISHED.include(path=["/model/reload", "/predict/batch"]).parametrize()
def test_with_a_model_in_both_slots_answers_are_the_documented_ones(case: Case, staged_url: str) -> None:
    """A swap, and scores from either slot."""
    answer = case.call_and_validate(base_url=staged_url)
    assert answer.status_code != 409


def test_the_service_outlives_it(service_url: str) -> None:
    """After all that, it still tells how it is and scores a row."""
    health = httpx.get(f"{service_url}/health").raise_for_status().json()
    assert health["status"] == "ok"
    assert health["slots"]["active"]
