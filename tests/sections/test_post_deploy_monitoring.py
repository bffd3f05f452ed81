"""The watch: sums of counts, acted on at once; nothing seen is never healthy."""

from datetime import UTC, datetime, timedelta

import pytest

from retrain.checks import Status
from retrain.facts import Window
from retrain.sections.post_deploy_monitoring import Facts, Policy, decide, rolls_back

SWAP = datetime(2013, 6, 9, 3, tzinfo=UTC)


def window(minute, *, tp=18, fp=2, fn=2, slow=0, requests=100, **changed):
    start = SWAP + timedelta(minutes=minute)
    plain = {
        "window_start": start,
        "window_end": start + timedelta(minutes=1),
        "version": "v2",
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": 78,
        "requests": requests,
        "slow_requests": slow,
    }
    return Window(**(plain | changed))


def bare(minute, f1=0.9, p99=0.2, **changed):
    """A window that tells figures and no counts."""
    silent = {"tp": None, "fp": None, "fn": None, "tn": None, "slow_requests": None}
    return window(minute, **(silent | {"f1": f1, "latency_p99_seconds": p99} | changed))


HEALTHY = tuple(window(minute) for minute in range(30))


def watch(windows=HEALTHY, **changed):
    plain = {"swapped_at": SWAP, "watched_minutes": 30, "candidate_version": "v2", "baseline_f1": 0.88}
    return Facts(**(plain | {"windows": windows} | changed))


def outcome(facts, policy=None):
    return decide(facts, policy or Policy()).outcome


def f1(facts, policy=None):
    return decide(facts, policy or Policy()).checks[0]


def latency(facts, policy=None):
    return decide(facts, policy or Policy()).checks[1]


def test_half_an_hour_of_good_windows_is_healthy():
    """With what it saw, what it would have seen, and prevalence, recall and false-positive rate beside it."""
    verdict = decide(watch(), Policy())
    assert verdict.outcome == "healthy"
    assert verdict.deviations == ()
    for told in ("e-value", "would have been seen", "prevalence 0.2", "recall 0.9", "false-positive rate 0.025"):
        assert told in verdict.checks[0].reason


@pytest.mark.parametrize(
    ("minutes", "expected"), [(29.999, "watching"), (30, "healthy"), (31, "healthy"), (None, "inconclusive")]
)
def test_healthy_takes_the_whole_watch(minutes, expected):
    """Too early is watching, and an unknown time is no time."""
    assert outcome(watch(watched_minutes=minutes)) == expected


@pytest.mark.parametrize("windows", [None, ()])
def test_silence_is_never_healthy(windows):
    """No MODEL_METRICS: watching while it lasts, inconclusive at the end, and then as the policy says."""
    verdict = decide(watch(windows), Policy())
    assert verdict.outcome == "inconclusive"
    assert "no window of the new version" in verdict.sentence
    assert outcome(watch(windows, watched_minutes=5)) == "watching"
    assert not rolls_back(verdict, Policy())
    assert rolls_back(verdict, Policy(on_inconclusive="roll_back"))


def test_windows_without_figures_are_silence():
    """Rows that tell nothing, or nothing that can be."""
    empty = {"tp": None, "fp": None, "fn": None, "tn": None, "requests": None, "slow_requests": None}
    assert outcome(watch(tuple(window(minute, **empty) for minute in range(30)))) == "inconclusive"
    assert outcome(watch(tuple(window(minute, tp=-1, slow=101) for minute in range(30)))) == "inconclusive"
    assert outcome(watch(tuple(window(minute, tp=0, fp=0, fn=0, requests=0) for minute in range(30)))) == "inconclusive"
    assert outcome(watch(tuple(bare(minute, f1=float("nan"), p99=None) for minute in range(30)))) == "inconclusive"


def test_a_drop_is_seen_at_once_and_at_a_minute():
    """It counts before the watch is over, and stays seen when later windows are good."""
    bad = tuple(window(minute, tp=11, fp=6, fn=5) for minute in range(6))
    verdict = decide(watch(bad, watched_minutes=6), Policy())
    assert verdict.outcome == "regressed"
    assert "a drop was seen at minute 2" in verdict.sentence
    assert "e-value" in verdict.sentence
    assert rolls_back(verdict, Policy())
    assert outcome(watch(bad + HEALTHY[6:])) == "regressed"


def test_a_proven_drop_within_the_tolerance_is_allowed():
    """Half a million events at 0.02 below the baseline are beyond chance, and not more than 0.05."""
    kept = tuple(window(minute, tp=15_087, fp=2_456, fn=2_457) for minute in range(30))
    check = f1(watch(kept))
    assert check.status is Status.PASS
    assert "e-value 10^" in check.reason


def test_exactly_the_tolerance_is_no_drop():
    """F1 of exactly 0.83 is not below it; one true positive fewer is, and beyond chance."""
    at = tuple(window(minute, tp=8_300, fp=1_700, fn=1_700) for minute in range(30))
    assert f1(watch(at)).status is Status.PASS
    below = (*at[:-1], window(29, tp=8_299, fp=1_700, fn=1_700))
    assert f1(watch(below)).status is Status.FAIL


def test_below_by_point_only_is_open_at_the_end():
    """A low F1 on few events is neither a drop nor health."""
    few = tuple(window(minute, tp=2 if minute % 5 else 1, fp=1, fn=0) for minute in range(30))
    check = f1(watch(few))
    assert check.status is Status.INCONCLUSIVE
    assert "by point" in check.reason
    assert outcome(watch(few)) == "inconclusive"


@pytest.mark.parametrize(("events", "expected"), [(83, "INCONCLUSIVE"), (84, "PASS")])
def test_too_few_events_are_open(events, expected):
    """The floor is included."""
    assert f1(watch((window(0, tp=events, fp=0, fn=0),))).status == expected


@pytest.mark.parametrize(("requests", "expected"), [(298, "INCONCLUSIVE"), (299, "PASS")])
def test_too_few_requests_are_open(requests, expected):
    """The floor is included."""
    assert latency(watch((window(0, requests=requests),))).status == expected


@pytest.mark.parametrize("baseline", [None, float("nan"), 0.0, 0.05, 1.2])
def test_without_a_baseline_to_fall_from_f1_is_open(baseline):
    """Missing, no share, or already within the tolerance of nothing; latency is still watched."""
    assert f1(watch(baseline_f1=baseline)).status is Status.INCONCLUSIVE
    slow = tuple(window(minute, slow=10) for minute in range(5))
    assert outcome(watch(slow, baseline_f1=baseline)) == "regressed"


def test_a_spike_is_seen():
    """5 % slow is a regression within minutes; 1 % is open, below it is a pass."""
    spike = decide(watch(tuple(window(minute, slow=5) for minute in range(4)), watched_minutes=4), Policy())
    assert spike.outcome == "regressed"
    assert "a spike was seen at minute 2" in spike.sentence
    assert latency(watch(tuple(window(minute, slow=1) for minute in range(30)))).status is Status.INCONCLUSIVE
    assert latency(watch(tuple(window(minute, slow=minute % 2) for minute in range(30)))).status is Status.PASS


def test_windows_in_any_order_twice_and_late_are_summed_once():
    """Order does not matter, and of two rows for one start the later row counts."""
    plain = decide(watch(), Policy())
    assert decide(watch(HEALTHY[::-1]), Policy()).checks == plain.checks
    twice = decide(watch((window(3, tp=0, fp=22, fn=0), *HEALTHY)), Policy())
    assert twice.checks == plain.checks
    assert "1 repeated window" in twice.deviations[0]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (window(5, version="v1"), "another version"),
        (window(-1), "before the swap"),
        (window(5.5, tp=0, fp=30), "overlaps another"),
        (window(40, window_end=SWAP + timedelta(minutes=40)), "without a length"),
    ],
)
def test_windows_that_do_not_belong_are_left_out_and_said(odd, said):
    """Another version's, from before, over another one, without a length."""
    verdict = decide(watch((odd, *HEALTHY)), Policy())
    assert verdict.checks == decide(watch(), Policy()).checks
    assert said in " ".join(verdict.deviations)


def test_a_window_across_the_swap_is_from_before_it():
    """It began under the former version, whatever its name."""
    crossing = window(-0.5, window_end=SWAP + timedelta(minutes=10))
    assert outcome(watch((crossing,))) == "inconclusive"


def test_versions_that_are_not_told():
    """Windows without a version count by their time; two named versions and no candidate are no answer."""
    nameless = tuple(window(minute, version=None) for minute in range(30))
    verdict = decide(watch(nameless), Policy())
    assert verdict.outcome == "healthy"
    assert "no version" in verdict.deviations[0]
    assert outcome(watch(candidate_version=None)) == "healthy"
    mixed = (*HEALTHY[:20], *(window(minute, version="v1") for minute in range(20, 30)))
    assert outcome(watch(mixed, candidate_version=None)) == "inconclusive"


def test_without_a_swap_there_is_nothing_to_watch():
    """What came after it cannot be told."""
    assert outcome(watch(swapped_at=None)) == "not_ready"


def test_without_counts_windows_in_a_row_decide():
    """Two bad windows, a good one and two more are no regression; three in a row are, and the worth is said."""
    scattered = tuple(bare(minute, f1=0.7 if minute % 3 else 0.9) for minute in range(30))
    assert f1(watch(scattered[:28])).status is Status.PASS
    assert "without a guaranteed rate" in f1(watch(scattered)).reason
    row = (*scattered[:10], *(bare(minute, f1=0.7) for minute in range(10, 13)))
    assert "3 bad windows in a row, seen at minute 13" in f1(watch(row)).reason
    assert outcome(watch(row)) == "regressed"


def test_a_row_that_is_open_at_the_end_is_open():
    """Two bad windows and then the end of the watch."""
    ending = (*(bare(minute) for minute in range(28)), bare(28, f1=0.7), bare(29, f1=0.7))
    assert f1(watch(ending)).status is Status.INCONCLUSIVE
    assert f1(watch((bare(0), bare(1)))).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(("figure", "expected"), [(0.83, "PASS"), (0.829999, "FAIL")])
def test_a_window_at_the_limit_is_not_bad(figure, expected):
    """Strictly below baseline − tolerance."""
    assert f1(watch(tuple(bare(minute, f1=figure) for minute in range(5)))).status == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.999999, "PASS"), (1.0, "FAIL")])
def test_a_p99_of_one_second_is_bad(seconds, expected):
    """Latency is strict."""
    assert latency(watch(tuple(bare(minute, p99=seconds) for minute in range(5)))).status == expected


def test_a_gap_neither_breaks_nor_lengthens_a_row():
    """A window without a figure between bad ones does not excuse them."""
    row = (bare(0, f1=0.7), bare(1, f1=None), bare(2, f1=0.7), bare(3, f1=None), bare(4, f1=0.7))
    assert f1(watch(row)).status is Status.FAIL
    assert f1(watch(row[:4])).status is Status.INCONCLUSIVE


def test_the_literal_rule_acts_on_one_window():
    """By policy, on counts too."""
    one = (*HEALTHY[:10], window(10, tp=11, fp=6, fn=5), *HEALTHY[11:])
    assert outcome(watch(one)) == "healthy"
    assert outcome(watch(one), Policy(rule="literal")) == "regressed"
    assert outcome(watch(one), Policy(rule="consecutive")) == "healthy"


def test_counts_of_slow_requests_answer_for_one_second_only():
    """Under another ceiling the counts say nothing, and without a p99 nothing does."""
    policy = Policy(latency_p99_ceiling_seconds=0.5)
    assert latency(watch(), policy).status is Status.INCONCLUSIVE
    told = tuple(window(minute, latency_p99_seconds=0.6) for minute in range(30))
    assert latency(watch(told), policy).status is Status.FAIL


def test_a_shorter_watch_is_a_deviation():
    """The runbook says thirty minutes."""
    assert "runbook says 30" in decide(watch(), Policy(watch_minutes=3)).deviations[0]
    assert decide(watch(), Policy(watch_minutes=30)).deviations == ()
