"""The README's tables of the watch: made by the benchmark, of the rules it describes, and ours meets its bars."""

from __future__ import annotations

import bench_watch
import documented
import numpy
import pytest
from bench_watch import BASELINE, DROPS, HEALTHY, MINUTES, OURS, RULES, SLOW_RULES, SLOW_SHARES, Bars, Policy
from scipy import stats


def rows() -> dict[str, list[list[str]]]:
    """The cells behind each rule's name, in the order of the two tables."""
    found: dict[str, list[list[str]]] = {}
    for line in documented.read("bench-watch").splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells and not name.startswith(("rule", "---")):
            found.setdefault(name, []).append(cells)
    return found


def share(cell: str) -> float:
    return float(cell.removesuffix(" %")) / 100


def test_the_readme_has_every_rule_and_ours_meets_the_bars() -> None:
    """Figures that stand in the page, not in the benchmark: an old table is found out."""
    told, bars = rows(), Bars()
    assert [*told] == [*RULES, next(iter(SLOW_RULES))]
    ((false, *late), (slow_false, found, _)) = told[OURS]
    assert share(false) <= bars.false_rollbacks
    assert all(int(minute) <= bar for minute, bar in zip(late, bars.minutes, strict=True))
    assert share(slow_false) <= bars.slow_false
    assert share(found) >= bars.slow_power


def test_the_other_rules_are_as_bad_as_they_are_said_to_be() -> None:
    """What is quoted where the rule was designed, within the noise of a simulation."""
    told = {name: cells[0] for name, cells in rows().items()}
    quoted = {"any window": (0.999, 1), "three bad": (0.16, 4), "ten failed": (0.06, 13)}
    for beginning, (false, minute) in quoted.items():
        (cells,) = [cells for name, cells in told.items() if name.startswith(beginning)]
        assert share(cells[0]) == pytest.approx(false, abs=0.01)
        assert int(cells[1]) == minute


def test_a_rule_that_misses_is_named() -> None:
    """Control: with every healthy run rolled back late, each of the five bars is missed."""
    bad = numpy.full(10, MINUTES)
    drops = {state: {OURS: bad} for state in (HEALTHY, *DROPS)}
    slow = {SLOW_SHARES[0]: {OURS: bad}, SLOW_SHARES[1]: {OURS: bad * 0}}
    assert len(list(bench_watch.missed(drops, slow))) == 5


@pytest.mark.parametrize("drop", [HEALTHY, *DROPS])
def test_the_librarys_rules_are_those_of_decide(drop: float) -> None:
    """A hundred watches of each rule, window after window: none is rolled back in another minute."""
    _, different = bench_watch.watch_f1((7, 0, drop, 100))
    assert different == 0
    rng = numpy.random.default_rng(7)
    told = bench_watch.told_windows(bench_watch.windows(rng, 0.3, 1)[0], numpy.zeros(MINUTES, dtype=int))
    assert bench_watch.same_minute(Policy(), 1, told)
    assert not bench_watch.same_minute(Policy(), 2, told), "one too late is another minute"


@pytest.mark.parametrize("slow_share", SLOW_SHARES)
def test_the_librarys_rules_for_latency_are_those_of_decide(slow_share: float) -> None:
    assert bench_watch.watch_latency((7, 0, slow_share, 100))[1] == 0


def test_the_group_sequential_bound_is_the_published_one() -> None:
    """O'Brien and Fleming for six looks at 0.025 one-sided: Jennison and Turnbull's table 2.3 has 2.053."""
    assert bench_watch.ALPHA == 0.025
    assert bench_watch.group_sequential_bound() == pytest.approx(2.053, abs=0.01)


def test_the_rank_test_is_that_of_scipy() -> None:
    """One-sided, with the continuity correction: it acts in the first minute from the fifth on with p at most 1 %."""
    runs, seed = 40, 3
    rows = bench_watch.windows(numpy.random.default_rng(seed), 0.1, runs)
    seen = bench_watch.rank_test(rows, numpy.random.default_rng(seed + 1))
    before = bench_watch.f1(bench_watch.windows(numpy.random.default_rng(seed + 1), HEALTHY, runs))
    after = bench_watch.f1(rows)
    for run, minute in enumerate(seen):
        p = [
            stats.mannwhitneyu(after[run, :count], before[run], alternative="less", method="asymptotic").pvalue
            for count in range(5, MINUTES + 1)
        ]
        first = next((place + 5 for place, value in enumerate(p) if value <= 0.01), 0)
        near = any(abs(value - 0.01) < 0.0005 for value in p)  # ties, which scipy corrects for, move p by less
        assert near or minute == first


def test_ten_failed_checks_need_not_be_in_a_row() -> None:
    """The tenth bad minute acts, whatever lies between; nine do not."""
    good, bad = (22, 0, 0, 78), (11, 6, 5, 78)
    ten = numpy.array([[bad, good] * 10 + [good] * 10])
    assert bench_watch.f1(numpy.array(bad)) < BASELINE - bench_watch.TOLERANCE
    assert bench_watch.ten_failed(ten, None).tolist() == [19]
    assert bench_watch.ten_failed(ten[:, :18], None).tolist() == [0]
