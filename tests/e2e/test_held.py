"""Every run that a test here makes is replayed afterwards: that it is, and that a difference would be found."""

import pytest

from retrain.sections import when_to_retrain

from .conftest import Sandbox, complaints

pytestmark = pytest.mark.e2e


def test_a_rule_that_decides_otherwise_would_be_found(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run holds, and no longer does where today's rule is another: the fixture around every test fails then."""
    sandbox.scenario("healthy")
    run = sandbox.run().json["run_id"]
    seen: set[str] = set()
    assert list(complaints(sandbox, seen)) == []
    assert run in seen
    decide = when_to_retrain.decide
    strict = {"update": {"psi_ceiling": 0.01}}
    monkeypatch.setattr(when_to_retrain, "decide", lambda facts, policy: decide(facts, policy.model_copy(**strict)))
    found = list(complaints(sandbox, set()))
    assert any(f"{run} when_to_retrain: was no_action, is retrain" in complaint for complaint in found)
