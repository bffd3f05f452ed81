"""What a policy does at a team's traffic: the rules simulated are the library's own, run by run."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy
import pytest
from pydantic import ValidationError

from retrain.checks import Status
from retrain.errors import UsageError
from retrain.facts import FeatureDrift, Metrics, Window
from retrain.hindsight.choices import sample_choices
from retrain.hindsight.simulate import Simulated, simulate
from retrain.hindsight.simulated import picture, print_simulation
from retrain.hindsight.traffic import Traffic, draw_scores, draw_watch, judge_gate, judge_watch, windows_of
from retrain.judgement import power
from retrain.sections import evaluation_gate, post_deploy_monitoring, staging_smoke_tests, when_to_retrain
from retrain.settings import load
from retrain.statistics import operating, psi, sequential
from retrain.statistics.intervals import jaccard_of

NOW = datetime(2013, 6, 10, 12, tzinfo=UTC)


def policies(*assignments):
    return load("sandbox", assignments=assignments)


def window(minute, rows, slow, requests):
    """A row of MODEL_METRICS as the simulation draws it, with the p99 that its slow requests give (nearest rank)."""
    tp, fp, fn, tn = (int(each) for each in rows)
    rank = -(-99 * requests // 100)
    return Window(
        window_start=NOW + timedelta(minutes=minute - 1),
        window_end=NOW + timedelta(minutes=minute),
        version="v2",
        tp=tp,
        fp=fp,
        fn=fn,
        tn=tn,
        requests=requests,
        slow_requests=int(slow),
        latency_p99_seconds=1.0 if requests - int(slow) < rank else 0.1,
    )


def judged(check):
    """The minute in which a check failed, 0 for never, and whether it stayed open."""
    found = re.search(r"at minute (\d+)", check.reason) if check.status is Status.FAIL else None
    return (int(found[1]) if found else 0), check.status is Status.INCONCLUSIVE


def decided(policy, baseline, rows, slow, requests):
    """What the section itself says of one run."""
    windows = [window(minute, *each, requests) for minute, each in enumerate(zip(rows, slow, strict=True), start=1)]
    facts = post_deploy_monitoring.Facts(
        swapped_at=NOW, watched_minutes=30, candidate_version="v2", baseline_f1=baseline, windows=tuple(windows)
    )
    f1, latency, _ = post_deploy_monitoring.decide(facts, policy).checks
    return judged(f1), judged(latency)


TRAFFICS = {
    "usual": Traffic(),
    "few": Traffic(requests_per_minute=9, slow_share=0.02),
    "empty windows": Traffic(requests_per_minute=2, prevalence=0.2, slow_share=0.1),
    "little labelled": Traffic(labelled_share=0.1, slow_share=0.012),
}
POLICIES = {
    "exact": {},
    "alpha": {"false_rollback_rate": 0.4, "minimum_events": 300, "minimum_requests": 3001},
    "consecutive": {"rule": "consecutive"},
    "literal": {"rule": "literal"},
    "another ceiling": {"latency_p99_ceiling_seconds": 0.5},
}


@pytest.mark.parametrize("traffic", TRAFFICS)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_run_is_judged_as_the_section_judges_it(traffic, policy):
    """Minute of the roll back and what stays open, for F1 and latency, are those of ``decide``, run by run."""
    ours, rule = TRAFFICS[traffic], post_deploy_monitoring.Policy(**POLICIES[policy])
    for place, drop in enumerate((0.0, 0.05, 0.12)):
        rng = numpy.random.default_rng([7, place])
        slow_share = ours.slow_share * (1 + 2 * place)
        rows, slow, requests = draw_watch(rng, rule, ours, runs=4, drop=drop, slow_share=slow_share)
        rows, slow = rows[:, :30], slow[:, :30]
        found = judge_watch(rule, baseline=ours.baseline, rows=rows, slow=slow, requests=requests)
        for run in range(4):
            f1 = (int(found.f1_seen[run]), bool(found.f1_open[run] and not found.f1_seen[run]))
            latency = (int(found.latency_seen[run]), bool(found.latency_open[run] and not found.latency_seen[run]))
            assert (f1, latency) == decided(rule, ours.baseline, rows[run], slow[run], requests)


def stepped(policy, baseline, rows, slow, requests):
    """The outcome of one watch and the minute of its end, looked at after every window as a run looks."""
    windows = tuple(window(minute, *each, requests) for minute, each in enumerate(zip(rows, slow, strict=True), 1))
    because = None
    for minute in range(1, len(windows) + 1):
        facts = post_deploy_monitoring.Facts(
            edition=post_deploy_monitoring.EDITION,
            swapped_at=NOW,
            watched_minutes=minute,
            candidate_version="v2",
            baseline_f1=baseline,
            windows=windows[:minute],
            extended_because=because,
        )
        outcome = post_deploy_monitoring.decide(facts, policy).outcome
        if outcome != "watching":
            return outcome, minute
        because = because or post_deploy_monitoring.why_extended(facts, policy)
    raise AssertionError("the watch never ended")


@pytest.mark.parametrize(
    ("traffic", "policy"),
    [
        (Traffic(requests_per_minute=9, slow_share=0.02), {"watch_minutes": 10, "extension_minutes": 12}),
        (Traffic(requests_per_minute=40, slow_share=0.012), {"watch_minutes": 8, "extension_minutes": 20}),
        (Traffic(requests_per_minute=40, slow_share=0.01), {"watch_minutes": 8, "rule": "consecutive"}),
        (Traffic(), {"watch_minutes": 10, "extension_minutes": 5, "f1_drop_tolerance": 0.9}),
    ],
)
def test_an_extended_watch_ends_where_the_sections_does(traffic, policy):
    """Outcome and last minute of every run, looked at window after window; some are extended and some settled then."""
    rule = post_deploy_monitoring.Policy(**policy)
    windows, ends = windows_of(rule, traffic), set()
    for place, drop in enumerate((0.0, 0.05)):
        rng = numpy.random.default_rng([9, place])
        rows, slow, requests = draw_watch(rng, rule, traffic, runs=8, drop=drop, slow_share=traffic.slow_share)
        drawn = {"rows": rows, "slow": slow, "requests": requests}
        found = judge_watch(rule, baseline=traffic.baseline, windows=windows, **drawn)
        for run in range(8):
            seen, opened = int(found.seen[run]), bool(found.inconclusive[run])
            outcome = "regressed" if seen else "inconclusive" if opened else "healthy"
            ended = seen or int(found.ended[run])
            assert (outcome, ended) == stepped(rule, traffic.baseline, rows[run], slow[run], requests)
            ends.add(ended > windows)
    assert True in ends or rule.f1_drop_tolerance == 0.9


def test_the_stated_power_is_the_simulated_one():
    """What the verdict says that it would have seen is how often thirty windows of 22 events do see it."""
    policy, runs = post_deploy_monitoring.Policy(), 20_000
    events = [22 * look for look in range(1, 31)]
    facts = post_deploy_monitoring.Facts(swapped_at=NOW, baseline_f1=0.88, edition=post_deploy_monitoring.EDITION)
    for drop in (0.03, 0.05, 0.07):
        tp = numpy.random.default_rng(71).binomial(22, jaccard_of(0.88 - drop), size=(runs, 30))
        rows = numpy.stack([tp, 22 - tp, 0 * tp, 0 * tp], axis=2)
        found = judge_watch(policy, baseline=0.88, rows=rows, slow=0 * tp, requests=100)
        stated = power.chance_to_see_drop(post_deploy_monitoring.watch_of(facts, policy), events, Decimal(str(drop)))
        assert (found.f1_seen > 0).mean() == pytest.approx(stated, abs=4 * (stated * (1 - stated) / runs) ** 0.5)


@pytest.mark.parametrize(
    ("ceiling", "concentration"), [(1 - jaccard_of(0.88), 2), (0.01, 20), (0.5, 1), (0.97, 3), (0.0, 1)]
)
def test_where_the_test_acts_is_the_test(ceiling, concentration):
    """The fewest bad events, count by count and in any order, are those of ``fewest_bad``."""
    events = numpy.array([[700, 3, 40], [0, 1, 41], [2, 3000, 40]])
    found = operating.acts_from(events, ceiling, alpha=0.025, concentration=concentration)
    for number, fewest in zip(events.flat, found.flat, strict=True):
        known = sequential.fewest_bad(int(number), ceiling, alpha=0.025, concentration=concentration)
        assert fewest == (number + 1 if known is None else known)


def test_bad_windows_in_a_row():
    """A window without a figure neither breaks nor lengthens a row; the first full row counts."""
    bad = numpy.array([[1, 1, 0, 1, 1], [1, 1, 1, 0, 1], [1, 0, 1, 0, 1]], dtype=bool)
    told = numpy.array([[1, 1, 0, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]], dtype=bool)
    seen, row = operating.first_in_a_row(bad, told, 3)
    assert seen.tolist() == [4, 3, 0]
    assert row[:, -1].tolist() == [4, 1, 0]
    assert row[0].tolist() == [1, 2, 2, 3, 4]


def test_psi_of_many_is_psi():
    """The same formula, smoothing included."""
    reference, current = [100, 50, 0, 7], [80, 66, 3, 0]
    assert operating.psi_of(reference, [current])[0] == pytest.approx(psi.psi(reference, current), rel=1e-12)


def test_the_gate_is_the_gate():
    """Candidates scored by chance pass and fail as ``evaluation_gate.decide`` says, row by row."""
    traffic, policy = Traffic(holdout_rows=400, precision=0.86, recall=0.82), evaluation_gate.Policy()
    rng = numpy.random.default_rng(11)
    candidates, productions = draw_scores(rng, traffic, runs=20, drop=0.0)
    passed = judge_gate(policy, candidates, productions)
    assert 0 < passed.sum() < 20
    for ours, theirs, mine in zip(candidates, productions, passed, strict=True):
        facts = evaluation_gate.Facts(candidate=metrics("v2", ours), production=metrics("v1", theirs))
        assert (evaluation_gate.decide(facts, policy).outcome == "passed") == mine


def metrics(version, counts):
    tp, fp, fn, tn = (int(each) for each in counts)
    figures = {"f1": 2 * tp / (2 * tp + fp + fn), "precision": tp / (tp + fp), "recall": tp / (tp + fn)}
    return Metrics(version=version, auc_roc=0.9, latency_p99_seconds=0.1, tp=tp, fp=fp, fn=fn, tn=tn, **figures)


@pytest.mark.parametrize("rest", [0, 30])
def test_the_f1_trigger_is_the_trigger(rest):
    """Check by check, with the window begun anew after each trigger, as ``when_to_retrain.decide`` says."""
    shares, steps, a_step = (0.17, 0.03, 0.03, 0.77), 120, 20.0
    policy = when_to_retrain.Policy(f1_minimum_labels=100, cooldown_hours=rest)
    drawn = numpy.random.default_rng(3).poisson([a_step * share for share in shares], size=(2, steps, 4))
    found = operating.false_f1_triggers(
        numpy.random.default_rng(3),
        runs=2,
        steps=steps,
        labels_a_step=a_step,
        shares=shares,
        window_steps=24,
        rest_steps=rest,
        minimum_labels=100,
        limit=0.85,
    )
    assert found.sum() > 0
    for run in range(2):
        began = count = 0
        for step in range(1, steps + 1):
            tp, fp, fn, tn = (int(each) for each in drawn[run, max(step - 24, began) : step].sum(axis=0))
            trained = NOW + timedelta(hours=began)
            facts = when_to_retrain.Facts(
                now=NOW + timedelta(hours=step),
                baseline_f1=0.9,
                f1=2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
                f1_labels=tp + fp + fn + tn,
                last_trained_at=trained,
            )
            if when_to_retrain.decide(facts, policy).checks[0].status is Status.PASS:
                began, count = step, count + 1
        assert count == found[run]


def test_drift_without_drift():
    """PSI of few rows passes a low ceiling by chance, that of many never 0.3; too few rows give no verdict."""

    def triggers(rows, ceiling, **more):
        how = {"runs": 5, "days": 40, "reference_rows": 5000, "features": 3, "bins": 10, "window_days": 28}
        how |= {"rest_days": 0, "minimum_rows": 300, "by_maximum": False, **more}
        return operating.false_drift_triggers(
            numpy.random.default_rng(1), rows_a_day=rows, ceiling=ceiling, **how
        ).sum()

    assert triggers(100, 0.3) == 0
    assert triggers(100, 0.005) > triggers(100, 0.005, rest_days=10) > 0
    assert triggers(100, 0.04, by_maximum=True) >= triggers(100, 0.04)
    assert triggers(10, 0.001) == 0
    assert triggers(100, 0.001, reference_rows=299) == 0


def test_psi_without_drift_is_as_large_as_the_section_prints():
    """The simulated PSI has the mean (B − 1)(1/n + 1/M)."""
    rng, rows, reference = numpy.random.default_rng(5), 2000, 10_000
    shares = rng.dirichlet(numpy.full(10, reference / 10), size=4000)
    found = operating.psi_of([reference / 10] * 10, rng.multinomial(rows, shares)).mean()
    assert found == pytest.approx(psi.expected_without_drift(10, reference, rows), rel=0.05)
    assert FeatureDrift(feature="x", psi=found, reference_rows=reference, current_rows=rows).bins == 10


@pytest.fixture(scope="module")
def simulated():
    return simulate(policies(), Traffic(labels_per_day=100), seed=1, runs=400)


def value(simulated, what):
    (row,) = [row for row in simulated.rows if row.what == what]
    return row.value


def test_the_same_seed_gives_the_same(simulated):
    """A simulation can be repeated, and another seed is another simulation."""
    assert simulate(policies(), Traffic(labels_per_day=100), seed=1, runs=400) == simulated
    assert simulate(policies(), Traffic(labels_per_day=100), seed=2, runs=400) != simulated


def test_the_result_survives_json_and_is_shown(simulated, capsys):
    """Rows, curves and a picture; what was assumed stands with them."""
    assert Simulated.model_validate_json(simulated.model_dump_json()) == simulated
    shown = picture(simulated)
    assert shown.png.startswith(b"\x89PNG")
    assert "healthy model: rolled back" in shown.text
    print_simulation(simulated)
    assert "Assumed: rows are independent" in " ".join(capsys.readouterr().out.split())


def test_the_characteristics_are_plausible(simulated):
    """Few healthy models are rolled back, larger drops are seen sooner, worse candidates pass less often."""
    assert value(simulated, "healthy model: rolled back") <= 0.02
    late = [value(simulated, f"F1 lower by {drop}: seen after") for drop in (0.1, 0.15, 0.2)]
    assert late == sorted(late, reverse=True)
    assert [point.y for point in simulated.gate] == sorted((point.y for point in simulated.gate), reverse=True)
    assert value(simulated, "false retrainings by F1, at 100 labels a day") > 0
    assert all(row.low <= row.value <= row.high for row in simulated.rows if row.low is not None)


@pytest.mark.parametrize("labels", [100, 200])
def test_what_the_triggers_state_is_about_what_is_simulated(labels):
    """The figures that a verdict states stand beside those of simulated years: one function each."""
    found = simulate(policies(), Traffic(labels_per_day=labels), seed=4, runs=800)
    for what in (f"by F1, at {labels} labels a day", "by drift, at 144,000 rows a day"):
        stated = value(found, f"false retrainings {what}")
        (simulated,) = [row for row in found.rows if row.what == f"false retrainings {what}, simulated"]
        assert stated == pytest.approx(simulated.value, rel=0.5, abs=simulated.high - simulated.value + 1e-9)


def test_a_policy_can_be_chosen_by_looking():
    """A larger α sees more and errs more; a policy that rolls back the inconclusive does so at this traffic."""
    traffic = Traffic(requests_per_minute=10)

    def healthy(*assignments):
        found = simulate(policies(*assignments), traffic, seed=3, runs=400)
        return value(found, "healthy model: rolled back"), value(found, "F1 lower by 0.1: rolled back")

    usual = healthy()
    bolder = healthy("post_deploy_monitoring.false_rollback_rate=0.5")
    assert bolder[0] > usual[0]
    assert bolder[1] > usual[1]
    assert healthy("post_deploy_monitoring.on_inconclusive=roll_back")[0] > usual[0]


def test_the_curve_to_choose_by_holds_the_policys_own_point(simulated):
    """A larger α rolls back more healthy versions and sees a drop no later; more windows in a row the other way."""
    own = [choice for choice in simulated.watch_choices if choice.in_force]
    assert [(choice.setting, choice.value) for choice in own] == [("false_rollback_rate", 0.05)]
    for setting, sign in (("false_rollback_rate", 1), ("consecutive_windows", -1)):
        line = [choice for choice in simulated.watch_choices if choice.setting == setting]
        assert len(line) >= 5
        false = [sign * choice.healthy_rolled_back for choice in line]
        minutes = [-sign * (choice.minutes or 99) for choice in line]
        assert (false, minutes) == (sorted(false), sorted(minutes))


def test_the_number_of_sample_predictions_can_be_chosen():
    """Half the budget passes and twice the budget does not, the better the more are sent; 299 prove it, none slow."""
    by_point = {choice.predictions: choice for choice in sample_choices(staging_smoke_tests.Policy())}
    assert by_point[100].in_force
    assert by_point[100].passes_at_half == pytest.approx(0.9102, abs=1e-4)
    assert by_point[100].passes_at_twice == pytest.approx(0.4033, abs=1e-4)
    assert by_point[100].proves == pytest.approx(0.0295, abs=1e-4)
    proven = {choice.predictions: choice for choice in sample_choices(staging_smoke_tests.Policy(prove_p99=True))}
    assert [number for number, choice in proven.items() if choice.in_force] == [299]
    assert proven[299].passes_at_half == pytest.approx(0.995**299, rel=1e-9)
    assert (proven[200].passes_at_half, by_point[200].passes_at_half > 0.9) == (0, True)
    assert all(proven[number].passes_at_twice <= 0.05 for number in proven)


def test_tables_and_picture_say_what_to_choose(simulated, capsys):
    """A newcomer finds the policy's own setting marked, and every table named."""
    print_simulation(simulated)
    told = " ".join(capsys.readouterr().out.split())
    for named in (
        "The watch after a swap",
        "Other settings of the watch",
        "Sample predictions",
        "The gate",
        "Triggers",
    ):
        assert named in told
    assert "▸ false_rollback_rate 0.05" in told
    assert "▸ 100" in told


@pytest.mark.parametrize(
    "impossible", [{"prevalence": 0}, {"precision": 0.1, "recall": 1, "prevalence": 0.5}, {"baseline_f1": 1.1}]
)
def test_impossible_traffic_is_refused(impossible):
    """No model finds more false positives than there are negatives."""
    with pytest.raises(ValidationError):
        Traffic(**impossible)


def test_what_cannot_be_simulated_is_refused():
    """A window longer than the watch, and no runs at all."""
    with pytest.raises(UsageError, match="no window would be seen"):
        simulate(policies(), Traffic(window_minutes=31))
    with pytest.raises(UsageError, match="at least one run"):
        simulate(policies(), Traffic(), runs=0)
    assert windows_of(post_deploy_monitoring.Policy(), Traffic(window_minutes=0.1)) == 300


def test_a_baseline_that_nothing_can_fall_from_leaves_everything_open():
    """With a tolerance as large as the baseline no F1 is low enough: never seen, always inconclusive."""
    found = simulate(policies("post_deploy_monitoring.f1_drop_tolerance=0.9"), Traffic(), runs=50)
    assert value(found, "healthy model: inconclusive") == 1


def test_the_benchmark_meets_its_bars():
    """Ours: ≤ 1 % false, −0.10 in ≤ 4 minutes, −0.20 in ≤ 2; latency ≤ 0.1 % false and ≥ 90 % found."""
    bench = Path(__file__).parents[1] / "benchmarks" / "bench_watch.py"
    run = [sys.executable, str(bench), "--runs", "4000", "--processes", "1"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| exact sequential test (ours) |" in done.stdout
    assert done.stdout.count("\n| ") == 12
