"""All past facts under another policy: which decisions flip, and what would have been triggered, promoted, rolled back.

It goes as far as the recorded facts do. Where the other policy would have led to a section that was never reached, or
would have watched longer, what would have come is *unknown beyond here*, and is counted so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from retrain import runbook
from retrain.checks import Instant, Model, Verdict
from retrain.hindsight.flips import UNKNOWN, Flip, Policies, decided_under, flips_of, gathered_otherwise, not_known
from retrain.hindsight.replay import Recorded, RunFacts, told_runs
from retrain.settings import Settings

__all__ = ["ACTS", "Backtest", "Count", "RunTold", "backtest"]

ACTS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "triggered": ("when_to_retrain", "retrain"),
    "promoted": ("blue_green_deployment", "swapped"),
    "rolled back": ("rollback", "rolled_back"),
})  # fmt: skip
"""What a run can have done, and the verdict that shows it."""


class RunTold(Model):
    """A run whose way changes: its outcome then and under the other policy, ``unknown`` beyond ``unknown_beyond``."""

    run_id: str
    model: str
    at: Instant | None
    before: str
    after: str
    unknown_beyond: str | None = None
    changed: bool = True


class Count(Model):
    """How many runs did something: as recorded, under the other policy, and how many cannot be told."""

    what: str
    recorded: int
    other_policy: int
    unknown: int


class Backtest(Model):
    """What another policy would have made of the past. ``runs`` and ``verdicts`` say how much past there is."""

    since: Instant | None
    runs: int
    verdicts: int
    counts: tuple[Count, ...]
    flips: tuple[Flip, ...] = ()
    changed_runs: tuple[RunTold, ...] = ()
    caveats: tuple[str, ...] = ()


class _Way(NamedTuple):
    """The (section, outcome) pairs that a run passes, and the section beyond which nothing is known."""

    passed: tuple[tuple[str, str], ...]
    beyond: str | None = None


class _Judged(NamedTuple):
    """What is kept of one run."""

    told: RunTold
    verdicts: int
    flips: tuple[Flip, ...]
    columns: dict[str, list[str]]
    caveats: set[str]


def backtest(source: str | Path | Iterable[RunFacts], settings: Settings, *, since: datetime | None = None) -> Backtest:
    """Decide everything recorded in ``source`` again under the policies of ``settings``.

    ``source`` is a folder of records, or runs, oldest first; it is read once and not kept. ``since`` leaves out runs
    before an instant of the environment's clock, and those that do not tell theirs.
    """
    other = {known.name: settings.policy(known.name).model_dump(mode="json") for known in runbook.SECTIONS}
    judged = [_judged(run, settings, other) for run in _runs_of(source, since)]
    caveats = Counter(caveat for run in judged for caveat in sorted(run.caveats))
    return Backtest(
        since=since,
        runs=len(judged),
        verdicts=sum(run.verdicts for run in judged),
        counts=tuple(_count(what, judged) for what in ACTS),
        flips=tuple(flip for run in judged for flip in run.flips),
        changed_runs=tuple(run.told for run in judged if run.told.changed),
        caveats=(*(f"{caveat} (in {runs:,} runs)" for caveat, runs in caveats.items()), *_history(judged)),
    )


def _runs_of(source: str | Path | Iterable[RunFacts], since: datetime | None) -> Iterator[RunFacts]:
    if isinstance(source, str | Path):
        source = told_runs(source, oldest_first=True)
    return (run for run in source if since is None or (run.at is not None and run.at >= since))


def _judged(run: RunFacts, settings: Settings, other: Policies) -> _Judged:
    made = [decided_under(recorded, settings, run_id=run.run_id) for recorded in run.verdicts]
    then, now = _ways(run.verdicts, made, on_inconclusive=settings.post_deploy_monitoring.on_inconclusive)
    return _Judged(
        told=_run_told(run, then, now),
        verdicts=len(run.verdicts),
        flips=tuple(flips_of(run, made, other, len(now.passed))),
        columns={what: _columns(then, now, shown) for what, shown in ACTS.items()},
        caveats=gathered_otherwise(run, other),
    )


def _ways(recorded: Sequence[Recorded], made: Sequence[Verdict | None], *, on_inconclusive: str) -> tuple[_Way, _Way]:
    """Return the way that the run went, and the one that it would have gone as far as its facts reach."""
    pairs = [(old, new) for old, new in zip(recorded, made, strict=True) if new is not None]
    then = _Way(tuple((old.section, old.outcome) for old, _ in pairs))
    passed: list[tuple[str, str]] = []
    for old, new in pairs:
        if not_known(old, new):
            return then, _Way(tuple(passed), beyond=old.section)
        passed.append((old.section, new.outcome))
        leads = runbook.following(new, on_inconclusive=on_inconclusive)
        led = runbook.following(
            _bare(old.section, old.outcome), on_inconclusive=old.policy.get("on_inconclusive", "hold")
        )
        if leads != led:
            return then, _Way(tuple(passed), beyond=None if leads == runbook.END else leads)
    return then, _Way(tuple(passed))


def _bare(section: str, outcome: str) -> Verdict:
    return Verdict(section=section, outcome=outcome, checks=(), sentence="")


def _run_told(run: RunFacts, then: _Way, now: _Way) -> RunTold:
    return RunTold(
        run_id=run.run_id,
        model=run.model,
        at=run.at,
        before=_outcome(then),
        after=UNKNOWN if now.beyond else _outcome(now),
        unknown_beyond=now.beyond,
        changed=then != now,
    )


def _outcome(way: _Way) -> str:
    return runbook.run_outcome([_bare(section, outcome) for section, outcome in way.passed])


def _columns(then: _Way, now: _Way, shown: tuple[str, str]) -> list[str]:
    """Return the columns of its count that a run belongs to. What may come beyond the unknown is not denied."""
    may_come = now.beyond is not None and _order(shown[0]) >= _order(now.beyond)
    told = ["recorded"] if shown in then.passed else []
    if shown in now.passed:
        return [*told, "other_policy"]
    return [*told, "unknown"] if may_come else told


def _order(section: str) -> int:
    """Return a section's place; *If retraining fails* leads back to the training."""
    names = [known.name for known in runbook.SECTIONS]
    return names.index("training" if section == "if_retraining_fails" else section)


def _count(what: str, judged: Sequence[_Judged]) -> Count:
    counter = Counter(column for run in judged for column in run.columns[what])
    return Count(
        what=what, recorded=counter["recorded"], other_policy=counter["other_policy"], unknown=counter["unknown"]
    )


def _history(judged: Sequence[_Judged]) -> list[str]:
    """Say how many runs came after the first of their model that goes another way: what was done then is their past."""
    turned: set[str] = set()
    after = 0
    for run in judged:
        after += run.told.model in turned
        if run.told.changed:
            turned.add(run.told.model)
    rest = "rest on what was trained and promoted then, not on what the other policy would have done"
    return [f"the facts of {after:,} runs after the first that goes another way {rest}"] if after else []
