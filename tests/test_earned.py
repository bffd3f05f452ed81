"""A swap that its run did not earn is not sent, and what another's training left is not taken for this run's."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chained import append, begun
from fake_world import FakeClock, FakeWorld
from recorded_runs import Told, body_of, gate, ready, smoked, trained
from retrain.checks import Evidence, Verdict
from retrain.facts import Effect, Metrics, Slots
from retrain.ledger import join_run
from retrain.notebook import Run
from retrain.record.records import RunFolder
from retrain.sections import blue_green_deployment as swap_rules
from retrain.sections.training import Facts as TrainingFacts
from retrain.service.answers import TrainingStatus
from retrain.steps import blue_green_deployment, evaluation_gate, if_retraining_fails
from retrain.warehouse import Answer, Production

NOW = FakeClock().now()
SEEN = Evidence(source="service", at=NOW)


def judged(folder: RunFolder, world: FakeWorld) -> Any:
    """The run of ``folder`` as the cells of the swap see it, with a service that is really asked."""
    ledger = join_run(folder.chain, folder.run_id, held_by=folder.opened_at)
    run = Run(
        section="blue_green_deployment",
        joined=SimpleNamespace(folder=folder, ledger=ledger),  # type: ignore[arg-type]
        policy=swap_rules.Policy(),
        clock=world.clock,
        now=NOW,
        attempt=1,
    )
    run.__dict__["service"] = world.service()
    return run


def swapped(folder: RunFolder) -> tuple[Verdict, FakeWorld]:
    """Swap as 06 does, with v1 active and v2 in standby; return the verdict and the world after it."""
    world = FakeWorld(active="v1", standby="v2", served=["v1"])
    run, slots = judged(folder, world), Slots(active="v1", standby="v2", attested=True)
    before = blue_green_deployment.opened_by(run)
    effect = blue_green_deployment.swap(run, before, slots, None)
    after = Slots(active=world.active, standby=world.standby, attested=True)
    facts = before.model_copy(update={"before": slots, "after": after, "effect": effect})
    return swap_rules.decide(facts, run.policy), world


def failed() -> Told:
    """A training that failed, without figures."""
    name, facts, policy = trained()
    return name, facts.model_copy(update={"status": "failed", "candidate": None}), policy


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([gate(), smoked()], "prerequisites: no verdict"),
        ([ready(), gate(), smoked()], "training: no verdict"),
        ([ready(5), gate(), smoked()], "prerequisites: blocked"),
        ([ready(5), trained(), gate(), smoked()], "prerequisites: blocked"),
        ([ready(), trained(), gate(), smoked(), ready(5)], "prerequisites: blocked"),
        ([ready(), failed(), gate(), smoked()], "training: failed"),
        ([ready(), gate(), smoked(), trained()], "evaluation gate: passed, but before the training"),
        ([ready(), trained(), smoked(), gate()], "smoke tests: staged, but before the evaluation gate"),
        ([ready(), trained(), smoked()], "evaluation gate: no verdict"),
    ],
)
def test_a_swap_that_its_run_did_not_earn_is_not_sent(told: list[Told], reason: str, tmp_path: Path) -> None:
    """Gate and smoke tests alone, blocked prerequisites, a failed training, or another order: nothing arrives."""
    folder = recorded(tmp_path, told)
    verdict, world = swapped(folder)
    assert (verdict.outcome, verdict.sentence) == ("not_ready", f"Not ready: {reason}. Production is unchanged.")
    assert (world.arrivals, world.active) == (0, "v1")
    assert folder.bodies("intent") == []


@pytest.mark.parametrize(
    "told", [[ready(), trained(), gate(), smoked()], [ready(5), ready(), trained(), ready(), gate(), smoked()]]
)
def test_a_swap_that_its_run_earned_is_sent_once(told: list[Told], tmp_path: Path) -> None:
    """Prerequisites may be looked at again, before or after the training: the newest count."""
    verdict, world = swapped(recorded(tmp_path, told))
    assert (verdict.outcome, world.arrivals, world.active) == ("swapped", 1, "v2")


def recorded(root: Path, told: list[Told]) -> RunFolder:
    """An open run with these verdicts."""
    folder = begun(root, "flights", {"now": NOW.isoformat()})
    for each in told:
        append(folder, "verdict", body_of(*each))
    return folder


def own(**changed: Any) -> TrainingFacts:
    """A training that was seen to begin as job-7, and whose status was read then."""
    effect = Effect(effect="training", sent=True, outcome="applied", observed_by="attested", detail="seen")
    return TrainingFacts(**({"now": NOW, "effect": effect, "triggered_job": "job-7", "job_id": "job-7"} | changed))


@pytest.mark.parametrize(
    ("training", "now", "told"),
    [
        (own(), "job-7", ("job-7", "job-7")),
        (own(), "job-8", ("job-8", "job-7")),
        (own(job_id="job-8"), "job-8", ("job-8", "job-7")),
        (own(triggered_job=None), "job-8", ("job-8", "job-7")),
        (own(triggered_job=None, job_id=None), None, (None, None)),
        (None, "job-8", ("job-8", None)),
    ],
)
def test_the_gate_is_told_which_job_it_judges_and_which_was_trained(
    training: TrainingFacts | None, now: str | None, told: tuple[str | None, str | None]
) -> None:
    """The job that the request began; without that, the one that completed; none where no job is told."""
    run: Any = SimpleNamespace(facts={"training": training}.get)
    both = {"metrics": Metrics(version="v2"), "production": Metrics(version="v1")}
    for word, phase in (("succeeded", "completed"), ("odd", "odd"), (None, "missing")):
        status = TrainingStatus(status=word, job_id=now, evidence=SEEN, **both)
        facts = evaluation_gate.scored(run, status)
        assert (facts["job"], facts["training_job"], facts["status"]) == (*told, phase)


def left_by(
    training: TrainingFacts, counts: dict[str, int] | None, *, days: int | None = 30
) -> tuple[TrainingStatus | None, if_retraining_fails.rules.Facts, list[str]]:
    """What 09 gathers of a failed training whose status is now of job-7, with ``counts`` told by the service."""
    said: list[str] = []
    asked: list[timedelta] = []

    def class_balance(*, since: Any, until: Any) -> Answer[dict[str, int]]:
        asked.append(until - since)
        return Answer({"0": 9900, "1": 100}, (Evidence(source="warehouse", at=NOW),))

    start = None if days is None else NOW - timedelta(days=90 + days)
    production = Production(metrics=Metrics(), reference_start=start, reference_end=NOW - timedelta(days=90))
    status = TrainingStatus(status="failed", job_id="job-7", error="out of memory", class_counts=counts, evidence=SEEN)
    run: Any = SimpleNamespace(
        facts={"training": training}.get,
        service=SimpleNamespace(status=lambda: status),
        warehouse=SimpleNamespace(class_balance=class_balance),
        production=Answer(production, ()),
        folder=SimpleNamespace(verdicts=tuple, latest=lambda name: None, bodies=lambda kind: []),
        say=lambda kind, **body: said.append(body[kind]),
        waiting=lambda what: nullcontext(),
        settings=None,
        now=NOW,
        attempt=1,
    )
    left = if_retraining_fails.evidence_left(run)
    facts = if_retraining_fails.gathered(run, left)
    assert asked in ([], [timedelta(days=days or 0)])
    return left, facts, said


@pytest.fixture
def no_earlier_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of earlier runs are no matter here."""
    for name, found in (("failed_runs_in_a_row", 0), ("incidents", ())):
        monkeypatch.setattr(if_retraining_fails.history, name, lambda *_, found=found: found)
    monkeypatch.setattr(if_retraining_fails, "records_root", lambda settings: "records")


@pytest.mark.usefixtures("no_earlier_runs")
def test_a_cause_is_looked_for_in_this_runs_training_only() -> None:
    """What another's job left, its error and its classes, names no cause of ours: nothing is retried because of it."""
    left, facts, _ = left_by(own(triggered_job="job-6", error="out of memory"), {"0": 9900, "1": 100})
    assert (left, facts.class_counts, facts.error) == (None, None, "seen")
    left, facts, _ = left_by(own(error="out of memory"), {"0": 9, "1": 1})
    assert left is not None
    assert (facts.class_counts, facts.error) == ({"0": 9, "1": 1}, "out of memory")


@pytest.mark.usefixtures("no_earlier_runs")
def test_classes_are_counted_in_the_warehouse_where_the_service_tells_none() -> None:
    """In as many days as production was trained on: near to what the training saw, and the record says so."""
    _, facts, said = left_by(own(), None)
    assert facts.class_counts == {"0": 9900, "1": 100}
    assert [each.source for each in facts.evidence["status"]] == ["service", "warehouse"]
    assert [each.endswith("labelled rows of the 30 days before now") for each in said] == [True]
    for counts, days, told in (({"0": 9, "1": 1}, 30, {"0": 9, "1": 1}), (None, None, None)):
        _, facts, said = left_by(own(), counts, days=days)
        assert (facts.class_counts, said) == (told, [])
