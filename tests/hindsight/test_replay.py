"""A past decision is made again from its record: identical, or the difference is shown. Empty is never identical."""

import json

import pytest

from chained import append, begun
from recorded_runs import NOW, body_of, ready, record, section, smoked, trigger, whole_run
from retrain.errors import UsageError
from retrain.facts import Effect, FeatureDrift, Slots
from retrain.hindsight import replay
from retrain.hindsight.differences import MISSING, Difference, differences
from retrain.hindsight.replay import ReplayedAll
from retrain.hindsight.telling import lines
from retrain.ledger import LedgerError
from retrain.record import records
from retrain.sections import decision_record, staging_smoke_tests, when_to_retrain
from retrain.sections.related import model_drift

GONE = {"name": "Moon phase", "requirement": "waxing", "observed": "waning", "status": "FAIL", "reason": ""}


def only(replayed):
    """The differences of the first verdict that has some."""
    return next(verdict.differences for verdict in replayed.verdicts if verdict.differences)


def doctored(tmp_path, change):
    """A run of one trigger whose body was changed after it was decided."""
    return replay.replay(record(tmp_path, [trigger()], change=change))


def test_a_whole_run_is_identical(tmp_path):
    """Every section of a run, its decision record and a related runbook among them, decides as it did."""
    told = whole_run()
    verdicts = tuple(replay.room(name).decide(facts, policy) for name, facts, policy in told)
    effects = (Effect(effect="swap", sent=True, outcome="applied", observed_by="attested"),)
    page = section("decision_record", decision_record.Facts(verdicts=verdicts, effects=effects))
    drift = (FeatureDrift(feature="x", psi=0.4, reference_rows=900, current_rows=900),)
    period = model_drift.Period(start=NOW, end=NOW, features=drift)
    related = section("model_drift", model_drift.Facts(now=NOW, periods=(period,)))
    found = replay.replay(record(tmp_path, [*told, page, related]))
    assert (found.status, found.exit_code, len(found.verdicts)) == ("identical", 0, 9)
    assert [verdict.outcome for verdict in found.verdicts[:3]] == ["retrain", "ready", "trained"]


@pytest.mark.parametrize(
    ("change", "difference", "decides"),
    [
        (lambda told: told.update(outcome="no_action"), ("outcome", "no_action", "retrain"), True),
        (lambda told: told["checks"][0].update(status="FAIL"), ("checks[Accuracy drop].status", "FAIL", "PASS"), True),
        (lambda told: told["checks"].insert(0, GONE), ("checks[Moon phase]", GONE, MISSING), True),
        (lambda told: told.update(section="training"), ("section", "training", "when_to_retrain"), True),
        (lambda told: told.pop("flip"), ("flip", MISSING, None), False),
        (lambda told: told.update(extra=None), ("extra", None, MISSING), False),
        (lambda told: told["checks"].pop(0), ("checks[Accuracy drop]", MISSING, None), False),
        (lambda told: told.update(deviations=None), ("deviations", None, []), False),
        (lambda told: told["checks"].reverse(), ("checks in order", None, None), False),
    ],
    ids=["outcome", "check", "check gone", "section", "name gone", "name added", "check added", "null", "order"],
)
def test_a_doctored_verdict_is_shown(tmp_path, change, difference, decides):
    """Whatever was changed is a difference at its own place, and only there; a check is held against its namesake.

    Where neither the outcome nor the status of a recorded check differs, the decision is the same in other words.
    """
    found = doctored(tmp_path, lambda body: change(body["verdict"]))
    (shown,) = only(found)
    path, recorded, recomputed = difference
    assert (found.status, found.exit_code) == ("different", 1)
    assert shown.path == path
    assert recorded is None or shown.recorded == recorded
    assert recomputed is None or shown.recomputed == recomputed
    assert (shown.decides, found.verdicts[0].decides_otherwise) == (decides, decides)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["facts"].update(f1=0.85),
        lambda body: body["policy"].update(f1_drop_tolerance=0.08),
    ],
    ids=["facts", "policy"],
)
def test_doctored_facts_and_policies_change_the_verdict(tmp_path, change):
    """A drop of exactly 0.05, or a tolerance of exactly the drop, is no trigger: the recorded retraining stands out."""
    assert Difference(path="outcome", recorded="retrain", recomputed="no_action") in only(doctored(tmp_path, change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body["facts"].update(f1="good"), "valid number"),
        (lambda body: body["facts"].update(f2=1.0), "f2"),
        (lambda body: body["facts"].pop("now"), "now"),
        (lambda body: body["policy"].update(schedule="never"), "cron"),
        (lambda body: body.update(section="when_to_retire"), "Did you mean"),
    ],
    ids=["type", "unknown", "missing", "policy", "section"],
)
def test_what_does_not_read_is_different(tmp_path, change, says):
    """Facts, policies and sections that today's types do not know are shown, never passed over."""
    (shown,) = only(doctored(tmp_path, change))
    assert shown.recomputed.startswith("cannot be decided again")
    assert says in shown.recomputed


def test_facts_of_an_older_release_may_lack_what_came_later(tmp_path):
    """A name with a default may be missing in facts and in policies."""

    def older(body):
        body["facts"].pop("request")
        body["policy"].pop("cooldown_hours")

    assert doctored(tmp_path, older).status == "identical"


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (None, MISSING), ([], {}), ("", None)])
def test_values_of_another_type_differ(one, other):
    """1, 1.0 and true are three values, and null is not nothing."""
    assert list(differences(one, other, "rows")) == [Difference(path="rows", recorded=one, recomputed=other)]


def test_a_run_without_verdicts_is_empty(tmp_path):
    """No verdict is nothing to hold against: empty, with an exit code of its own."""
    found = replay.replay(record(tmp_path, []))
    assert (found.status, found.exit_code, found.verdicts) == ("empty", 5, ())


def test_no_runs_at_all_are_empty(tmp_path):
    """An empty folder is never identical; a run without verdicts beside an identical one does no harm."""
    assert replay.replay_all(tmp_path).exit_code == 5
    record(tmp_path, [])
    assert replay.replay_all(tmp_path).status == "empty"
    record(tmp_path, [trigger()])
    assert replay.replay_all(tmp_path).status == "identical"


def test_one_different_run_makes_all_different(tmp_path):
    """The worst run decides; a model may be replayed alone; the result survives JSON."""
    record(tmp_path, [trigger()], model="one")
    record(tmp_path, [trigger()], model="two", change=lambda body: body["verdict"].update(sentence="Retrain."))
    found = replay.replay_all(tmp_path)
    assert (found.status, found.exit_code, found.verdicts) == ("different", 1, 2)
    assert replay.replay_all(tmp_path, "one").status == "identical"
    assert ReplayedAll.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("damage", ["cut", "removed", "another"])
def test_damage_is_an_error(tmp_path, damage):
    """A verdict that was cut out, cut short or replaced is never overlooked."""
    folder = record(tmp_path, [trigger(), ready()])
    entries = sorted((tmp_path / "flights" / "entries").iterdir())
    verdict = entries[2]
    {
        "cut": lambda: verdict.write_bytes(verdict.read_bytes()[:40]),
        "removed": verdict.unlink,
        "another": lambda: verdict.write_bytes(entries[1].read_bytes()),
    }[damage]()
    with pytest.raises(LedgerError, match=r"0000000[34]"):
        replay.replay(records.at(tmp_path, "flights", folder.run_id))


def test_a_verdict_without_facts_is_an_error(tmp_path):
    """An entry that holds a verdict alone cannot be replayed, and says so."""
    folder = record(tmp_path, [trigger()], change=lambda body: body.pop("facts"))
    with pytest.raises(UsageError, match="facts, policy and verdict"):
        replay.replay(folder)


def test_words_in_a_body_are_not_taken_for_a_kind(tmp_path):
    """Only an entry's own kind counts."""
    folder = begun(tmp_path, "flights", {})
    append(folder, "note", {"says": {"kind": "verdict"}})
    append(folder, "verdict", body_of(*trigger()))
    assert len(replay.facts_of(folder).verdicts) == 1


SWAPPED = {"slots": Slots(active="v2", standby="v1", attested=True), "answered_by": "active"}


def smoked_again(tmp_path, change=lambda body: None, **parameters):
    """A run that repeated its smoke test after the swap, of which ``change`` doctors the entry."""
    policy = staging_smoke_tests.Policy(**parameters)
    facts = smoked()[1].model_copy(update=SWAPPED)
    verdict = staging_smoke_tests.after_swap(facts, policy)
    told = {"facts": facts, "policy": policy, "verdict": verdict}
    body = {name: value.model_dump(mode="json") for name, value in told.items()}
    change(body)
    in_force = {"staging_smoke_tests": policy.model_dump(mode="json")}
    folder = begun(tmp_path, "flights", {"now": NOW.isoformat(), "parameters": in_force})
    append(folder, "verdict", body_of(*trigger()))
    append(folder, "smoke_again", body)
    return folder


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda body: body["verdict"].update(outcome="smoke_failed"), "outcome"),
        (lambda body: body["verdict"]["checks"][-1].update(status="FAIL"), "checks[Candidate is active].status"),
        (lambda body: body["verdict"].update(section="training"), "section"),
        (lambda body: body["facts"].update(latencies_seconds=[2.0] * 100), "outcome"),
        (lambda body: body["policy"].update(latency_p99_ceiling_seconds=0.001), "outcome"),
    ],
    ids=["outcome", "check", "section", "facts", "policy"],
)
def test_a_doctored_smoke_test_after_the_swap_is_shown(tmp_path, change, path):
    """It opens or closes the swap as any verdict does, and is decided again by the rule for the active slot."""
    assert replay.replay(smoked_again(tmp_path / "whole")).status == "identical"
    folder = smoked_again(tmp_path / "doctored", change)
    found = replay.replay(folder)
    assert (found.status, found.exit_code) == ("different", 1)
    assert [(verdict.kind, verdict.decides_otherwise) for verdict in found.verdicts] == [
        ("verdict", False),
        ("smoke_again", True),
    ]
    assert path in [difference.path for difference in only(found)]
    assert next(lines(found)).startswith(f"{folder.run_id} staging_smoke_tests after the swap: was ")


def test_a_smoke_test_after_the_swap_without_a_policy_had_that_of_its_run(tmp_path):
    """Release 0.1.0 kept none with it; a run that tells no parameters either cannot be replayed."""
    strict = {"latency_p99_ceiling_seconds": 0.005}
    found = replay.replay(smoked_again(tmp_path / "strict", lambda body: body.pop("policy"), **strict))
    assert (found.status, found.verdicts[-1].outcome) == ("identical", "smoke_failed")
    folder = begun(tmp_path / "bare", "flights", {"now": NOW.isoformat()})
    append(folder, "smoke_again", {"facts": {}, "verdict": {}})
    with pytest.raises(UsageError, match="parameters"):
        replay.replay(folder)


def test_facts_of_tells_the_instant(tmp_path):
    """The environment's instant comes from the opening; None where it was not told."""
    assert replay.facts_of(record(tmp_path, [])).at == NOW
    assert replay.facts_of(record(tmp_path, [], at=None)).at is None


def test_what_is_decided_otherwise_is_told_whole(tmp_path):
    """Run, section, both outcomes, and under it each place with both values, uncut; the last line counts."""
    reason = "F1 fell " + "further and " * 40

    def change(body):
        body["verdict"].update(outcome="no_action")
        body["verdict"]["checks"][0].update(reason=reason)

    found = doctored(tmp_path, change)
    told = list(lines(found))
    assert told[0] == f"{found.run_id} when_to_retrain: was no_action, is retrain"
    assert told[1:3] == ["  checks[Accuracy drop].reason", f"    recorded  {reason}"]
    assert told[3].startswith("    today     F1 fell 0.08 below")
    assert told[-1] == "different: 1 verdict of 1 run; 1 decided otherwise, 0 the same in other words"


def test_where_only_words_differ_one_example_stands_for_all(tmp_path):
    """A release that words a reason otherwise does not bury the one decision that it makes otherwise."""
    for _ in range(3):
        record(tmp_path, [trigger()], change=lambda body: body["verdict"].update(sentence="Retrain\x1b[2J."))
    other = record(tmp_path, [trigger()], change=lambda body: body["verdict"].update(outcome="no_action"))
    told = list(lines(replay.replay_all(tmp_path)))
    assert told[0].startswith(other.run_id)
    (place,) = [place for place, line in enumerate(told) if "the same decision, and another sentence" in line]
    assert "in 3 verdicts" in told[place]
    assert told[place + 1] == '    recorded  "Retrain\\u001b[2J."', "a record does not steer a terminal"
    assert told[-1] == "different: 4 verdicts of 4 runs; 1 decided otherwise, 3 the same in other words"


def test_who_recorded_it_is_said_where_it_was_another_release(tmp_path):
    """A difference to an older release is to be expected; one to today's own is a defect."""
    found = doctored(tmp_path, lambda body: body["verdict"].update(sentence="Retrain."))
    assert "recorded by" not in "\n".join(lines(found))
    assert list(lines(found.model_copy(update={"recorded_by": "0.0.9"})))[-1].startswith("recorded by retrain 0.0.9;")


def test_decisions_under_another_policy(tmp_path):
    """``decided`` takes the policy given in place of the recorded one."""
    recorded = replay.facts_of(record(tmp_path, [trigger()])).verdicts[0]
    assert json.loads(json.dumps(recorded.policy)) == recorded.policy
    assert replay.decided(recorded).outcome == "retrain"
    assert replay.decided(recorded, when_to_retrain.Policy(f1_drop_tolerance=0.08)).outcome == "no_action"
