"""Kill a process at every boundary × everything that a service can do to it × a second kill during recovery.

Run by ``make crash-test``: prints a Markdown summary, and exits 1 on any violation::

    PYTHONPATH=tests python -m crash.kill_matrix --cases 1200 --seed 1 --jobs 2

Each act and fault is first lived once without a kill, which tells its boundaries; the cases are then dealt so that
every kind of boundary meets every fault before any meets one twice.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crash.boundaries import die_with_parent
from crash.cases import ACTS, Case, Keys, makes_sense
from crash.faulty_service import FAULTS, FaultyService
from crash.living import Result, run_case

__all__ = ["main"]

MODES = ("resume", "resume", "kernel", "race", "abandon", "stall")
_OPENED, _LOCKS = "append opened, after", "lock, before"


def _kind(boundary: str) -> str:
    """Return the last two steps of a boundary's name: what it is, inside of what."""
    return " > ".join(boundary.split(" > ")[-2:])


def _first_round(sabotage: str) -> list[Case]:
    pairs = [(act, fault) for act in ACTS for fault in FAULTS if makes_sense(act, fault)]
    return [Case(number, act, fault, sabotage=sabotage) for number, (act, fault) in enumerate(pairs)]


def _deal(first: Iterable[Result], *, draw: random.Random, sabotage: str) -> Iterator[Case]:
    """Yield cases without end: every kind of boundary under every fault once, in random order, then all again."""
    decks: dict[tuple[str, str], list[tuple[Result, int]]] = defaultdict(list)
    for result in first:
        for number, boundary in enumerate(result.passed, start=1):
            decks[result.case.fault, _kind(boundary)].append((result, number))
    number = 1_000
    while True:
        for chosen in draw.sample(sorted(decks), len(decks)):
            result, kill_at = draw.choice(decks[chosen])
            mode, late = _mode(result, kill_at, draw), draw.choice((1, 2, 9))
            kill_at -= result.passed.index(_LOCKS) if mode == "kernel" else 0
            kills = (kill_at, draw.choice((0, draw.randint(1, 30), draw.randint(1, 120))), draw.choice((0, 0, 0, 20)))
            yield Case(number, result.case.act, result.case.fault, mode, kills, late=late, sabotage=sabotage)
            number += 1


def _mode(first: Result, kill_at: int, draw: random.Random) -> str:
    """Draw how the next life goes on, of what can be meant at that boundary."""
    mode = draw.choice(MODES)
    if mode == "kernel" and (first.case.world.approval or kill_at <= first.passed.index(_LOCKS)):
        return "resume"  # a kernel's first boundary is the lock
    is_open = kill_at > first.passed.index(_OPENED) + 1
    return mode if is_open or mode not in ("race", "stall") else "resume"  # two that open are two runs, never one


def _work(cases: Sequence[Case], out: Path, root: Path) -> None:
    """Run ``cases`` one after another, with a service of one's own, and write each result as a line."""
    keys = Keys(root)
    with FaultyService() as service, out.open("w", encoding="utf-8") as file:
        for case in cases:
            result = run_case(case, root=root, service=service, keys=keys)
            file.write(json.dumps(asdict(result)) + "\n")


def _shared(cases: Sequence[Case], *, jobs: int, root: Path, name: str) -> list[Result]:
    """Run ``cases`` in ``jobs`` forks of this process."""
    outs = [root / f"{name}-{job}.jsonl" for job in range(jobs)]
    workers = [_worker(cases[job::jobs], out, root) for job, out in enumerate(outs)]
    broken = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
    if any(broken):
        raise SystemExit(f"a worker of the matrix itself broke: {broken}")
    return [_result(json.loads(line)) for out in outs for line in out.read_text().splitlines()]


def _worker(cases: Sequence[Case], out: Path, root: Path) -> int:
    worker = os.fork()
    if worker:
        return worker
    try:
        die_with_parent()
        _work(cases, out, root)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        raise
    finally:
        os._exit(1)


def _result(told: dict[str, Any]) -> Result:
    case = Case(**told.pop("case") | {})
    tuples = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    return Result(case=Case(**vars(case) | {"kills": tuple(case.kills)}), **told | tuples)


def _table(title: str, counts: Counter[tuple[str, str]]) -> str:
    columns = sorted({column for _, column in counts})
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row in dict.fromkeys(row for row, _ in counts):
        lines.append(f"| {row} | " + " | ".join(str(counts[row, column] or "") for column in columns) + " |")
    return "\n".join(lines)


def _summary(results: Sequence[Result], seconds: float, jobs: int) -> str:
    ends = Counter(result.ended for result in results)
    deaths = [death for result in results for death in result.deaths]
    pairs = {(result.case.fault, _kind(result.deaths[0])) for result in results if result.deaths}
    broken = [result for result in results if result.violations]
    slowest = max(result.seconds for result in results)
    doubled = sum("double" in one or one.startswith("sent ") for result in broken for one in result.violations)
    false = sum("false record" in one for result in broken for one in result.violations)
    return "\n".join(
        [
            "# Kill matrix",
            "",
            f"{len(results)} cases in {seconds:.0f} s with {jobs} jobs (the slowest {slowest:.1f} s);"
            f" {len(deaths)} kills, {sum(len(r.deaths) > 1 for r in results)} cases killed again while recovering,"
            f" {sum(r.turned_away for r in results)} times a second process was turned away (exit 18).",
            f"{len(set(deaths))} boundaries of {len({_kind(death) for death in deaths})} kinds;"
            f" {len(pairs)} pairs of fault and kind at the first kill.",
            f"Applied by another operator's hand though ours was sent: {sum(r.somebody_elses for r in results)}.",
            "",
            f"**{doubled} double effects, {false} false records, {len(broken)} cases with a violation.**"
            f" Ended: {', '.join(f'{name} {count}' for name, count in ends.most_common())}.",
            "",
            _table("act", Counter((r.case.act, r.ended) for r in results)),
            "",
            _table("fault", Counter((r.case.fault, r.outcome) for r in results)),
            "",
            _table("goes on by", Counter((r.case.mode, r.ended) for r in results)),
            "",
            *(f"- {r.case}: {'; '.join(r.violations)} (killed at {', '.join(r.deaths)})" for r in broken[:20]),
        ]
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crash.kill_matrix", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=1200, help="how many, those without a kill among them")
    parser.add_argument("--seed", type=int, default=1, help="which boundaries, modes and second kills are drawn")
    parser.add_argument("--jobs", type=int, default=2, help="processes that work side by side")
    parser.add_argument("--keep", type=Path, help="a folder for the cases' files; those that broke the law stay there")
    parser.add_argument("--sabotage", default="", help="break the effects layer in a named way (the judge's own test)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix, print the summary, and return 1 on any violation."""
    options = _options(arguments)
    gc.freeze()
    began = time.monotonic()
    draw = random.Random(options.seed)  # noqa: S311 (which cases, not a secret)
    root = Path(tempfile.mkdtemp(prefix="crash-", dir=options.keep))
    first = draw.sample(whole := _first_round(options.sabotage), min(len(whole), max(1, options.cases // 3)))
    results = _shared(first, jobs=options.jobs, root=root, name="first")
    dealt = _deal(results, draw=draw, sabotage=options.sabotage)
    more = [next(dealt) for _ in range(options.cases - len(results))]
    results += _shared(more, jobs=options.jobs, root=root, name="killed")
    sys.stdout.write(_summary(results, time.monotonic() - began, options.jobs) + "\n")
    broken = any(result.violations for result in results)
    if not (broken and options.keep):
        shutil.rmtree(root)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
