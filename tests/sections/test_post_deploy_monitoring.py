"""The watch: sums of counts, acted on at once; nothing seen is never healthy."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from retrain.checks import Status
from retrain.facts import Metrics, Window
from retrain.judgement import prevalence
from retrain.judgement.looks import standings
from retrain.judgement.windows import keep, revised, summed
from retrain.sections import post_deploy_monitoring
from retrain.sections.post_deploy_monitoring import (
    EDITION,
    Facts,
    Policy,
    decide,
    looked,
    rolls_back,
    watch_of,
    why_extended,
)

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


def in_turn(windows):
    """The looks of a watch to which each window came in its turn, and none was written again."""
    kept = keep(windows or (), since=SWAP, version="v2").windows
    return tuple(summed(kept[:number]) for number in range(1, len(kept) + 1))


def watch(windows=HEALTHY, **changed):
    """Facts at the end of the watch, as they are gathered today from windows that came in turn."""
    plain = {"swapped_at": SWAP, "watched_minutes": 30, "candidate_version": "v2", "baseline_f1": 0.88}
    plain["looks"] = in_turn(windows)
    return Facts(**(plain | {"windows": windows, "edition": EDITION} | changed))


PLAIN = Policy(extension_minutes=0)
"""Nothing comes after the thirty minutes."""


def outcome(facts, policy=PLAIN):
    return decide(facts, policy).outcome


def f1(facts, policy=PLAIN):
    return decide(facts, policy).checks[0]


def latency(facts, policy=PLAIN):
    return decide(facts, policy).checks[1]


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
    verdict = decide(watch(windows), PLAIN)
    assert verdict.outcome == "inconclusive"
    assert "no window of the new version" in verdict.sentence
    assert "a drop of 0.05 would have been seen with probability 0.00, and of 0.1 with 0.00." in verdict.sentence
    assert outcome(watch(windows, watched_minutes=5)) == "watching"
    assert not rolls_back(verdict, PLAIN)
    assert rolls_back(verdict, Policy(on_inconclusive="roll_back"))


def test_a_healthy_verdict_says_what_it_could_have_seen():
    """Thirty windows of 22 events see a drop of the tolerance with 0.73, and that stands in the sentence."""
    verdict = decide(watch(), Policy())
    told = "With the labels so far a drop of 0.05 would have been seen with probability 0.73, and of 0.1 with"
    assert told in verdict.sentence
    assert told[0].lower() + told[1:] in verdict.checks[0].reason
    assert "2 % slow would have been seen with probability 0.92" in verdict.checks[1].reason


THIN = tuple(window(minute, tp=1, fp=0, fn=0) for minute in range(60))
"""One event a minute: the floor of 84 is reached neither in thirty minutes nor in sixty."""


@pytest.mark.parametrize(
    ("minutes", "expected"), [(29.9, "watching"), (30, "watching"), (59.9, "watching"), (60, "inconclusive")]
)
def test_what_cannot_be_concluded_extends_the_watch_within_its_cap(minutes, expected):
    """Thirty minutes more at most; then the policy's choice."""
    verdict = decide(watch(THIN[: int(minutes)], watched_minutes=minutes), Policy())
    assert verdict.outcome == expected
    assert rolls_back(verdict, Policy(on_inconclusive="roll_back")) == (expected == "inconclusive")
    assert outcome(watch((), watched_minutes=minutes), Policy()) == expected


def test_an_extended_watch_ends_as_soon_as_it_can_and_says_why_it_went_on():
    """The verdict at minute 35 is healthy, and its sentence names what was open at 30."""
    thirty = watch((*THIN[:29], window(29, tp=54, fp=0, fn=0)))
    because = why_extended(thirty, Policy())
    assert because is not None
    assert because.startswith("F1 score: 83 events of 84 needed")
    more = watch((*thirty.windows, window(34, tp=1, fp=0, fn=0)), watched_minutes=35, extended_because=because)
    verdict = decide(more, Policy())
    assert verdict.outcome == "healthy"
    told = f"The watch was extended from 30 to 35 minutes: before, nothing could be concluded: {because}."
    assert told in verdict.sentence
    assert because in verdict.checks[2].reason


def test_silence_is_told_once():
    """F1 and latency are open for one reason, before and after: it is not repeated."""
    because = why_extended(watch(()), Policy())
    sentence = decide(watch((), watched_minutes=60, extended_because=because), Policy()).sentence
    assert sentence.count("no window of the new version") == 1
    open_for_it = "F1 score, Latency p99 and Watched long enough"
    assert sentence.startswith(f"Inconclusive: {open_for_it}: MODEL_METRICS holds no window")
    assert "The watch was extended from 30 to 60 minutes: the same was open before." in sentence


def test_a_regression_in_the_extension_is_rolled_back():
    """It is looked at until the end."""
    late = (*THIN[:30], *(window(minute, tp=5, fp=10, fn=7) for minute in range(30, 33)))
    assert outcome(watch(late, watched_minutes=33, extended_because="too few"), Policy()) == "regressed"


@pytest.mark.parametrize("facts", [watch(), watch(watched_minutes=29), watch((window(0, tp=5, fp=10, fn=7),))])
def test_nothing_is_extended_that_is_settled_or_not_over(facts):
    """Healthy, still watching, regressed: there is no reason to go on."""
    assert why_extended(facts, Policy()) is None


@pytest.mark.parametrize("baseline", [None, 0.04])
def test_what_no_window_could_mend_is_not_extended(baseline):
    """Without a baseline to fall from, waiting tells nothing."""
    assert outcome(watch(baseline_f1=baseline), Policy()) == "inconclusive"


def test_an_extension_of_nothing_is_none():
    """The policy may end the watch with its thirty minutes."""
    assert outcome(watch(THIN[:30]), PLAIN) == "inconclusive"
    assert why_extended(watch(THIN[:30]), PLAIN) is None


RULES = [Policy(rule="exact"), Policy(rule="consecutive"), Policy(rule="literal")]


@pytest.mark.parametrize("policy", RULES, ids=lambda policy: policy.rule)
@pytest.mark.parametrize("make", [window, bare], ids=["counts", "figures"])
def test_metrics_that_fall_silent_are_not_healthy(make, policy):
    """Five good minutes are enough of everything but time: the watch goes on, and ends open if no more come."""
    five = tuple(make(minute) for minute in range(5))
    at_30, at_60 = (decide(watch(five, watched_minutes=minutes), policy) for minutes in (30, 60))
    assert (at_30.outcome, at_60.outcome) == ("watching", "inconclusive")
    assert [check.status.value for check in at_60.checks] == ["PASS", "PASS", "INCONCLUSIVE"]
    assert at_60.sentence.startswith("Inconclusive: Watched long enough: nothing came from minute 5 to 30.")
    assert why_extended(watch(five), policy) == "Watched long enough: nothing came from minute 5 to 30"
    assert rolls_back(at_60, policy.model_copy(update={"on_inconclusive": "roll_back"}))
    assert decide(watch(tuple(make(minute) for minute in range(30))), policy).outcome == "healthy"


@pytest.mark.parametrize("edition", [1, 2])
def test_an_earlier_edition_took_the_clocks_word(edition):
    """Such records replay as they were decided: silence was not asked about then."""
    verdict = decide(watch(HEALTHY[:5], edition=edition), Policy())
    assert verdict.outcome == "healthy"
    assert verdict.checks[2].model_dump(include={"requirement", "observed", "reason"}) == {
        "requirement": "watched for 30 minutes",
        "observed": "30",
        "reason": "30 is ≥ 30",
    }


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (range(2), ""),
        (range(3), "nothing came from minute 0 to 3"),
        (range(10, 12), ""),
        (range(10, 13), "nothing came from minute 10 to 13"),
        (range(28, 30), ""),
        (range(27, 30), "nothing came from minute 27 to 30"),
        ((*range(4, 8), *range(20, 25)), "nothing came from minute 4 to 8 and minute 20 to 25"),
        ([minute for minute in range(30) if minute % 4], "minute 5 to 8, minute 9 to 12 and 4 further stretches"),
    ],
)
def test_two_windows_may_be_missing_and_no_more(missing, said):
    """Before the first, between two, after the last; windows that come later than the watch fill nothing."""
    kept = tuple(window(minute) for minute in range(30) if minute not in missing)
    for windows in (kept, (*kept, *(window(minute) for minute in range(30, 40)))):
        check = decide(watch(windows, watched_minutes=40), Policy()).checks[2]
        assert check.status is (Status.INCONCLUSIVE if said else Status.PASS)
        assert said in check.reason


@pytest.mark.parametrize(
    ("length", "starts", "covered"),
    [
        (5, (2, 7, 12, 17, 22), True),
        (5, (2, 7, 17, 22), True),
        (5, (2, 7, 12, 17), False),
        (15, (5,), True),
        (15, (0, 15), True),
        (10, (0,), False),
        (10, (19,), False),
        (20, (12,), True),
    ],
)
def test_of_long_windows_one_may_be_missing(length, starts, covered):
    """What is near is measured by the windows' own length: a window of ten minutes is no half hour."""
    long = tuple(
        window(start, tp=180, fp=20, fn=20, requests=1000, window_end=SWAP + timedelta(minutes=start + length))
        for start in starts
    )
    assert outcome(watch(long)) == ("healthy" if covered else "inconclusive")


@pytest.mark.parametrize("policy", RULES, ids=lambda policy: policy.rule)
@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ({"tp": None, "fp": None, "fn": None}, "no F1 came from minute 6 to 30"),
        ({"slow_requests": None}, "no latency came from minute 6 to 30"),
        ({"tp": None, "slow_requests": None}, "nothing came from minute 6 to 30"),
    ],
)
def test_rows_that_tell_no_more_of_one_figure_are_its_silence(policy, lost, said):
    """Rows go on coming, and what they no longer tell was not watched."""
    verdict = decide(watch((*HEALTHY[:6], *(window(minute, **lost) for minute in range(6, 30)))), policy)
    assert verdict.outcome == "watching"
    assert said in verdict.checks[2].reason


def test_windows_without_events_or_requests_are_not_silence():
    """They tell that nothing came in."""
    quiet = tuple(window(minute, tp=0, fp=0, fn=0, requests=0) for minute in range(6, 30))
    assert outcome(watch((*HEALTHY[:6], *quiet))) == "healthy"


def test_a_regression_is_acted_on_whatever_is_missing():
    """Nobody waits for windows that could not take it back."""
    bad = tuple(window(minute, tp=11, fp=6, fn=5) for minute in range(10, 13))
    assert outcome(watch(bad, watched_minutes=13)) == outcome(watch(bad)) == "regressed"


AWAY = {"failed_looks": 40, "last_failure": "Query watch_windows failed: 250003; gone.", "unanswered_since": 29.5}


def test_a_warehouse_that_does_not_answer_at_the_end_leaves_it_open():
    """Whatever came before: who was not answered at the end has not watched to the end, and the verdict says why."""
    verdict = decide(watch(**AWAY), PLAIN)
    why = "the warehouse has not answered since minute 29.5 (Query watch_windows failed: 250003, gone)"
    assert verdict.outcome == "inconclusive"
    assert verdict.sentence.startswith(f"Inconclusive: Watched long enough: {why}.")
    assert verdict.deviations[0].startswith("the watch: 40 looks at MODEL_METRICS failed, the last with: Query")
    silent = decide(watch(HEALTHY[:20], **AWAY), PLAIN).checks[2].reason
    assert silent == f"{why} and nothing came from minute 20 to 30"


def test_a_long_failure_is_shortened_in_a_sentence():
    """The facts hold all of it."""
    verdict = decide(watch(**(AWAY | {"last_failure": "Query watch_windows failed: " + "retried " * 50})), PLAIN)
    assert "retried …)" in verdict.checks[2].reason
    assert max(len(said) for said in verdict.deviations) < 250


def test_looks_that_failed_and_were_made_up_for_are_a_deviation():
    """The windows came after all."""
    verdict = decide(watch(**(AWAY | {"failed_looks": 1, "unanswered_since": None})), Policy())
    assert verdict.outcome == "healthy"
    assert "the watch: 1 look at MODEL_METRICS failed" in verdict.deviations[0]


def test_a_watch_that_overran_says_so():
    """By how many minutes of a clock that never goes back."""
    (said,) = decide(watch(overran_minutes=65.04, watched_minutes=60), Policy()).deviations
    assert said.startswith("the watch: ended after 65 minutes by a clock that never goes back")


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


THIN_AT_FIRST = tuple(
    window(minute, tp=2, fp=2, fn=3) if minute < 2 else window(minute, tp=20, fp=1, fn=1) for minute in range(12)
)
"""Two windows that few labels came for, most of them bad, and ten good ones."""


def test_windows_that_came_at_once_are_judged_at_once():
    """F1 of all that is known is 0.9315; the two thin windows alone would have acted, and never were all."""
    facts = watch(THIN_AT_FIRST, watched_minutes=12, looks=())
    check = f1(facts)
    assert check.status is Status.PASS
    assert check.observed == "F1 0.9315 on 234 events"
    assert outcome(facts) == "watching"
    assert "a drop was seen at minute 2" in f1(facts.model_copy(update={"edition": 2})).reason
    assert "a drop was seen at minute 2" in f1(watch(THIN_AT_FIRST, watched_minutes=12)).reason, "they came in turn"


def test_every_look_is_judged_by_what_was_known_then():
    """The look that saw it is told with its minute and its e-value, whatever was written again since."""
    bad = tuple(window(minute, tp=11, fp=6, fn=5) for minute in range(2))
    before = in_turn(bad)
    better = watch(HEALTHY[:3], watched_minutes=3, looks=before)
    assert f1(better).reason.startswith("a drop was seen at minute 2: F1 0.6667 (TP 22, FP 12, FN 10); e-value ")
    assert f1(better).reason.split("; ")[:2] == f1(watch(bad, watched_minutes=2)).reason.split("; ")[:2]
    again = Facts.model_validate_json(better.model_dump_json())
    assert decide(again, PLAIN) == decide(better, PLAIN)


def test_what_was_known_once_does_not_stand_for_what_is_no_longer_told():
    """Rows that are gone, or lost their counts, leave it open, however good the looks before were."""
    looks = in_turn(HEALTHY)
    silent = {"tp": None, "fp": None, "fn": None, "slow_requests": None}
    for windows in ((), tuple(window(minute, **silent) for minute in range(30))):
        checks = decide(watch(windows, looks=looks), PLAIN).checks
        assert [check.status.value for check in checks] == ["INCONCLUSIVE"] * 3


def test_a_look_is_told_where_it_saw_something_new():
    """What is known now ends the looks; the same again adds none, and no window is none."""
    first = watch(HEALTHY[:2], looks=())
    once = first.model_copy(update={"looks": looked(first)})
    assert once.looks == looked(once) == (summed(HEALTHY[:2]),)
    more = once.model_copy(update={"windows": HEALTHY[:5]})
    assert looked(more) == (summed(HEALTHY[:2]), summed(HEALTHY[:5]))
    assert looked(watch((), looks=())) == ()
    assert (once.looks[0].tp, once.looks[0].window_end) == (36, HEALTHY[1].window_end)


def test_a_record_of_looks_stays_small(monkeypatch):
    """The newest are kept, at any pace."""
    monkeypatch.setattr(post_deploy_monitoring, "_MOST_LOOKS", 3)
    assert looked(watch(looks=in_turn(HEALTHY[:9])))[:-1] == in_turn(HEALTHY[:9])[-2:]


def test_the_power_is_that_of_the_looks_that_there_were():
    """Thirty windows at one look see less than one after the other; labels taken back add nothing."""
    told = "a drop of 0.05 would have been seen with probability "
    assert f"{told}0.51" in f1(watch(looks=())).reason
    back = (*in_turn(HEALTHY)[:10], summed(tuple(window(minute, tp=90) for minute in range(30))))
    assert f"{told}0.73" in f1(watch(looks=(*back, *in_turn(HEALTHY)[10:]))).reason


def test_sums_stand_with_the_window_that_a_look_ended_with():
    """The last of its looks; a window that became known with a later one has none."""
    looks = (summed(HEALTHY[:1]), summed((HEALTHY[0], window(1, tp=1))), summed(HEALTHY[:2]))
    told = standings(watch_of(watch(HEALTHY[:4], looks=looks), PLAIN))
    assert [each.f1_look and each.f1_look.total.tp for each in told] == [18, 36, None, 72]
    assert [each.slow_look and each.slow_look.requests for each in told] == [100, 200, None, 400]


def good_bad_bad(minute):
    """F1 of 0.95 or 0.67, and 0.778 in all: never three bad windows in a row."""
    return window(minute, tp=11, fp=6, fn=5) if minute % 3 else window(minute, tp=20, fp=1, fn=1)


LOWER = tuple(good_bad_bad(minute) for minute in range(30))
SLOWER = tuple(window(minute, slow=5, latency_p99_seconds=1.2) for minute in range(30))


def with_a_figure(windows, at, **told):
    """The windows with one that tells figures alone, and two good ones at the end."""
    good = (window(minute, latency_p99_seconds=0.2) for minute in (28, 29))
    return (*windows[:at], bare(at, **told), *windows[at + 1 : 28], *good)


@pytest.mark.parametrize("told", [{"f1": 0.9, "tp": -1}, {"f1": 0.9}, {"f1": 0.0}])
def test_one_window_without_counts_stops_no_test_of_f1(told):
    """The others are tested as they would be without it: the same minute, the same e-value; the record says so."""
    facts = watch(with_a_figure(LOWER, 15, slow_requests=0, **told))
    verdict, plain = (decide(each, PLAIN) for each in (facts, watch(LOWER)))
    assert verdict.outcome == plain.outcome == "regressed"
    assert verdict.checks[0].reason.split("; ")[:2] == plain.checks[0].reason.split("; ")[:2]
    assert verdict.checks[0].reason.startswith(
        "a drop was seen at minute 6: F1 0.7778 (TP 84, FP 26, FN 22); e-value 462"
    )
    assert verdict.deviations == ("the watch: 1 window told an F1 and not the counts behind it: not counted",)
    before = decide(facts.model_copy(update={"edition": 2}), PLAIN)
    assert (before.outcome, before.deviations) == ("healthy" if told["f1"] else "regressed", ()), "in a row"


def test_one_window_without_counts_stops_no_test_of_latency():
    """A p99 alone is not how many were slow."""
    verdict, plain = (decide(watch(each), PLAIN) for each in (with_a_figure(SLOWER, 1, tp=18, fp=2, fn=2), SLOWER))
    assert verdict.checks[1].reason.startswith("a spike was seen at minute 3: 5.00 % of 200 requests took 1 s or more")
    assert plain.checks[1].reason.startswith("a spike was seen at minute 2: 5.00 % of 200 requests took 1 s or more")
    assert "the watch: 1 window told a p99 and not how many requests were slow: not counted" in verdict.deviations


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ([10], ""),
        (
            range(10, 13),
            "no counts of F1 came from minute 10 to 13 and no counts of slow requests came from minute 10 to",
        ),
        (range(1, 30), "no counts of F1 came from minute 1 to 30"),
    ],
)
def test_windows_that_are_not_counted_are_a_gap(figures, said):
    """What the test cannot use was not watched; the words do not say that nothing came."""
    facts = watch(tuple(bare(minute) if minute in figures else window(minute) for minute in range(30)))
    verdict = decide(facts, PLAIN)
    assert verdict.outcome == ("inconclusive" if said else "healthy")
    assert said in verdict.checks[2].reason
    assert "nothing came" not in verdict.sentence
    assert "tell no counts" not in "".join(check.reason for check in verdict.checks)
    assert f"{len(figures)} window" in " ".join(verdict.deviations)


def test_counts_for_another_ceiling_are_not_said_to_be_missing():
    """They were told, and answer for one second; p99 decides, in a row."""
    told = tuple(window(minute, latency_p99_seconds=0.4) for minute in range(30))
    reason = latency(watch(told), Policy(latency_p99_ceiling_seconds=0.5)).reason
    assert "3 in a row decide" in reason
    assert "tell no counts" not in reason
    assert reason.endswith("slow requests are counted from 1 s on, which does not answer for this ceiling")
    figures = latency(
        watch(tuple(bare(minute) for minute in range(30))), Policy(latency_p99_ceiling_seconds=0.5)
    ).reason
    assert "which does not answer" not in figures


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


def recorded(minute, at, **changed):
    return window(minute, recorded_at=SWAP + timedelta(minutes=at), **changed)


def test_of_two_rows_for_one_window_the_one_recorded_last_counts():
    """Whatever their order; where one does not tell, the later row does."""
    old, new = recorded(0, at=2, tp=1), recorded(0, at=9, tp=18)
    for windows in ((old, new), (new, old)):
        assert keep(windows, since=SWAP, version="v2").windows == (new,)
    assert keep((new, window(0, tp=1)), since=SWAP, version="v2").windows == (window(0, tp=1),)


def test_a_window_written_again_after_it_was_counted_is_counted_once_and_said():
    """Late labels: the sums are those of the last rows, and the record says how often one changed."""
    before = (recorded(0, at=1, tp=9), recorded(1, at=2))
    now = (recorded(0, at=20, tp=18), recorded(1, at=2), recorded(2, at=3))
    assert revised(before, now) == 1
    assert revised((), now) == revised(now, now) == 0
    verdict = decide(watch(now, revisions=1), Policy())
    assert "F1 0.9 (TP 54, FP 6, FN 6)" in verdict.checks[0].reason
    assert "1 window was written again" in " ".join(verdict.deviations)


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


def test_what_names_the_candidate_goes_before_what_names_nobody():
    """Nameless rows over a drop of the candidate's do not hide it; between its windows they count."""
    bad = tuple(window(minute, tp=11, fp=6, fn=5) for minute in range(0, 30, 2))
    half = timedelta(seconds=30)
    nameless = [window(at, version=None, window_end=SWAP + timedelta(minutes=at) + half) for at in range(30)]
    kept = keep((*nameless, *bad), since=SWAP, version="v2").windows
    assert [each.version for each in kept] == ["v2", None] * 15
    assert f1(watch((*nameless, *bad))).status is Status.FAIL


def test_f1_falls_with_the_prevalence_alone():
    """Precision and recall of 0.88 at 10 % positives: at 5 % the same model scores 0.055 less, and 0.88 again back."""
    rate = Fraction(1, 9) * Fraction(88, 100) * Fraction(12, 88)
    then, now = (
        prevalence.f1_at(share, recall=Fraction(88, 100), false_positive_rate=rate)
        for share in (Fraction(1, 10), Fraction(1, 20))
    )
    assert then == Fraction(88, 100)
    assert float(then - now) == pytest.approx(0.055, abs=1e-12)
    assert prevalence.f1_at(Fraction(0), recall=Fraction(1), false_positive_rate=Fraction(0)) is None


def baseline(share, rows=10_000, precision=0.88, recall=0.88):
    """Figures of a model on a hold-out with so many positives."""
    tp = share * rows * recall
    counts = {"tp": tp, "fp": tp * (1 - precision) / precision, "fn": share * rows - tp}
    whole = {name: round(value) for name, value in counts.items()}
    return Metrics(f1=0.88, tn=rows - sum(whole.values()), **whole)


def shifted(share, rows=100_000):
    """Thirty windows of the same model, its recall and false-positive rate as they were at 10 % positives."""
    rate = 0.1 * 0.88 * (0.12 / 0.88) / 0.9
    tp, fp = share * rows * 0.88, (1 - share) * rows * rate
    counts = {"tp": round(tp), "fp": round(fp), "fn": round(share * rows - tp)}
    return tuple(window(minute, tn=rows - sum(counts.values()), **counts) for minute in range(30))


def test_prevalence_alone_explains_a_drop_and_the_verdict_says_so():
    """From 10 % to 5 % positives F1 falls by 0.055; the runbook's rule acts on it, and a person reads why."""
    verdict = decide(watch(shifted(0.05), baseline=baseline(0.1)), Policy())
    assert verdict.outcome == "regressed"
    assert (
        "prevalence alone explains the drop: at the baseline's prevalence of 0.1 this is F1 0.88." in verdict.sentence
    )
    assert "prevalence 0.05, recall 0.88, false-positive rate 0.0133" in verdict.checks[0].reason


@pytest.mark.parametrize(
    ("windows", "figures"),
    [
        (shifted(0.05), None),
        (shifted(0.05), Metrics(f1=0.88, tp=880, fp=120, fn=120)),
        (tuple(window(minute, tp=11, fp=6, fn=5) for minute in range(30)), baseline(0.1)),
    ],
)
def test_a_drop_that_prevalence_does_not_explain_is_not_excused(windows, figures):
    """Counts that nobody told explain nothing, nor does a model that is worse at any prevalence."""
    verdict = decide(watch(windows, baseline=figures), Policy())
    assert verdict.outcome == "regressed"
    assert "prevalence alone" not in verdict.sentence


def test_a_good_f1_is_shown_at_the_baselines_prevalence_too():
    """More positives flatter F1: what the model would score at the baseline's share stands beside it."""
    check = f1(watch(shifted(0.2), baseline=baseline(0.1)))
    assert check.status is Status.PASS
    assert "at the baseline's prevalence of 0.1 this is F1 0.8" in check.reason
    assert "prevalence alone" not in check.reason


def test_without_a_swap_there_is_nothing_to_watch():
    """What came after it cannot be told."""
    assert outcome(watch(swapped_at=None)) == "not_ready"


def test_without_counts_windows_in_a_row_decide():
    """Two bad windows, a good one and two more are no regression; three in a row are, and the worth is said."""
    scattered = tuple(bare(minute, f1=0.7 if minute % 3 else 0.9) for minute in range(30))
    assert f1(watch(scattered[:28])).status is Status.PASS
    worth = (
        "at 22 events a window (none are told) 30 windows roll back 15.9 % of healthy models and see a drop of 0.1 in"
    )
    assert worth in f1(watch(scattered)).reason
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


@pytest.mark.parametrize(
    ("policy", "f1_worth", "latency_worth"),
    [
        (Policy(rule="literal"), "one bad window decides", "roll back 94.1 % of healthy models and see 2 % slow in"),
        (Policy(rule="consecutive"), "3 in a row decide", "roll back 1.8 % of healthy models and see 2 % slow in"),
    ],
)
def test_a_rule_without_a_guarantee_says_what_it_is_worth(policy, f1_worth, latency_worth):
    """From the events and requests of the windows themselves, over as many as the whole watch has."""
    for minutes in (3, 30):
        verdict = decide(watch(HEALTHY[:minutes], watched_minutes=minutes), policy)
        reason = verdict.checks[0].reason
        assert f1_worth in reason
        assert "at 22 events a window 30 windows roll back" in reason
        assert latency_worth in verdict.checks[1].reason
    assert "roll back" not in f1(watch()).reason


def test_slow_requests_of_a_window_are_its_p99_where_none_is_told():
    """By nearest rank one of a hundred may be slow, as in the smoke test."""
    policy = Policy(rule="literal")
    assert latency(watch(tuple(window(minute, slow=1) for minute in range(30))), policy).status is Status.PASS
    assert latency(watch((*HEALTHY[:29], window(29, slow=2))), policy).status is Status.FAIL


def test_facts_of_the_first_edition_are_judged_in_its_words():
    """Records of release 0.1.0 hold no edition: no extension, power of one look at the end, rates as they were said."""
    old = Facts.model_validate(watch(THIN[:30]).model_dump(mode="json", exclude={"edition"}))
    assert decide(old, Policy()).outcome == "inconclusive"
    assert decide(old, Policy()) == decide(old, PLAIN)
    healthy = decide(watch(edition=1), Policy())
    told = "a drop of 0.05 with probability 0.51 and of 0.1 with probability 1.00 would have been seen"
    assert healthy.checks[0].reason.split("; ")[2] == f"with the labels so far {told}"
    assert "labels" not in healthy.sentence
    assert healthy.checks[1].reason.endswith("2 % slow would have been seen with probability 0.89")
    rows = f1(watch(tuple(bare(minute) for minute in range(30)), edition=1)).reason
    assert rows.endswith("roll backs (three in a row, 22 events a window: 16 % of healthy models)")


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
