"""The past under another policy: exactly the decisions flip that should, and beyond the facts nothing is claimed."""

import time
from datetime import timedelta

import pytest

from recorded_runs import NOW, gate, ready, record, smoked, swapped, trained, trigger, watched, whole_run
from retrain.errors import UsageError
from retrain.hindsight import replay
from retrain.hindsight.backtest import Backtest, backtest
from retrain.hindsight.flipped import lines, picture
from retrain.sections import blue_green_deployment, post_deploy_monitoring
from retrain.settings import load


def policies(*assignments):
    return load("sandbox", assignments=assignments)


def counts(found):
    return {count.what: (count.recorded, count.other_policy, count.unknown) for count in found.counts}


def only(found):
    """The one run that goes another way."""
    (run,) = found.changed_runs
    return run


def test_the_policy_in_force_flips_nothing(tmp_path):
    """The same policy, the same past."""
    record(tmp_path, whole_run())
    found = backtest(tmp_path, policies())
    assert (found.runs, found.verdicts, found.flips, found.changed_runs, found.caveats) == (1, 7, (), (), ())
    assert counts(found) == {"triggered": (1, 1, 0), "promoted": (1, 1, 0), "rolled back": (0, 0, 0)}


def test_a_changed_threshold_flips_exactly_what_it_should(tmp_path):
    """A tolerance of 0.08 in place of 0.05 (more triggers): drops in (0.05, 0.08] flip, both bounds exact on paper."""
    drops = [hundredths / 100 for hundredths in range(13)] + [0.0501, 0.0801]
    folders = {record(tmp_path, [trigger(drop)]).run_id: drop for drop in drops}
    found = backtest(tmp_path, policies("when_to_retrain.f1_drop_tolerance=0.08"))
    flipped = {folders[flip.run_id] for flip in found.flips}
    assert flipped == {0.0501, 0.06, 0.07, 0.08}
    for flip in found.flips:
        assert (flip.before, flip.after, flip.by_policy, flip.reached) == ("retrain", "no_action", True, True)
        assert [(check.name, check.before, check.after) for check in flip.checks] == [("Accuracy drop", "PASS", "FAIL")]
        assert flip.changes == ("f1_drop_tolerance: 0.05 → 0.08",)
    assert counts(found)["triggered"] == (9, 5, 0)


def test_a_trigger_that_would_not_have_been_ends_the_run(tmp_path):
    """What was promoted then would not have been; the later verdicts are decided, and marked as not reached."""
    record(tmp_path, whole_run())
    found = backtest(
        tmp_path, policies("when_to_retrain.f1_drop_tolerance=0.08", "evaluation_gate.precision_floor=0.95")
    )
    assert counts(found) == {"triggered": (1, 0, 0), "promoted": (1, 0, 0), "rolled back": (0, 0, 0)}
    assert (only(found).before, only(found).after, only(found).unknown_beyond) == ("deployed", "no_action", None)
    assert [(flip.section, flip.reached) for flip in found.flips] == [
        ("when_to_retrain", True),
        ("evaluation_gate", False),
    ]


def test_a_trigger_that_would_have_been_leads_beyond_the_facts(tmp_path):
    """Nobody knows what a training that was never run would have brought."""
    record(tmp_path, [trigger(0.04)])
    found = backtest(tmp_path, policies("when_to_retrain.f1_drop_tolerance=0.03"))
    assert counts(found) == {"triggered": (0, 1, 0), "promoted": (0, 0, 1), "rolled back": (0, 0, 1)}
    assert (only(found).after, only(found).unknown_beyond) == ("unknown", "prerequisites")


def test_a_gate_that_would_have_closed(tmp_path):
    """A remedy might have been tried, so the promotion is unknown and not denied."""
    record(tmp_path, whole_run())
    found = backtest(tmp_path, policies("evaluation_gate.precision_floor=0.901"))
    (flip,) = found.flips
    assert (flip.before, flip.after, flip.checks[0].name) == ("passed", "rejected", "Precision")
    assert only(found).unknown_beyond == "if_retraining_fails"
    assert counts(found)["promoted"] == (1, 0, 1)
    assert backtest(tmp_path, policies("evaluation_gate.precision_floor=0.9")).flips == ()


def test_a_gate_that_would_have_opened(tmp_path):
    """The smoke test was never made."""
    record(tmp_path, [trigger(), ready(), trained(), gate(precision=0.84)])
    found = backtest(tmp_path, policies("evaluation_gate.precision_floor=0.8"))
    assert only(found).unknown_beyond == "staging_smoke_tests"


def test_prerequisites_that_would_have_blocked(tmp_path):
    """A blocked run ends, and that is known."""
    record(tmp_path, whole_run())
    found = backtest(tmp_path, policies("prerequisites.minimum_new_samples=20001"))
    assert (only(found).after, counts(found)["promoted"]) == ("blocked", (1, 0, 0))
    assert backtest(tmp_path, policies("prerequisites.minimum_new_samples=20000")).changed_runs == ()


def test_a_watch_that_would_have_rolled_back(tmp_path):
    """The literal rule acts on one bad window; the promotion stays, the roll back itself was never seen."""
    record(tmp_path, [*whole_run()[:-1], watched(worse_from=29)])
    found = backtest(tmp_path, policies("post_deploy_monitoring.rule=literal"))
    (flip,) = found.flips
    assert (flip.before, flip.after) == ("healthy", "regressed")
    assert counts(found) == {"triggered": (1, 1, 0), "promoted": (1, 1, 0), "rolled back": (0, 0, 1)}


def test_a_longer_watch_is_unknown(tmp_path):
    """The facts end after thirty minutes."""
    record(tmp_path, whole_run())
    found = backtest(tmp_path, policies("post_deploy_monitoring.watch_minutes=60"))
    (flip,) = found.flips
    assert (flip.after, flip.reached, only(found).unknown_beyond) == ("unknown", True, "post_deploy_monitoring")


def test_a_milder_watch_is_unknown_where_the_old_one_stopped(tmp_path):
    """The roll back ended the watch after nine minutes; nobody knows the twenty that never came."""
    record(tmp_path, [*whole_run()[:-1], watched(minutes=9, worse_from=5)])
    found = backtest(tmp_path, policies("post_deploy_monitoring.f1_drop_tolerance=0.3"))
    assert [(flip.before, flip.after) for flip in found.flips] == [("regressed", "unknown")]


def test_a_shorter_watch_sees_fewer_windows(tmp_path):
    """A drop at minute 21 is none for a watch of 20 minutes, and one for a watch of 21."""
    record(tmp_path, [*whole_run()[:-1], watched(worse_from=12)])
    before = backtest(tmp_path, policies())
    assert before.flips == ()
    short = backtest(tmp_path, policies("post_deploy_monitoring.watch_minutes=20"))
    assert [(flip.before, flip.after) for flip in short.flips] == [("regressed", "healthy")]
    assert backtest(tmp_path, policies("post_deploy_monitoring.watch_minutes=21")).flips == ()


def test_an_inconclusive_watch_goes_where_the_policy_says(tmp_path):
    """No verdict flips, and yet the run goes another way."""
    thin = post_deploy_monitoring.Policy(minimum_events=5000)
    record(tmp_path, [*whole_run()[:-1], watched(policy=thin)])
    same = ("post_deploy_monitoring.minimum_events=5000",)
    assert backtest(tmp_path, policies(*same)).changed_runs == ()
    found = backtest(tmp_path, policies(*same, "post_deploy_monitoring.on_inconclusive=roll_back"))
    assert (found.flips, only(found).unknown_beyond) == ((), "rollback")


def test_an_act_that_was_never_sent_is_unknown(tmp_path):
    """Without the approval that was asked for then, the swap would have been sent, and nobody knows how it went."""
    waits = blue_green_deployment.Policy(approval="required")
    record(tmp_path, [*whole_run()[:5], swapped(waits, sent=False)])
    found = backtest(tmp_path, policies())
    assert [(flip.before, flip.after) for flip in found.flips] == [("awaiting_approval", "unknown")]
    assert only(found).unknown_beyond == "blue_green_deployment"


def test_an_act_that_would_have_waited(tmp_path):
    """The run would have stopped for an approval, before the swap."""
    record(tmp_path, [trigger(), ready(), trained(), gate(), smoked(), swapped()])
    found = backtest(tmp_path, policies("blue_green_deployment.approval=required"))
    assert (only(found).after, counts(found)["promoted"]) == ("awaiting_approval", (1, 0, 0))


def test_since_is_inclusive_and_leaves_out_what_tells_no_instant(tmp_path):
    """Runs before the instant are left out, and runs that do not tell theirs."""
    for at in (NOW - timedelta(seconds=1), NOW, NOW + timedelta(days=1), None):
        record(tmp_path, [trigger()], at=at)
    assert backtest(tmp_path, policies(), since=NOW).runs == 2
    assert backtest(tmp_path, policies()).runs == 4


def test_other_facts_are_a_caveat(tmp_path):
    """Another window of F1 would have brought another F1, which nobody has."""
    record(tmp_path, [trigger()])
    (caveat,) = backtest(tmp_path, policies("when_to_retrain.f1_window_days=14")).caveats
    assert "f1_window_days is 14, but the facts were gathered with 7 (in 1 runs)" in caveat


def test_the_runs_after_the_first_that_turns_are_counted(tmp_path):
    """What the other policy would have done differently is not in the facts of the runs after it."""
    for model in ("one", "one", "one", "two"):
        record(tmp_path, [trigger()], model=model)
    (caveat,) = backtest(tmp_path, policies("when_to_retrain.f1_drop_tolerance=0.5")).caveats
    assert caveat.startswith("the facts of 2 runs after")


def test_a_doctored_verdict_is_not_the_policy(tmp_path):
    """Where today's rules alone decide otherwise, the flip says so."""
    record(tmp_path, [trigger()], change=lambda body: body["verdict"].update(outcome="no_action"))
    (flip,) = backtest(tmp_path, policies()).flips
    assert (flip.by_policy, flip.changes) == (False, ())


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["facts"].update(f1="good"),
        lambda body: body["policy"].update(schedule="never"),
        lambda body: body["verdict"].pop("checks"),
        lambda body: body["verdict"].update(checks=[{"name": "Accuracy drop"}]),
        lambda body: body["verdict"].update(checks=None),
    ],
    ids=["facts", "policy", "no checks", "checks without a status", "checks that are none"],
)
@pytest.mark.parametrize("other", [(), ("when_to_retrain.f1_drop_tolerance=0.5",)], ids=["the same", "one that flips"])
def test_what_does_not_read_is_an_error(tmp_path, change, other):
    """One clear message names the run and the section, whether or not anything would flip."""
    folder = record(tmp_path, [trigger()], change=change)
    with pytest.raises(UsageError, match=f"{folder.run_id}: when_to_retrain cannot be decided again"):
        backtest(tmp_path, policies(*other))


def test_no_past_is_said(tmp_path):
    """An empty record proves nothing, in words and in the picture."""
    found = backtest(tmp_path, policies())
    assert (found.runs, found.verdicts) == (0, 0)
    assert list(lines(found)) == ["There are no past facts to decide on."]
    assert "no past facts" in picture(found).text


def test_the_result_survives_json_and_is_shown(tmp_path):
    """A table, JSON and a picture say the same."""
    for drop in (0.06, 0.07, 0.2):
        record(tmp_path, [trigger(drop)])
    found = backtest(tmp_path, policies("when_to_retrain.f1_drop_tolerance=0.1"))
    assert Backtest.model_validate_json(found.model_dump_json()) == found
    shown = picture(found)
    assert shown.png.startswith(b"\x89PNG")
    assert "2 of 3 verdicts in 3 runs flip" in shown.text
    told = list(lines(found, shown=1))
    assert told[0] == "2 of 3 verdicts in 3 runs flip, and 2 runs go another way."
    assert told[3].split() == ["triggered", "3", "1", "0"]
    assert told[7].startswith("when_to_retrain: retrain → no_action   2013-06-10 12:00 UTC, run ")
    assert told[8] == "  Accuracy drop: PASS → FAIL (F1 fell 0.06 below its baseline 0.9, not more than 0.1)"
    assert told[9] == "  because f1_drop_tolerance: 0.05 → 0.1"
    assert "showing 1 of 2; --json has all" in told


def test_a_year_of_hourly_checks_takes_seconds(tmp_path):
    """Measured on 300 runs of the 8,760, with room for a slow machine; bench_hindsight.py reads a whole one."""
    run = replay.facts_of(record(tmp_path, [trigger()]))
    began = time.process_time()
    found = backtest((run for _ in range(300)), policies("when_to_retrain.psi_ceiling=0.2"))
    assert found.runs == 300
    assert (time.process_time() - began) * 8760 / 300 < 60
