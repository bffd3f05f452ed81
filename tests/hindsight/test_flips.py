"""A changed threshold flips exactly what it should: for every key of every policy, what ``decide`` itself says."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recorded_runs import NOW, gate, ready, section, smoked, swapped, trained, trigger, watched
from retrain import runbook
from retrain.facts import BestEver, Coverage, Effect, FeatureDrift, Fired, Slots
from retrain.hindsight.backtest import backtest
from retrain.hindsight.flips import GATHERED, UNKNOWN
from retrain.hindsight.replay import Recorded, RunFacts, room
from retrain.judgement.windows import summed
from retrain.sections import if_retraining_fails, rollback
from retrain.sections.if_retraining_fails import RUNBOOK_REMEDIES
from retrain.sections.post_deploy_monitoring import EDITION
from retrain.settings import load
from sections.test_round_trips import built, drawn

SETTINGS = load("sandbox", assignments=["model=flights"])
SECTIONS = [known.name for known in runbook.SECTIONS if known.name != runbook.LAST]
KEYS = [(name, key) for name in SECTIONS for key in room(name).Policy.model_fields]

PACE = {"poll_seconds"}
SHOWN_ONLY = {
    ("evaluation_gate", "disagreement_tolerance"),  # becomes a deviation
    ("if_retraining_fails", "incident_after_failed_runs"),  # whether an incident is opened, not the outcome
    ("post_deploy_monitoring", "on_inconclusive"),  # where the outcome leads: tests of the run's way
}


def changed(told, **facts):
    """The same section and policy with some facts changed."""
    name, recorded, policy = told
    return name, recorded.model_copy(update=facts), policy


def drift(psi, *more):
    features = zip("abc", (psi, *more), strict=False)
    return {"drift": tuple(FeatureDrift(feature=f, psi=p, reference_rows=5000, current_rows=5000) for f, p in features)}


def figures(**candidate):
    """The gate's facts with other figures of the candidate; production has 0.9, and 0.95 of AUC-ROC."""
    told = gate()
    return changed(told, candidate=told[1].candidate.model_copy(update=candidate))


def seen_by(told, level):
    return changed(told, effect=told[1].effect.model_copy(update={"observed_by": level}))


def rolled_back():
    effect = Effect(effect="rollback", sent=True, outcome="applied", observed_by="response")
    facts = rollback.Facts(swapped=True, former_version="v1", effect=effect)
    return section("rollback", facts)


def failed(**changes):
    """One row in a hundred is positive: imbalance, as long as the floor says so."""
    facts = {"failed_section": "training", "class_counts": {"0": 9900, "1": 100}, "reason": "failed", **changes}
    return section("if_retraining_fails", if_retraining_fails.Facts(**facts))


def told_of(windows):
    """Facts of a watch that was extended, as today's rules gather them."""
    return changed(windows, edition=EDITION, extended_because="too few events")


FIRED = Fired(run_id="before", at=NOW - timedelta(days=1), figure=0.08, lowest_since=0.07)
BEST = {"best": BestEver(promotions=3, f1=0.93, f1_version="v0", auc_roc=0.96, auc_roc_version="v0")}
REMEDIES = {"remedies": RUNBOOK_REMEDIES}

FLIPS = {
    ("when_to_retrain", "f1_drop_tolerance"): (trigger(0.08), {}, 0.08),
    ("when_to_retrain", "f1_minimum_labels"): (trigger(0.08), {}, 3001),
    ("when_to_retrain", "f1_minimum_coverage"): (
        trigger(0.08, label_coverage=Coverage(rows=1000, labelled=900)), {}, 0.95,
    ),
    ("when_to_retrain", "hysteresis_share"): (trigger(0.08, f1_fired=FIRED), {"hysteresis_share": 0.5}, 0),
    ("when_to_retrain", "psi_ceiling"): (trigger(0.0), {}, 0.09),
    ("when_to_retrain", "psi_aggregate"): (trigger(0.0, **drift(0.1, 0.5)), {}, "max"),
    ("when_to_retrain", "psi_minimum_rows"): (trigger(0.0, **drift(0.4)), {}, 5001),
    ("when_to_retrain", "schedule"): (trigger(0.0), {}, "30 11 * * *"),
    ("when_to_retrain", "cooldown_hours"): (trigger(0.08), {}, 2),
    ("prerequisites", "minimum_new_samples"): (ready(20_000), {}, 20_001),
    ("prerequisites", "quality_statuses"): (ready(), {}, ("warning",)),
    ("prerequisites", "minimum_quality_runs"): (ready(), {}, 25),
    ("evaluation_gate", "f1_tolerance"): (figures(f1=0.895), {}, 0.004),
    ("evaluation_gate", "auc_roc_tolerance"): (figures(auc_roc=0.946), {}, 0.003),
    ("evaluation_gate", "precision_floor"): (gate(), {}, 0.901),
    ("evaluation_gate", "recall_floor"): (gate(), {}, 0.901),
    ("evaluation_gate", "latency_p99_ceiling_seconds"): (gate(), {}, 0.1),
    ("evaluation_gate", "ratchet"): (changed(gate(), **BEST), {"best_ever_f1_tolerance": 0.02}, "reject"),
    ("evaluation_gate", "best_ever_f1_tolerance"): (changed(gate(), **BEST), {"ratchet": "reject"}, 0.02),
    ("evaluation_gate", "best_ever_auc_roc_tolerance"): (changed(gate(), **BEST), {"ratchet": "reject"}, 0.005),
    ("evaluation_gate", "same_holdout"): (gate(), {}, "require"),
    ("staging_smoke_tests", "latency_p99_ceiling_seconds"): (smoked(), {}, 0.01),
    ("staging_smoke_tests", "minimum_observation"): (
        changed(smoked(), slots=Slots(), answered_by=None), {}, "attested",
    ),
    ("blue_green_deployment", "approval"): (swapped(), {}, "required"),
    ("blue_green_deployment", "minimum_observation"): (seen_by(swapped(), "fingerprint"), {}, "attested"),
    ("post_deploy_monitoring", "watch_minutes"): (watched(worse_from=12), {}, 20),
    ("post_deploy_monitoring", "f1_drop_tolerance"): (watched(worse_from=12), {}, 0.4),
    ("post_deploy_monitoring", "latency_p99_ceiling_seconds"): (watched(), {}, 0.5),
    ("post_deploy_monitoring", "rule"): (watched(worse_from=29), {}, "literal"),
    ("post_deploy_monitoring", "consecutive_windows"): (watched(worse_from=27), {"rule": "consecutive"}, 5),
    ("post_deploy_monitoring", "false_rollback_rate"): (watched(8, 12), {"watch_minutes": 8}, 1e-9),
    ("post_deploy_monitoring", "minimum_events"): (watched(), {}, 5_000),
    ("post_deploy_monitoring", "minimum_requests"): (watched(), {}, 5_000),
    ("post_deploy_monitoring", "extension_minutes"): (told_of(watched(38)), {"minimum_events": 1_500}, 0),
    ("rollback", "minimum_observation"): (rolled_back(), {}, "fingerprint"),
    ("if_retraining_fails", "maximum_attempts"): (failed(), REMEDIES, 1),
    ("if_retraining_fails", "minority_share_floor"): (failed(), REMEDIES, 0.005),
    ("if_retraining_fails", "remedies"): (failed(), {}, RUNBOOK_REMEDIES),
}  # fmt: skip
"""For each key: facts, the policy they were decided under where it is not the default, and the value that flips it."""


def recorded(name, facts, policy):
    verdict = room(name).decide(facts, policy)
    told = [each.model_dump(mode="json") for each in (facts, policy, verdict)]
    return Recorded(name, 1, *json.loads(json.dumps(told)))


def held(told, other):
    """Backtest one recorded decision under another policy of its section."""
    under = SETTINGS.model_copy(update={told.section: other})
    return backtest([RunFacts("run", "flights", NOW, (told,))], under)


def test_every_key_is_spoken_for():
    """A key that comes new flips something here, or gathers other facts (GATHERED), or decides nothing."""
    gathered = {(name, key) for name, keys in GATHERED.items() for key in keys}
    without = [key for key in KEYS if key not in {*FLIPS, *gathered, *SHOWN_ONLY} and key[1] not in PACE]
    assert without == []
    assert set(FLIPS) | gathered | SHOWN_ONLY <= set(KEYS), "no key that is gone"


@pytest.mark.parametrize("key", FLIPS, ids=".".join)
def test_a_changed_key_flips_what_it_should(key):
    """Its own decision, to what ``decide`` says of the same facts; with the value in force, nothing."""
    (name, facts, policy), in_force, value = FLIPS[key]
    then = policy.model_copy(update=in_force)
    told = recorded(name, facts, then)
    assert held(told, then).flips == ()
    other = then.model_copy(update={key[1]: value})
    (flip,) = held(told, other).flips
    direct = room(name).decide(as_far_as(facts, other), other).outcome
    assert (flip.section, flip.before) == (name, told.outcome)
    assert flip.after == direct != told.outcome
    assert [change.split(":")[0] for change in flip.changes] == [key[1]]


def as_far_as(facts, policy):
    """What a shorter watch sees."""
    minutes = getattr(policy, "watch_minutes", None)
    if minutes is None or minutes >= facts.watched_minutes:
        return facts
    seen = tuple(window for window in facts.windows if window.window_end <= NOW + timedelta(minutes=minutes))
    return facts.model_copy(update={"watched_minutes": minutes, "windows": seen})


RELAXED = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("key", [key for key in KEYS if key[0] != "post_deploy_monitoring"], ids=".".join)
@RELAXED
@given(data=st.data())
def test_whatever_was_observed_the_flips_are_those_of_decide(key, data):
    """Any facts, any value: a flip where, and only where, ``decide`` gives another outcome."""
    name, field = key
    then = room(name).Policy()
    facts = data.draw(st.one_of(built(room(name).Facts), near(name)))
    try:
        value = data.draw(drawn(type(then).model_fields[field].annotation))
        other = type(then).model_validate({**then.model_dump(), field: value})
    except ValidationError:
        other = then
    told = recorded(name, facts, then)
    direct = room(name).decide(facts, other)
    found = held(told, other).flips
    assert [flip.before for flip in found] == ([told.outcome] if direct.outcome != told.outcome else [])
    assert all(flip.after in (direct.outcome, UNKNOWN) for flip in found)


def near(name):
    """The facts above: near enough to a limit that a value may cross it."""
    known = [told[1] for (section_name, _), (told, _, _) in FLIPS.items() if section_name == name]
    return st.sampled_from(known or [trained()[1]])


WATCH = [key for key in KEYS if key[0] == "post_deploy_monitoring" and key[1] not in ("watch_minutes",)]


@pytest.mark.parametrize("key", WATCH, ids=lambda key: key[1])
@RELAXED
@given(
    minutes=st.integers(1, 35),
    bad=st.integers(0, 25),
    worse_from=st.integers(1, 36),
    edition=st.integers(1, EDITION),
    stops=st.integers(1, 36),
    data=st.data(),
)
def test_whatever_was_watched_the_flips_are_those_of_decide(key, minutes, bad, worse_from, edition, stops, data):
    """The watch with its windows, which may stop before it does; how long it lasted stays as it was."""
    name, facts, then = watched(minutes, bad, worse_from=worse_from)
    facts = facts.model_copy(update={"edition": edition, "windows": facts.windows[:stops]})
    try:
        value = data.draw(drawn(type(then).model_fields[key[1]].annotation))
        other = type(then).model_validate({**then.model_dump(), key[1]: value})
    except ValidationError:
        other = then
    if key[1] == "extension_minutes":
        facts = as_far_as(facts, other)
    told = recorded(name, facts, then)
    direct = room(name).decide(facts, other)
    found = held(told, other).flips
    assert [flip.before for flip in found] == ([told.outcome] if direct.outcome != told.outcome else [])
    assert all(flip.after in (direct.outcome, UNKNOWN) for flip in found)


def test_a_shorter_watch_may_be_extended():
    """Twenty minutes see too few events, twenty-six enough: the verdict of the extension is the other policy's."""
    name, facts, policy = told_of(watched(38))
    told = recorded(name, facts, policy.model_copy(update={"minimum_events": 1_500}))
    shorter = policy.model_copy(update={"watch_minutes": 20, "minimum_events": 1_040})
    assert told.outcome == "healthy"
    assert held(told, shorter).flips == ()
    without = shorter.model_copy(update={"extension_minutes": 5})
    assert [flip.after for flip in held(told, without).flips] == ["inconclusive"]


def test_a_watch_that_had_ended_before_the_warehouse_was_away_was_answered():
    """What failed after minute 25 is nothing to a watch of 20 minutes, and everything to one of 26."""
    name, facts, policy = told_of(watched(25))
    away = {"watched_minutes": 60.0, "failed_looks": 9, "last_failure": "gone", "unanswered_since": 25.2}
    told = recorded(name, facts.model_copy(update=away), policy)
    assert told.outcome == "inconclusive"
    short, long = (policy.model_copy(update={"watch_minutes": minutes}) for minutes in (20, 26))
    assert [flip.after for flip in held(told, short).flips] == ["healthy"]
    assert held(told, long).flips == ()


def known_at(windows, *sums):
    """The looks of a watch, by minute: how many of 22 events a window were bad in all windows until then."""
    until = {minute: summed(windows[:minute]) for minute, _ in sums}
    return tuple(until[minute].model_copy(update={"tp": 22 * minute - bad, "fp": bad}) for minute, bad in sums)


def test_another_policy_is_held_against_every_look_as_it_was_known():
    """A low F1 of minute 4, mended by the labels that came since: a less patient rate would have acted on it then."""
    name, facts, policy = told_of(watched())
    facts = facts.model_copy(update={"looks": known_at(facts.windows, (2, 9), (4, 28))})
    told = recorded(name, facts, policy)
    assert told.outcome == "healthy"
    (flip,) = held(told, policy.model_copy(update={"false_rollback_rate": 0.2})).flips
    assert flip.after == "regressed"
    assert "a drop was seen at minute 4: F1 0.8108" in flip.sentence


def test_a_shorter_watch_has_the_looks_until_its_end():
    """What was seen at minute 25 was not seen in twenty minutes, and was in twenty-five."""
    name, facts, policy = told_of(watched())
    facts = facts.model_copy(update={"looks": known_at(facts.windows, (8, 30), (25, 250))})
    told = recorded(name, facts, policy)
    assert told.outcome == "regressed"
    short, long = (policy.model_copy(update={"watch_minutes": minutes}) for minutes in (20, 25))
    assert [flip.after for flip in held(told, short).flips] == ["healthy"]
    assert held(told, long).flips == ()


def test_the_one_change_that_flips_is_named():
    """Two parameters changed, and one alone brings the outcome: the other is not blamed."""
    (name, facts, policy) = trigger(0.08)
    other = policy.model_copy(update={"f1_drop_tolerance": 0.1, "psi_ceiling": 0.29})
    (flip,) = held(recorded(name, facts, policy), other).flips
    assert flip.changes == ("f1_drop_tolerance: 0.05 → 0.1",)
    both = policy.model_copy(update={"f1_drop_tolerance": 0.1, "psi_ceiling": 0.6})
    (flip,) = held(recorded(*changed(trigger(0.08), **drift(0.4))), both).flips
    assert len(flip.changes) == 2, "only together"
