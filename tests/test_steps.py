"""What the steps make of odd answers, with the warehouse and the service handed in."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fake_world import FakeClock
from retrain.checks import Evidence
from retrain.facts import Coverage, Effect, Metrics, Slots
from retrain.sections import evaluation_gate as gate_rules
from retrain.sections import staging_smoke_tests as smoke_rules
from retrain.sections.when_to_retrain import EDITION, Policy
from retrain.service.answers import Health, Prediction, Smoke, TrainingStatus
from retrain.settings import Settings
from retrain.steps import blue_green_deployment, evaluation_gate, reference, when_to_retrain
from retrain.warehouse import Answer, F1Since, Feature, FeatureProfile, NewSamples, Production, Profile

NOW = FakeClock().now()
SEEN = Evidence(source="service", at=NOW)


def checked(since: F1Since, *, version: str | None = "v1") -> when_to_retrain.Accuracy:
    """Look at F1 of production, whose windows of the last days hold this."""
    production = Production(metrics=Metrics(version=version, f1=0.88), promoted_at=NOW - timedelta(days=30))
    answers: dict[str, Answer[Any]] = {
        "coverage": Answer(NewSamples(labelled=900, total=1000), ()),
        "days": Answer((), ()),
    }
    warehouse = SimpleNamespace(
        new_samples=lambda **window: None,
        features=None,
        ahead=lambda calls: None,
        taken=lambda name, call: answers[name],
        f1_since=lambda model, **asked: Answer(since, ()),
    )
    run: Any = SimpleNamespace(
        warehouse=warehouse,
        model="m",
        now=NOW,
        policy=Policy(),
        production=Answer(production, ()),
        waiting=lambda what: nullcontext(),
    )
    return when_to_retrain.accuracy(run)


def test_labels_without_a_positive_leave_f1_and_chance_unknown() -> None:
    """A week of true negatives has no F1: the hourly check goes on and says that it is missing."""
    told = checked(F1Since(labels=500, tp=0, fp=0, fn=0, tn=500, windows=5, windows_counted=5))
    assert (told.f1, told.labels, told.by_chance) == (None, 500, None)
    assert told.coverage == Coverage(rows=1000, labelled=900)
    assert told.facts["edition"] == EDITION, "else the rules of an earlier release would judge them"
    told = checked(F1Since(f1=0.88, labels=500, tp=88, fp=12, fn=12, tn=388, windows=5, windows_counted=5))
    assert told.by_chance is not None


def test_a_promotion_without_a_version_is_not_called_no_promotion() -> None:
    """There is a baseline then, and F1 now is missing: the note says which of the two it is."""
    told = checked(F1Since(), version=None)
    assert (told.baseline_f1, told.f1) == (0.88, None)
    assert told.note.startswith("the newest promotion names no version")


PROFILE = Profile(
    reference_start=NOW - timedelta(days=60),
    reference_end=NOW - timedelta(days=30),
    rows=1000,
    features=(
        FeatureProfile(feature=Feature(name="x", column="X", kind="numeric"), edges=(0.5,), counts=(500, 500, 0)),
    ),
)


def asked_for(folder: Path, told: Profile) -> tuple[Profile, int]:
    """Return the frozen profile of a run, whose evidence is its hash, and how often the warehouse was asked for it."""
    asked: list[Any] = []

    def profile(**window: Any) -> Answer[Profile]:
        asked.append(window)
        return Answer(told, ())

    production = Production(
        metrics=Metrics(), reference_start=PROFILE.reference_start, reference_end=PROFILE.reference_end
    )
    run: Any = SimpleNamespace(
        warehouse=SimpleNamespace(
            taken=lambda name, call: (PROFILE.features[0].feature,), features=None, reference_profile=profile
        ),
        production=Answer(production, ()),
        folder=SimpleNamespace(path=folder / "m" / "runs" / "r1"),
        model="m",
        now=NOW,
    )
    used = reference.frozen_profile(run)
    assert used is not None
    (evidence,) = used.evidence
    assert (evidence.source, evidence.rows) == ("record", used.value.rows)
    assert evidence.result_sha256 == hashlib.sha256((used.value.model_dump_json(indent=1) + "\n").encode()).hexdigest()
    return used.value, len(asked)


def test_the_record_holds_the_hash_of_the_profile_that_was_used(tmp_path: Path) -> None:
    """The file lies outside the record: the evidence of drift is the hash of what it held, so an edit is seen there."""
    asked_for(tmp_path, PROFILE)
    (kept,) = tmp_path.rglob("*.json")
    before = hashlib.sha256(kept.read_bytes()).hexdigest()
    edited = PROFILE.model_copy(update={"features": (PROFILE.features[0].model_copy(update={"edges": (0.9,)}),)})
    kept.write_text(edited.model_dump_json(indent=1) + "\n")
    told: list[Any] = []

    def drift(profile: Profile, **window: Any) -> Answer[Any]:
        told.append(profile)
        return Answer((), (Evidence(source="warehouse", at=NOW),))

    production = Production(
        metrics=Metrics(), reference_start=PROFILE.reference_start, reference_end=PROFILE.reference_end
    )
    features = (PROFILE.features[0].feature,)
    run: Any = SimpleNamespace(
        warehouse=SimpleNamespace(taken=lambda name, call: call(), features=lambda: features, drift=drift),
        production=Answer(production, ()),
        folder=SimpleNamespace(path=tmp_path / "m" / "runs" / "r1"),
        model="m",
        now=NOW,
        policy=Policy(),
        waiting=lambda what: nullcontext(),
    )
    evidence = when_to_retrain.drift(run).evidence
    assert told == [edited]
    assert [each.source for each in evidence] == ["warehouse", "record"]
    assert evidence[-1].result_sha256 == hashlib.sha256(kept.read_bytes()).hexdigest() != before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"edition": 2}', "\x80"])
def test_a_profile_that_cannot_be_read_is_asked_for_again(text: str, tmp_path: Path) -> None:
    """It stands beside the record and can be had again: no hourly check ends in an error over it, now or later."""
    assert asked_for(tmp_path, PROFILE) == (PROFILE, 1)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_bytes(text.encode("latin-1"))
    assert asked_for(tmp_path, PROFILE) == (PROFILE, 1)
    assert asked_for(tmp_path, PROFILE) == (PROFILE, 0)


def test_a_profile_of_no_rows_is_not_frozen(tmp_path: Path) -> None:
    """Rows of the reference window may be loaded later; until then drift is not known."""
    empty = PROFILE.model_copy(update={"rows": 0})
    assert asked_for(tmp_path, empty) == (empty, 1)
    assert asked_for(tmp_path, PROFILE) == (PROFILE, 1)
    assert asked_for(tmp_path, PROFILE) == (PROFILE, 0)


@pytest.mark.parametrize(
    ("now", "deviations"),
    [
        (Metrics(version="v2", f1=0.9), []),
        (Metrics(version="v3", f1=0.9), ["v2 then, v3 now"]),
        (Metrics(version="v2", f1=0.8), ["v2 then, v2 now"]),
        (None, ["v2 then, nothing now"]),
    ],
)
def test_figures_of_another_training_are_a_deviation(now: Metrics | None, deviations: list[str]) -> None:
    """Someone else's training may end between this run's and its gate: the record tells that it judged another."""
    said: list[str] = []
    training = SimpleNamespace(candidate=Metrics(version="v2", f1=0.9))
    run: Any = SimpleNamespace(
        service=SimpleNamespace(status=lambda: TrainingStatus(status="completed", metrics=now, evidence=SEEN)),
        facts={"training": training}.get,
        say=lambda kind, **body: said.append(body[kind]),
    )
    assert evaluation_gate.training_status(run).metrics == now
    assert [each.partition(": ")[2] for each in said] == deviations
    run.facts = {"training": None}.get
    evaluation_gate.training_status(run)
    assert len(said) == len(deviations)


def test_the_facts_of_the_gate_tell_the_edition_of_their_rules() -> None:
    """Without it the rules of an earlier release would judge them."""
    run: Any = SimpleNamespace(facts={"training": None}.get)
    one, other = Metrics(version="v2", f1=0.9), Metrics(version="v1", f1=0.9)
    status = TrainingStatus(status="completed", metrics=one, production=other, evidence=SEEN)
    assert gate_rules.Facts(**evaluation_gate.scored(run, status)).edition == gate_rules.EDITION


def test_the_smoke_test_after_the_swap_keeps_the_evidence_of_slots_and_rows() -> None:
    """What is recorded of it tells where its slots and its rows came from, as the first one does, and its policy."""
    scores = tuple(place / 100 for place in range(100))
    sent: list[str | None] = []

    def smoke(rows: Any, *, slot: str | None, **how: Any) -> Smoke:
        sent.append(slot)
        return Smoke(scores=scores, latencies_seconds=(0.01,) * 100, evidence=SEEN)

    said: dict[str, Any] = {}
    first = smoke_rules.Facts(candidate_version="v2", gate="passed")
    run: Any = SimpleNamespace(
        service=SimpleNamespace(
            health=lambda: Health(slots=Slots(active="v2", standby="v1", attested=True), evidence=SEEN),
            smoke=smoke,
            predict=lambda rows, *, slot: Prediction(scores=scores[::-1], evidence=SEEN),
        ),
        settings=Settings(environment="sandbox"),
        section="blue_green_deployment",
        cut_short=lambda effect: None,
        facts={"staging_smoke_tests": first}.get,
        outcome={"evaluation_gate": "passed"}.get,
        say=lambda kind, **body: said.update({kind: body}),
    )
    rows = Answer(tuple({"x": score} for score in scores), (Evidence(source="warehouse", at=NOW),))
    applied = Effect(effect="swap", sent=True, outcome="applied", observed_by="attested")
    assert blue_green_deployment.smoke_test_again(run, rows, applied) == "staged"
    told = said["smoke_again"]["facts"]
    assert sent == [None]
    assert said["smoke_again"]["policy"] == run.settings.staging_smoke_tests.model_dump(mode="json")
    assert told["edition"] == smoke_rules.EDITION, "else the rules of an earlier release would judge it"
    assert [each["source"] for each in told["evidence"]["predictions"]] == ["service", "warehouse"]
    assert len(told["evidence"]["slots"]) == 1
    assert blue_green_deployment.smoke_test_again(run, rows, Effect(effect="swap")) is None
